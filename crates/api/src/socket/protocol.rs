//! What a module brings to a socket: operations that are answered once, and channels that go on.

use std::sync::Arc;

use common::context::Context;
use common::limit::Class;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use garde::Validate;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use super::credit::Credit;
use super::describe::{ChannelKind, Operation};
use super::error::SocketError;
use crate::extract::body;
use crate::problem::Problem;

/// The largest message that a socket takes when the module says nothing else.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// A call that is under way.
pub type Call = BoxFuture<'static, Result<Reply, SocketError>>;
/// A subscription that is being opened.
pub type Subscribing = BoxFuture<'static, Result<Channel, SocketError>>;

/// A module's side of the socket. The session has checked that the operation or channel is declared, that the
/// caller's token allows it and that there is quota left.
pub trait Protocol: Send + Sync + 'static {
    /// The module's name, for metrics, quotas and the document.
    fn name(&self) -> &'static str;

    /// The operations that [`Protocol::call`] knows.
    fn operations(&self) -> &'static [Operation];

    /// The kinds of channels that [`Protocol::subscribe`] knows.
    fn channels(&self) -> &'static [ChannelKind];

    /// The largest message that the socket takes.
    fn message_bytes_max(&self) -> usize {
        MESSAGE_BYTES_MAX
    }

    /// What kind of work a message of this operation is, by the size of its `args`.
    fn class(&self, operation: &Operation, _args_bytes: usize) -> Class {
        operation.class
    }

    /// This socket's account, where the module lends credit: the session tells the client of it, and [`Protocol::call`]
    /// takes from it.
    fn credit(&self) -> Option<&Credit> {
        None
    }

    /// Starts one operation. The messages of a socket are passed here one by one in the order in which they
    /// arrived, and what is done *before the future is returned* keeps that order. The futures then run
    /// concurrently and are polled in any order: whoever must keep the order of commands parses and hands
    /// over (to a queue, without waiting) first, and only waits for the outcome inside the future. A
    /// future is dropped when the client leaves.
    fn call(&self, ctx: &Context, op: &'static str, args: &RawValue) -> Call;

    /// Opens a channel.
    fn subscribe(&self, ctx: &Context, subscribe: Subscribe) -> Subscribing;
}

/// What a client wants to follow.
#[derive(Debug)]
pub struct Subscribe {
    /// The kind of channel.
    pub name: &'static str,
    /// What it is about: the part of the channel's name after the colon.
    pub key: String,
    /// The number that the client has seen; what is sent starts after it.
    pub resume_from: Option<i64>,
    /// What else the client said.
    pub args: Box<RawValue>,
}

/// The answer to an operation. The freshness token is added by the session when the call's `Context` has
/// written something.
#[derive(Debug)]
pub struct Reply {
    pub(super) data: Box<RawValue>,
}

impl Reply {
    /// A reply with this `data`.
    pub fn of<T: Serialize + ?Sized>(data: &T) -> Result<Self, SocketError> {
        Ok(Self { data: to_raw_value(data).map_err(unserializable)? })
    }

    /// A reply with `data` that is JSON already.
    pub fn raw(data: Box<RawValue>) -> Self {
        Self { data }
    }
}

/// A subscription that is open.
pub struct Channel {
    /// The number that the client is at before the first message; `None` when the first message, a snapshot,
    /// says so.
    pub start: Option<i64>,
    /// What comes. The session takes the next message only while its send queue has room, so a slow client
    /// slows the stream down. A conflated channel merges what was not taken; a private one ends with
    /// [`ChannelEnd::Slow`] when it can't go on without a gap.
    pub messages: BoxStream<'static, Result<ChannelMessage, ChannelEnd>>,
}

/// One message of a channel.
#[derive(Clone, Debug)]
pub struct ChannelMessage {
    /// The number of the stream up to which the client is told by this message.
    pub seq: i64,
    /// The `type`, one of the channel's [`super::MessageKind`]s.
    pub kind: &'static str,
    /// JSON, shared by all subscribers.
    pub data: Arc<RawValue>,
}

impl ChannelMessage {
    /// A message with this `data`.
    pub fn of<T: Serialize + ?Sized>(seq: i64, kind: &'static str, data: &T) -> Result<Self, ChannelEnd> {
        let data = to_raw_value(data).map_err(|e| ChannelEnd::Ended(unserializable(e)))?;
        Ok(Self { seq, kind, data: data.into() })
    }
}

/// Why a channel ends on the server's side.
#[derive(Clone, Debug)]
pub enum ChannelEnd {
    /// The client is too far behind. The socket is closed; the client connects and resumes.
    Slow,
    /// It can't go on, or the caller may no longer see it. The client is told; the socket stays.
    Ended(SocketError),
}

/// Reads `args` as `T`, by the same rules as the body of a request ([`crate::Json`]).
pub fn args<T>(args: &RawValue) -> Result<T, SocketError>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    // The form that names the wrong field's place costs an allocation per field; it is for what is wrong.
    match serde_json::from_str::<T>(args.get()) {
        Ok(value) => body::validate(&value).map(|()| value).map_err(Into::into),
        Err(_) => Ok(body::parse(args.get().as_bytes())?),
    }
}

fn unserializable(error: serde_json::Error) -> SocketError {
    Problem::internal(error).into()
}
