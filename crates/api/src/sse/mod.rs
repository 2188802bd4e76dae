//! One event stream (`text/event-stream`) for every module: where it resumes, heartbeats, its ends, the places of a
//! subject, and tickets for browsers. A module brings a [`Source`] (what is told, and whether the caller may still hear it)
//! and serves it with [`Opening::serve`]; it never sees a frame.
//!
//! - Each message's `id:` is the number of the stream that it brings the client to. `Last-Event-ID` (or, the first time,
//!   the parameter `last_event_id`) goes on after a number, on whichever process.
//! - First comes `position`: the number that the stream goes on after. It repeats the client's own, or says where now is.
//! - `reset` says that not everything after the client's number can be told, and the number to read everything anew at.
//! - A comment comes whenever nothing else did for a while, so that a broken connection is noticed.
//! - The last message is `end`, with the reason and the number to resume from: the access token ended, the access did,
//!   or the process stops. It has no `id:`, so that a browser keeps its number.
//!
//! A client that doesn't read is not pulled for: what waits is one page of the source and the connection's buffers. When
//! it reads again it is given what it missed, or a `reset` when that is no longer kept.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use common::context::Context;
use futures_util::stream::unfold;
use http::header::CACHE_CONTROL;
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use tokio_util::sync::CancellationToken;

use self::problems::TOO_MANY_STREAMS;
use self::session::Session;
use crate::Problem;
use crate::extract::{Query, invalid_header};
use crate::problem::kinds;
use crate::seats::{Seat, Seats};

mod describe;
pub(crate) mod problems;
mod session;
mod source;
#[cfg(test)]
mod tests;
pub mod ticket;

pub(crate) use describe::{END, POSITION, RESET};
pub use describe::{EndData, PositionData, ResetData, StreamDocument};
pub use source::{Message, Source, Stopped, Told};

/// The media type.
pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// What is told to one caller is kept by nobody.
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// A proxy that gathers what it passes on would hold messages back.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The bounds and intervals of every stream.
#[derive(Clone, Debug)]
pub struct StreamOptions {
    /// A stream that was silent this long says that it is there.
    pub heartbeat_after: Duration,
    /// When a browser whose connection broke comes back.
    pub retry_after: Duration,
    /// Open streams of one subject, over all modules of this process.
    pub per_subject_max: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            heartbeat_after: Duration::from_secs(15),
            retry_after: Duration::from_secs(1),
            per_subject_max: 100,
        }
    }
}

/// What all streams of the program share. Cheap to clone; reaches the routes as an [`axum::Extension`].
#[derive(Clone)]
pub struct EventStreams(Arc<Shared>);

struct Shared {
    options: StreamOptions,
    shutdown: CancellationToken,
    seats: Seats,
}

impl EventStreams {
    /// Streams that end when `shutdown` is cancelled.
    pub fn new(options: StreamOptions, shutdown: CancellationToken) -> Self {
        let seats = Seats::new(options.per_subject_max);
        Self(Arc::new(Shared { options, shutdown, seats }))
    }
}

/// Where a stream goes on.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ResumeQuery {
    /// The number after which the stream goes on, the first time; `Last-Event-ID` counts when both are sent. Without either
    /// it goes on from now.
    #[param(minimum = 0)]
    last_event_id: Option<i64>,
}

/// The extractor of a stream's route: a stream that is about to be opened.
pub struct Opening {
    shared: Arc<Shared>,
    /// The number that the client has seen, if it says so.
    pub resume_from: Option<i64>,
}

impl<S: Send + Sync> FromRequestParts<S> for Opening {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = "the router stands outside of api::app, which shares the streams";
        let EventStreams(shared) =
            parts.extensions.get::<EventStreams>().ok_or_else(|| Problem::internal(missing))?.clone();
        let Query(asked) = Query::<ResumeQuery>::from_request_parts(parts, state).await?;
        let resume_from = match last_event_id(parts)? {
            Some(seen) => Some(seen),
            None => match asked.last_event_id {
                Some(negative) if negative < 0 => {
                    let problem = Problem::of(&kinds::INVALID_PARAMETER);
                    return Err(problem.field(
                        "/query/last_event_id",
                        "must not be below zero",
                        "out-of-range",
                    ));
                }
                first => first,
            },
        };
        Ok(Self { shared, resume_from })
    }
}

/// A browser that has seen no number yet sends an empty one, or none.
fn last_event_id(parts: &Parts) -> Result<Option<i64>, Problem> {
    let Some(sent) = parts.headers.get(LAST_EVENT_ID).filter(|sent| !sent.is_empty()) else {
        return Ok(None);
    };
    let number = sent.to_str().ok().and_then(|text| text.parse().ok()).filter(|number| *number >= 0);
    number.map(Some).ok_or_else(|| invalid_header(&LAST_EVENT_ID, "is not a number of this stream"))
}

impl Opening {
    /// Answers with `source`, which goes on after `position`, for as long as the token of the context's caller lasts.
    /// `lease`: of the ticket that opened it. `name`: in metrics.
    pub fn serve(
        self,
        ctx: &Context,
        name: &'static str,
        position: i64,
        source: Source,
        lease: Option<ticket::Lease>,
    ) -> Result<Response, Problem> {
        let Self { shared, .. } = self;
        let seat = shared.seat(ctx)?;
        let options = &shared.options;
        let keep_alive = KeepAlive::new().interval(options.heartbeat_after);
        let shutdown = shared.shutdown.child_token().cancelled_owned();
        let session = Session::new(ctx.clone(), name, position, source, lease, shutdown, seat)
            .retry_after(options.retry_after);
        let events = unfold(session, |mut session| async move {
            let event = session.next().await?;
            Some((Ok::<_, Infallible>(event), session))
        });
        let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
        response.headers_mut().insert(CACHE_CONTROL, NO_STORE);
        response.headers_mut().insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }
}

impl Shared {
    fn seat(&self, ctx: &Context) -> Result<Seat, Problem> {
        self.seats.take(&ctx.caller().subject).ok_or_else(|| {
            let detail = format!("one subject may hold {} open streams", self.seats.per_subject_max());
            Problem::of(&TOO_MANY_STREAMS).detail(detail)
        })
    }
}
