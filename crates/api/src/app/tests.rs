//! The conventions as a client sees them, on a module of four toy operations and without a database.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use common::limit::Limits;
use http::StatusCode;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::*;
use crate::auth::{AuthConfig, DevIssuer, TokenRequest};
use crate::socket::SocketOptions;
use crate::sse::StreamOptions;
use crate::{
    Actions, Anyone, Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, Page, PageRequest, Path, Problem,
    Query, Reply,
};

#[derive(Debug, Serialize, Deserialize, garde::Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct Toy {
    #[garde(length(min = 1))]
    name: String,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ToyFilter {
    /// Of this colour.
    colour: Option<String>,
}

#[utoipa::path(
    get, path = "/v1/toys", operation_id = "list_toys", params(PageRequest, ToyFilter),
    responses((status = 200, description = "Toys", body = Page<u32>)),
    extensions(("x-scope" = json!("toy:read")), ("x-freshness" = json!("read-your-writes"))),
)]
async fn list_toys(_: Ctx, page: PageRequest, Query(filter): Query<ToyFilter>) -> Result<Page<u32>, Problem> {
    let first = page.after::<u32>()?.map_or(0, |last| last + 1);
    let last = if filter.colour.is_some() { 3 } else { 9 };
    let rows = (first..=last).take(page.rows() as usize).collect();
    Ok(Page::of(rows, &page, |last| *last))
}

#[utoipa::path(
    post, path = "/v1/toys", operation_id = "create_toy", request_body = Toy,
    responses((status = 201, description = "The toy", body = Toy)),
    extensions(
        ("x-scope" = json!("toy:write")), ("x-idempotency" = json!("key")), ("x-body-bytes-max" = json!(64)),
        ("x-problems" = json!(["conflict"])),
    ),
)]
async fn create_toy(_: Ctx, _: IdempotencyKey, Json(toy): Json<Toy>) -> Reply {
    Reply::created("/v1/toys/1", &toy).etag(1)
}

#[utoipa::path(
    get, path = "/v1/toys/{id}", operation_id = "get_toy", params(("id" = i64, Path)),
    responses((status = 200, description = "", body = Toy)),
    extensions(("x-scope" = json!("public")), ("x-deadline-ms" = json!(50))),
)]
async fn get_toy(ctx: Anyone, Path(id): Path<i64>, seen: IfNoneMatch) -> Result<Reply, Problem> {
    match id {
        0 => panic!("the secret of the toy"),
        1 => Err(Problem::internal("the secret of the toy")),
        2 => std::future::pending().await,
        _ => Ok(Reply::versioned(&seen, id, &json!({"name": &*ctx.caller().subject}))),
    }
}

#[utoipa::path(
    put, path = "/v1/toys/{id}", operation_id = "update_toy", request_body = Toy, params(("id" = i64, Path)),
    responses((status = 200, description = "The toy", body = Toy)),
    extensions(("x-scope" = json!("toy:write")), ("x-precondition" = json!("version"))),
)]
async fn update_toy(_: Ctx, Path(_id): Path<i64>, IfMatch(version): IfMatch, Json(toy): Json<Toy>) -> Reply {
    Reply::ok(&toy).etag(version + 1)
}

#[utoipa::path(
    post, path = "/v1/toys/{id}:break", operation_id = "break_toy", params(("id" = String, Path)),
    responses((status = 200, description = "Broken", body = String)),
    extensions(("x-scope" = json!("any"))),
)]
async fn break_toy(_: Ctx, Path(id): Path<String>) -> Reply {
    Reply::ok(&id)
}

fn toys() -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list_toys, create_toy))
        .routes(routes!(get_toy, update_toy))
        .action(routes!(break_toy))
}

/// No limit that any test here meets.
const POLICIES: &str = r#"
    [[policy]]
    name = "address"
    layer = "user"
    by = "address"
    quantity = 1000
    window_s = 1

    [[policy]]
    name = "caller"
    layer = "user"
    by = "subject"
    quantity = 1000
    window_s = 1
"#;

struct Client {
    router: Router,
    issuer: Arc<DevIssuer>,
    readiness: Readiness,
    clock: Clock,
}

fn client() -> Client {
    let clock = Clock::default();
    let issuer =
        DevIssuer::new(Environment::Development, None, vec!["toy:read".into()], clock.clone()).unwrap();
    let auth = AuthConfig { issuer: String::new(), audience: String::new(), jwks_url: None };
    let verifier = Verifier::new(&auth, Some(issuer.clone()), clock.clone());
    let limits = Limits::with_capacity(POLICIES, 64).unwrap();
    let sockets = Sockets::new(
        verifier.clone(),
        limits.clone(),
        SocketOptions::default(),
        CancellationToken::new(),
        TaskTracker::new(),
    );
    let app = App {
        config: AppConfig {
            public_base: "https://weir.example".into(),
            cors_origins: vec![HeaderValue::from_static("https://app.example")],
            deadline_grace: Duration::ZERO,
            ..AppConfig::default()
        },
        clock: clock.clone(),
        verifier,
        readiness: Readiness::default(),
        limits,
        sockets,
        event_streams: EventStreams::new(StreamOptions::default(), CancellationToken::new()),
        problems: Vec::new(),
        asyncapi: json!({"asyncapi": "3.0.0"}),
    };
    let readiness = app.readiness.clone();
    let router = app.router(vec![toys()], Vec::new(), Jobs::new(clock.clone())).unwrap();
    Client { router, issuer, readiness, clock }
}

impl Client {
    fn token(&self, scopes: &[&str]) -> String {
        let scopes = Some(scopes.iter().map(ToString::to_string).collect());
        let request = TokenRequest { sub: "alice".into(), scopes, plan: None, ttl_s: Some(60) };
        format!("Bearer {}", self.issuer.issue(&request).unwrap().access_token)
    }

    async fn send(&self, request: http::request::Builder, body: impl Into<Body>) -> Answer {
        let request: Request = request.body(body.into()).unwrap();
        Answer::of(self.router.clone().oneshot(request).await.unwrap()).await
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).header("authorization", self.token(&["toy:read"])), "").await
    }

    async fn create(&self, media_type: &str, body: &str) -> Answer {
        let request = Request::post("/v1/toys")
            .header("authorization", self.token(&["toy:write"]))
            .header("idempotency-key", "k1")
            .header("content-type", media_type);
        self.send(request, body.to_owned()).await
    }
}

struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem that has all that a problem must have.
    #[track_caller]
    fn problem(&self) -> String {
        let body = self.json();
        assert_eq!(self.header("content-type"), "application/problem+json", "{body}");
        assert_eq!(body["status"], self.status.as_u16(), "{body}");
        let code = body["code"].as_str().unwrap().to_owned();
        assert_eq!(body["type"], format!("https://weir.example/problems/{code}"));
        assert!(body["title"].is_string() && body["instance"].is_string(), "{body}");
        assert_eq!(body["trace_id"].as_str().unwrap().len(), 32);
        assert!(!self.header("cache-control").is_empty() && !self.header("vary").is_empty());
        code
    }
}

#[tokio::test]
async fn every_error_is_a_problem() {
    let client = client();
    assert_eq!(client.get("/v1/nothing").await.problem(), "not-found");
    assert_eq!(client.get("/v1/toys/x").await.problem(), "invalid-parameter");
    let wrong_method = client.send(Request::patch("/v1/toys"), "").await;
    assert_eq!(wrong_method.problem(), "method-not-allowed");
    assert_eq!(wrong_method.header("allow"), "GET,HEAD,POST");
    for (media_type, body, code) in [
        ("application/json", "{", "malformed-json"),
        ("application/json", r#"{"name":"a","x":1}"#, "validation-failed"),
        ("application/json", r#"{"name":""}"#, "validation-failed"),
        ("text/plain", r#"{"name":"a"}"#, "unsupported-media-type"),
        ("", r#"{"name":"a"}"#, "unsupported-media-type"),
        ("application/json", &format!(r#"{{"name":"{}"}}"#, "a".repeat(100)), "body-too-large"),
    ] {
        assert_eq!(client.create(media_type, body).await.problem(), code, "{body}");
    }
    let created = client.create("application/json; charset=utf-8", r#"{"name":"a"}"#).await;
    assert_eq!((created.status, created.header("location")), (StatusCode::CREATED, "/v1/toys/1"));
    let long = client.get(&format!("/v1/toys?colour={}", "x".repeat(9_000))).await;
    assert_eq!(long.problem(), "uri-too-long");
    let large = client.send(Request::get("/v1/toys").header("x-large", "x".repeat(40_000)), "").await;
    assert_eq!(large.problem(), "headers-too-large");
}

#[tokio::test]
async fn what_goes_wrong_inside_is_not_told() {
    let client = client();
    for uri in ["/v1/toys/0", "/v1/toys/1"] {
        let answer = client.get(uri).await;
        assert_eq!(answer.problem(), "internal");
        assert!(!answer.text.contains("secret"), "{}", answer.text);
    }
}

#[tokio::test]
async fn an_operation_has_the_deadline_that_it_documents() {
    let client = client();
    assert_eq!(client.get("/v1/toys/2").await.problem(), "timeout");
}

#[tokio::test]
async fn the_documented_scope_is_asked_for() {
    let client = client();
    let anonymous = client.send(Request::get("/v1/toys"), "").await;
    assert_eq!(
        (anonymous.problem().as_str(), anonymous.header("www-authenticate")),
        ("unauthenticated", "Bearer")
    );
    let forged = client.send(Request::get("/v1/toys").header("authorization", "Bearer x.y.z"), "").await;
    assert_eq!(forged.problem(), "unauthenticated");
    assert!(forged.header("www-authenticate").contains("invalid_token"));
    let other_scope = Request::get("/v1/toys").header("authorization", client.token(&["toy:write"]));
    let other_scope = client.send(other_scope, "").await;
    assert_eq!(other_scope.problem(), "insufficient-scope");
    assert_eq!(other_scope.json()["scope"], "toy:read");
    assert_eq!(client.get("/v1/toys").await.status, StatusCode::OK);
    let public = client.send(Request::get("/v1/toys/7"), "").await;
    assert_eq!(public.json(), json!({"name": "anonymous"}));
}

#[tokio::test]
async fn a_token_ends() {
    let client = client();
    let token = client.token(&["toy:read"]);
    let get = async || client.send(Request::get("/v1/me").header("authorization", &token), "").await;
    assert_eq!(get().await.json()["subject"], "alice");
    client.clock.turn(chrono::TimeDelta::seconds(91));
    assert_eq!(get().await.problem(), "unauthenticated");
}

#[tokio::test]
async fn the_development_issuer_makes_tokens_for_everybody() {
    let client = client();
    let ask = Request::post("/dev/token").header("content-type", "application/json");
    let issued = client.send(ask, r#"{"sub":"bob"}"#).await.json();
    let token =
        format!("{} {}", issued["token_type"].as_str().unwrap(), issued["access_token"].as_str().unwrap());
    let me = client.send(Request::get("/v1/me").header("authorization", token), "").await.json();
    assert_eq!(me["subject"], "bob");
    assert_eq!(me["scopes"], json!(["toy:read"]));
    let ask = Request::post("/dev/token").header("content-type", "application/json");
    let refused = client.send(ask, r#"{"sub":"","scopes":["a b"],"ttl_s":0}"#).await;
    let pointers: Vec<_> =
        refused.json()["errors"].as_array().unwrap().iter().map(|e| e["pointer"].clone()).collect();
    assert_eq!(pointers, ["/scopes/0", "/sub", "/ttl_s"]);
}

#[tokio::test]
async fn a_query_parameter_that_is_not_documented_is_refused() {
    let client = client();
    let answer = client.get("/v1/toys?color=red&limit=2").await;
    assert_eq!(answer.problem(), "invalid-parameter");
    assert_eq!(answer.json()["errors"][0]["pointer"], "/query/color");
    for uri in ["/v1/toys?limit=0", "/v1/toys?limit=501", "/v1/toys?limit=x"] {
        assert_eq!(client.get(uri).await.json()["errors"][0]["pointer"], "/query/limit", "{uri}");
    }
    assert_eq!(client.get("/v1/toys?cursor=x").await.problem(), "invalid-cursor");
}

#[tokio::test]
async fn following_the_links_reads_a_list_to_its_end() {
    let client = client();
    let (mut uri, mut seen) = ("/v1/toys?limit=4&colour=".to_owned(), Vec::new());
    loop {
        let page = client.get(&uri).await;
        seen.extend(page.json()["items"].as_array().unwrap().iter().map(|item| item.as_u64().unwrap()));
        match page.header("link").strip_prefix('<').and_then(|it| it.strip_suffix(">; rel=\"next\"")) {
            Some(next) => uri = next.to_owned(),
            None => break assert_eq!(page.json()["next_cursor"], Value::Null),
        }
    }
    assert_eq!(seen, [0, 1, 2, 3]);
    let uri = client.get("/v1/toys?limit=4").await.header("link").to_owned();
    assert!(uri.starts_with("</v1/toys?limit=4&cursor="), "{uri}");
}

#[tokio::test]
async fn versions_guard_changes_and_save_reads() {
    let client = client();
    let read = client.get("/v1/toys/7").await;
    assert_eq!(read.header("etag"), "\"v7\"");
    let again = client.send(Request::get("/v1/toys/7").header("if-none-match", "W/\"v7\""), "").await;
    assert_eq!(
        (again.status, again.text.as_str(), again.header("etag")),
        (StatusCode::NOT_MODIFIED, "", "\"v7\"")
    );
    let put = |if_match: Option<&str>| {
        let request = Request::put("/v1/toys/7")
            .header("authorization", client.token(&["toy:write"]))
            .header("content-type", "application/json");
        let request = match if_match {
            Some(tag) => request.header("if-match", tag),
            None => request,
        };
        client.send(request, r#"{"name":"a"}"#)
    };
    assert_eq!(put(None).await.problem(), "precondition-required");
    assert_eq!(put(Some("\"v7\"")).await.header("etag"), "\"v8\"");
}

#[tokio::test]
async fn a_post_that_creates_needs_a_key() {
    let client = client();
    let request = Request::post("/v1/toys")
        .header("authorization", client.token(&["toy:write"]))
        .header("content-type", "application/json");
    assert_eq!(client.send(request, r#"{"name":"a"}"#).await.problem(), "idempotency-key-missing");
}

#[tokio::test]
async fn an_action_is_reached_by_its_documented_address_alone() {
    let client = client();
    let post = |uri: &str| client.send(Request::post(uri).header("authorization", client.token(&[])), "");
    assert_eq!(post("/v1/toys/a:b:break").await.json(), "a:b");
    assert_eq!(post("/v1/toys/a/~break").await.problem(), "not-found");
    let refused = client.send(Request::post("/v1/toys/a:break"), "").await;
    assert_eq!(refused.problem(), "unauthenticated");
    assert_eq!(refused.json()["instance"], "/v1/toys/a:break");
}

#[tokio::test]
async fn traces_and_request_ids_go_through() {
    let client = client();
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request::get("/v1/nothing").header("traceparent", parent).header("x-request-id", "r1");
    let answer = client.send(request, "").await;
    assert_eq!(answer.json()["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert!(answer.header("traceparent").starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(answer.header("x-request-id"), "r1");
}

#[tokio::test]
async fn answers_carry_the_headers_of_the_conventions() {
    let client = client();
    let answer = client.get("/v1/toys/7").await;
    assert_eq!(answer.header("cache-control"), "private, no-cache");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
    assert!(answer.header("vary").contains("Authorization"));
    let request = Request::get("/v1/toys/7").header("origin", "https://app.example");
    let exposed = client.send(request, "").await;
    assert_eq!(exposed.header("access-control-allow-origin"), "https://app.example");
    for name in
        ["etag", "location", "link", "retry-after", "ratelimit", "ratelimit-policy", "consistency-token"]
    {
        assert!(exposed.header("access-control-expose-headers").contains(name), "{name}");
    }
    let other = client.send(Request::get("/v1/toys/7").header("origin", "https://evil.example"), "").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    let preflight = Request::options("/v1/toys")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "idempotency-key");
    assert_eq!(client.send(preflight, "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_probes_tell_starting_serving_and_stopping_apart() {
    let client = client();
    assert_eq!(client.get("/livez").await.status, StatusCode::OK);
    assert_eq!(client.get("/readyz").await.problem(), "not-ready");
    client.readiness.started();
    client.readiness.dependency("database", false);
    assert_eq!(
        client.get("/readyz").await.json(),
        json!({"ready": true, "dependencies": {"database": false}})
    );
    client.readiness.drain();
    assert_eq!(client.get("/readyz").await.problem(), "not-ready");
    assert_eq!(client.get("/v1/toys/7").await.header("connection"), "close");
}

#[tokio::test]
async fn the_document_says_what_the_conventions_add() {
    let document = client().get("/openapi.json").await.json();
    let create = &document["paths"]["/v1/toys"]["post"];
    let headers: Vec<_> = create["parameters"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(headers, ["Idempotency-Key"]);
    for status in ["400", "401", "403", "409", "413", "415", "422", "429", "500", "503", "504"] {
        let schema = &create["responses"][status]["content"]["application/problem+json"]["schema"];
        assert_eq!(schema["$ref"], "#/components/schemas/Problem", "{status}");
    }
    let conflict = create["responses"]["409"]["description"].as_str().unwrap();
    assert!(conflict.contains("`conflict`") && conflict.contains("`idempotency-in-flight`"), "{conflict}");
    assert_eq!(create["security"], json!([{"bearer": ["toy:write"]}]));
    let get = &document["paths"]["/v1/toys/{id}"]["get"];
    assert_eq!(get["security"], Value::Null);
    assert_eq!(get["responses"]["200"]["description"], "OK");
    assert!(get["responses"]["404"].is_object());
    let update = &document["paths"]["/v1/toys/{id}"]["put"];
    assert!(update["responses"]["412"].is_object() && update["responses"]["428"].is_object());
    assert!(document["paths"]["/v1/toys/{id}:break"]["post"].is_object());
    assert!(document["components"]["schemas"]["FieldError"].is_object());
    assert_eq!(document["openapi"], "3.1.0");
}

#[tokio::test]
async fn the_docs_page_may_ask_no_other_host() {
    let client = client();
    let page = client.get("/docs/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.header("content-security-policy").contains("connect-src 'self'"));
    assert!(!page.text.contains("http://") && !page.text.contains("https://"), "{}", page.text);
    let script = client.get("/docs/swagger-initializer.js").await;
    assert!(
        script.text.contains("/openapi.json") && script.text.contains("\"validatorUrl\": \"none\""),
        "{}",
        script.text
    );
}

#[tokio::test]
async fn every_problem_type_has_a_page() {
    let client = client();
    let page = client.get("/problems/stale").await;
    assert!(page.text.contains("<code>If-Match</code>"), "{}", page.text);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(client.get("/problems").await.text.contains("/problems/stale"));
    assert_eq!(client.get("/problems/none").await.problem(), "not-found");
}
