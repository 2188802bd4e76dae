//! One WebSocket session for every module: the envelope, sign-in, subscriptions, back-pressure and
//! closing. A module brings a [`Protocol`] (what its operations and channels do) and mounts
//! [`Upgrade::serve`] on its route; it never sees a frame.
//!
//! In goes `{"id","op","channel","args"}`, out comes
//! `{"id"?,"ch"?,"seq"?,"prev"?,"type","data","token"?,"credit"?}`.
//!
//! - `op` is `auth`, `ping`, `subscribe`, `unsubscribe` or one of the module's. `args.token` is a freshness
//!   token, `args.resume_from` the number that a subscriber has already seen.
//! - Answers carry the `id` and may come out of order. `type` is `reply`, `error`, `pong`, `authenticated`,
//!   `subscribed` or `unsubscribed`.
//! - A channel's frames carry `ch`, `seq` (the stream's number) and `prev` (the number sent before on this
//!   channel); `type` is the module's, or `heartbeat`, which repeats the last `seq`.
//! - Where a module lends [`Credit`], `credit` says how much the client may have under way: in a frame of type `credit`
//!   after the sign-in and whenever it changed, and in each answer.
//! - At the end: `closing` with the reason, then a close frame (see [`close_code`]).

mod channels;
pub mod close_code;
mod credit;
mod describe;
mod end;
mod envelope;
mod error;
mod in_flight;
mod meter;
mod outbox;
pub mod problems;
mod protocol;
mod requests;
mod session;
#[cfg(test)]
mod tests;
mod upgrade;

pub use credit::{Credit, CreditPool, Taken};
pub use describe::{ChannelKind, MessageKind, Operation, SchemaOf, Schemas};
pub use error::{Class, ErrorData, Retry, SocketError};
pub use protocol::{
    Call, Channel, ChannelEnd, ChannelMessage, Protocol, Reply, Subscribe, Subscribing, args,
};
pub use upgrade::{SocketOptions, Sockets, Upgrade};
