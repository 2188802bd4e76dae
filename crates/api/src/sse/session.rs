//! One stream from its first message to its last. It is polled by the connection, so that a client which doesn't read is
//! not pulled for.

use std::pin::Pin;
use std::time::Duration;

use axum::response::sse::Event;
use common::context::Context;
use futures_util::StreamExt;
use metrics::{Counter, Gauge, counter, gauge};
use serde::Serialize;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::describe::{END, EndData, EndReason, POSITION, PositionData, RESET, ResetData};
use super::source::{Source, Stopped, Told};
use super::ticket::Lease;
use crate::seats::Seat;

/// A clock that was set back is asked again after this at the latest.
const TOKEN_LOOK_EVERY_MAX: Duration = Duration::from_secs(3600);

pub(super) struct Session {
    ctx: Context,
    source: Source,
    /// The number that the client was brought to.
    position: i64,
    phase: Phase,
    retry_after: Option<Duration>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    token_look: Pin<Box<Sleep>>,
    lease: Option<Lease>,
    meter: Meter,
    _seat: Seat,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Open,
    Over,
}

impl Session {
    pub fn new(
        ctx: Context,
        name: &'static str,
        position: i64,
        source: Source,
        lease: Option<Lease>,
        shutdown: WaitForCancellationFutureOwned,
        seat: Seat,
    ) -> Self {
        let token_look = Box::pin(tokio::time::sleep(token_left(&ctx)));
        Self {
            ctx,
            source,
            position,
            phase: Phase::Opening,
            retry_after: None,
            shutdown: Box::pin(shutdown),
            token_look,
            lease,
            meter: Meter::open(name),
            _seat: seat,
        }
    }

    /// When a browser whose connection broke comes back.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// The next message; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        match self.phase {
            Phase::Opening => {
                self.phase = Phase::Open;
                let event = numbered(self.position, POSITION, &PositionData { seq: self.position });
                return Some(match self.retry_after {
                    Some(wait) => event.retry(wait),
                    None => event,
                });
            }
            Phase::Open => {}
            Phase::Over => return None,
        }
        loop {
            tokio::select! {
                biased;
                () = &mut self.shutdown => return Some(self.end(EndReason::GoingAway)),
                () = &mut self.token_look => {
                    if is_over(&self.ctx) {
                        return Some(self.end(EndReason::TokenEnded));
                    }
                    let again = Instant::now() + token_left(&self.ctx);
                    self.token_look.as_mut().reset(again);
                }
                () = until_renewal(self.lease.as_ref()) => {
                    if let Some(lease) = &mut self.lease {
                        lease.renew(&self.ctx).await;
                    }
                }
                told = self.source.next() => return Some(self.tell(told)),
            }
        }
    }

    fn tell(&mut self, told: Option<Result<Told, Stopped>>) -> Event {
        match told {
            Some(Ok(Told::Message(message))) => {
                self.position = message.id;
                self.meter.messages.increment(1);
                frame(message.name).id(message.id.to_string()).data(message.data)
            }
            Some(Ok(Told::Reset { head })) => {
                self.position = head;
                self.meter.messages.increment(1);
                numbered(head, RESET, &ResetData { head })
            }
            Some(Err(Stopped::AccessEnded)) => self.end(EndReason::AccessEnded),
            Some(Err(Stopped::Broken(problem))) => {
                let cause = problem.cause().map(|cause| cause as &dyn std::error::Error);
                tracing::error!(stream = self.meter.name, cause, "an event stream can't go on");
                self.end(EndReason::Broken)
            }
            None => self.end(EndReason::GoingAway),
        }
    }

    fn end(&mut self, reason: EndReason) -> Event {
        self.phase = Phase::Over;
        self.meter.ended(reason);
        // Without a number, so that a browser keeps its own.
        frame(END).data(json(&EndData { reason, resume_from: self.position }))
    }
}

fn frame(name: &'static str) -> Event {
    Event::default().event(name)
}

fn numbered(id: i64, name: &'static str, data: &impl Serialize) -> Event {
    frame(name).id(id.to_string()).data(json(data))
}

fn json(data: &impl Serialize) -> String {
    serde_json::to_string(data).expect("numbers and names")
}

fn is_over(ctx: &Context) -> bool {
    ctx.caller().expires_at.is_some_and(|at| at <= ctx.now())
}

/// Until the token ends, or until it is looked again whether it has.
fn token_left(ctx: &Context) -> Duration {
    let left = ctx.caller().expires_at.map(|at| (at - ctx.now()).to_std().unwrap_or_default());
    left.unwrap_or(TOKEN_LOOK_EVERY_MAX).min(TOKEN_LOOK_EVERY_MAX)
}

async fn until_renewal(lease: Option<&Lease>) {
    match lease {
        Some(lease) => tokio::time::sleep_until(lease.renew_at()).await,
        None => std::future::pending().await,
    }
}

/// What a stream counts; the gauge of open ones falls when it is dropped.
struct Meter {
    name: &'static str,
    open: Gauge,
    messages: Counter,
}

impl Meter {
    fn open(name: &'static str) -> Self {
        let open = gauge!("weir_event_streams_open", "stream" => name);
        open.increment(1.0);
        Self { name, open, messages: counter!("weir_event_stream_messages_total", "stream" => name) }
    }

    fn ended(&self, reason: EndReason) {
        counter!("weir_event_streams_ended_total", "stream" => self.name, "reason" => reason.name())
            .increment(1);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}
