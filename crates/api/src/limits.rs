//! The rate limits' layer. It stands behind the edge, which knows the caller, and in front of everything that costs
//! more: bodies, access, handlers. Every answer says where the caller stands (`RateLimit`, `RateLimit-Policy`); a used up
//! quota is 429, a resource that has no more to give is 503, both with `Retry-After`.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use common::limit::{self, Class, Layer, Limits, Permit, Quota, Refusal, Who};
use http::header::{CONTENT_LENGTH, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::{Frame, SizeHint};

use crate::context::{Authentication, Surroundings};
use crate::extract::body::BODY_BYTES_MAX;
use crate::problem::{Problem, kinds};
use crate::readiness;
use crate::route::Operation;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Decides, and goes on or answers at once.
pub(crate) async fn limit(State(limits): State<Limits>, request: Request, next: Next) -> Response {
    if readiness::PROBES.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let class = class_of(&request);
    let decision = decide(&limits, class, &request);
    let mut response = match decision.outcome {
        Err(refusal) => refused(&refusal).into_response(),
        // A stream lasts for hours: it holds no permit while nothing is asked of it.
        Ok(_permit) if class == Class::Stream => next.run(request).await,
        Ok(permit) => next.run(request).await.map(|body| Body::new(Permitted { body, _permit: permit })),
    };
    say(&decision.quotas, response.headers_mut());
    response
}

fn decide(limits: &Limits, class: Class, request: &Request) -> limit::Decision {
    let surroundings = request.extensions().get::<Surroundings>();
    let operation = request.extensions().get::<Arc<Operation>>();
    let resource = operation.and_then(|operation| operation.resource.as_deref());
    let (who, class) = match surroundings {
        Some(Surroundings { context, authentication: Authentication::Known }) => {
            let caller = context.caller();
            (Who::Subject { subject: &caller.subject, plan: &caller.plan }, class)
        }
        known => {
            let refused = known.is_some_and(|it| matches!(it.authentication, Authentication::Refused(_)));
            let class = if refused { Class::SignIn } else { class };
            (Who::Address(client_address(limits, request)), class)
        }
    };
    limits.check(&limit::Request { who, class, units: 1, resource })
}

/// What kind of work the request is. Where more than the usual body is taken, what is sent decides: a device's few
/// samples are an ordinary write, its backlog of a month is not.
fn class_of(request: &Request) -> Class {
    let headers = request.headers();
    let body_bytes = || headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse::<usize>().ok();
    let large = || body_bytes().is_none_or(|bytes| bytes > BODY_BYTES_MAX);
    let has = |name, value: &str| {
        headers.get(name).and_then(|it: &HeaderValue| it.to_str().ok()).is_some_and(|it| it.contains(value))
    };
    let operation = request.extensions().get::<Arc<Operation>>();
    match *request.method() {
        Method::GET if has(UPGRADE, "websocket") || operation.is_some_and(|it| it.streams) => Class::Stream,
        Method::GET | Method::HEAD => Class::Read,
        _ if operation.is_some_and(|it| it.body_bytes_max > BODY_BYTES_MAX) && large() => Class::Bulk,
        _ => Class::Write,
    }
}

/// Clients whose address isn't known, which only a test's are, share one.
fn client_address(limits: &Limits, request: &Request) -> IpAddr {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(peer)| peer.ip());
    let forwarded: Vec<&str> =
        request.headers().get_all(X_FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    limits.client_address(peer, forwarded.into_iter())
}

fn refused(refusal: &Refusal) -> Problem {
    let kind = match refusal.layer {
        Layer::User => &kinds::RATE_LIMITED,
        Layer::Resource => &kinds::OVERLOADED,
    };
    Problem::of(kind).retry_after(refusal.retry_after).with("policy", &*refusal.policy)
}

/// draft-ietf-httpapi-ratelimit-headers: the quota's name, its units per window, what is left, and in how many seconds
/// nothing of it is used any more.
fn say(quotas: &[Quota], headers: &mut HeaderMap) {
    let (mut policies, mut standings) = (String::new(), String::new());
    for quota in quotas {
        let comma = if policies.is_empty() { "" } else { ", " };
        let name = quota.policy();
        let _ = write!(policies, "{comma}\"{name}\";q={};w={}", quota.quantity(), quota.window_s());
        let _ = write!(standings, "{comma}\"{name}\";r={};t={}", quota.remaining(), quota.reset_s());
    }
    if let (false, Ok(policies), Ok(standings)) =
        (quotas.is_empty(), HeaderValue::try_from(policies), HeaderValue::try_from(standings))
    {
        headers.insert(RATE_LIMIT_POLICY, policies);
        headers.insert(RATE_LIMIT, standings);
    }
}

/// A body that holds the permit until it was sent or given up.
struct Permitted {
    body: Body,
    _permit: Permit,
}

impl HttpBody for Permitted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(task)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests;
