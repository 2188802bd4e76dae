//! One WebSocket: messages go out in the order in which they were given, many at once; answers are matched by their
//! ids and channels are streams.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use reqwest::header::AUTHORIZATION;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::error::Error;
use super::frame::Frame;
use super::subscription::Subscription;

/// Messages that wait to be sent.
const OUT_MAX: usize = 1_024;
/// Messages of a channel that wait to be read.
const CHANNEL_MAX: usize = 1_024;
/// The code of a close without a close frame.
const ABNORMAL: u16 = 1006;

type Connection = WebSocketStream<MaybeTlsStream<TcpStream>>;
type Answered = oneshot::Sender<Result<Frame, Error>>;
type Frames = mpsc::Sender<Result<Frame, Error>>;

/// One WebSocket. Clones speak over the same one; it closes when the last is gone.
#[derive(Clone)]
pub struct Socket {
    out: mpsc::Sender<Outgoing>,
}

enum Outgoing {
    Request { op: Arc<str>, channel: Option<String>, args: String, answered: Answered },
    Follow { channel: String, frames: Frames },
}

/// An answer that is on its way.
pub struct Pending(oneshot::Receiver<Result<Frame, Error>>);

impl Future for Pending {
    type Output = Result<Frame, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|answer| answer.unwrap_or_else(|_| Err(gone())).and_then(Frame::ok))
    }
}

impl Socket {
    /// Connects, with a token in the `Authorization` header or without one.
    pub async fn open(base_url: &str, path: &str, token: Option<&str>) -> Result<Self, Error> {
        let url = format!("ws{}{path}", base_url.strip_prefix("http").unwrap_or(base_url));
        let mut request = url.into_client_request().map_err(Box::new)?;
        if let Some(token) = token {
            let value =
                format!("Bearer {token}").parse().map_err(|_| Error::Header("authorization".to_owned()))?;
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let (connection, _) =
            tokio_tungstenite::connect_async_with_config(request, None, true).await.map_err(Box::new)?;
        let (out, waiting) = mpsc::channel(OUT_MAX);
        let (sink, frames) = connection.split();
        let table = Arc::new(Table::default());
        // Two tasks, so that neither end ever waits to write while the other waits for it to read.
        tokio::spawn(read(frames, table.clone()));
        tokio::spawn(write(sink, waiting, table));
        Ok(Self { out })
    }

    /// Sends a message and gives what its answer will be. Messages go out in the order of these calls.
    pub async fn start(&self, op: &Arc<str>, args: &(impl Serialize + ?Sized)) -> Result<Pending, Error> {
        self.request(op.clone(), None, serde_json::to_string(args)?).await
    }

    /// Sends a message and waits for its answer.
    pub async fn call(&self, op: &str, args: &(impl Serialize + ?Sized)) -> Result<Frame, Error> {
        self.start(&op.into(), args).await?.await
    }

    /// Signs in, or prolongs.
    pub async fn auth(&self, token: &str) -> Result<Frame, Error> {
        self.call("auth", &json!({"token": token})).await
    }

    /// Follows a channel, from now (or from a snapshot) on or from after a number.
    pub async fn subscribe(&self, channel: &str, resume_from: Option<i64>) -> Result<Subscription, Error> {
        let (frames, followed) = mpsc::channel(CHANNEL_MAX);
        let follow = Outgoing::Follow { channel: channel.to_owned(), frames };
        self.out.send(follow).await.map_err(|_| gone())?;
        let args = match resume_from {
            Some(from) => json!({"resume_from": from}),
            None => json!({}),
        };
        let answer =
            self.request("subscribe".into(), Some(channel.to_owned()), args.to_string()).await?.await?;
        Ok(Subscription { channel: channel.to_owned(), last: answer.seq, frames: followed })
    }

    /// Follows a channel no more.
    pub async fn unsubscribe(&self, channel: &str) -> Result<(), Error> {
        self.request("unsubscribe".into(), Some(channel.to_owned()), "{}".to_owned()).await?.await.map(|_| ())
    }

    async fn request(&self, op: Arc<str>, channel: Option<String>, args: String) -> Result<Pending, Error> {
        let (answered, answer) = oneshot::channel();
        let request = Outgoing::Request { op, channel, args, answered };
        self.out.send(request).await.map_err(|_| gone())?;
        Ok(Pending(answer))
    }
}

/// Who waits for what. Open until the reader has ended.
#[derive(Default)]
struct Table(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    answers: HashMap<u64, Answered>,
    channels: HashMap<String, Frames>,
    closed: Option<(u16, String)>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().expect("nothing panics while it holds the lock")
    }
}

async fn write(
    mut sink: SplitSink<Connection, Message>,
    mut waiting: mpsc::Receiver<Outgoing>,
    table: Arc<Table>,
) {
    let (mut batch, mut last_id) = (Vec::new(), 0);
    while waiting.recv_many(&mut batch, OUT_MAX).await > 0 {
        for outgoing in batch.drain(..) {
            if let Some(text) = enter(outgoing, &table, &mut last_id) {
                // The reader finds the same error and tells everybody.
                let _ = sink.feed(Message::text(text)).await;
            }
        }
        let _ = sink.flush().await;
    }
    let _ = sink.close().await;
}

/// Notes who waits for the answer, and gives the text to send.
fn enter(outgoing: Outgoing, table: &Table, last_id: &mut u64) -> Option<String> {
    let mut waiting = table.lock();
    match outgoing {
        Outgoing::Follow { channel, frames } => {
            waiting.channels.insert(channel, frames);
            None
        }
        Outgoing::Request { op, channel, args, answered } => {
            if let Some((code, reason)) = &waiting.closed {
                let _ = answered.send(Err(Error::Closed { code: *code, reason: reason.clone() }));
                return None;
            }
            *last_id += 1;
            let id = *last_id;
            waiting.answers.insert(id, answered);
            let channel = channel.map(|it| format!(r#""channel":{},"#, json!(it))).unwrap_or_default();
            Some(format!(r#"{{"id":{id},"op":"{op}",{channel}"args":{args}}}"#))
        }
    }
}

async fn read(mut frames: SplitStream<Connection>, table: Arc<Table>) {
    let (code, reason) = loop {
        let text = match frames.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(frame)))) => break (frame.code.into(), frame.reason.to_string()),
            Some(Ok(Message::Close(None))) | None => break (ABNORMAL, "the socket is gone".to_owned()),
            Some(Ok(_)) => continue,
            Some(Err(error)) => break (ABNORMAL, error.to_string()),
        };
        match serde_json::from_str::<Frame>(&text) {
            Ok(frame) => deliver(frame, &table).await,
            Err(error) => break (ABNORMAL, error.to_string()),
        }
    };
    let Waiting { answers, channels, .. } = std::mem::replace(
        &mut *table.lock(),
        Waiting { closed: Some((code, reason.clone())), ..Waiting::default() },
    );
    let closed = || Error::Closed { code, reason: reason.clone() };
    for answered in answers.into_values() {
        // Whoever asked may have gone.
        let _ = answered.send(Err(closed()));
    }
    for frames in channels.into_values() {
        let _ = frames.send(Err(closed())).await;
    }
}

async fn deliver(frame: Frame, table: &Table) {
    if let Some(id) = frame.id {
        let answered = table.lock().answers.remove(&id);
        if let Some(answered) = answered {
            let _ = answered.send(Ok(frame));
        }
        return;
    }
    let Some(channel) = frame.channel.clone() else { return };
    let frames = match frame.kind.as_str() {
        "unsubscribed" => table.lock().channels.remove(&channel),
        _ => table.lock().channels.get(&channel).cloned(),
    };
    if let Some(frames) = frames
        && frames.send(Ok(frame)).await.is_err()
    {
        table.lock().channels.remove(&channel);
    }
}

fn gone() -> Error {
    Error::Closed { code: ABNORMAL, reason: "the socket is gone".to_owned() }
}
