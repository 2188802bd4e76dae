//! The layer alone, around a handler that answers at once, with an edge that knows the caller by a header.

use std::time::Duration;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use common::context::{Caller, Clock, Context, ContextParts, Priority};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tower::ServiceExt;

use super::*;

const POLICIES: &str = r#"
    known_proxies = ["10.0.0.0/8"]

    [[policy]]
    name = "caller"
    layer = "user"
    by = "subject"
    quantity = 60
    window_s = 60
    burst = 5
    costs = { write = 2 }

    [[policy]]
    name = "address"
    layer = "user"
    by = "address"
    quantity = 60
    window_s = 60
    burst = 3
    costs = { sign_in = 3 }

    [[policy]]
    name = "database"
    layer = "resource"
    concurrent = 2
"#;

/// Stands in for the edge.
async fn edge(mut request: Request, next: Next) -> Response {
    let surroundings = surroundings(request.headers());
    request.extensions_mut().insert(surroundings);
    request.extensions_mut().insert(Arc::new(Operation::on_resource("toys")));
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 4711))));
    next.run(request).await
}

/// `x-subject` is the caller, `x-refused` a token that isn't valid.
fn surroundings(headers: &HeaderMap) -> Surroundings {
    let text = |name| headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok());
    let subject = text("x-subject").unwrap_or("anonymous");
    let authentication = match (text("x-subject"), text("x-refused")) {
        (Some(_), _) => Authentication::Known,
        (None, Some(_)) => Authentication::Refused(crate::auth::Refusal::Invalid("expired")),
        (None, None) => Authentication::Missing,
    };
    let caller =
        Caller { subject: subject.into(), scopes: [].into(), plan: "standard".into(), expires_at: None };
    let context = Context::from(ContextParts {
        caller,
        deadline: Instant::now() + Duration::from_secs(5),
        priority: Priority::Normal,
        token: Default::default(),
        wait: Duration::ZERO,
        clock: Clock::default(),
        trace_id: "0".repeat(32).into(),
    });
    Surroundings { context, authentication }
}

fn router() -> Router {
    Router::new()
        .route("/v1/toys/{id}", get(|| async { "a toy" }).post(|| async { "a new toy" }))
        .route("/livez", get(|| async { "" }))
        .layer(from_fn_with_state(Limits::with_capacity(POLICIES, 64).unwrap(), limit))
        .layer(from_fn(edge))
}

async fn ask(router: &Router, method: Method, path: &str, headers: &[(&'static str, &str)]) -> Response {
    let request =
        headers.iter().fold(Request::builder().method(method).uri(path), |request, (name, value)| {
            request.header(*name, *value)
        });
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn get_toy(router: &Router, headers: &[(&'static str, &str)]) -> Response {
    ask(router, Method::GET, "/v1/toys/1", headers).await
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn every_answer_says_where_the_caller_stands_and_a_used_up_quota_is_429() {
    let router = router();
    let anna = [("x-subject", "anna")];
    {
        let answer = get_toy(&router, &anna).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "ratelimit-policy"), r#""caller";q=60;w=60"#);
        assert_eq!(header(&answer, "ratelimit"), r#""caller";r=4;t=1"#);
        let answer = ask(&router, Method::POST, "/v1/toys/1", &anna).await;
        assert_eq!(header(&answer, "ratelimit"), r#""caller";r=2;t=3"#);
    }
    assert_eq!(ask(&router, Method::GET, "/nowhere", &anna).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(get_toy(&router, &anna).await.status(), StatusCode::OK);
    let answer = get_toy(&router, &anna).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&answer, "ratelimit"), r#""caller";r=0;t=5"#);
    assert!(matches!(header(&answer, "retry-after"), "1" | "2"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["policy"]), (&"rate-limited".into(), &"caller".into()));
    assert_eq!(get_toy(&router, &[("x-subject", "bert")]).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn without_a_token_the_client_counts_by_its_address() {
    let router = router();
    let client = |header: &'static str| [("x-forwarded-for", header)];
    for header in ["1.1.1.1, 198.51.100.1", "2.2.2.2, 198.51.100.1", "198.51.100.1"] {
        assert_eq!(get_toy(&router, &client(header)).await.status(), StatusCode::OK);
    }
    let answer = get_toy(&router, &client("3.3.3.3, 198.51.100.1")).await;
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(get_toy(&router, &client("198.51.100.2")).await.status(), StatusCode::OK);
    // Guessing tokens is dearer than asking without one.
    let guess = [("x-forwarded-for", "198.51.100.3"), ("x-refused", "1")];
    assert_eq!(get_toy(&router, &guess).await.status(), StatusCode::OK);
    assert_eq!(get_toy(&router, &guess).await.status(), StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn a_resource_in_use_is_503_until_an_answer_was_read_and_costs_the_caller_nothing() {
    let router = router();
    let anna = [("x-subject", "anna")];
    let first = get_toy(&router, &anna).await;
    let second = get_toy(&router, &anna).await;
    assert_eq!(header(&second, "ratelimit"), r#""caller";r=3;t=2"#);
    let refused = get_toy(&router, &anna).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!header(&refused, "retry-after").is_empty());
    assert_eq!(header(&refused, "ratelimit"), r#""caller";r=3;t=2"#);
    assert_eq!(first.into_body().collect().await.unwrap().to_bytes(), "a toy");
    assert_eq!(get_toy(&router, &anna).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_stream_holds_no_permit_and_a_probe_has_no_limit() {
    let router = router();
    let mut open = Vec::new();
    for _ in 0..4 {
        let answer = get_toy(&router, &[("x-subject", "anna"), ("upgrade", "websocket")]).await;
        assert_eq!(answer.status(), StatusCode::OK);
        open.push(answer);
    }
    for _ in 0..20 {
        let answer = ask(&router, Method::GET, "/livez", &[]).await;
        assert_eq!((answer.status(), header(&answer, "ratelimit")), (StatusCode::OK, ""));
    }
}

#[test]
fn what_is_sent_decides_what_kind_of_work_it_is() {
    let class = |method: Method, bytes_max: usize, header: (&'static str, &str)| {
        let mut request =
            Request::builder().method(method).header(header.0, header.1).body(Body::empty()).unwrap();
        let mut operation = Operation::on_resource("toys");
        operation.body_bytes_max = bytes_max;
        operation.streams = header == ("x-operation", "streams");
        request.extensions_mut().insert(Arc::new(operation));
        class_of(&request)
    };
    let (usual, large) = (BODY_BYTES_MAX, 16 * BODY_BYTES_MAX);
    assert_eq!(class(Method::POST, usual, ("content-length", "100")), Class::Write);
    assert_eq!(class(Method::POST, large, ("content-length", "100")), Class::Write);
    assert_eq!(class(Method::POST, large, ("content-length", "1000000")), Class::Bulk);
    assert_eq!(class(Method::POST, large, ("transfer-encoding", "chunked")), Class::Bulk);
    assert_eq!(class(Method::DELETE, usual, ("if-match", "\"v1\"")), Class::Write);
    assert_eq!(class(Method::HEAD, usual, ("accept", "*/*")), Class::Read);
    assert_eq!(class(Method::GET, usual, ("upgrade", "websocket")), Class::Stream);
    assert_eq!(class(Method::GET, usual, ("x-operation", "streams")), Class::Stream);
    // Whoever only asks for one would hold a permit less.
    assert_eq!(class(Method::GET, usual, ("accept", "text/event-stream")), Class::Read);
}

#[tokio::test]
async fn the_length_of_an_answer_is_still_known() {
    let answer = get_toy(&router(), &[("x-subject", "anna")]).await;
    assert_eq!(answer.body().size_hint().exact(), Some(5));
}
