//! The bodies of trading's events: internal, compact, and enough to rebuild what they changed. Lists of tuples, for a
//! batch of commands is one event. Channels are projections of them (`wire`).

use common::events::StreamKey;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::matching::{Changed, Effects};
use crate::model::{AccountId, Instrument, InstrumentId, Order, OrderStatus, Side};

/// The version of all bodies here.
pub const SCHEMA: i16 = 1;
/// An instrument was listed.
pub const LISTED: &str = "listed";
/// A batch of commands changed an instrument's book.
pub const MATCHED: &str = "matched";
/// An account was opened.
pub const OPENED: &str = "opened";
/// An asset came into an account.
pub const DEPOSITED: &str = "deposited";
/// A batch of commands changed an account's orders.
pub const TRADED: &str = "traded";
/// Who did it, where more than one account's command did.
pub const ACTOR_MATCHER: &str = "matcher";

/// An instrument's stream.
pub fn instrument_stream(id: InstrumentId) -> StreamKey {
    StreamKey { kind: "instrument", id: id.0 }
}

/// An account's stream.
pub fn account_stream(id: AccountId) -> StreamKey {
    StreamKey { kind: "account", id: id.0 }
}

/// The body of [`MATCHED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matched {
    /// The accounts that the orders below are of, by their place here.
    pub accounts: Vec<Uuid>,
    /// Orders that came to rest, in the order of their time, as they are after the batch.
    pub added: Vec<Added>,
    /// Orders that had rested before, and what is left of them: 0 when they are gone.
    pub changed: Vec<(Uuid, i64)>,
    /// Trades.
    pub trades: Vec<Traded>,
    /// Levels that changed, best first, with their quantity now: 0 when they are gone.
    pub bids: Vec<(i64, i64)>,
    /// The same of the other side.
    pub asks: Vec<(i64, i64)>,
    /// Of the ten best levels of each side after the batch.
    pub checksum: u32,
}

/// Order, place of its account in the list, whether it sells, price, what is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added(pub Uuid, pub u32, pub bool, pub i64, pub i64);

/// Number, price, quantity, whether the taker sold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traded(pub i64, pub i64, pub i64, pub bool);

/// The body of [`TRADED`] and, with the balances alone, of [`OPENED`] and [`DEPOSITED`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountChange {
    /// The instrument that it happened on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<InstrumentPart>,
    /// Orders as they are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<OrderPart>,
    /// What was traded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fills: Vec<FillPart>,
    /// Balances as they are now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub balances: Vec<BalancePart>,
}

/// Symbol, the number of its event, and the decimals of price, base and quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstrumentPart(pub String, pub i64, pub u8, pub u8, pub u8);

/// Order, client's id, whether it sells, time in force, price, quantity, filled, notional, fee, status, reason, when
/// accepted (microseconds since 1970).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderPart(
    pub Uuid,
    pub String,
    pub bool,
    pub String,
    pub i64,
    pub i64,
    pub i64,
    pub i64,
    pub i64,
    pub String,
    pub Option<String>,
    pub i64,
);

/// Trade's number, order, whether it sells, whether it was the taker, price, quantity, notional, fee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillPart(pub i64, pub Uuid, pub bool, pub bool, pub i64, pub i64, pub i64, pub i64);

/// Asset, its decimals, available, held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BalancePart(pub String, pub u8, pub i64, pub i64);

impl Matched {
    /// The instrument's side of a round.
    pub fn of(effects: &Effects) -> Self {
        let accounts: Vec<Uuid> = effects.accounts().into_iter().map(|account| account.0).collect();
        let place = |order: &Order| {
            accounts.binary_search(&order.account.0).expect("sorted, and of all orders") as u32
        };
        let left = |order: &Order| if order.status == OrderStatus::Open { order.leaves() } else { 0 };
        let (new, old): (Vec<&Changed>, Vec<&Changed>) =
            effects.orders.iter().partition(|changed| changed.is_new);
        let resting =
            new.iter().map(|changed| &changed.order).filter(|order| order.status == OrderStatus::Open);
        let added =
            resting.map(|o| Added(o.id.0, place(o), o.side == Side::Sell, o.price, o.leaves())).collect();
        Self {
            added,
            changed: old.iter().map(|changed| (changed.order.id.0, left(&changed.order))).collect(),
            trades: effects
                .trades
                .iter()
                .map(|t| Traded(t.number, t.price, t.quantity, t.taker_side == Side::Sell))
                .collect(),
            bids: effects.bids.clone(),
            asks: effects.asks.clone(),
            checksum: effects.checksum,
            accounts,
        }
    }
}

impl InstrumentPart {
    /// Of an instrument's event.
    pub fn of(instrument: &Instrument, seq: i64) -> Self {
        let scales = (instrument.price_scale, instrument.base.scale, instrument.quote.scale);
        Self(instrument.symbol.to_string(), seq, scales.0, scales.1, scales.2)
    }
}

impl OrderPart {
    /// An order as it is.
    pub fn of(order: &Order) -> Self {
        Self(
            order.id.0,
            order.client_id.to_string(),
            order.side == Side::Sell,
            order.time_in_force.as_str().to_owned(),
            order.price,
            order.quantity,
            order.filled,
            order.notional,
            order.fee,
            order.status.as_str().to_owned(),
            order.reason.map(|reason| reason.as_str().to_owned()),
            order.created_at.timestamp_micros(),
        )
    }
}
