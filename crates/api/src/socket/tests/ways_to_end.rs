//! Sign-in, the end of a token, limits, and shutdown.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use super::toy::Server;
use crate::socket::SocketOptions;

#[tokio::test]
async fn a_caller_without_a_header_signs_in_by_the_first_message() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.try_connect(None).await.unwrap();
    assert_eq!(client.ask(json!({"id": 1, "op": "echo"})).await["data"]["code"], "unauthenticated");
    let refused = client.ask(json!({"id": 2, "op": "auth", "args": {"token": "nobody"}})).await;
    assert_eq!(refused["data"]["code"], "unauthenticated");
    // What follows in the same breath is done in the caller's name.
    client.send(json!({"id": 3, "op": "auth", "args": {"token": server.token("ann", 60)}})).await;
    client.send(json!({"id": 4, "op": "echo"})).await;
    let answer = client.frame().await;
    assert_eq!((&answer["type"], &answer["data"]["subject"]), (&json!("authenticated"), &json!("ann")));
    assert_eq!(client.frame().await["type"], "reply");
}

#[tokio::test]
async fn a_socket_without_a_token_is_closed_in_time() {
    let options = SocketOptions { auth_within: Duration::from_millis(20), ..SocketOptions::default() };
    let server = Server::start(options).await;
    assert_eq!(server.try_connect(None).await.unwrap().closed().await, 4_401);
}

#[tokio::test]
async fn a_refused_header_is_refused_before_the_upgrade() {
    let server = Server::start(SocketOptions::default()).await;
    let Err(Error::Http(answer)) = server.try_connect(Some("nobody")).await else { panic!("it was let in") };
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.headers()[http::header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn the_socket_ends_with_the_token_unless_it_is_prolonged() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.try_connect(Some(&server.token("ann", 60))).await.unwrap();
    let prolonged =
        client.ask(json!({"id": 1, "op": "auth", "args": {"token": server.token("ann", 600)}})).await;
    assert_eq!(prolonged["type"], "authenticated");
    let stranger =
        client.ask(json!({"id": 2, "op": "auth", "args": {"token": server.token("bob", 600)}})).await;
    assert_eq!(stranger["data"]["code"], "forbidden");
    server.clock.turn(TimeDelta::seconds(100));
    assert_eq!(client.ask(json!({"id": 3, "op": "ping"})).await["type"], "pong");
    server.clock.turn(TimeDelta::seconds(600));
    client.send(json!({"id": 4, "op": "ping"})).await;
    assert_eq!(client.closed().await, 4_401);
}

#[tokio::test]
async fn a_silent_socket_ends_with_its_token_too() {
    let server = Server::start(SocketOptions::default()).await;
    assert_eq!(server.try_connect(Some(&server.token("ann", 1))).await.unwrap().closed().await, 4_401);
}

#[tokio::test]
async fn a_message_that_is_too_large_ends_the_socket() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    client.send(json!({"id": 1, "op": "echo", "args": "x".repeat(5_000)})).await;
    assert_eq!(client.closed().await, 1_009);
}

#[tokio::test]
async fn a_client_that_gives_no_sign_of_life_is_let_go() {
    let options = SocketOptions { ping_every: Duration::from_millis(50), ..SocketOptions::default() };
    let server = Server::start(options).await;
    let mut client = server.connect().await;
    client.ask(json!({"id": 1, "op": "ping"})).await;
    // Nothing is read any more, so no ping is answered.
    server.tasks.close();
    server.tasks.wait().await;
    assert!(server.tasks.is_empty());
}

#[tokio::test]
async fn a_subjects_sockets_are_counted() {
    let server =
        Server::start(SocketOptions { sockets_per_subject_max: 1, ..SocketOptions::default() }).await;
    let client = server.connect().await;
    let Err(Error::Http(answer)) = server.try_connect(Some(&server.token("ann", 60))).await else {
        panic!("it was let in")
    };
    assert_eq!(answer.status(), 429);
    let mut late = server.try_connect(None).await.unwrap();
    late.send(json!({"id": 1, "op": "auth", "args": {"token": server.token("ann", 60)}})).await;
    assert_eq!(late.frame().await["data"]["code"], "too-many-sockets");
    assert_eq!(late.closed().await, 4_429);
    server.try_connect(Some(&server.token("bob", 60))).await.unwrap();
    drop(client);
    while server.try_connect(Some(&server.token("ann", 60))).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stopping_server_answers_what_it_has_taken_and_says_goodbye() {
    let server = Server::start(SocketOptions::default()).await;
    let mut client = server.connect().await;
    client.send(json!({"id": 1, "op": "gated"})).await;
    assert_eq!(client.ask(json!({"id": 2, "op": "echo"})).await["type"], "reply");
    server.shutdown.cancel();
    server.toy.gate.add_permits(1);
    assert_eq!(client.frame().await["id"], 1);
    assert_eq!(client.closed().await, 1_001);
    assert!(client.socket.next().await.is_none());
    server.tasks.close();
    server.tasks.wait().await;
}
