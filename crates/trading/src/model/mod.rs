//! Types and rules of trading, pure: no I/O. Amounts are whole minor units in `i64`; prices are whole units of
//! `10^-price_scale`. Sums that could be larger are taken in `i128`, and inputs are bounded so that results fit again.

mod decimal;
mod instrument;
#[cfg(test)]
pub(crate) use instrument::tests;
mod order;
mod words;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use decimal::{Decimal, DecimalError, parse_decimal};
pub use instrument::{Asset, Instrument, InstrumentRuleError, InstrumentStatus, SCALE_MAX};
pub use order::{CancelReason, Order, OrderStatus, OrderType, SelfTrade, Side, TimeInForce, fee_within};

pub(crate) use words::words;

/// The largest quantity of one order or deposit of one, in minor units. A level of [`OPEN_ORDERS_MAX`] such orders
/// still fits an `i64`.
pub const QUANTITY_MAX: i64 = 10_000_000_000_000;
/// The highest price, in units of `10^-price_scale`.
pub const PRICE_MAX: i64 = 10_000_000_000_000;
/// The largest notional of an order and the largest deposit, in minor units.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;
/// No balance grows beyond this; a fill that would make it so ends the order that takes.
pub const BALANCE_MAX: i64 = i64::MAX / 2;
/// Orders that may rest in one instrument's book.
pub const OPEN_ORDERS_MAX: usize = 200_000;

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

typed_ids! {
    /// An account that owns assets and orders; also its stream.
    AccountId,
    /// An instrument; also its stream.
    InstrumentId,
    /// An order, unique over all accounts.
    OrderId
}
