//! A client of a socket, as small as can be. Every frame that it is sent is held to the AsyncAPI document.

use std::collections::{HashMap, VecDeque};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::market::with;
use crate::harness::{AsyncApi, Program, User};

/// An open socket. What comes out of order is kept until it is asked for.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The module that it belongs to.
    module: String,
    /// What was asked under each id.
    asked: HashMap<u64, String>,
    waiting: VecDeque<Value>,
    last_id: u64,
}

impl Socket {
    /// Opens trading's, signed in by its header.
    pub async fn open(program: &Program, user: &User) -> Self {
        Self::open_at(program, user, "/v1/trading/ws").await
    }

    /// Opens one, signed in by its header if there is a token.
    pub async fn open_at(program: &Program, user: &User, path: &str) -> Self {
        let address = format!("{}{path}", program.base.replacen("http", "ws", 1));
        let mut request = address.into_client_request().unwrap();
        if !user.token.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {}", user.token).parse().unwrap());
        }
        let (stream, _) = connect_async(request).await.unwrap();
        let module = path.split('/').nth(2).unwrap().to_owned();
        Self { stream, module, asked: HashMap::new(), waiting: VecDeque::new(), last_id: 0 }
    }

    /// Sends an operation and gives its id.
    pub async fn send(&mut self, op: &str, args: Value) -> u64 {
        self.send_frame(&mut json!({"op": op, "args": args})).await
    }

    /// Sends a frame with an id of its own, and gives that.
    pub async fn send_frame(&mut self, frame: &mut Value) -> u64 {
        self.last_id += 1;
        frame["id"] = json!(self.last_id);
        self.asked.insert(self.last_id, frame["op"].as_str().unwrap_or_default().to_owned());
        self.stream.send(Message::text(frame.to_string())).await.unwrap();
        self.last_id
    }

    /// Sends what may be no frame at all, and gives the error that answers no id.
    pub async fn say(&mut self, text: &str) -> Value {
        self.stream.send(Message::text(text)).await.unwrap();
        self.next_that(|frame| frame["type"] == "error" && frame["id"].is_null()).await
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
        let mut frame = json!({"op": "subscribe", "channel": channel, "args": args});
        let id = self.send_frame(&mut frame).await;
        self.answer(id).await
    }

    /// The next message of a channel, heartbeats aside.
    pub async fn next(&mut self, channel: &str) -> Value {
        self.next_that(|frame| {
            frame["ch"] == channel && frame["id"].is_null() && frame["type"] != "heartbeat"
        })
        .await
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
            let op = frame["id"].as_u64().and_then(|id| self.asked.get(&id));
            AsyncApi::of_program().hold(&self.module, op.map(String::as_str), &frame);
            if wanted(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }
}
