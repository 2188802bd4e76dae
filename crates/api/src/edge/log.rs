//! What is written about a request: one line, two metrics, and the cause of an internal error. Never a token, an
//! address, a query or a body; the caller only as a short hash.

use std::ops::Deref;

use aws_lc_rs::digest::{SHA256, digest};
use common::context::Context;
use http::{Method, StatusCode};
use tracing::Span;

use super::{Seen, finish::chain};
use crate::context::ANONYMOUS;
use crate::problem::Problem;

/// Asked every few seconds by machines: not worth a line.
const QUIET: &[&str] = &["/livez", "/readyz"];

/// What stands for a status when there was nobody left to answer.
const CLIENT_WENT_AWAY: u16 = 499;

pub(super) fn span(seen: &Seen) -> Span {
    let operation = seen.operation.as_ref().map(|it| it.id.as_str());
    tracing::info_span!("request", trace_id = &*seen.trace.id, operation)
}

/// The line of a request. One that is dropped before it was written is of a client that went away.
pub(super) struct Line {
    seen: Seen,
    written: bool,
}

impl Line {
    pub(super) fn of(seen: Seen) -> Self {
        Self { seen, written: false }
    }

    pub(super) fn write(mut self, context: Option<&Context>, status: StatusCode) {
        self.written = true;
        request(&self.seen, context, status.as_u16());
    }
}

impl Deref for Line {
    type Target = Seen;

    fn deref(&self) -> &Seen {
        &self.seen
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.written {
            request(&self.seen, None, CLIENT_WENT_AWAY);
        }
    }
}

fn request(seen: &Seen, context: Option<&Context>, status: u16) {
    let elapsed = seen.started.elapsed();
    let route = seen.route.as_deref().unwrap_or("unknown");
    let method = method_name(&seen.method);
    metrics::counter!(
        "http_requests_total",
        "route" => route.to_owned(), "method" => method, "status" => status.to_string()
    )
    .increment(1);
    metrics::histogram!("http_request_duration_seconds", "route" => route.to_owned(), "method" => method)
        .record(elapsed.as_secs_f64());
    if QUIET.contains(&route) {
        return;
    }
    tracing::info!(
        trace_id = &*seen.trace.id,
        request_id = seen.trace.request_id.to_str().unwrap_or_default(),
        operation = seen.operation.as_ref().map(|it| it.id.as_str()),
        caller = context.map(|context| caller_hash(&context.caller().subject)),
        method,
        route,
        status,
        duration_ms = elapsed.as_secs_f64() * 1e3,
        "request"
    );
}

pub(super) fn problem(seen: &Seen, problem: &Problem) {
    let cause = problem.cause().map(|cause| chain(cause));
    let (trace_id, code) = (&*seen.trace.id, problem.code());
    // Being busy or away is the system's state, not a defect.
    if problem.status() == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(trace_id, code, cause, "request failed");
    } else {
        tracing::warn!(trace_id, code, cause, "request failed");
    }
}

/// The same caller has the same eight digits, and nobody can read who it is.
fn caller_hash(subject: &str) -> String {
    if subject == ANONYMOUS {
        return ANONYMOUS.to_owned();
    }
    let hash = digest(&SHA256, subject.as_bytes());
    hash.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Methods are the client's words; as labels they must be few.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
