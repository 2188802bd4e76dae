//! The bounded queue of frames between a session and its socket.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use axum::extract::ws::{Message, WebSocket};
use futures_util::SinkExt;

/// Frames that wait for the socket, and the bytes in them. The bounds are where the session stops reading and
/// pulling; answers to what was read before still find a place, and their number is bounded by the calls.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: VecDeque<Message>,
    bytes: usize,
    bytes_max: usize,
    frames_max: usize,
    unflushed: bool,
    progressed: bool,
}

impl Outbox {
    pub fn new(bytes_max: usize, frames_max: usize) -> Self {
        Self { frames: VecDeque::new(), bytes: 0, bytes_max, frames_max, unflushed: false, progressed: false }
    }

    /// Whether more may be produced for this client.
    pub fn has_room(&self) -> bool {
        self.bytes < self.bytes_max && self.frames.len() < self.frames_max
    }

    /// Whether the socket took anything since this was last asked.
    pub fn take_progress(&mut self) -> bool {
        std::mem::take(&mut self.progressed)
    }

    pub fn push(&mut self, frame: Message) {
        self.bytes += length(&frame);
        self.frames.push_back(frame);
    }

    /// Writes what the socket takes, and flushes once. Ready when nothing is left.
    pub fn poll_write(
        &mut self,
        socket: &mut WebSocket,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), axum::Error>> {
        while !self.frames.is_empty() {
            ready!(socket.poll_ready_unpin(cx))?;
            let Some(frame) = self.frames.pop_front() else { break };
            self.bytes -= length(&frame);
            self.unflushed = true;
            self.progressed = true;
            socket.start_send_unpin(frame)?;
        }
        if self.unflushed {
            ready!(socket.poll_flush_unpin(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }
}

fn length(frame: &Message) -> usize {
    match frame {
        Message::Text(text) => text.len(),
        Message::Binary(bytes) | Message::Ping(bytes) | Message::Pong(bytes) => bytes.len(),
        Message::Close(_) => 0,
    }
}
