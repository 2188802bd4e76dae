//! Someone who calls over HTTP, and what came back. Callers send their `Consistency-Token`s back, as a client should:
//! what they read has seen what they wrote, whichever standby answers.

use std::sync::{Arc, Mutex};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// A caller with a token.
#[derive(Clone)]
pub struct User {
    client: reqwest::Client,
    base: String,
    /// The access token.
    pub token: String,
    seen: Option<Arc<Mutex<Tokens>>>,
}

/// The `Consistency-Token`s that no later one includes: one, or one for each of the calls that were under way at once.
#[derive(Default)]
struct Tokens(Vec<HeaderValue>);

impl Tokens {
    /// The answer's token includes those that its request sent.
    fn note(&mut self, sent: &[HeaderValue], answer: &Answer) {
        if let Some(token) = answer.headers.get("consistency-token") {
            self.0.retain(|seen| !sent.contains(seen));
            self.0.push(token.clone());
        }
    }
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
        Self { client, base: base.to_owned(), token, seen: Some(Arc::default()) }
    }

    /// The same person at another process.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    /// The same caller with another token; an empty one is none.
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The same person as a client that forgets its tokens: what it reads may be what a standby last saw.
    pub fn forgetful(&self) -> Self {
        Self { seen: None, ..self.clone() }
    }

    /// `POST` as long as somebody answers.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.request(Method::POST, path, &[("Idempotency-Key", &new_key())]);
        self.send(request.json(body)).await.ok()
    }

    /// `POST` of a file, with an `Idempotency-Key` of its own.
    pub async fn post_file(&self, path: &str, media_type: &str, file: &[u8]) -> Answer {
        let headers = [("Idempotency-Key", &*new_key()), ("Content-Type", media_type)];
        self.send(self.request(Method::POST, path, &headers).body(file.to_vec())).await.unwrap()
    }

    /// Calls with a JSON body and further headers.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.request(method, path, &[]);
        if let Some(body) = body {
            request = request.json(body);
        }
        self.send(request.headers(header_map(headers))).await.unwrap()
    }

    /// Calls with a body that may be no JSON.
    pub async fn call_with_text(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        text: &str,
    ) -> Answer {
        self.send(self.request(method, path, headers).body(text.to_owned())).await.unwrap()
    }

    fn request(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = if self.token.is_empty() { request } else { request.bearer_auth(&self.token) };
        request.headers(header_map(headers))
    }

    /// Sends it with the tokens, unless it has one of its own.
    async fn send(&self, request: RequestBuilder) -> reqwest::Result<Answer> {
        let mut request = request.build()?;
        let mut sent = Vec::new();
        if let Some(seen) =
            self.seen.as_ref().filter(|_| !request.headers().contains_key("consistency-token"))
        {
            sent.clone_from(&seen.lock().unwrap().0);
        }
        for token in &sent {
            request.headers_mut().append("consistency-token", token.clone());
        }
        let answer = Answer::of(self.client.execute(request).await?).await?;
        if let Some(seen) = &self.seen {
            seen.lock().unwrap().note(&sent, &answer);
        }
        Ok(answer)
    }

    /// `GET` of an answer that lasts; its body is read by whoever asked.
    pub async fn open(&self, path: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        self.request(Method::GET, path, headers).send().await.unwrap()
    }

    /// `GET` of an answer that would last, and must be a refusal with this status.
    pub async fn refused(&self, path: &str, status: u16) -> Answer {
        let response = self.open(path, &[]).await;
        assert_eq!(response.status(), status, "{path}");
        Answer::of(response).await.unwrap()
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[], None).await
    }

    /// `POST` with an `Idempotency-Key` of its own.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call(Method::POST, path, &[("Idempotency-Key", &new_key())], Some(body)).await
    }

    /// A merge patch of what was at `version`.
    pub async fn patch(&self, path: &str, version: i64, body: &Value) -> Answer {
        let headers =
            [("If-Match", &*format!("\"v{version}\"")), ("Content-Type", "application/merge-patch+json")];
        self.call(Method::PATCH, path, &headers, Some(body)).await
    }
}

fn new_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let one = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
    };
    headers.iter().map(one).collect()
}

impl Answer {
    async fn of(response: reqwest::Response) -> reqwest::Result<Self> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = serde_json::from_slice(&response.bytes().await?).unwrap_or(json!(null));
        Ok(Self { status, headers, body })
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
