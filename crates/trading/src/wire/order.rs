//! Orders, fills and decided commands.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{side, text};
use crate::events::{FillPart, InstrumentPart, OrderPart};
use crate::lane::command::{Ack as LaneAck, Prior};
use crate::matching::Rejection;
use crate::model::{
    CancelReason, Instrument as Listed, OrderStatus, OrderType, SelfTrade, Side, TimeInForce,
};
use crate::service::CommandFound;
use crate::store::orders::{FillRow, OrderRow};

/// What a committed command did to its order, at that time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Ack)]
pub struct Ack {
    /// The order.
    pub order_id: Uuid,
    /// The client's own id for it.
    pub client_order_id: String,
    /// Where it is in its life.
    pub status: OrderStatus,
    /// Why, when it was taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<CancelReason>,
    /// What was traded of it.
    pub filled_quantity: String,
    /// What that came to.
    pub filled_notional: String,
    /// The fees for it.
    pub fee: String,
    /// The number of the account's event: where the private channel tells of it.
    pub seq: i64,
    /// The number of the instrument's event: where the book shows it.
    pub instrument_seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What this answer means: `committed`, on disk.
    pub durability: &'static str,
    /// Whether an earlier command with the same id, or an earlier cancel, had done this. Also said when the process that
    /// was to do it died before it could answer, and another one found it done.
    pub duplicate: bool,
}

/// An order as it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Order)]
pub struct Order {
    /// Its id.
    pub id: Uuid,
    /// The client's own id for it.
    pub client_order_id: String,
    /// The instrument's symbol.
    pub instrument: String,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    pub r#type: OrderType,
    /// How long it stays.
    #[schema(value_type = TimeInForce)]
    pub time_in_force: String,
    /// The limit.
    pub price: String,
    /// All of it.
    pub quantity: String,
    /// What was traded of it.
    pub filled_quantity: String,
    /// What is still to be traded; nothing once it is over.
    pub leaves_quantity: String,
    /// What the trades came to.
    pub filled_notional: String,
    /// The fees for them.
    pub fee: String,
    /// Where it is in its life.
    #[schema(value_type = OrderStatus)]
    pub status: String,
    /// Why, when it was taken off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<CancelReason>)]
    pub reason: Option<String>,
    /// The number of the account's event that last changed it.
    pub seq: i64,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A trade from one account's side.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Fill)]
pub struct Fill {
    /// The instrument's symbol.
    pub instrument: String,
    /// The trade's number among the instrument's.
    pub number: i64,
    /// The order.
    pub order_id: Uuid,
    /// Which way.
    pub side: Side,
    /// `maker` when the order rested, `taker` when it came.
    pub liquidity: &'static str,
    /// The price.
    pub price: String,
    /// The quantity.
    pub quantity: String,
    /// What it came to.
    pub notional: String,
    /// The fee for it.
    pub fee: String,
    /// The number of the account's event.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// What was decided under a client order id.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::CommandState)]
pub struct CommandState {
    /// The id.
    pub client_order_id: String,
    /// `accepted`, `rejected`, or `void`: it was never used and never will be.
    pub outcome: &'static str,
    /// What was asked for, unless it is void.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<CommandRequest>,
    /// What was answered, when it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Ack>,
    /// Why, when it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Rejection>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The content of an order as it was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::CommandRequest)]
pub struct CommandRequest {
    /// The instrument's symbol.
    pub instrument: String,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    pub r#type: OrderType,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// What happens when it would meet an order of its own account.
    pub self_trade: SelfTrade,
    /// The limit.
    pub price: String,
    /// All of it.
    pub quantity: String,
}

impl Ack {
    /// A lane's answer on this instrument.
    pub fn of(instrument: &Listed, ack: &LaneAck) -> Self {
        let state = &ack.state;
        Self {
            order_id: ack.order.0,
            client_order_id: ack.client_id.to_string(),
            status: state.status,
            reason: state.reason,
            filled_quantity: instrument.quantity(state.filled).to_string(),
            filled_notional: instrument.amount(state.notional).to_string(),
            fee: instrument.amount(state.fee).to_string(),
            seq: state.seq,
            instrument_seq: state.instrument_seq,
            at: state.at,
            durability: "committed",
            duplicate: ack.duplicate,
        }
    }
}

impl Order {
    /// An order of an account's event or row.
    pub fn of(on: &InstrumentPart, order: &OrderPart, seq: i64, updated_at: DateTime<Utc>) -> Self {
        let InstrumentPart(symbol, _, price_scale, base_scale, quote_scale) = on;
        let OrderPart(
            id,
            client_id,
            sells,
            tif,
            price,
            quantity,
            filled,
            notional,
            fee,
            status,
            reason,
            created,
        ) = order;
        let leaves = if status == "open" { quantity - filled } else { 0 };
        Self {
            id: *id,
            client_order_id: client_id.clone(),
            instrument: symbol.clone(),
            side: side(*sells),
            r#type: OrderType::Limit,
            time_in_force: tif.clone(),
            price: text(*price, *price_scale),
            quantity: text(*quantity, *base_scale),
            filled_quantity: text(*filled, *base_scale),
            leaves_quantity: text(leaves, *base_scale),
            filled_notional: text(*notional, *quote_scale),
            fee: text(*fee, *quote_scale),
            status: status.clone(),
            reason: reason.clone(),
            seq,
            created_at: DateTime::from_timestamp_micros(*created).unwrap_or_default(),
            updated_at,
        }
    }
}

impl From<OrderRow> for Order {
    fn from(row: OrderRow) -> Self {
        Self::of(&row.instrument, &row.order, row.seq, row.updated_at)
    }
}

impl Fill {
    /// A fill of an account's event or row.
    pub fn of(on: &InstrumentPart, fill: &FillPart, seq: i64, at: DateTime<Utc>) -> Self {
        let InstrumentPart(symbol, _, price_scale, base_scale, quote_scale) = on;
        let FillPart(number, order, sells, takes, price, quantity, notional, fee) = fill;
        Self {
            instrument: symbol.clone(),
            number: *number,
            order_id: *order,
            side: side(*sells),
            liquidity: if *takes { "taker" } else { "maker" },
            price: text(*price, *price_scale),
            quantity: text(*quantity, *base_scale),
            notional: text(*notional, *quote_scale),
            fee: text(*fee, *quote_scale),
            seq,
            at,
        }
    }
}

impl From<FillRow> for Fill {
    fn from(row: FillRow) -> Self {
        Self::of(&row.instrument, &row.fill, row.seq, row.at)
    }
}

impl CommandState {
    /// What is known of the id.
    pub fn of(client_order_id: String, found: &CommandFound) -> Self {
        let at = found.at;
        let void = Self { client_order_id, outcome: "void", request: None, result: None, reason: None, at };
        let (Some(listing), Prior::Order { request, outcome, .. }) = (&found.listing, &found.prior) else {
            return void;
        };
        let on = &listing.instrument;
        Self {
            outcome: if outcome.is_ok() { "accepted" } else { "rejected" },
            request: Some(CommandRequest {
                instrument: on.symbol.to_string(),
                side: request.side,
                r#type: request.r#type,
                time_in_force: request.time_in_force,
                self_trade: request.self_trade,
                price: on.price(request.price).to_string(),
                quantity: on.quantity(request.quantity).to_string(),
            }),
            result: outcome.as_ref().ok().map(|ack| Ack::of(on, ack)),
            reason: outcome.as_ref().err().copied(),
            ..void
        }
    }
}
