//! What a module gives a stream.

use futures_util::stream::BoxStream;
use serde::Serialize;

use crate::Problem;

/// What is told, in order. It is polled only when the client has room, and no message may be lost when a poll is not
/// followed by another for a long time. Its end is the end of the process.
pub type Source = BoxStream<'static, Result<Told, Stopped>>;

/// One thing that is told.
#[derive(Debug)]
pub enum Told {
    /// A message that follows on the one before.
    Message(Message),
    /// Not everything after the number before can be told. The source goes on after `head`.
    Reset {
        /// The number to read everything anew at.
        head: i64,
    },
}

/// Why a source tells no more.
#[derive(Debug)]
pub enum Stopped {
    /// The caller may no longer hear it.
    AccessEnded,
    /// It can't go on, for a reason that is logged and not told.
    Broken(Problem),
}

/// A message of the module's own.
#[derive(Debug)]
pub struct Message {
    pub(super) id: i64,
    pub(super) name: &'static str,
    pub(super) data: String,
}

impl Message {
    /// `name` is the `event:`, `id` the number of the stream that it brings the client to.
    pub fn of(id: i64, name: &'static str, data: &impl Serialize) -> Result<Self, Stopped> {
        let data = serde_json::to_string(data).map_err(|error| Stopped::Broken(Problem::internal(error)))?;
        Ok(Self { id, name, data })
    }
}
