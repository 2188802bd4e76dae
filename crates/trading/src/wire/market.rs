//! What everybody sees: the book and the trades.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::side;
use crate::events::Traded;
use crate::model::{Instrument as Listed, Side};

/// A trade as everybody sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Trade)]
pub struct Trade {
    /// Its number among the instrument's.
    pub number: i64,
    /// The price.
    pub price: String,
    /// The quantity.
    pub quantity: String,
    /// The side of the order that came.
    pub taker_side: Side,
    /// The number of the instrument's event.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// Price and quantity of a level.
pub type Level = [String; 2];

/// A book by levels, best first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Book)]
pub struct Book {
    /// The instrument's symbol.
    pub instrument: String,
    /// The number of the instrument's event that it is after.
    pub seq: i64,
    /// Who buys.
    #[schema(value_type = Vec<Vec<String>>)]
    pub bids: Vec<Level>,
    /// Who sells.
    #[schema(value_type = Vec<Vec<String>>)]
    pub asks: Vec<Level>,
    /// CRC32 over the ten best levels of each side.
    pub checksum: u32,
}

/// What a book's channel tells: a snapshot has all levels, a delta those that changed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::BookUpdate)]
pub struct BookUpdate {
    /// The instrument's symbol.
    pub instrument: String,
    /// The first number that a delta covers; the frame's `seq` is the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<i64>,
    /// Price and quantity now, best first; quantity 0: the level is gone.
    #[schema(value_type = Vec<Vec<String>>)]
    pub bids: Vec<Level>,
    /// The same of the other side.
    #[schema(value_type = Vec<Vec<String>>)]
    pub asks: Vec<Level>,
    /// CRC32 over the ten best levels of each side after this message.
    pub checksum: u32,
}

/// What a channel of trades tells.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::TradesUpdate)]
pub struct TradesUpdate {
    /// The instrument's symbol.
    pub instrument: String,
    /// In the order in which they happened.
    pub trades: Vec<Trade>,
}

impl Trade {
    /// A trade of an instrument's event or row.
    pub fn of(on: &Listed, trade: &Traded, seq: i64, at: DateTime<Utc>) -> Self {
        let Traded(number, price, quantity, taker_sells) = *trade;
        Self {
            number,
            price: on.price(price).to_string(),
            quantity: on.quantity(quantity).to_string(),
            taker_side: side(taker_sells),
            seq,
            at,
        }
    }
}

/// Levels as they are written.
pub fn levels(on: &Listed, levels: &[(i64, i64)]) -> Vec<Level> {
    levels
        .iter()
        .map(|(price, quantity)| [on.price(*price).to_string(), on.quantity(*quantity).to_string()])
        .collect()
}
