//! An answer over HTTP.

use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{Error, Problem};

/// An answer over HTTP, read to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; a string when it isn't JSON, null when there is none.
    pub body: Value,
}

impl Answer {
    pub(super) async fn of(response: Response) -> Result<Self, Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await?;
        let body = match serde_json::from_slice(&bytes) {
            Ok(body) => body,
            Err(_) if bytes.is_empty() => Value::Null,
            Err(_) => Value::String(String::from_utf8_lossy(&bytes).into_owned()),
        };
        Ok(Self { status, headers, body })
    }

    /// The answer, or the problem that it is.
    pub fn ok(self) -> Result<Self, Error> {
        if self.status.is_success() {
            return Ok(self);
        }
        let problem = serde_json::from_value(self.body.clone()).unwrap_or_else(|_| Problem {
            status: self.status.as_u16(),
            code: "no-problem".to_owned(),
            title: self.body.to_string(),
            detail: None,
            more: serde_json::Map::new(),
        });
        Err(Error::Problem(Box::new(problem)))
    }

    /// The body as a type, or the problem that it is.
    pub fn parse<T: DeserializeOwned>(self) -> Result<T, Error> {
        Ok(serde_json::from_value(self.ok()?.body)?)
    }

    /// A text within the body.
    pub fn text_at(&self, pointer: &str) -> Result<String, Error> {
        let found = self.body.pointer(pointer).and_then(Value::as_str);
        found.map(ToOwned::to_owned).ok_or_else(|| Error::Shape(pointer.to_owned()))
    }

    /// A header as text; empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}
