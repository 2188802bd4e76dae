//! HTTP and WebSocket as a client's author would write them: one [`Weir`] per service, one [`Caller`] per subject,
//! one [`Socket`] per connection.

mod answer;
mod error;
mod frame;
mod socket;
mod subscription;

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

pub use answer::Answer;
pub use error::{Error, Problem, SocketError};
pub use frame::Frame;
pub use socket::{Pending, Socket};
pub use subscription::Subscription;

/// How long an answer is waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// A service.
#[derive(Clone, Debug)]
pub struct Weir {
    base: String,
    http: Client,
}

impl Weir {
    /// The service at this address, such as `http://127.0.0.1:8080`. Asks nothing yet.
    pub fn connect(base_url: &str) -> Result<Self, Error> {
        let http = Client::builder().timeout(ANSWER_WITHIN).build()?;
        Ok(Self { base: base_url.trim_end_matches('/').to_owned(), http })
    }

    /// The address.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A caller by the development issuer, with these scopes (all modules' when empty).
    pub async fn caller(&self, subject: &str, scopes: &[&str]) -> Result<Caller, Error> {
        let mut request = json!({"sub": subject});
        if !scopes.is_empty() {
            request["scopes"] = json!(scopes);
        }
        self.caller_by(&request).await
    }

    /// A caller by the development issuer, with a request of one's own (`sub`, `scopes`, `plan`, `ttl_s`).
    pub async fn caller_by(&self, request: &Value) -> Result<Caller, Error> {
        let answer = self.send(Method::POST, "/dev/token", HeaderMap::new(), Some(request)).await?.ok()?;
        let token = answer.text_at("/access_token")?;
        Ok(self.caller_with(&token))
    }

    /// A caller with a token that is there already.
    pub fn caller_with(&self, token: &str) -> Caller {
        Caller { weir: self.clone(), token: token.to_owned() }
    }

    /// A request without a token.
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(Method::GET, path, HeaderMap::new(), None::<&Value>).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<Answer, Error> {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).headers(headers);
        if let Some(body) = body {
            request = request.json(body);
        }
        Answer::of(request.send().await?).await
    }
}

/// One subject with its token.
#[derive(Clone, Debug)]
pub struct Caller {
    weir: Weir,
    token: String,
}

impl Caller {
    /// The access token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The service.
    pub fn weir(&self) -> &Weir {
        &self.weir
    }

    /// `GET`; whatever the status.
    pub async fn get(&self, path: &str) -> Result<Answer, Error> {
        self.send(Method::GET, path, &[], None::<&Value>).await
    }

    /// `POST` with an `Idempotency-Key` of its own; whatever the status.
    pub async fn post(&self, path: &str, body: &(impl Serialize + ?Sized)) -> Result<Answer, Error> {
        let key = Uuid::new_v4().to_string();
        self.send(Method::POST, path, &[("idempotency-key", &key)], Some(body)).await
    }

    /// `POST` of a file; whatever the status of its answer.
    pub async fn post_file(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        file: impl Into<reqwest::Body>,
    ) -> Result<Answer, Error> {
        let url = format!("{}{path}", self.weir.base);
        let request = self.weir.http.post(url).headers(self.headers(headers)?).body(file);
        Answer::of(request.send().await?).await
    }

    /// Any request; whatever the status of its answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&(impl Serialize + ?Sized)>,
    ) -> Result<Answer, Error> {
        self.weir.send(method, path, self.headers(headers)?, body).await
    }

    fn headers(&self, headers: &[(&str, &str)]) -> Result<HeaderMap, Error> {
        let mut all = HeaderMap::new();
        all.insert(AUTHORIZATION, header_value(&format!("Bearer {}", self.token))?);
        for (name, value) in headers {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| Error::Header((*name).to_owned()))?;
            all.insert(name, header_value(value)?);
        }
        Ok(all)
    }

    /// Opens a socket, such as `/v1/trading/ws`.
    pub async fn socket(&self, path: &str) -> Result<Socket, Error> {
        Socket::open(&self.weir.base, path, Some(&self.token)).await
    }
}

fn header_value(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value).map_err(|_| Error::Header(value.to_owned()))
}
