//! One message, one answer.

use common::db::Token;
use futures_util::SinkExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use super::toy::Server;
use crate::socket::SocketOptions;

#[tokio::test]
async fn answers_come_when_they_are_ready_and_carry_the_id() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    client.send(json!({"id": 1, "op": "gated", "args": {"n": 1}})).await;
    let echo = client.ask(json!({"id": "b", "op": "echo", "args": {"n": 2}})).await;
    assert_eq!(echo, json!({"id": "b", "type": "reply", "data": {"n": 2}}));
    server.toy.gate.add_permits(1);
    assert_eq!(client.frame().await, json!({"id": 1, "type": "reply", "data": {"n": 1}}));
}

#[tokio::test]
async fn what_a_call_hands_over_keeps_the_order_of_the_messages() {
    const MESSAGES: usize = 2_000;
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    for n in 0..MESSAGES {
        let message = json!({"id": n, "op": "note", "args": n}).to_string();
        client.socket.feed(Message::text(message)).await.unwrap();
    }
    client.socket.flush().await.unwrap();
    for _ in 0..MESSAGES {
        assert_eq!(client.frame().await["type"], "reply");
    }
    let sent: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(*server.toy.noted.lock(), sent);
}

#[tokio::test]
async fn messages_above_the_bound_wait_and_are_answered_later() {
    let options = SocketOptions { calls_max: 4, ..SocketOptions::default() };
    let server = Server::start(options).await;
    let mut client = server.connect().await;
    for n in 0..4 {
        client.send(json!({"id": n, "op": "gated"})).await;
    }
    client.send(json!({"id": "last", "op": "note", "args": "last"})).await;
    server.toy.gate.add_permits(1);
    assert_eq!(client.frame().await["data"], json!({}));
    let (mut last, mut gated) = (0, 0);
    server.toy.gate.add_permits(3);
    for _ in 0..4 {
        match client.frame().await["id"].as_str() {
            Some("last") => last += 1,
            _ => gated += 1,
        }
    }
    assert_eq!((last, gated), (1, 3));
}

#[tokio::test]
async fn a_wrong_message_is_answered_and_the_socket_stays() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    for (text, id, code, class) in [
        ("{", json!(null), "malformed-json", "invalid"),
        (r#"{"id":1}"#, json!(1), "malformed-json", "invalid"),
        (r#"{"id":2,"op":"nonsense"}"#, json!(2), "unknown-operation", "invalid"),
        (r#"{"id":3,"op":"secret"}"#, json!(3), "insufficient-scope", "rejected"),
        (r#"{"id":4,"op":"echo","channel":"x"}"#, json!(4), "invalid-parameter", "invalid"),
        (r#"{"id":5,"op":"echo","args":{"token":"??"}}"#, json!(5), "invalid-parameter", "invalid"),
        (r#"{"id":6,"op":"subscribe","channel":"nonsense:1"}"#, json!(6), "unknown-channel", "invalid"),
        (r#"{"id":7,"op":"unsubscribe","channel":"ticks:1"}"#, json!(7), "not-subscribed", "conflict"),
    ] {
        client.send_text(text).await;
        let answer = client.frame().await;
        assert_eq!((&answer["id"], &answer["type"]), (&id, &json!("error")), "{text}");
        assert_eq!(answer["data"]["code"], code, "{text}");
        assert_eq!(
            (answer["data"]["class"].as_str(), answer["data"]["retry"].as_str()),
            (Some(class), Some("never"))
        );
    }
    client.socket.send(Message::binary(vec![1, 2])).await.unwrap();
    assert_eq!(client.frame().await["data"]["code"], "malformed-json");
    assert_eq!(client.ask(json!({"id": 9, "op": "ping"})).await["type"], "pong");
}

#[tokio::test]
async fn a_refusal_for_want_of_quota_says_when_to_ask_again() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    assert_eq!(client.ask(json!({"id": 1, "op": "costly"})).await["type"], "reply");
    let answer = client.ask(json!({"id": 2, "op": "costly"})).await;
    let data = &answer["data"];
    assert_eq!((data["class"].as_str(), data["retry"].as_str()), (Some("throttled"), Some("after_ms")));
    assert!(data["after_ms"].as_u64() > Some(0));
    assert_eq!((data["code"].as_str(), data["policy"].as_str()), (Some("rate-limited"), Some("costly")));
}

#[tokio::test]
async fn a_write_gives_a_token_and_a_read_takes_it() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    let answer = client.ask(json!({"id": 1, "op": "write"})).await;
    let token = answer["token"].as_str().unwrap();
    assert_eq!(Token::decode(token).unwrap().seq(Uuid::from_u128(1)), Some(7));
    let answer = client.ask(json!({"id": 2, "op": "echo", "args": {"token": token, "x": 1}})).await;
    assert_eq!(answer["data"], json!({"x": 1}));
    assert_eq!(answer.get("token"), None);
    assert_eq!(server.toy.seen.lock().seq(Uuid::from_u128(1)), Some(7));
}
