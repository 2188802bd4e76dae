//! What can be traded: two assets, the grid of prices and quantities, and the fees.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{AMOUNT_MAX, AccountId, Decimal, InstrumentId, PRICE_MAX, QUANTITY_MAX, words};

/// Decimals that an asset or a price may have.
pub const SCALE_MAX: u8 = 12;
/// One tenth, in millionths: the highest fee.
const FEE_PPM_MAX: i32 = 100_000;

/// A currency, a share, a coin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// `USD`
    pub code: Arc<str>,
    /// Decimals of its minor unit.
    pub scale: u8,
}

words! {
    /// Whether orders are taken.
    InstrumentStatus {
        /// Orders are matched as they come.
        Trading = "trading",
        /// No order is taken; cancels are.
        Halted = "halted",
        /// Orders are collected for one price. Not offered yet: no order is taken.
        Auction = "auction",
    }
}

/// An instrument. Only `status` changes in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instrument {
    /// Also its stream.
    pub id: InstrumentId,
    /// `AAPL-USD`
    pub symbol: Arc<str>,
    /// What is bought and sold; quantities are in its minor units.
    pub base: Asset,
    /// What is paid with.
    pub quote: Asset,
    /// Decimals of a price.
    pub price_scale: u8,
    /// Prices are multiples of it.
    pub tick: i64,
    /// Quantities are multiples of it.
    pub lot: i64,
    /// Whether orders are taken.
    pub status: InstrumentStatus,
    /// Fee of the side that rested, in millionths of the notional.
    pub maker_fee_ppm: i32,
    /// Fee of the side that came.
    pub taker_fee_ppm: i32,
    /// Collects the fees, in the quote asset.
    pub fee_account: AccountId,
    /// The number of the event that last changed it.
    pub version: i64,
    /// When it was listed.
    pub created_at: DateTime<Utc>,
}

/// Why an instrument can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstrumentRuleError {
    /// Base and quote are one.
    #[error("base and quote are the same asset")]
    SameAsset,
    /// A scale above [`SCALE_MAX`].
    #[error("a scale is at most {SCALE_MAX}")]
    Scale,
    /// A tick of zero or above the highest price.
    #[error("the tick is not within the range of prices")]
    Tick,
    /// A lot of zero or above the largest quantity.
    #[error("the lot is not within the range of quantities")]
    Lot,
    /// A trade could come to a fraction of a minor unit.
    #[error("tick times lot is not whole in minor units of the quote asset")]
    Fraction,
    /// Fees below zero or above a tenth.
    #[error("a fee is between 0 and {FEE_PPM_MAX} millionths")]
    Fee,
}

impl Instrument {
    /// The rules that the table's constraints hold as well.
    pub fn check(&self) -> Result<(), InstrumentRuleError> {
        let fee = |ppm: i32| (0..=FEE_PPM_MAX).contains(&ppm);
        if self.base.code == self.quote.code {
            Err(InstrumentRuleError::SameAsset)
        } else if self.base.scale.max(self.quote.scale).max(self.price_scale) > SCALE_MAX {
            Err(InstrumentRuleError::Scale)
        } else if !(1..=PRICE_MAX).contains(&self.tick) {
            Err(InstrumentRuleError::Tick)
        } else if !(1..=QUANTITY_MAX).contains(&self.lot) {
            Err(InstrumentRuleError::Lot)
        } else if !self.is_whole() {
            Err(InstrumentRuleError::Fraction)
        } else if !fee(self.maker_fee_ppm) || !fee(self.taker_fee_ppm) {
            Err(InstrumentRuleError::Fee)
        } else {
            Ok(())
        }
    }

    fn is_whole(&self) -> bool {
        self.price_scale + self.base.scale >= self.quote.scale
            && (i128::from(self.tick) * i128::from(self.lot)) % self.minor_per_product() == 0
    }

    /// Price times quantity is in `10^-(price_scale + base.scale)`; this many of those are one minor unit.
    fn minor_per_product(&self) -> i128 {
        10i128.pow(u32::from(self.price_scale + self.base.scale - self.quote.scale))
    }

    /// What `quantity` costs at `price`, exact. `None` above [`AMOUNT_MAX`].
    pub fn notional(&self, price: i64, quantity: i64) -> Option<i64> {
        let product = i128::from(price) * i128::from(quantity);
        debug_assert_eq!(product % self.minor_per_product(), 0, "price and quantity are on the grid");
        let notional = product / self.minor_per_product();
        (notional <= i128::from(AMOUNT_MAX)).then_some(notional as i64)
    }

    /// A price as it is written.
    pub fn price(&self, units: i64) -> Decimal {
        Decimal { units, scale: self.price_scale }
    }

    /// A quantity as it is written.
    pub fn quantity(&self, units: i64) -> Decimal {
        Decimal { units, scale: self.base.scale }
    }

    /// An amount of the quote asset as it is written.
    pub fn amount(&self, units: i64) -> Decimal {
        Decimal { units, scale: self.quote.scale }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use uuid::Uuid;

    /// Shares in cents, with the fees given.
    pub(crate) fn shares(maker_fee_ppm: i32, taker_fee_ppm: i32) -> Instrument {
        Instrument {
            id: InstrumentId(Uuid::from_u128(1)),
            symbol: "AAPL-USD".into(),
            base: Asset { code: "AAPL".into(), scale: 0 },
            quote: Asset { code: "USD".into(), scale: 2 },
            price_scale: 2,
            tick: 1,
            lot: 1,
            status: InstrumentStatus::Trading,
            maker_fee_ppm,
            taker_fee_ppm,
            fee_account: AccountId(Uuid::max()),
            version: 1,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_cost_of_a_quantity_is_exact() {
        assert_eq!(shares(0, 0).notional(58_594, 18), Some(1_054_692));
        let coin = Instrument {
            base: Asset { code: "BTC".into(), scale: 8 },
            price_scale: 1,
            tick: 1,
            lot: 10_000_000,
            ..shares(0, 0)
        };
        coin.check().unwrap();
        assert_eq!(coin.notional(452_835, 10_000_000), Some(452_835));
    }

    #[test]
    fn a_grid_that_would_round_is_refused() {
        let fine = Instrument { price_scale: 3, ..shares(0, 0) };
        assert_eq!(fine.check(), Err(InstrumentRuleError::Fraction));
        assert_eq!(Instrument { lot: 10, ..fine }.check(), Ok(()));
        let coarse = Instrument { price_scale: 1, ..shares(0, 0) };
        assert_eq!(coarse.check(), Err(InstrumentRuleError::Fraction));
    }

    #[test]
    fn a_notional_out_of_bounds_is_none() {
        assert_eq!(shares(0, 0).notional(PRICE_MAX, QUANTITY_MAX), None);
    }
}
