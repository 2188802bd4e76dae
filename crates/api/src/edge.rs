//! The edge: what every request passes on its way in and every answer on its way out. Around the handlers stand,
//! from the outside in: [`edge`] (trace, caller, deadline, log, headers, problems), the rate limits, and [`gate`]
//! (access and parameters, as the operation's documentation says).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, OriginalUri, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::context::{Caller, Clock, Context, ContextParts, Priority};
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, Method, Version};
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use crate::action::documented;
use crate::auth::{Refusal, Verifier};
use crate::context::{ANONYMOUS, Authentication, Surroundings, authenticated, require};
use crate::extract::body::{BODY_BYTES_MAX, BodyLimit};
use crate::prefer::Prefer;
use crate::problem::{Problem, kinds};
use crate::readiness::Readiness;
use crate::route::{Access, NUL, Operation, Operations};
use crate::trace::Trace;

mod consistency;
mod finish;
mod headers;
mod log;
mod validator;

pub(crate) use headers::cors;

/// The longest path and query.
const URI_BYTES_MAX: usize = 8 * 1024;
/// All headers together.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// What the edge knows.
pub(crate) struct Edge {
    pub(crate) public_base: String,
    pub(crate) secure: bool,
    pub(crate) deadline_default: Duration,
    pub(crate) deadline_grace: Duration,
    pub(crate) clock: Clock,
    pub(crate) verifier: Verifier,
    pub(crate) readiness: Readiness,
    pub(crate) operations: Operations,
}

/// One request as the edge sees it, for what is written about it at the end.
struct Seen {
    method: Method,
    /// The route as documented; none when there is no such address.
    route: Option<String>,
    operation: Option<Arc<Operation>>,
    /// The path as the client wrote it.
    instance: String,
    query: Option<String>,
    version: Version,
    trace: Trace,
    started: Instant,
}

/// The outermost layer.
pub(crate) async fn edge(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let seen = log::Line::of(Seen::of(&edge, &request));
    let (response, context) = match edge.surroundings(&seen, request.headers()).await {
        Err(problem) => (problem.into_response(), None),
        Ok(surroundings) => {
            let context = surroundings.context.clone();
            request.extensions_mut().insert(surroundings);
            let bytes_max = seen.operation.as_ref().map_or(BODY_BYTES_MAX, |it| it.body_bytes_max);
            request.extensions_mut().insert(BodyLimit(bytes_max));
            // The same for axum's own extractors, such as `Multipart`.
            DefaultBodyLimit::max(bytes_max).apply(&mut request);
            if let Some(operation) = &seen.operation {
                request.extensions_mut().insert(operation.clone());
            }
            let give_up_at = context.deadline() + edge.deadline_grace;
            let answer = next.run(request).instrument(log::span(&seen));
            let response = match timeout_at(give_up_at, answer).await {
                Ok(response) => response,
                Err(_) => Problem::of(&kinds::TIMEOUT).into_response(),
            };
            (response, Some(context))
        }
    };
    let response = finish::finish(&edge, &seen, context.as_ref(), response);
    seen.write(context.as_ref(), response.status());
    response
}

/// The innermost layer: access and parameters, as documented, and the answer's `ETag`. It stands behind the rate limits, so
/// that guessing is limited too, and a permit lasts until the answer was sent.
pub(crate) async fn gate(request: Request, next: Next) -> Result<Response, Problem> {
    if let Some(operation) = request.extensions().get::<Arc<Operation>>()
        && let Some(surroundings) = request.extensions().get::<Surroundings>()
    {
        if operation.access != Access::Public {
            authenticated(&surroundings.authentication)?;
        }
        if let Access::Scope(scope) = &operation.access {
            require(&surroundings.context, scope)?;
        }
        if request.uri().path().contains(NUL) {
            return Err(Problem::of(&kinds::NOT_FOUND));
        }
        if let Some(query) = request.uri().query() {
            operation.check_query(query)?;
        }
    }
    let (method, asked) = (request.method().clone(), request.headers().clone());
    let response = next.run(request).await;
    Ok(validator::validate(&method, &asked, response).await)
}

/// A handler's panic as a problem; the text goes to the log.
pub(crate) fn panicked(payload: Box<dyn std::any::Any + Send>) -> Response {
    let text = payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without a text");
    Problem::internal(format!("panic: {text}")).into_response()
}

impl Seen {
    fn of(edge: &Edge, request: &Request) -> Self {
        let matched = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
        let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |OriginalUri(uri)| uri);
        Self {
            method: request.method().clone(),
            route: matched.map(|route| documented(route).into_owned()),
            operation: matched.and_then(|route| edge.operations.find(route, request.method())).cloned(),
            instance: uri.path().to_owned(),
            query: uri.query().map(ToOwned::to_owned),
            version: request.version(),
            trace: Trace::of(request.headers()),
            started: Instant::now(),
        }
    }
}

impl Edge {
    async fn surroundings(&self, seen: &Seen, headers: &HeaderMap) -> Result<Surroundings, Problem> {
        if seen.instance.len() + seen.query.as_ref().map_or(0, String::len) > URI_BYTES_MAX {
            return Err(Problem::of(&kinds::URI_TOO_LONG).with("bytes_max", URI_BYTES_MAX));
        }
        let header_bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if header_bytes > HEADER_BYTES_MAX {
            return Err(Problem::of(&kinds::HEADERS_TOO_LARGE).with("bytes_max", HEADER_BYTES_MAX));
        }
        let deadline = seen.operation.as_ref().and_then(|it| it.deadline).unwrap_or(self.deadline_default);
        let token = consistency::token_of(headers)?;
        let (authentication, caller) = self.caller(headers).await;
        let context = Context::from(ContextParts {
            caller,
            deadline: seen.started + deadline,
            priority: seen.operation.as_ref().map_or(Priority::Normal, |it| it.priority),
            token,
            wait: Prefer::of(headers).wait.unwrap_or_default(),
            clock: self.clock.clone(),
            trace_id: seen.trace.id.clone(),
        });
        Ok(Surroundings { context, authentication })
    }

    async fn caller(&self, headers: &HeaderMap) -> (Authentication, Caller) {
        let authentication = match bearer(headers) {
            Ok(None) => Authentication::Missing,
            Err(refusal) => Authentication::Refused(refusal),
            Ok(Some(token)) => match self.verifier.check(token).await {
                Ok(caller) => return (Authentication::Known, caller),
                Err(refusal) => Authentication::Refused(refusal),
            },
        };
        let anonymous =
            Caller { subject: ANONYMOUS.into(), scopes: [].into(), plan: ANONYMOUS.into(), expires_at: None };
        (authentication, anonymous)
    }
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(sent) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Invalid("Authorization was sent more than once"));
    }
    let scheme_and_token = sent.to_str().ok().and_then(|text| text.split_once(' '));
    match scheme_and_token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::Invalid("Authorization must be of the form Bearer <token>")),
    }
}

/// The value of a cookie.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(name)?.strip_prefix('='))
}

const CONSISTENCY_TOKEN: HeaderName = HeaderName::from_static("consistency-token");
