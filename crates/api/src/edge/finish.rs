//! The answer's last steps: every error becomes a whole problem, its cause is logged once, and the headers of the
//! conventions are added.

use std::error::Error;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use common::context::Context;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, StatusCode, Version};

use super::{Edge, Seen, consistency, headers, log};
use crate::page::NextCursor;
use crate::problem::{PROBLEM_JSON, Problem, ProblemType, Rendered, kinds};
use crate::sse::NO_STORE;
use crate::trace::{TRACEPARENT, X_REQUEST_ID};

pub(super) fn finish(
    edge: &Edge,
    seen: &Seen,
    context: Option<&Context>,
    mut response: Response,
) -> Response {
    let status = response.status();
    if status.is_client_error() || status.is_server_error() {
        complete_problem(edge, seen, &mut response);
    }
    if let Some(NextCursor(cursor)) = response.extensions_mut().remove::<NextCursor>() {
        headers::link_next(response.headers_mut(), &seen.instance, seen.query.as_deref(), &cursor);
    }
    let draining = edge.readiness.is_draining() && seen.version < Version::HTTP_2;
    let headers = response.headers_mut();
    if let Some(context) = context {
        consistency::give_back(context, edge.secure, headers);
    }
    if seen.operation.as_ref().is_some_and(|it| it.streams) {
        headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
    }
    headers::complete(headers, edge.secure);
    headers.insert(TRACEPARENT, seen.trace.traceparent());
    headers.insert(X_REQUEST_ID, seen.trace.request_id.clone());
    if draining {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Adds what only the edge knows to a problem, or makes one of an error that has none. The headers of the layers
/// within, such as `RateLimit`, stay.
fn complete_problem(edge: &Edge, seen: &Seen, response: &mut Response) {
    let problem = match response.extensions_mut().remove::<Rendered>() {
        Some(Rendered(problem)) => problem,
        None => Arc::new(Problem::of(by_status(response.status()))),
    };
    if problem.status().is_server_error() {
        log::problem(seen, &problem);
    }
    let body = problem.to_json(&edge.public_base, Some(&seen.instance), Some(&seen.trace.id)).to_string();
    *response.status_mut() = problem.status();
    response.headers_mut().remove(CONTENT_LENGTH);
    response.headers_mut().insert(CONTENT_TYPE, PROBLEM_JSON);
    *response.body_mut() = Body::from(body);
}

/// What axum, tower or a file server meant by a bare status.
fn by_status(status: StatusCode) -> &'static ProblemType {
    match status {
        StatusCode::UNAUTHORIZED => &kinds::UNAUTHENTICATED,
        StatusCode::FORBIDDEN => &kinds::FORBIDDEN,
        StatusCode::NOT_FOUND => &kinds::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED => &kinds::METHOD_NOT_ALLOWED,
        StatusCode::CONFLICT => &kinds::CONFLICT,
        StatusCode::PAYLOAD_TOO_LARGE => &kinds::BODY_TOO_LARGE,
        StatusCode::URI_TOO_LONG => &kinds::URI_TOO_LONG,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => &kinds::UNSUPPORTED_MEDIA_TYPE,
        StatusCode::UNPROCESSABLE_ENTITY => &kinds::VALIDATION_FAILED,
        StatusCode::TOO_MANY_REQUESTS => &kinds::RATE_LIMITED,
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => &kinds::HEADERS_TOO_LARGE,
        StatusCode::SERVICE_UNAVAILABLE => &kinds::UNAVAILABLE,
        StatusCode::GATEWAY_TIMEOUT | StatusCode::REQUEST_TIMEOUT => &kinds::TIMEOUT,
        status if status.is_client_error() => &kinds::MALFORMED_REQUEST,
        _ => &kinds::INTERNAL,
    }
}

/// An error and what led to it, outermost first. Of each its first line: what PostgreSQL adds below quotes values.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        texts.push(error.to_string().lines().next().unwrap_or_default().to_owned());
        next = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the database refused it")]
    struct Refused(#[source] Quoting);

    #[derive(Debug, thiserror::Error)]
    #[error("ERROR: duplicate key\nDETAIL: Key (subject)=(alice) already exists.")]
    struct Quoting;

    #[test]
    fn a_chain_names_every_cause_and_no_value() {
        assert_eq!(chain(&Refused(Quoting)), "the database refused it: ERROR: duplicate key");
    }
}
