//! A client of the sockets, as small as can be. Every frame that it is sent is held to the AsyncAPI document.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{AsyncApi, Program, User};

/// What comes at all comes within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// An open socket. What comes out of order is kept until it is asked for.
pub struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whose it is.
    module: String,
    /// The operation under each id.
    asked: HashMap<u64, String>,
    waiting: VecDeque<Value>,
    last_id: u64,
    /// What a frame last said of credit.
    pub credit: Option<u64>,
}

impl Socket {
    /// Opens a module's, signed in by its header.
    pub async fn open(program: &Program, path: &str, user: &User) -> Self {
        Self::try_open(program, path, &user.token).await.expect("the upgrade is accepted")
    }

    /// The same with any token; an empty one is no header at all.
    pub async fn try_open(
        program: &Program,
        path: &str,
        token: &str,
    ) -> Result<Self, tokio_tungstenite::tungstenite::Error> {
        let mut request =
            format!("{}{path}", program.base.replacen("http", "ws", 1)).into_client_request()?;
        if !token.is_empty() {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        let (stream, _) = connect_async(request).await?;
        let module = path.split('/').nth(2).expect("/v1/module/ws").to_owned();
        let (asked, waiting) = (HashMap::new(), VecDeque::new());
        Ok(Self { stream, module, asked, waiting, last_id: 0, credit: None })
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

    /// The next frame that is wanted.
    pub async fn next_that(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.waiting.iter().position(&wanted) {
            return self.waiting.remove(at).expect("it was found there");
        }
        loop {
            let frame = self.read().await.expect("the socket is open");
            if wanted(&frame) {
                return frame;
            }
            self.waiting.push_back(frame);
        }
    }

    /// Reads until the last that a frame said of credit is wanted.
    pub async fn until_granted(&mut self, wanted: impl Fn(u64) -> bool) -> u64 {
        loop {
            if let Some(credit) = self.credit.filter(|credit| wanted(*credit)) {
                return credit;
            }
            let frame = self.read().await.expect("the socket is open");
            self.waiting.push_back(frame);
        }
    }

    /// The code that the socket is closed with; what comes before is dropped.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.read().await {
                return code.expect("a close frame comes before the end");
            }
        }
    }

    /// Goes away in the middle of a message, as a device does that is out of reach.
    pub async fn cut_within(mut self, op: &str, args: Value) {
        let text = json!({"id": 0, "op": op, "args": args}).to_string();
        let mut frame = Frame::message(text, OpCode::Data(Data::Text), true);
        frame.header_mut().mask = Some([7; 4]);
        let mut bytes = Vec::new();
        frame.format(&mut bytes).unwrap();
        let MaybeTlsStream::Plain(stream) = self.stream.get_mut() else { panic!("tests speak plainly") };
        stream.write_all(&bytes[..bytes.len() / 2]).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    async fn read(&mut self) -> Result<Value, Option<u16>> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.expect("nothing came for a long time") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    let op = frame["id"].as_u64().and_then(|id| self.asked.get(&id));
                    AsyncApi::of_program().hold(&self.module, op.map(String::as_str), &frame);
                    self.credit = frame["credit"].as_u64().or(self.credit);
                    return Ok(frame);
                }
                Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(None),
            }
        }
    }
}
