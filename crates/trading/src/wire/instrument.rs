//! Instruments and assets.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::{Instrument as Listed, InstrumentStatus};

/// An asset and the decimals of its minor unit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::Asset)]
pub struct Asset {
    /// `USD`
    #[schema(pattern = "^[A-Z][A-Z0-9]{0,11}$")]
    pub code: String,
    /// Decimals.
    #[schema(maximum = 12)]
    pub scale: u8,
}

/// What can be traded.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Instrument)]
pub struct Instrument {
    /// Also its stream.
    pub id: Uuid,
    /// `AAPL-USD`
    pub symbol: String,
    /// What is bought and sold.
    pub base: Asset,
    /// What is paid with.
    pub quote: Asset,
    /// Decimals of a price.
    pub price_scale: u8,
    /// Prices are multiples of it.
    pub tick: String,
    /// Quantities are multiples of it.
    pub lot: String,
    /// Whether orders are taken.
    pub status: InstrumentStatus,
    /// Fee of the order that rested, in millionths of the notional.
    pub maker_fee_ppm: i32,
    /// Fee of the order that came.
    pub taker_fee_ppm: i32,
    /// When it was listed.
    pub created_at: DateTime<Utc>,
}

impl From<&Listed> for Instrument {
    fn from(it: &Listed) -> Self {
        let asset = |asset: &crate::model::Asset| Asset { code: asset.code.to_string(), scale: asset.scale };
        Self {
            id: it.id.0,
            symbol: it.symbol.to_string(),
            base: asset(&it.base),
            quote: asset(&it.quote),
            price_scale: it.price_scale,
            tick: it.price(it.tick).to_string(),
            lot: it.quantity(it.lot).to_string(),
            status: it.status,
            maker_fee_ppm: it.maker_fee_ppm,
            taker_fee_ppm: it.taker_fee_ppm,
            created_at: it.created_at,
        }
    }
}
