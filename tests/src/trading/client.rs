//! A client of the socket, as small as can be.

use std::collections::VecDeque;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::market::with;
use crate::harness::{Program, User};

/// An open socket. What comes out of order is kept until it is asked for.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: VecDeque<Value>,
    last_id: u64,
}

impl Socket {
    /// Opens one, signed in by its header.
    pub async fn open(program: &Program, user: &User) -> Self {
        let address = format!("{}/v1/trading/ws", program.base.replacen("http", "ws", 1));
        let mut request = address.into_client_request().unwrap();
        request.headers_mut().insert("authorization", format!("Bearer {}", user.token).parse().unwrap());
        let (stream, _) = connect_async(request).await.unwrap();
        Self { stream, waiting: VecDeque::new(), last_id: 0 }
    }

    /// Sends an operation and gives its id.
    pub async fn send(&mut self, op: &str, args: Value) -> u64 {
        self.last_id += 1;
        self.write(json!({"id": self.last_id, "op": op, "args": args})).await;
        self.last_id
    }

    /// The answer to a message, be it a reply or an error.
    pub async fn answer(&mut self, id: u64) -> Value {
        self.next_that(|frame| frame["id"] == id).await
    }

    /// The next answer, whatever it answers.
    pub async fn any_answer(&mut self) -> Value {
        self.next_that(|frame| frame["id"].is_u64()).await
    }

    /// Places an order of an account and gives the reply's data.
    pub async fn place(&mut self, account: &str, order: Value) -> Value {
        let id = self.send("order.place", with(order, json!({"account": account}))).await;
        let answer = self.answer(id).await;
        assert_eq!(answer["type"], "reply", "{answer:#}");
        answer["data"].clone()
    }

    /// Subscribes to a channel; the answer, be it good or bad.
    pub async fn subscribe(&mut self, channel: &str, args: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.write(json!({"id": id, "op": "subscribe", "channel": channel, "args": args})).await;
        self.answer(id).await
    }

    /// The next message of a channel, heartbeats aside.
    pub async fn next(&mut self, channel: &str) -> Value {
        self.next_that(|frame| {
            frame["ch"] == channel && frame["id"].is_null() && frame["type"] != "heartbeat"
        })
        .await
    }

    async fn write(&mut self, frame: Value) {
        self.stream.send(Message::text(frame.to_string())).await.unwrap();
    }

    async fn next_that(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).expect("it was found there");
        }
        loop {
            let Message::Text(text) = self.stream.next().await.expect("the socket is open").unwrap() else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            if wanted(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }
}
