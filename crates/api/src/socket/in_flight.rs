//! What a socket's messages have started and is not yet answered.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};

use common::context::Context;
use common::limit::Permit;

use super::envelope::Id;
use super::error::SocketError;
use super::protocol::{Call, Channel, Reply, Subscribing};

/// A call or a subscription that is under way, with its share of the module's capacity.
pub(super) enum InFlight {
    Call { id: Id, ctx: Context, call: Call, _permit: Permit },
    Subscribe { id: Id, name: Arc<str>, serial: u64, subscribing: Subscribing, _permit: Permit },
}

/// How it ended.
pub(super) enum Done {
    Called { id: Id, ctx: Context, result: Result<Reply, SocketError> },
    Subscribed { id: Id, name: Arc<str>, serial: u64, result: Result<Channel, SocketError> },
}

impl Future for InFlight {
    type Output = Done;

    fn poll(self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Done> {
        Poll::Ready(match self.get_mut() {
            Self::Call { id, ctx, call, .. } => {
                let result = ready!(call.as_mut().poll(cx));
                Done::Called { id: id.clone(), ctx: ctx.clone(), result }
            }
            Self::Subscribe { id, name, serial, subscribing, .. } => {
                let result = ready!(subscribing.as_mut().poll(cx));
                Done::Subscribed { id: id.clone(), name: name.clone(), serial: *serial, result }
            }
        })
    }
}
