//! What a socket answers instead of a reply. Two questions are always answered: what kind of failure it is,
//! and whether, and how, to send the same again.

use std::borrow::Cow;
use std::ops::Deref;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::problem::{FieldError, Problem, ProblemType, kinds};

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The message is wrong in itself; nothing was done.
    Invalid,
    /// Understood, and refused by a rule; nothing was done.
    Rejected,
    /// It contradicts what is already there.
    Conflict,
    /// Too much at once; nothing was done.
    Throttled,
    /// The service can't do it now; nothing was done.
    Unavailable,
    /// It may or may not have been done: ask with the same id.
    Unknown,
}

impl Class {
    fn of(code: &str, status: StatusCode) -> Self {
        match status {
            _ if code == kinds::OUTCOME_UNKNOWN.code => Self::Unknown,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => Self::Conflict,
            StatusCode::TOO_MANY_REQUESTS => Self::Throttled,
            StatusCode::SERVICE_UNAVAILABLE => Self::Unavailable,
            status if status.is_server_error() => Self::Unknown,
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => Self::Rejected,
            _ => Self::Invalid,
        }
    }

    fn retry(self) -> Retry {
        match self {
            Self::Invalid | Self::Rejected | Self::Conflict => Retry::Never,
            Self::Throttled | Self::Unavailable | Self::Unknown => Retry::SameId,
        }
    }
}

/// Whether, and how, to send the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// The answer will not change.
    Never,
    /// At once and safely, with the same command id.
    SameId,
    /// After `after_ms`, with the same command id.
    AfterMs,
}

/// A failure that a socket answers with. One pointer wide.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct SocketError(Box<ErrorData>);

/// The `data` of a frame of type `error`. Its codes are those of the problem types, with a page each
/// under `/problems/{code}`.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErrorData {
    /// Stable, kebab-case.
    #[schema(value_type = String)]
    pub code: Cow<'static, str>,
    /// What kind of failure it is.
    pub class: Class,
    /// Whether, and how, to send the same again.
    pub retry: Retry,
    /// How long to wait first, when `retry` is `after_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
    /// What happened this time, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// One entry per wrong field; the pointers start in `args`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Members of the problem's own, such as what a conflict is about.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: Map<String, Value>,
}

impl Deref for SocketError {
    type Target = ErrorData;

    fn deref(&self) -> &ErrorData {
        &self.0
    }
}

impl SocketError {
    /// A failure of this type. The class follows from the type's status, and `retry` from the class.
    pub fn of(kind: &'static ProblemType) -> Self {
        let status = StatusCode::from_u16(kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self::with_code(Cow::Borrowed(kind.code), Class::of(kind.code, status))
    }

    fn with_code(code: Cow<'static, str>, class: Class) -> Self {
        let (detail, errors, more) = (None, Vec::new(), Map::new());
        let data = ErrorData { code, class, retry: class.retry(), after_ms: None, detail, errors, more };
        Self(Box::new(data))
    }

    /// Sets the class, and `retry` as it follows from it. A rule that refuses a valid command is
    /// [`Class::Rejected`]: the status 422 can't tell that from [`Class::Invalid`].
    pub fn class(mut self, class: Class) -> Self {
        self.0.class = class;
        self.0.after_ms = None;
        self.0.retry = class.retry();
        self
    }

    /// What happened this time.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds one entry to `errors`; the pointer starts in `args`.
    pub fn field(
        mut self,
        pointer: impl Into<String>,
        detail: impl Into<String>,
        code: impl Into<String>,
    ) -> Self {
        self.0.errors.push(FieldError { pointer: pointer.into(), detail: detail.into(), code: code.into() });
        self
    }

    /// Ask again after `wait`.
    pub fn after(mut self, wait: Duration) -> Self {
        self.0.retry = Retry::AfterMs;
        self.0.after_ms = Some(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
        self
    }

    /// Adds a member of its own.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(member.to_owned(), value.into());
        self
    }
}

/// The same refusal as over HTTP. What led to it is logged here: this is the edge of a socket.
impl From<Problem> for SocketError {
    fn from(problem: Problem) -> Self {
        if let Some(cause) = problem.cause() {
            tracing::error!(code = problem.code(), error = %Chain(cause), "a message of a socket failed");
        }
        let class = Class::of(problem.code(), problem.status());
        let wait = problem.headers().get(RETRY_AFTER).and_then(|it| it.to_str().ok()?.parse().ok());
        let (code, detail, errors, more) = problem.into_particulars();
        let mut error = Self::with_code(code, class);
        (error.0.detail, error.0.errors, error.0.more) = (detail, errors, more);
        match wait {
            Some(seconds) => error.after(Duration::from_secs(seconds)),
            None => error,
        }
    }
}

/// An error with all that led to it.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
