//! Someone who calls over HTTP, and what came back.

use std::sync::{Arc, Mutex};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// A caller with a token.
#[derive(Clone)]
pub struct User {
    client: reqwest::Client,
    base: String,
    /// The access token.
    pub token: String,
    /// The last `Consistency-Token`, where the client sends it back.
    seen: Option<Arc<Mutex<Option<HeaderValue>>>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// 200, 412, …
    pub status: StatusCode,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as JSON; `null` when it is none.
    pub body: Value,
}

impl User {
    /// Signs in with the development issuer.
    pub async fn sign_in(base: &str, request: Value) -> Self {
        let client = reqwest::Client::new();
        let answer = client.post(format!("{base}/dev/token")).json(&request).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        let token = body["access_token"].as_str().unwrap_or_else(|| panic!("no token: {body}")).to_owned();
        Self { client, base: base.to_owned(), token, seen: None }
    }

    /// The same person at another process.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same caller with another token; an empty one is none.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// `POST` as long as somebody answers.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let key = uuid::Uuid::new_v4().to_string();
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let response = request.header("Idempotency-Key", key).json(body).send().await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or(json!(null));
        Some(Answer { status, headers, body })
    }

    /// `POST` of a file, with an `Idempotency-Key` of its own.
    pub async fn post_file(&self, path: &str, media_type: &str, file: &[u8]) -> Answer {
        let key = uuid::Uuid::new_v4().to_string();
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.token);
        let request = request.header("Idempotency-Key", key).header("Content-Type", media_type);
        self.noted(Answer::of(request.body(file.to_vec()).send().await.unwrap()).await)
    }

    /// The same person as a client that sends the last `Consistency-Token` back, as one should.
    pub fn echoing(&self) -> Self {
        Self { seen: Some(Arc::default()), ..self.clone() }
    }

    fn noted(&self, answer: Answer) -> Answer {
        if let (Some(seen), Some(token)) = (&self.seen, answer.headers.get("consistency-token")) {
            *seen.lock().unwrap() = Some(token.clone());
        }
        answer
    }

    /// Calls with a JSON body and further headers.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !self.token.is_empty() {
            request = request.bearer_auth(&self.token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let mut more = HeaderMap::new();
        if let Some(token) = self.seen.as_ref().and_then(|seen| seen.lock().unwrap().clone()) {
            more.insert("consistency-token", token);
        }
        for (name, value) in headers {
            more.insert(HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap());
        }
        self.noted(Answer::of(request.headers(more).send().await.unwrap()).await)
    }

    /// Calls with a body that may be no JSON.
    pub async fn call_with_text(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        text: &str,
    ) -> Answer {
        let request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        });
        Answer::of(request.headers(headers.collect()).body(text.to_owned()).send().await.unwrap()).await
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    /// `POST` with an `Idempotency-Key` of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let key = uuid::Uuid::new_v4().to_string();
        self.call(Method::POST, path, &[("Idempotency-Key", &key)], Some(body)).await
    }

    /// A merge patch of what was at `version`.
    pub async fn patch(&self, path: &str, version: i64, body: &Value) -> Answer {
        let headers =
            [("If-Match", &*format!("\"v{version}\"")), ("Content-Type", "application/merge-patch+json")];
        self.call(Method::PATCH, path, &headers, Some(body)).await
    }
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(json!(null));
        Self { status, headers, body }
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        self
    }

    /// A header's text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The number in the `ETag`.
    #[track_caller]
    pub fn version(&self) -> i64 {
        self.header("etag")
            .trim_matches(['"', 'v'])
            .parse()
            .unwrap_or_else(|_| panic!("no ETag: {:?}", self.headers))
    }

    /// A text of the body.
    #[track_caller]
    pub fn text(&self, pointer: &str) -> &str {
        self.body
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer} in {:#}", self.body))
    }
}
