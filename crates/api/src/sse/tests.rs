//! A stream as a client reads it, over a toy source.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use chrono::TimeDelta;
use common::context::{Caller, Clock, Context, ContextParts, Priority};
use common::db::Token;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;

type Receiver = mpsc::Receiver<Result<Told, Stopped>>;

#[derive(Clone)]
struct Toy {
    token_lasts: TimeDelta,
    shutdown: CancellationToken,
    told: Arc<Mutex<Option<Receiver>>>,
    router: Router,
}

/// A stream that tells what the sender is given.
fn toy(options: StreamOptions) -> (Toy, mpsc::Sender<Result<Told, Stopped>>) {
    let (send, receive) = mpsc::channel(1);
    let shutdown = CancellationToken::new();
    let streams = EventStreams::new(options, shutdown.clone());
    let told = Arc::new(Mutex::new(Some(receive)));
    let toy = Toy { token_lasts: TimeDelta::hours(1), shutdown, told, router: Router::new() };
    let router = Router::new().route("/toy", get(open)).layer(Extension(streams));
    (Toy { router, ..toy }, send)
}

async fn open(Extension(toy): Extension<Toy>, opening: Opening) -> Result<Response, Problem> {
    let source: Source = match toy.told.lock().take() {
        Some(receive) => {
            unfold(receive, |mut receive| async { Some((receive.recv().await?, receive)) }).boxed()
        }
        None => futures_util::stream::pending().boxed(),
    };
    let clock = Clock::default();
    let expires_at = Some(clock.now() + toy.token_lasts);
    let caller = Caller { subject: "anna".into(), scopes: [].into(), plan: "p".into(), expires_at };
    let ctx = Context::from(ContextParts {
        caller,
        deadline: Instant::now() + Duration::from_secs(5),
        priority: Priority::Normal,
        token: Token::default(),
        wait: Duration::ZERO,
        clock,
        trace_id: "t".into(),
    });
    let position = opening.resume_from.unwrap_or(40);
    opening.serve(&ctx, "toy", position, source, None)
}

impl Toy {
    async fn get(&self, address: &str, last_event_id: Option<&str>) -> Response {
        let mut request = Request::builder().uri(address);
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let router = self.router.clone().layer(Extension(self.clone()));
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    async fn read(&self, address: &str, last_event_id: Option<&str>) -> BodyDataStream {
        let response = self.get(address, last_event_id).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], EVENT_STREAM);
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.into_body().into_data_stream()
    }
}

async fn next(body: &mut BodyDataStream) -> String {
    String::from_utf8(body.next().await.unwrap().unwrap().to_vec()).unwrap()
}

fn message(id: i64) -> Result<Told, Stopped> {
    Ok(Told::Message(Message::of(id, "change", &serde_json::json!({"a": "1\n2"})).unwrap()))
}

#[tokio::test]
async fn messages_come_with_their_numbers_and_the_number_to_resume_from_at_the_end() {
    let (toy, send) = toy(StreamOptions::default());
    let mut body = toy.read("/toy", None).await;
    assert_eq!(next(&mut body).await, "event: position\nid: 40\ndata: {\"seq\":40}\nretry: 1000\n\n");
    send.send(message(41)).await.unwrap();
    assert_eq!(next(&mut body).await, "event: change\nid: 41\ndata: {\"a\":\"1\\n2\"}\n\n");
    send.send(Ok(Told::Reset { head: 90 })).await.unwrap();
    assert_eq!(next(&mut body).await, "event: reset\nid: 90\ndata: {\"head\":90}\n\n");
    send.send(Err(Stopped::AccessEnded)).await.unwrap();
    assert_eq!(
        next(&mut body).await,
        "event: end\ndata: {\"reason\":\"access-ended\",\"resume_from\":90}\n\n"
    );
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_stream_ends_with_the_process_and_with_the_token() {
    let ends = |reason| format!("event: end\ndata: {{\"reason\":\"{reason}\",\"resume_from\":40}}\n\n");
    let (stopped, _send) = toy(StreamOptions::default());
    let mut body = stopped.read("/toy", None).await;
    next(&mut body).await;
    stopped.shutdown.cancel();
    assert_eq!(next(&mut body).await, ends("going-away"));
    assert!(body.next().await.is_none());

    let (mut short, _send) = toy(StreamOptions::default());
    short.token_lasts = TimeDelta::milliseconds(10);
    let mut body = short.read("/toy", None).await;
    next(&mut body).await;
    assert_eq!(next(&mut body).await, ends("token-ended"));
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_there() {
    let heartbeat_after = Duration::from_millis(10);
    let (toy, _send) = toy(StreamOptions { heartbeat_after, ..StreamOptions::default() });
    let mut body = toy.read("/toy", None).await;
    next(&mut body).await;
    for _ in 0..3 {
        assert_eq!(next(&mut body).await, ":\n\n");
    }
}

#[tokio::test]
async fn the_header_counts_more_than_the_address_and_must_be_a_number() {
    let (toy, _send) = toy(StreamOptions::default());
    for (address, header, position) in [
        ("/toy?last_event_id=7", None, 7),
        ("/toy?last_event_id=7", Some("9"), 9),
        ("/toy?last_event_id=7", Some(""), 7),
        ("/toy", Some("0"), 0),
    ] {
        let mut body = toy.read(address, header).await;
        assert!(next(&mut body).await.contains(&format!("id: {position}\n")), "{address} {header:?}");
    }
    for (address, header) in [
        ("/toy?last_event_id=x", None),
        ("/toy?last_event_id=-1", None),
        ("/toy", Some("x")),
        ("/toy", Some("-1")),
    ] {
        assert_eq!(toy.get(address, header).await.status(), StatusCode::BAD_REQUEST, "{address} {header:?}");
    }
}

#[tokio::test]
async fn a_subjects_streams_have_a_bound_and_a_closed_one_makes_room() {
    let (toy, _send) = toy(StreamOptions { per_subject_max: 2, ..StreamOptions::default() });
    let (one, _other) = (toy.get("/toy", None).await, toy.get("/toy", None).await);
    assert_eq!(toy.get("/toy", None).await.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(one);
    assert_eq!(toy.get("/toy", None).await.status(), StatusCode::OK);
}
