//! What a client may have under way, as it is told.

use serde_json::json;

use super::toy::Server;
use crate::socket::{CreditPool, SocketOptions};

#[tokio::test]
async fn a_client_is_told_of_its_credit_and_each_answer_gives_it_back() {
    let server = Server::lending(SocketOptions::default(), Some(CreditPool::new(800, 50))).await;
    let mut client = server.try_connect(None).await.unwrap();
    assert_eq!(
        client.ask(json!({"id": 1, "op": "ping"})).await["type"],
        "pong",
        "nothing before the sign-in"
    );
    client.send(json!({"id": 2, "op": "auth", "args": {"token": server.token("ann", 60)}})).await;
    assert_eq!(client.frame().await["type"], "authenticated");
    assert_eq!(client.frame().await, json!({"type": "credit", "data": {}, "credit": 50}));

    client.send(json!({"id": 3, "op": "take", "args": 30})).await;
    let refused = client.ask(json!({"id": 4, "op": "take", "args": 21})).await;
    let data = &refused["data"];
    assert_eq!((&refused["credit"], &data["code"]), (&json!(50), &json!("no-credit")));
    assert_eq!((&data["class"], &data["retry"]), (&json!("throttled"), &json!("after_ms")));
    assert_eq!((&data["needed"], &data["under_way"]), (&json!(21), &json!(30)));
    client.send(json!({"id": 5, "op": "take", "args": 20})).await;
    server.toy.gate.add_permits(2);
    for _ in 0..2 {
        let answer = client.frame().await;
        assert_eq!((&answer["type"], &answer["credit"]), (&json!("reply"), &json!(50)), "{answer}");
    }
    server.toy.gate.add_permits(1);
    assert_eq!(client.ask(json!({"id": 6, "op": "take", "args": 50})).await["type"], "reply");
}

#[tokio::test]
async fn a_silent_client_is_told_when_others_use_the_pool_up_and_when_it_is_free_again() {
    let server = Server::lending(SocketOptions::default(), Some(CreditPool::new(800, 50))).await;
    let mut silent = server.connect().await;
    assert_eq!(silent.frame().await["credit"], 50);
    let mut others = Vec::new();
    for id in 0..12 {
        let mut other = server.connect().await;
        let granted = other.frame().await["credit"].as_u64().unwrap();
        other.send(json!({"id": id, "op": "take", "args": granted})).await;
        // Answered behind the take.
        other.send(json!({"id": "next", "op": "ping"})).await;
        while other.frame().await["type"] != "pong" {}
        others.push(other);
    }
    let less = silent.frame().await;
    assert_eq!(less["type"], "credit");
    assert!(less["credit"].as_u64() < Some(50), "{less}");
    // Those who go away give back what is not under way any more.
    drop(others);
    let mut now = less;
    while now["credit"] != 50 {
        now = silent.frame().await;
    }
}
