//! What a client can run into, as far as it acts on it.

use serde::Deserialize;
use serde_json::{Map, Value};

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The service refused, with a problem.
    #[error("{0}")]
    Problem(Box<Problem>),
    /// A socket answered with an error.
    #[error("{0}")]
    Refused(Box<SocketError>),
    /// The socket is closed.
    #[error("the socket was closed: {code} {reason}")]
    Closed {
        /// The close code; 1006 when there was no close frame.
        code: u16,
        /// What the service said.
        reason: String,
    },
    /// A channel's message doesn't follow on the one before.
    #[error("{channel} went from {have} to {seq}, whose predecessor is {prev:?}")]
    Gap {
        /// The channel.
        channel: String,
        /// The number that was seen last.
        have: i64,
        /// What the message names as its predecessor.
        prev: Option<i64>,
        /// The message's number.
        seq: i64,
    },
    /// The channel was ended by the service.
    #[error("the channel ended: {0}")]
    Ended(String),
    /// The answer is not what the API documents.
    #[error("the answer has no {0}")]
    Shape(String),
    /// A header that can't be sent.
    #[error("not a header: {0}")]
    Header(String),
    /// No answer over HTTP.
    #[error("no answer")]
    Http(#[from] reqwest::Error),
    /// The socket broke or was never opened.
    #[error("the socket failed")]
    Socket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// Something that isn't JSON, or not of the expected shape.
    #[error("unexpected JSON")]
    Json(#[from] serde_json::Error),
}

impl Error {
    /// The code of a refusal.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Problem(problem) => Some(&problem.code),
            Self::Refused(error) => Some(&error.code),
            _ => None,
        }
    }
}

/// `application/problem+json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// Stable, kebab-case.
    pub code: String,
    /// The short sentence of the type.
    pub title: String,
    /// What happened this time.
    #[serde(default)]
    pub detail: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.status, self.code, self.detail.as_deref().unwrap_or(&self.title))?;
        match self.more.get("errors") {
            Some(errors) => write!(f, " {errors}"),
            None => Ok(()),
        }
    }
}

/// The `data` of an error frame.
#[derive(Clone, Debug, Deserialize)]
pub struct SocketError {
    /// Stable, kebab-case.
    pub code: String,
    /// `invalid`, `rejected`, `conflict`, `throttled`, `unavailable` or `unknown`.
    pub class: String,
    /// `never`, `same_id` or `after_ms`.
    pub retry: String,
    /// How long to wait first.
    #[serde(default)]
    pub after_ms: Option<u64>,
    /// What happened this time.
    #[serde(default)]
    pub detail: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

impl std::fmt::Display for SocketError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, retry {})", self.code, self.class, self.retry)?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        match self.more.get("errors") {
            Some(errors) => write!(f, " {errors}"),
            None => Ok(()),
        }
    }
}
