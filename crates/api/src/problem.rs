//! Every error that leaves the program: an RFC 9457 problem (`application/problem+json`). Modules define
//! their own [`ProblemType`]s; the ones of HTTP and of our conventions stand in [`kinds`]. What caused
//! an internal error is kept beside the problem, logged once at the edge, and never sent.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

mod database;
pub mod kinds;
pub mod registry;

/// The media type of every error.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// At most this many field errors are sent; the rest would help nobody.
pub const FIELD_ERRORS_MAX: usize = 100;

/// One kind of error, with what a reader needs to know about it. It has a page at `/problems/{code}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProblemType {
    /// Kebab-case, stable for ever; the last part of the `type` URI.
    pub code: &'static str,
    /// A short sentence without the particulars of this occurrence.
    pub title: &'static str,
    /// The HTTP status that it always has.
    pub status: u16,
    /// What it means and what to do about it, one or two paragraphs of plain text.
    pub explanation: &'static str,
}

/// What is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer into the body; for others `/query/{name}`, `/path/{name}` or `/header/{name}`.
    pub pointer: String,
    /// What is wrong, for a person.
    pub detail: String,
    /// What is wrong, for a program.
    pub code: String,
}

/// A problem as it is sent.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it stands for `Problem::to_json` in the document")]
pub(crate) struct ProblemBody {
    /// The address of the type's explanation.
    #[schema(format = "uri-reference", example = "/problems/validation-failed")]
    r#type: String,
    /// What is always true of problems of this type.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What happened this time.
    detail: Option<String>,
    /// The path that was asked for.
    instance: Option<String>,
    /// The type's stable code.
    code: String,
    /// Names the request in our log and in the caller's trace.
    trace_id: Option<String>,
    /// One entry for each field that is wrong.
    errors: Option<Vec<FieldError>>,
}

/// One occurrence of an error. Cheap to return in a `Result`: one pointer wide.
#[derive(Debug)]
pub struct Problem(Box<Occurrence>);

#[derive(Debug)]
struct Occurrence {
    code: Cow<'static, str>,
    title: Cow<'static, str>,
    status: StatusCode,
    detail: Option<String>,
    errors: Vec<FieldError>,
    more: Map<String, Value>,
    headers: HeaderMap,
    cause: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Problem {
    /// A problem of this type without particulars.
    pub fn of(kind: &'static ProblemType) -> Self {
        Self(Box::new(Occurrence {
            code: Cow::Borrowed(kind.code),
            title: Cow::Borrowed(kind.title),
            status: StatusCode::from_u16(kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            detail: None,
            errors: Vec::new(),
            more: Map::new(),
            headers: HeaderMap::new(),
            cause: None,
        }))
    }

    /// 500; the cause is logged with its source chain and not sent.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::of(&kinds::INTERNAL).caused_by(cause)
    }

    /// What happened this time, for the person who reads it. Sent to the client.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds one entry to `errors`.
    pub fn field(
        mut self,
        pointer: impl Into<String>,
        detail: impl Into<String>,
        code: impl Into<String>,
    ) -> Self {
        if self.0.errors.len() < FIELD_ERRORS_MAX {
            self.0.errors.push(FieldError {
                pointer: pointer.into(),
                detail: detail.into(),
                code: code.into(),
            });
        }
        self
    }

    /// Adds `Retry-After`, rounded up to whole seconds.
    pub fn retry_after(self, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        self.header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// Adds a member of its own to the problem, such as `conflicts`.
    pub fn with(mut self, member: &str, value: impl Into<Value>) -> Self {
        self.0.more.insert(member.to_owned(), value.into());
        self
    }

    /// Adds a header to the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.append(name, value);
        self
    }

    /// What led to it. Logged once at the edge when the status is 500 or above; never sent.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.cause = Some(Arc::from(cause.into()));
        self
    }

    /// The status that it is answered with.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The stable code of its type.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The field errors so far.
    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    /// The headers that the answer carries beside its media type.
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// What led to it, for the log.
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// Code, detail, field errors and members of its own: what an error frame of a socket carries too.
    pub(crate) fn into_particulars(
        self,
    ) -> (Cow<'static, str>, Option<String>, Vec<FieldError>, Map<String, Value>) {
        (self.0.code, self.0.detail, self.0.errors, self.0.more)
    }

    /// The problem as JSON. `base` is the public address of the service or empty, for a relative `type`.
    pub fn to_json(&self, base: &str, instance: Option<&str>, trace_id: Option<&str>) -> Value {
        let it = &self.0;
        let mut body = Map::new();
        body.insert("type".into(), format!("{base}/problems/{}", it.code).into());
        body.insert("title".into(), it.title.as_ref().into());
        body.insert("status".into(), it.status.as_u16().into());
        if let Some(detail) = &it.detail {
            body.insert("detail".into(), detail.as_str().into());
        }
        if let Some(instance) = instance {
            body.insert("instance".into(), instance.into());
        }
        body.insert("code".into(), it.code.as_ref().into());
        if let Some(trace_id) = trace_id {
            body.insert("trace_id".into(), trace_id.into());
        }
        if !it.errors.is_empty() {
            body.insert("errors".into(), serde_json::json!(it.errors));
        }
        for (member, value) in &it.more {
            body.entry(member.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(body)
    }

    /// A problem from the JSON that [`Problem::to_json`] made, for answers that were stored. `None`
    /// when it isn't one.
    pub fn from_json(body: Value) -> Option<Self> {
        let Value::Object(mut body) = body else { return None };
        let text = |value: Option<Value>| match value {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let code = text(body.shift_remove("code"))?;
        let title = text(body.shift_remove("title"))?;
        let status = u16::try_from(body.shift_remove("status")?.as_u64()?).ok()?;
        let detail = text(body.shift_remove("detail"));
        let errors = match body.shift_remove("errors") {
            Some(errors) => serde_json::from_value(errors).ok()?,
            None => Vec::new(),
        };
        for member in ["type", "instance", "trace_id"] {
            body.shift_remove(member);
        }
        Some(Self(Box::new(Occurrence {
            code: Cow::Owned(code),
            title: Cow::Owned(title),
            status: StatusCode::from_u16(status).ok()?,
            detail,
            errors,
            more: body,
            headers: HeaderMap::new(),
            cause: None,
        })))
    }

    /// Renders the answer. The edge calls it again with what only it knows; a router without the edge
    /// (a test) still answers a whole problem.
    pub(crate) fn render(
        this: &Arc<Self>,
        base: &str,
        instance: Option<&str>,
        trace_id: Option<&str>,
    ) -> Response {
        let body = this.to_json(base, instance, trace_id).to_string();
        let mut response = (this.0.status, body).into_response();
        *response.headers_mut() = this.0.headers.clone();
        response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
        response.extensions_mut().insert(Rendered(this.clone()));
        response
    }
}

/// Marks a response that is a problem already, so that the edge can complete and log it.
#[derive(Clone)]
pub(crate) struct Rendered(pub(crate) Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        Self::render(&Arc::new(self), "", None, None)
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.0.status.as_u16(), self.0.code)?;
        if let Some(detail) = &self.0.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl StdError for Problem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as _)
    }
}

impl From<&'static ProblemType> for Problem {
    fn from(kind: &'static ProblemType) -> Self {
        Self::of(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_its_way_through_the_store() {
        let problem = Problem::of(&kinds::CONFLICT)
            .detail("the account is closed")
            .field("/account", "is closed", "closed")
            .with("account", "a1");
        let body = problem.to_json("https://weir.example", Some("/v1/x"), Some("t1"));
        assert_eq!(body["type"], "https://weir.example/problems/conflict");
        assert_eq!(body["trace_id"], "t1");
        let again = Problem::from_json(body.clone()).unwrap();
        assert_eq!(again.to_json("https://weir.example", Some("/v1/x"), Some("t1")), body);
    }

    #[test]
    fn a_member_of_its_own_never_replaces_a_standard_one() {
        let body = Problem::of(&kinds::CONFLICT).with("status", 200).to_json("", None, None);
        assert_eq!(body["status"], 409);
        assert_eq!(body["type"], "/problems/conflict");
    }

    #[test]
    fn retry_after_is_never_zero() {
        let problem = Problem::of(&kinds::UNAVAILABLE).retry_after(Duration::from_millis(3));
        assert_eq!(problem.into_response().headers()[RETRY_AFTER], "1");
    }
}
