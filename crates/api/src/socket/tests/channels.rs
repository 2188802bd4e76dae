//! Subscriptions: numbers, resuming, silence, and clients that don't keep up.

use std::time::Duration;

use serde_json::{Value, json};

use super::toy::{Client, Server, TICKS_KEPT};
use crate::socket::SocketOptions;

/// Messages of 2 kB that are more than all buffers between the two ends hold.
const MORE_THAN_FITS: i64 = 20_000;

async fn subscribe(client: &mut Client, channel: &str, resume_from: Option<i64>) -> Value {
    client
        .ask(json!({"id": "s", "op": "subscribe", "channel": channel, "args": {"resume_from": resume_from}}))
        .await
}

#[tokio::test]
async fn each_message_names_its_number_and_the_one_before() {
    let server = Server::start(SocketOptions::default()).await;
    server.toy.head.send_replace(5);
    let mut client = server.connect().await;
    let answer = subscribe(&mut client, "ticks:1", None).await;
    assert_eq!(answer, json!({"id": "s", "ch": "ticks:1", "seq": 5, "type": "subscribed", "data": {}}));
    server.toy.head.send_replace(7);
    for seq in [6, 7] {
        let frame = client.frame().await;
        assert_eq!((&frame["ch"], &frame["type"]), (&json!("ticks:1"), &json!("tick")));
        assert_eq!((&frame["seq"], &frame["prev"]), (&json!(seq), &json!(seq - 1)));
    }
}

#[tokio::test]
async fn a_subscription_resumes_after_the_number_that_was_seen() {
    let server = Server::start(SocketOptions::default()).await;
    server.toy.head.send_replace(3_000);
    let mut client = server.connect().await;
    assert_eq!(subscribe(&mut client, "ticks:1", Some(2_998)).await["seq"], 2_998);
    assert_eq!(client.frame().await["seq"], 2_999);
    assert_eq!(client.frame().await["seq"], 3_000);
    let refused = subscribe(&mut client, "ticks:2", Some(1)).await;
    assert_eq!(
        (&refused["data"]["code"], &refused["data"]["floor"]),
        (&json!("resume-too-old"), &json!(2_000))
    );
    let again = subscribe(&mut client, "ticks:2", None).await;
    assert_eq!(again["type"], "subscribed", "a refused subscription leaves no trace: {again}");
}

#[tokio::test]
async fn a_silent_channel_repeats_its_last_number() {
    let options = SocketOptions { heartbeat_after: Duration::from_millis(20), ..SocketOptions::default() };
    let server = Server::start(options).await;
    server.toy.head.send_replace(9);
    let mut client = server.connect().await;
    subscribe(&mut client, "ticks:1", None).await;
    for _ in 0..3 {
        assert_eq!(client.frame().await, json!({"ch": "ticks:1", "seq": 9, "type": "heartbeat", "data": {}}));
    }
}

#[tokio::test]
async fn nothing_comes_after_unsubscribed() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    subscribe(&mut client, "ticks:1", None).await;
    assert_eq!(subscribe(&mut client, "ticks:1", None).await["data"]["code"], "already-subscribed");
    let answer = client.ask(json!({"id": 1, "op": "unsubscribe", "channel": "ticks:1"})).await;
    assert_eq!((&answer["type"], &answer["ch"]), (&json!("unsubscribed"), &json!("ticks:1")));
    server.toy.head.send_replace(1);
    assert_eq!(client.ask(json!({"id": 2, "op": "ping"})).await["type"], "pong");
    assert_eq!(subscribe(&mut client, "ticks:1", Some(0)).await["type"], "subscribed");
    assert_eq!(client.frame().await["seq"], 1);
}

#[tokio::test]
async fn the_subscriptions_of_a_socket_are_counted() {
    let server = Server::start(SocketOptions { subscriptions_max: 2, ..SocketOptions::default() }).await;
    let mut client = server.connect().await;
    for (channel, answer) in [("ticks:1", "subscribed"), ("price:1", "subscribed"), ("ticks:2", "error")] {
        assert_eq!(subscribe(&mut client, channel, None).await["type"], answer);
    }
}

#[tokio::test]
async fn a_conflated_channel_gives_a_slow_client_the_sum_of_what_it_missed() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    subscribe(&mut client, "price:1", None).await;
    // The client reads nothing while the price moves; the session keeps taking until no buffer has room.
    for seq in 1..=MORE_THAN_FITS {
        server.toy.head.send_replace(seq);
        tokio::task::yield_now().await;
    }
    let (mut at, mut frames) = (0, 0);
    while at < MORE_THAN_FITS {
        let frame = client.frame().await;
        assert_eq!((frame["prev"].as_i64(), frame["data"]["first"].as_i64()), (Some(at), Some(at + 1)));
        at = frame["seq"].as_i64().unwrap();
        frames += 1;
    }
    assert!(frames < MORE_THAN_FITS, "{frames} frames: nothing was merged");
}

#[tokio::test]
async fn a_private_channel_closes_a_slow_client_that_then_resumes() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    subscribe(&mut client, "ticks:1", None).await;
    let mut head = 0;
    // A socket whose client reads nothing fills up; then the head runs away by more than is kept.
    while server.tasks.len() == 1 && head < MORE_THAN_FITS {
        head += 100;
        server.toy.head.send_replace(head);
        tokio::task::yield_now().await;
    }
    server.toy.head.send_replace(head + 2 * TICKS_KEPT);
    let mut last = 0;
    loop {
        let frame = client.frame().await;
        if frame["type"] == "closing" {
            assert_eq!(frame["data"]["code"], 4_408);
            break;
        }
        assert_eq!(frame["prev"], last, "nothing is dropped before");
        last = frame["seq"].as_i64().unwrap();
    }
    let mut again = server.connect().await;
    server.toy.head.send_replace(last + 1);
    subscribe(&mut again, "ticks:1", Some(last)).await;
    assert_eq!(again.frame().await["seq"], last + 1);
}
