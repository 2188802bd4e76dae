//! A module without a database, a server for it, and a client that reads frames as JSON.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::any;
use axum::{Extension, Router};
use common::context::{Caller, Clock, Context, ContextParts, Priority};
use common::db::Token;
use common::limit::{Class, Limits};
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::app::Environment;
use crate::auth::{AuthConfig, DevIssuer, TokenRequest, Verifier};
use crate::context::{Authentication, Surroundings};
use crate::socket::problems::RESUME_TOO_OLD;
use crate::socket::{
    Call, Channel, ChannelEnd, ChannelKind, ChannelMessage, Credit, CreditPool, MessageKind, Operation,
    Protocol, Reply, SchemaOf, SocketError, SocketOptions, Sockets, Subscribe, Subscribing, Upgrade,
};

/// What a client of the toy is answered within, or the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// Numbers that `ticks` keeps behind its head.
pub const TICKS_KEPT: i64 = 1_000;

pub struct Toy {
    /// `gated` calls wait for a permit of this.
    pub gate: Semaphore,
    /// The args of `note`, in the order in which they were handed over.
    pub noted: Mutex<Vec<String>>,
    /// The head of both channels.
    pub head: watch::Sender<i64>,
    /// The token that the last call saw.
    pub seen: Mutex<Token>,
    /// Where it lends credit, what `take` takes from.
    pub pool: Option<CreditPool>,
}

const fn operation(name: &'static str) -> Operation {
    Operation {
        name,
        summary: "A toy.",
        scope: "toy",
        class: Class::Read,
        args: SchemaOf::NOTHING,
        reply: SchemaOf::NOTHING,
    }
}

const fn channel(name: &'static str, conflated: bool) -> ChannelKind {
    ChannelKind {
        name,
        key: "toy",
        summary: "A toy.",
        scope: "",
        conflated,
        args: SchemaOf::NOTHING,
        messages: &[MessageKind { name: "tick", summary: "A toy.", data: SchemaOf::NOTHING }],
    }
}

const OPERATIONS: &[Operation] = &[
    operation("echo"),
    operation("gated"),
    operation("note"),
    operation("write"),
    operation("take"),
    Operation { class: Class::Bulk, ..operation("costly") },
    Operation { scope: "admin", ..operation("secret") },
];
const CHANNELS: &[ChannelKind] = &[channel("ticks", false), channel("price", true)];

/// One socket's side; all share the toy.
pub struct ToyProtocol(Arc<Toy>, Option<Credit>);

impl Protocol for ToyProtocol {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn channels(&self) -> &'static [ChannelKind] {
        CHANNELS
    }

    fn message_bytes_max(&self) -> usize {
        4_096
    }

    fn credit(&self) -> Option<&Credit> {
        self.1.as_ref()
    }

    fn call(&self, ctx: &Context, op: &'static str, args: &RawValue) -> Call {
        let toy = self.0.clone();
        let (ctx, args) = (ctx.clone(), args.to_owned());
        *toy.seen.lock() = ctx.token();
        if op == "note" {
            toy.noted.lock().push(args.get().to_owned());
        }
        let taken = (op == "take").then(|| {
            let amount = args.get().parse().expect("args say how much");
            self.1.as_ref().expect("it lends credit").take(amount)
        });
        async move {
            let taken = taken.transpose()?;
            match op {
                "take" => {
                    toy.gate.acquire().await.expect("the gate is never closed").forget();
                    drop(taken);
                }
                "gated" => toy.gate.acquire().await.expect("the gate is never closed").forget(),
                "write" => {
                    let mut token = Token::default();
                    token.add_stream(Uuid::from_u128(1), 7);
                    ctx.wrote(&token);
                }
                _ => {}
            }
            Ok(Reply::raw(args))
        }
        .boxed()
    }

    fn subscribe(&self, _: &Context, subscribe: Subscribe) -> Subscribing {
        let head = self.0.head.subscribe();
        async move {
            let now = *head.borrow();
            let start = subscribe.resume_from.unwrap_or(now);
            if start < now - TICKS_KEPT {
                return Err(SocketError::of(&RESUME_TOO_OLD).with("floor", now - TICKS_KEPT));
            }
            let messages = match subscribe.name {
                "price" => prices(head, start),
                _ => ticks(head, start),
            };
            Ok(Channel { start: Some(start), messages })
        }
        .boxed()
    }
}

/// Only what is newest: everything that the client didn't take is merged.
fn prices(head: watch::Receiver<i64>, start: i64) -> BoxStream<'static, Result<ChannelMessage, ChannelEnd>> {
    stream::unfold((head, start), |(mut head, at)| async move {
        let now = *head.wait_for(|now| *now > at).await.ok()?;
        let data = json!({"first": at + 1, "filler": "x".repeat(2_000)});
        Some((ChannelMessage::of(now, "tick", &data), (head, now)))
    })
    .boxed()
}

/// Each number, as long as it is kept.
fn ticks(head: watch::Receiver<i64>, start: i64) -> BoxStream<'static, Result<ChannelMessage, ChannelEnd>> {
    stream::unfold((head, start), |(mut head, at)| async move {
        let now = *head.wait_for(|now| *now > at).await.ok()?;
        if at < now - TICKS_KEPT {
            return Some((Err(ChannelEnd::Slow), (head, at)));
        }
        let data = json!({"filler": "x".repeat(2_000)});
        Some((ChannelMessage::of(at + 1, "tick", &data), (head, at + 1)))
    })
    .boxed()
}

pub struct Server {
    pub toy: Arc<Toy>,
    pub clock: Clock,
    issuer: Arc<DevIssuer>,
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
    address: SocketAddr,
}

/// One costly operation per caller, and as many others as a test likes.
const POLICIES: &str = r#"
    [[policy]]
    name = "costly"
    layer = "user"
    by = "subject"
    quantity = 60
    window_s = 60
    burst = 1
    costs = { read = 0, write = 0, bulk = 1, stream = 0, sign_in = 0 }

    [[policy]]
    name = "address"
    layer = "user"
    by = "address"
    quantity = 60
    window_s = 60
"#;

impl Server {
    pub async fn start(options: SocketOptions) -> Self {
        Self::lending(options, None).await
    }

    /// The same with credit.
    pub async fn lending(options: SocketOptions, pool: Option<CreditPool>) -> Self {
        let toy = Arc::new(Toy {
            gate: Semaphore::new(0),
            noted: Mutex::default(),
            head: watch::Sender::new(0),
            seen: Mutex::default(),
            pool,
        });
        let (clock, shutdown, tasks) = (Clock::default(), CancellationToken::new(), TaskTracker::new());
        let issuer = DevIssuer::new(Environment::Development, None, Vec::new(), clock.clone()).unwrap();
        let config = AuthConfig { issuer: String::new(), audience: String::new(), jwks_url: None };
        let verifier = Verifier::new(&config, Some(issuer.clone()), clock.clone());
        let limits = Limits::with_capacity(POLICIES, 1_024).unwrap();
        let sockets = Sockets::new(verifier.clone(), limits, options, shutdown.clone(), tasks.clone());
        let shared = toy.clone();
        let edge_clock = clock.clone();
        let route = any(move |upgrade: Upgrade| {
            let toy = shared.clone();
            let credit = toy.pool.as_ref().map(CreditPool::open);
            async move { upgrade.serve(Arc::new(ToyProtocol(toy, credit))) }
        });
        let edge = move |mut request: axum::extract::Request, next: axum::middleware::Next| {
            let (verifier, clock) = (verifier.clone(), edge_clock.clone());
            async move {
                let surroundings = surroundings(request.headers(), &verifier, clock).await;
                request.extensions_mut().insert(surroundings);
                next.run(request).await
            }
        };
        let app = Router::new()
            .route("/ws", route)
            .layer(axum::middleware::from_fn(edge))
            .layer(Extension(sockets));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { toy, clock, issuer, shutdown, tasks, address }
    }

    pub fn token(&self, subject: &str, seconds: i64) -> String {
        let scopes = Some(vec!["toy".to_owned()]);
        let request = TokenRequest { sub: subject.to_owned(), scopes, plan: None, ttl_s: Some(seconds) };
        self.issuer.issue(&request).unwrap().access_token
    }

    pub async fn try_connect(
        &self,
        token: Option<&str>,
    ) -> Result<Client, tokio_tungstenite::tungstenite::Error> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request()?;
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().expect("toy tokens are ASCII");
            request.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        Ok(Client { socket: tokio_tungstenite::connect_async(request).await?.0 })
    }

    pub async fn connect(&self) -> Client {
        self.try_connect(Some(&self.token("ann", 3_600))).await.unwrap()
    }
}

/// What `api::app` does for every request, as far as a socket needs it.
async fn surroundings(headers: &http::HeaderMap, verifier: &Verifier, clock: Clock) -> Surroundings {
    let token =
        headers.get(http::header::AUTHORIZATION).map(|it| it.to_str().unwrap().replace("Bearer ", ""));
    let (caller, authentication) = match token {
        None => (Caller::system(), Authentication::Missing),
        Some(token) => match verifier.check(&token).await {
            Ok(caller) => (caller, Authentication::Known),
            Err(refusal) => (Caller::system(), Authentication::Refused(refusal)),
        },
    };
    let context = ContextParts {
        caller,
        deadline: tokio::time::Instant::now(),
        priority: Priority::Normal,
        token: Token::default(),
        wait: Duration::ZERO,
        clock,
        trace_id: "0".repeat(32).into(),
    };
    Surroundings { context: context.into(), authentication }
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub async fn send(&mut self, message: Value) {
        self.send_text(&message.to_string()).await;
    }

    pub async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame of the session, pings aside.
    pub async fn frame(&mut self) -> Value {
        match self.message().await {
            Message::Text(text) => serde_json::from_str(&text).unwrap(),
            other => panic!("a text frame was expected, not {other:?}"),
        }
    }

    /// The code of the close frame; what comes before it is `closing`.
    pub async fn closed(&mut self) -> u16 {
        let mut closing = None;
        loop {
            match self.message().await {
                Message::Text(text) => closing = Some(serde_json::from_str::<Value>(&text).unwrap()),
                Message::Close(frame) => {
                    let code = frame.unwrap().code.into();
                    let closing = closing.expect("a closing frame comes first");
                    assert_eq!(
                        (closing["type"].as_str(), closing["data"]["code"].as_u64()),
                        (Some("closing"), Some(u64::from(code)))
                    );
                    return code;
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn message(&mut self) -> Message {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a frame in time");
            match next.expect("the socket is open").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub async fn ask(&mut self, message: Value) -> Value {
        let id = message["id"].clone();
        self.send(message).await;
        let answer = self.frame().await;
        assert_eq!(answer["id"], id, "{answer}");
        answer
    }
}
