//! One channel of a socket.

use tokio::sync::mpsc;

use super::error::Error;
use super::frame::Frame;

/// One channel of a socket. What isn't read here holds up the whole socket, as it does in a client with one reader.
pub struct Subscription {
    pub(super) channel: String,
    pub(super) last: Option<i64>,
    pub(super) frames: mpsc::Receiver<Result<Frame, Error>>,
}

impl Subscription {
    /// The channel's name.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// The number to resume from.
    pub fn seq(&self) -> Option<i64> {
        self.last
    }

    /// The next message that isn't a heartbeat. An error when it doesn't follow on the one before; heartbeats are
    /// held against the last number too.
    pub async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            let closed = || Error::Closed { code: 1006, reason: "the socket is gone".to_owned() };
            let frame = self.frames.recv().await.ok_or_else(closed)??;
            if frame.kind == "unsubscribed" {
                return Err(Error::Ended(frame.data.get().to_owned()));
            }
            let seq = frame.seq.ok_or_else(|| Error::Shape("seq".to_owned()))?;
            let heartbeat = frame.kind == "heartbeat";
            let follows = if heartbeat { Some(seq) } else { frame.prev };
            if self.last.is_some() && follows != self.last {
                let (channel, have) = (self.channel.clone(), self.last.unwrap_or_default());
                return Err(Error::Gap { channel, have, prev: frame.prev, seq });
            }
            if !heartbeat {
                self.last = Some(seq);
                return Ok(frame);
            }
        }
    }
}
