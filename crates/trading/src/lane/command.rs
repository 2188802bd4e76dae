//! Commands as a lane takes them, its answers, and how both are kept for ever.

use std::sync::Arc;

use api::FieldError;
use chrono::{DateTime, Utc};
use common::context::Context;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedRwLockReadGuard;

use crate::error::{Error, field};
use crate::matching::Rejection;
use crate::model::{
    AccountId, CancelReason, InstrumentId, Order, OrderId, OrderStatus, OrderType, SelfTrade, Side,
    TimeInForce,
};
use crate::store::lane::{Closed, Decided};

/// A command in a lane's queue, with the caller who waits for it.
#[derive(Debug)]
pub struct Item {
    /// The caller's surroundings; its token learns of the commit.
    pub ctx: Context,
    /// The account that is commanded. Whether it is the caller's is checked by the lane.
    pub account: AccountId,
    /// What to do.
    pub command: Command,
    /// Let go once the command is decided, however long its caller has waited.
    pub _flight: Option<Flight>,
}

/// A share of what a sweep of the same socket waits to have alone.
pub type Flight = OwnedRwLockReadGuard<()>;

/// What to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Command {
    /// Place an order, once for its client id.
    Place {
        /// The client's own id.
        client_id: Arc<str>,
        /// The order.
        request: Request,
    },
    /// Take an open order off.
    Cancel(Target),
    /// Take all open orders of the account off, once for the sweep's id.
    CancelAll {
        /// The sweep's id.
        id: Arc<str>,
        /// Why.
        reason: CancelReason,
    },
}

/// Which order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Target {
    /// By the id that it was given here.
    Order(OrderId),
    /// By the id that its owner gave it.
    Client(Arc<str>),
}

/// The content of an order: what must be equal when a client id comes again. Also how it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Which way.
    pub side: Side,
    /// How it is priced.
    pub r#type: OrderType,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// What happens when it would meet an order of its own account.
    pub self_trade: SelfTrade,
    /// In units of `10^-price_scale`.
    pub price: i64,
    /// In minor units of the base asset.
    pub quantity: i64,
}

/// A committed command's effect on its order, at that time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// The order.
    pub order: OrderId,
    /// The client's own id for it.
    pub client_id: Arc<str>,
    /// Its state after the command.
    pub state: AckState,
    /// Whether an earlier command had done this already.
    pub duplicate: bool,
}

/// The part of an [`Ack`] that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckState {
    /// Where the order is in its life.
    pub status: OrderStatus,
    /// Why, when it was taken off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<CancelReason>,
    /// What was traded of it.
    pub filled: i64,
    /// What that came to.
    pub notional: i64,
    /// The fees for it.
    pub fee: i64,
    /// The number of the account's event.
    pub seq: i64,
    /// The number of the instrument's event.
    pub instrument_seq: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a sweep took off on one instrument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// The orders that were open.
    pub orders: Vec<OrderId>,
    /// The number of the account's event; its last one when there were none.
    pub seq: i64,
    /// The number of the instrument's event, likewise.
    pub instrument_seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Whether an earlier command with this id had done it.
    pub duplicate: bool,
}

/// What a command came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// One order's part.
    Order(Ack),
    /// Those of a sweep.
    Swept(Swept),
}

/// What the lane answers.
pub type Answer = Result<Reply, Error>;

/// A rejection as it is kept.
#[derive(Serialize, Deserialize)]
struct Rejected {
    rejected: Rejection,
}

/// What is known of a client id.
#[derive(Clone, Debug)]
pub enum Prior {
    /// An order was decided under it.
    Order {
        /// On which instrument.
        instrument: InstrumentId,
        /// What was asked for.
        request: Request,
        /// What was decided.
        outcome: Result<Ack, Rejection>,
    },
    /// Its owner sealed it: no order ever was or will be placed under it.
    Void,
}

impl Reply {
    /// Whether an earlier command had done this.
    pub fn duplicate_mut(&mut self) -> &mut bool {
        match self {
            Self::Order(ack) => &mut ack.duplicate,
            Self::Swept(swept) => &mut swept.duplicate,
        }
    }

    /// The same, to be read.
    pub fn is_duplicate(&self) -> bool {
        match self {
            Self::Order(ack) => ack.duplicate,
            Self::Swept(swept) => swept.duplicate,
        }
    }
}

impl AckState {
    /// Of an order that the command has just changed.
    pub fn of(order: &Order, seq: i64, instrument_seq: i64, at: DateTime<Utc>) -> Self {
        Self {
            status: order.status,
            reason: order.reason,
            filled: order.filled,
            notional: order.notional,
            fee: order.fee,
            seq,
            instrument_seq,
            at,
        }
    }
}

impl From<&Closed> for AckState {
    fn from(closed: &Closed) -> Self {
        Self {
            status: closed.status,
            reason: closed.reason,
            filled: closed.filled,
            notional: closed.notional,
            fee: closed.fee,
            seq: closed.seq,
            instrument_seq: closed.instrument_seq,
            at: closed.at,
        }
    }
}

impl Prior {
    /// What was decided before, from its row.
    pub fn read(client_id: &Arc<str>, decided: &Decided) -> Result<Self, Error> {
        let Some(instrument) = decided.instrument else { return Ok(Self::Void) };
        let unreadable =
            |error: serde_json::Error| Error::Broken(format!("a command's row can't be read: {error}"));
        let request = serde_json::from_str(&decided.request).map_err(unreadable)?;
        let outcome = match decided.order {
            Some(order) => {
                let state = serde_json::from_str(&decided.result).map_err(unreadable)?;
                Ok(Ack { order, client_id: client_id.clone(), state, duplicate: false })
            }
            None => Err(serde_json::from_str::<Rejected>(&decided.result).map_err(unreadable)?.rejected),
        };
        Ok(Self::Order { instrument, request, outcome })
    }

    /// The order, if it was accepted.
    pub fn order(&self) -> Option<OrderId> {
        match self {
            Self::Order { outcome, .. } => outcome.as_ref().ok().map(|ack| ack.order),
            Self::Void => None,
        }
    }

    /// The answer to the same id again: the original result, or a conflict that names what differs.
    pub fn answer(&self, instrument: InstrumentId, request: &Request) -> Answer {
        let Self::Order { instrument: known, request: asked, outcome } = self else {
            return Err(Error::Voided);
        };
        let differences = differences(*known == instrument, asked, request);
        if !differences.is_empty() {
            return Err(Error::ClientIdConflict(differences));
        }
        match outcome {
            Ok(ack) => Ok(Reply::Order(Ack { duplicate: true, ..ack.clone() })),
            Err(reason) => Err(Error::Rejected { reason: *reason, duplicate: true }),
        }
    }
}

/// What a command's row keeps: the request and the result.
pub fn texts(request: &Request, outcome: &Result<Ack, Rejection>) -> Result<(String, String), Error> {
    let unwritable = |error: serde_json::Error| Error::Broken(format!("a command can't be written: {error}"));
    let request = serde_json::to_string(request).map_err(unwritable)?;
    let result = match outcome {
        Ok(ack) => serde_json::to_string(&ack.state),
        Err(reason) => serde_json::to_string(&Rejected { rejected: *reason }),
    };
    Ok((request, result.map_err(unwritable)?))
}

fn differences(same_instrument: bool, known: &Request, request: &Request) -> Vec<FieldError> {
    [
        ("/instrument", same_instrument),
        ("/side", known.side == request.side),
        ("/type", known.r#type == request.r#type),
        ("/time_in_force", known.time_in_force == request.time_in_force),
        ("/self_trade", known.self_trade == request.self_trade),
        ("/price", known.price == request.price),
        ("/quantity", known.quantity == request.quantity),
    ]
    .into_iter()
    .filter(|(_, equal)| !equal)
    .map(|(pointer, _)| field(pointer, "was another one with this client_order_id before", "differs"))
    .collect()
}
