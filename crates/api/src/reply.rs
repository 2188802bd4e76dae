//! An answer as plain data: what a handler returns, and what an idempotency record keeps to give it again.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Serialize;

use crate::etag::{IfNoneMatch, etag};
use crate::problem::Problem;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Status, headers and body.
#[derive(Debug, Clone)]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    /// 200 with a JSON body.
    pub fn ok<T: Serialize + ?Sized>(body: &T) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 201 with `Location` and the new resource.
    pub fn created<T: Serialize + ?Sized>(location: impl AsRef<str>, body: &T) -> Self {
        Self::json(StatusCode::CREATED, body).location(location)
    }

    /// 204.
    pub fn no_content() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Any status with a JSON body. A body that can't be written as JSON becomes a 500 problem.
    pub fn json<T: Serialize + ?Sized>(status: StatusCode, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => {
                Self { status, headers: HeaderMap::from_iter([(CONTENT_TYPE, JSON)]), body: body.into() }
            }
            Err(error) => Self::problem(&Problem::internal(error)),
        }
    }

    /// 200 with the resource and its `ETag`, or 304 when the client has this version already.
    pub fn versioned<T: Serialize + ?Sized>(seen: &IfNoneMatch, version: i64, body: &T) -> Self {
        if seen.has(version) {
            let headers = HeaderMap::new();
            return Self { status: StatusCode::NOT_MODIFIED, headers, body: Bytes::new() }.etag(version);
        }
        Self::ok(body).etag(version)
    }

    /// A problem as plain data.
    pub(crate) fn problem(problem: &Problem) -> Self {
        let mut headers = problem.headers().clone();
        headers.insert(CONTENT_TYPE, crate::problem::PROBLEM_JSON);
        let body = problem.to_json("", None, None).to_string().into();
        Self { status: problem.status(), headers, body }
    }

    /// Adds the `ETag` of this version.
    pub fn etag(self, version: i64) -> Self {
        self.header(ETAG, etag(version))
    }

    /// Adds `Preference-Applied: handling=lenient`: the change was merged with another.
    pub fn preference_applied(self) -> Self {
        self.header(PREFERENCE_APPLIED, HeaderValue::from_static("handling=lenient"))
    }

    /// Adds `Location`; a path of our own, so characters that a header can't carry never stand in it.
    pub fn location(self, location: impl AsRef<str>) -> Self {
        match HeaderValue::from_str(location.as_ref()) {
            Ok(value) => self.header(LOCATION, value),
            Err(error) => Self::problem(&Problem::internal(error)),
        }
    }

    /// Sets a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        if self.status.is_client_error() || self.status.is_server_error() {
            // A stored refusal: rendered at the edge like any other problem.
            let problem = serde_json::from_slice(&self.body).ok().and_then(Problem::from_json);
            if let Some(problem) = problem {
                let headers = self.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
                let keep = headers.filter(|(name, _)| *name != CONTENT_TYPE);
                return keep
                    .fold(problem, |problem, (name, value)| problem.header(name, value))
                    .into_response();
            }
        }
        let mut response = Response::new(self.body.into());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// An answer that is the same for all callers, so everybody may keep it for this many seconds, a CDN too.
#[derive(Debug)]
pub struct Public<T>(pub u32, pub T);

impl<T: IntoResponse> IntoResponse for Public<T> {
    fn into_response(self) -> Response {
        let Self(max_age_s, answer) = self;
        let mut response = answer.into_response();
        let value = HeaderValue::try_from(format!("public, max-age={max_age_s}"));
        response.headers_mut().insert(CACHE_CONTROL, value.expect("digits are visible ASCII"));
        response
    }
}
