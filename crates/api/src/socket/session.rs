//! One socket from sign-in to close frame. A session is a single task without locks: it polls, in this order,
//! finished calls, channels, and what came in, as far as the send queue has room, and then writes all frames
//! with one flush. Back-pressure follows from that: a client that doesn't read is neither read nor pulled for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use chrono::{DateTime, Utc};
use common::context::{Caller, Context};
use futures_util::future::{BoxFuture, poll_fn};
use futures_util::stream::{BoxStream, FuturesUnordered};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::channels::Channels;
use super::credit::Credit;
use super::end::End;
use super::envelope::{self, Frame, Id};
use super::error::SocketError;
use super::in_flight::{Done, InFlight};
use super::meter::Meter;
use super::outbox::Outbox;
use super::protocol::{ChannelEnd, Protocol};
use super::upgrade::Shared;
use crate::problem::Problem;
use crate::seats::Seat;

/// Messages that are read before finished calls and channels have their turn again.
const READ_BURST: usize = 64;

/// One socket.
pub(super) struct Session {
    socket: WebSocket,
    pub(super) shared: Arc<Shared>,
    pub(super) protocol: Arc<dyn Protocol>,
    /// The socket's context; every message gets a child of it.
    pub(super) context: Context,
    /// Taken when the caller is known.
    pub(super) seat: Option<Seat>,
    pub(super) signing_in: Option<BoxFuture<'static, (Id, Result<Caller, Problem>)>>,
    pub(super) calls: FuturesUnordered<InFlight>,
    pub(super) channels: Channels,
    outbox: Outbox,
    /// Ready when the client may have to be told of its credit.
    credit_changes: Option<BoxStream<'static, ()>>,
    credit_told: Option<u32>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    auth_by: Instant,
    ping_at: Instant,
    /// Whether the client gave a sign of life since the last ping.
    heard: bool,
    meter: Meter,
}

impl Session {
    pub fn new(
        socket: WebSocket,
        shared: Arc<Shared>,
        protocol: Arc<dyn Protocol>,
        context: Context,
        seat: Option<Seat>,
    ) -> Self {
        let now = Instant::now();
        let options = &shared.options;
        Self {
            socket,
            context,
            seat,
            signing_in: None,
            calls: FuturesUnordered::new(),
            channels: Channels::default(),
            outbox: Outbox::new(options.queue_bytes_max, options.queue_frames_max),
            credit_changes: protocol.credit().map(Credit::changes),
            credit_told: None,
            // A token of its own, so that sockets don't share the lock of one.
            shutdown: Box::pin(shared.shutdown.child_token().cancelled_owned()),
            timer: Box::pin(tokio::time::sleep_until(now)),
            auth_by: now + options.auth_within,
            ping_at: now + options.ping_every,
            heard: true,
            meter: Meter::open(protocol.name()),
            shared,
            protocol,
        }
    }

    /// Runs until the socket is closed by either side.
    pub async fn run(mut self) {
        let end = poll_fn(|cx| self.poll(cx)).await;
        self.meter.closing(&end);
        self.finish(end).await;
    }

    fn poll(&mut self, cx: &mut Task<'_>) -> Poll<End> {
        match self.advance(cx) {
            Ok(()) => Poll::Pending,
            Err(end) => Poll::Ready(end),
        }
    }

    /// Does all that can be done now. Everything that could wake the session has been polled when it returns.
    fn advance(&mut self, cx: &mut Task<'_>) -> Result<(), End> {
        if self.shutdown.as_mut().poll_unpin(cx).is_ready() {
            return Err(End::GoingAway);
        }
        while self.timer.as_mut().poll_unpin(cx).is_ready() {
            self.on_time()?;
        }
        loop {
            let moved = self.sign_in(cx)?
                | self.tell_credit(cx)
                | self.finish_calls(cx)
                | self.pull(cx)?
                | self.read(cx)?;
            if moved {
                continue;
            }
            let had_room = self.outbox.has_room();
            if let Poll::Ready(Err(_)) = self.outbox.poll_write(&mut self.socket, cx) {
                return Err(End::Gone);
            }
            if had_room || !self.outbox.has_room() {
                return Ok(());
            }
        }
    }

    fn sign_in(&mut self, cx: &mut Task<'_>) -> Result<bool, End> {
        let Some(signing_in) = &mut self.signing_in else { return Ok(false) };
        let Poll::Ready((id, result)) = signing_in.as_mut().poll(cx) else { return Ok(false) };
        self.signing_in = None;
        self.on_signed_in(&id, result)?;
        Ok(true)
    }

    /// Tells a client that is known what it may have under way, if that is something new.
    fn tell_credit(&mut self, cx: &mut Task<'_>) -> bool {
        if self.seat.is_none() {
            return false;
        }
        let Some(changes) = &mut self.credit_changes else { return false };
        let Poll::Ready(changed) = changes.poll_next_unpin(cx) else { return false };
        if changed.is_none() {
            self.credit_changes = None;
        }
        let before = self.credit_told;
        let credit = self.credit();
        if credit != before {
            self.send(&Frame { kind: "credit", credit, ..Frame::default() });
        }
        true
    }

    /// What the client may have under way; it is about to be told.
    fn credit(&mut self) -> Option<u32> {
        self.credit_told = self.protocol.credit().map(Credit::tell);
        self.credit_told
    }

    fn finish_calls(&mut self, cx: &mut Task<'_>) -> bool {
        let mut moved = false;
        while let Poll::Ready(Some(done)) = self.calls.poll_next_unpin(cx) {
            self.on_done(done);
            moved = true;
        }
        moved
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Called { id, ctx, result: Ok(reply) } => {
                let token = ctx.written_token().map(|token| token.encode());
                let (data, credit) = (Some(reply.data.get()), self.credit());
                self.send(&Frame {
                    id: Some(&id),
                    kind: "reply",
                    data,
                    token: token.as_deref(),
                    credit,
                    ..Frame::default()
                });
            }
            Done::Called { id, result: Err(error), .. } => {
                let credit = self.credit();
                self.push(envelope::error(&id, None, credit, &error));
            }
            Done::Subscribed { id, name, serial, result } => {
                let Some(json) = self.channels.reserved(&name, serial) else { return };
                match result {
                    Ok(channel) => {
                        let (channel_name, seq) = (Some(&*json), channel.start);
                        let kind = "subscribed";
                        self.send(&Frame {
                            id: Some(&id),
                            channel: channel_name,
                            seq,
                            kind,
                            ..Frame::default()
                        });
                        self.channels.open(&name, channel, Instant::now());
                        self.reset_timer();
                    }
                    Err(error) => {
                        self.channels.release(&name, serial);
                        self.push(envelope::error(&id, Some(&json), None, &error));
                    }
                }
            }
        }
    }

    /// Takes from the channels what the send queue has room for.
    fn pull(&mut self, cx: &mut Task<'_>) -> Result<bool, End> {
        let mut moved = false;
        while self.outbox.has_room() {
            let Poll::Ready((name, item)) = self.channels.poll_next(cx) else { break };
            moved = true;
            let error = match item {
                Some(Ok(message)) => {
                    if let Some(sent) = self.channels.sent(&name, message.seq, Instant::now()) {
                        let (kind, data) = (message.kind, Some(message.data.get()));
                        let (channel, seq, prev) = (Some(&*sent.json), Some(message.seq), sent.prev);
                        self.send(&Frame { channel, seq, prev, kind, data, ..Frame::default() });
                    }
                    continue;
                }
                Some(Err(ChannelEnd::Slow)) => return Err(End::Slow),
                Some(Err(ChannelEnd::Ended(error))) => Some(error),
                None => None,
            };
            self.send_unsubscribed(&Id::NONE, &name, error.as_ref());
            self.channels.close(&name);
        }
        Ok(moved)
    }

    fn may_read(&self) -> bool {
        self.signing_in.is_none()
            && self.outbox.has_room()
            && self.calls.len() < self.shared.options.calls_max
    }

    fn read(&mut self, cx: &mut Task<'_>) -> Result<bool, End> {
        let mut moved = false;
        for _ in 0..READ_BURST {
            if !self.may_read() {
                // Its pong may wait behind what isn't read now.
                self.heard = true;
                break;
            }
            let message = match self.socket.poll_next_unpin(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => return Err(End::Gone),
                Poll::Ready(Some(Err(error))) => return Err(End::of(&error)),
                Poll::Ready(Some(Ok(message))) => message,
            };
            moved = true;
            self.heard = true;
            match message {
                Message::Text(text) => self.on_text(&text)?,
                Message::Binary(_) => self.on_text("")?,
                Message::Close(_) => return Err(End::Gone),
                Message::Ping(_) | Message::Pong(_) => {}
            }
        }
        Ok(moved)
    }

    fn on_text(&mut self, text: &str) -> Result<(), End> {
        if text.len() > self.protocol.message_bytes_max() {
            return Err(End::TooLarge);
        }
        if self.seat.is_some() && self.expires_at().is_some_and(|at| at <= self.context.now()) {
            return Err(End::Unauthenticated("the access token has ended"));
        }
        self.meter.received();
        match envelope::parse(text) {
            Ok((id, request)) => {
                if let Err(error) = self.handle(&id, &request) {
                    self.send_error(&id, &error);
                }
            }
            Err((id, error)) => self.send_error(&id, &error),
        }
        Ok(())
    }

    pub(super) fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.context.caller().expires_at
    }

    fn on_time(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.seat.is_none() {
            if self.auth_by <= now {
                return Err(End::Unauthenticated("no access token came in time"));
            }
        } else if self.expires_at().is_some_and(|at| at <= self.context.now()) {
            return Err(End::Unauthenticated("the access token has ended"));
        }
        if self.ping_at <= now {
            let stuck = !self.outbox.take_progress() && !self.outbox.has_room();
            if stuck {
                return Err(End::Slow);
            }
            if !std::mem::take(&mut self.heard) {
                return Err(End::Silent);
            }
            self.outbox.push(Message::Ping(Default::default()));
            self.ping_at = now + self.shared.options.ping_every;
        }
        for (json, seq) in self.channels.silent(self.shared.options.heartbeat_after, now) {
            self.send(&Frame { channel: Some(&json), seq, kind: "heartbeat", ..Frame::default() });
        }
        self.reset_timer();
        Ok(())
    }

    /// Sets the timer to whatever is due next.
    pub(super) fn reset_timer(&mut self) {
        let auth = if self.seat.is_none() {
            Some(self.auth_by)
        } else {
            let left = self.expires_at().map(|at| (at - self.context.now()).to_std().unwrap_or_default());
            left.and_then(|left| Instant::now().checked_add(left))
        };
        let heartbeat = self.channels.next_silence(self.shared.options.heartbeat_after);
        let next = [auth, heartbeat].into_iter().flatten().fold(self.ping_at, Instant::min);
        self.timer.as_mut().reset(next);
    }

    pub(super) fn send(&mut self, frame: &Frame<'_>) {
        self.push(frame.encode());
    }

    pub(super) fn send_error(&mut self, id: &Id, error: &SocketError) {
        self.push(envelope::error(id, None, None, error));
    }

    fn send_unsubscribed(&mut self, id: &Id, name: &str, error: Option<&SocketError>) {
        let channel = serde_json::to_string(name).expect("a string is JSON");
        let data = error.map(|error| serde_json::to_string(error).expect("an error is JSON"));
        let (id, channel, data) = (Some(id), Some(&*channel), data.as_deref());
        self.send(&Frame { id, channel, kind: "unsubscribed", data, ..Frame::default() });
    }

    pub(super) fn unsubscribed(&mut self, id: &Id, name: &str) {
        self.send_unsubscribed(id, name, None);
    }

    fn push(&mut self, text: String) {
        self.meter.sent();
        self.outbox.push(Message::Text(Utf8Bytes::from(text)));
    }

    /// The last answers, `closing` and the close frame; then the client's own close frame is awaited.
    async fn finish(mut self, end: End) {
        let Some(frame) = end.close_frame() else { return };
        let within = self.shared.options.close_within;
        let closing = async {
            if matches!(end, End::GoingAway) {
                while let Some(done) = self.calls.next().await {
                    self.on_done(done);
                }
            }
            let data = serde_json::json!({"code": frame.code, "reason": &*frame.reason}).to_string();
            self.send(&Frame { kind: "closing", data: Some(&data), ..Frame::default() });
            self.outbox.push(Message::Close(Some(frame)));
            let written = poll_fn(|cx| self.outbox.poll_write(&mut self.socket, cx)).await;
            if written.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // A client that takes nothing is left without a farewell.
        let _ = tokio::time::timeout(within, closing).await;
    }
}
