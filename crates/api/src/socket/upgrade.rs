//! From an HTTP request to a session: what all sockets of the program share, and the extractor of a route.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse, Response};
use common::context::Context;
use common::limit::Limits;
use http::request::Parts;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::problems::TOO_MANY_SOCKETS;
use super::protocol::Protocol;
use super::session::Session;
use crate::auth::Verifier;
use crate::context::{Authentication, Surroundings, authenticated};
use crate::problem::{Problem, kinds};
use crate::seats::{Seat, Seats};

/// A message that is larger than allowed, but by no more than this, is read to its end, so that the client gets the
/// close frame and not a reset connection.
const OVERSIZE_READ_BYTES: usize = 256 * 1024;
/// What the socket gathers before it writes; a flush follows when there is nothing more to gather.
const WRITE_BUFFER_BYTES: usize = 64 * 1024;

/// The bounds and intervals of every session.
#[derive(Clone, Debug)]
pub struct SocketOptions {
    /// How long a socket may stay without a valid token.
    pub auth_within: Duration,
    /// How often a silent client is asked for a sign of life; without one until the next time it is closed.
    pub ping_every: Duration,
    /// A channel that was silent this long repeats its last number.
    pub heartbeat_after: Duration,
    /// The deadline of one message.
    pub call_within: Duration,
    /// How long the last answers and the close frame may take.
    pub close_within: Duration,
    /// Bytes that wait for a client; above it, its channels and its messages wait.
    pub queue_bytes_max: usize,
    /// Frames that wait for a client.
    pub queue_frames_max: usize,
    /// Operations of one socket that are under way; above it, its messages wait.
    pub calls_max: usize,
    /// Subscriptions of one socket.
    pub subscriptions_max: usize,
    /// Open sockets of one subject, over all modules of this process.
    pub sockets_per_subject_max: usize,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            auth_within: Duration::from_secs(5),
            ping_every: Duration::from_secs(25),
            heartbeat_after: Duration::from_secs(15),
            call_within: Duration::from_secs(10),
            close_within: Duration::from_secs(5),
            queue_bytes_max: 256 * 1024,
            queue_frames_max: 4_096,
            calls_max: 512,
            subscriptions_max: 100,
            sockets_per_subject_max: 100,
        }
    }
}

/// What all sockets of the program share. Cheap to clone; reaches the routes as an [`axum::Extension`].
#[derive(Clone)]
pub struct Sockets(pub(super) Arc<Shared>);

pub(super) struct Shared {
    pub verifier: Verifier,
    pub limits: Limits,
    pub options: SocketOptions,
    pub shutdown: CancellationToken,
    tasks: TaskTracker,
    seats: Seats,
}

impl Sockets {
    /// Sockets that end when `shutdown` is cancelled and are all over when `tasks` is empty.
    pub fn new(
        verifier: Verifier,
        limits: Limits,
        options: SocketOptions,
        shutdown: CancellationToken,
        tasks: TaskTracker,
    ) -> Self {
        let seats = Seats::new(options.sockets_per_subject_max);
        Self(Arc::new(Shared { verifier, limits, options, shutdown, tasks, seats }))
    }
}

impl Shared {
    /// A place among the subject's sockets, while there is one.
    pub fn seat(&self, subject: &Arc<str>) -> Result<Seat, Problem> {
        self.seats.take(subject).ok_or_else(|| {
            let detail = format!("one subject may hold {} open sockets", self.seats.per_subject_max());
            Problem::of(&TOO_MANY_SOCKETS).detail(detail)
        })
    }
}

/// The extractor of a socket's route. A caller who sent an `Authorization` header is known (or refused) at once;
/// one who sent none, as a browser must, has a few seconds for an `auth` message.
pub struct Upgrade {
    upgrade: WebSocketUpgrade,
    shared: Arc<Shared>,
    context: Context,
    known: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Upgrade {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let missing = "the router stands outside of api::app, which shares the sockets and makes the context";
        let Sockets(shared) =
            parts.extensions.get::<Sockets>().ok_or_else(|| Problem::internal(missing))?.clone();
        let Surroundings { context, authentication } =
            parts.extensions.get::<Surroundings>().ok_or_else(|| Problem::internal(missing))?.clone();
        let known = match authentication {
            Authentication::Missing => false,
            sent => authenticated(&sent).map(|()| true)?,
        };
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state)
            .await
            .map_err(|rejection| Problem::of(&kinds::MALFORMED_REQUEST).detail(rejection.body_text()))?;
        Ok(Self { upgrade, shared, context, known })
    }
}

impl Upgrade {
    /// Answers the upgrade and speaks `protocol` on the socket until it ends.
    pub fn serve(self, protocol: Arc<dyn Protocol>) -> Response {
        let Self { upgrade, shared, context, known } = self;
        let seat = match known.then(|| shared.seat(&context.caller().subject)).transpose() {
            Ok(seat) => seat,
            Err(problem) => return problem.into_response(),
        };
        let running = shared.tasks.token();
        let read_bytes_max = protocol.message_bytes_max().saturating_add(OVERSIZE_READ_BYTES);
        upgrade
            .max_message_size(read_bytes_max)
            .max_frame_size(read_bytes_max)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .on_upgrade(move |socket| async move {
                let _running = running;
                Session::new(socket, shared, protocol, context, seat).run().await;
            })
    }
}
