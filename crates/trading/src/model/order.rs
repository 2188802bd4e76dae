//! An order and what is kept back for it.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{AccountId, Instrument, OrderId, words};

/// A fee is counted in millionths of a minor unit before it is rounded.
const MILLION: i128 = 1_000_000;

words! {
    /// Which way the base asset goes.
    Side {
        /// Pays the quote asset.
        Buy = "buy",
        /// Gives the base asset.
        Sell = "sell",
    }
}

words! {
    /// How it is priced. Market and stop orders are not offered yet.
    OrderType {
        /// At the limit or better.
        Limit = "limit",
    }
}

words! {
    /// What happens when it would meet an order of its own account.
    SelfTrade {
        /// What is left of the order that came is taken off.
        CancelTaker = "cancel_taker",
    }
}

words! {
    /// How long an order stays.
    TimeInForce {
        /// Until it is filled or cancelled.
        Gtc = "gtc",
        /// What can't be filled at once is cancelled.
        Ioc = "ioc",
    }
}

words! {
    /// Where an order is in its life.
    OrderStatus {
        /// It rests in the book.
        Open = "open",
        /// All of it was traded.
        Filled = "filled",
        /// What was left was taken off.
        Canceled = "canceled",
    }
}

words! {
    /// Why what was left of an order was taken off.
    CancelReason {
        /// Its owner asked for it.
        Requested = "requested",
        /// The connection that it depended on ended.
        Disconnected = "disconnected",
        /// Its owner was not heard of until the dead-man timer ran out.
        DeadMan = "dead_man",
        /// It was an `ioc` order and nothing more stood against it.
        Ioc = "ioc",
        /// It would have met an order of its own account.
        SelfTrade = "self_trade",
        /// A balance would have grown beyond what is kept.
        BalanceLimit = "balance_limit",
    }
}

impl Side {
    /// The other one.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// Whether an order of this side at `limit` trades with one at `price` on the other.
    pub fn crosses(self, limit: i64, price: i64) -> bool {
        match self {
            Self::Buy => price <= limit,
            Self::Sell => price >= limit,
        }
    }
}

/// An accepted limit order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Made here.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The client's own id.
    pub client_id: Arc<str>,
    /// Which way.
    pub side: Side,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// The limit.
    pub price: i64,
    /// All of it, in minor units of the base asset.
    pub quantity: i64,
    /// What was traded of it.
    pub filled: i64,
    /// What that came to, in minor units of the quote asset.
    pub notional: i64,
    /// The fees charged so far.
    pub fee: i64,
    /// What they exceed their exact sum by, in millionths of a minor unit.
    pub fee_slack: i32,
    /// Where it is in its life.
    pub status: OrderStatus,
    /// Why, when it was taken off.
    pub reason: Option<CancelReason>,
    /// The number of the instrument's event that brought it, …
    pub placed_seq: i64,
    /// … and its place within that event: together its place in time.
    pub placed_line: i32,
    /// When it was accepted.
    pub created_at: DateTime<Utc>,
}

impl Order {
    /// What is still to be traded.
    pub fn leaves(&self) -> i64 {
        self.quantity - self.filled
    }

    /// What is kept back while it rests: a sell's quantity, or a buy's price at its limit with the maker's fee.
    pub fn hold(&self, instrument: &Instrument) -> i64 {
        let leaves = if self.status == OrderStatus::Open { self.leaves() } else { 0 };
        match self.side {
            Side::Sell => leaves,
            Side::Buy => {
                let notional = instrument.notional(self.price, leaves).expect("bounded when it was accepted");
                notional + fee_within(notional, instrument.maker_fee_ppm, self.fee_slack).0
            }
        }
    }

    /// Enters a fill and returns the fee for it.
    pub fn fill(&mut self, quantity: i64, notional: i64, fee_ppm: i32) -> i64 {
        let (fee, slack) = fee_within(notional, fee_ppm, self.fee_slack);
        self.filled += quantity;
        self.notional += notional;
        self.fee += fee;
        self.fee_slack = slack;
        if self.filled == self.quantity {
            self.status = OrderStatus::Filled;
        }
        fee
    }
}

/// The fee for `notional` more, and the slack after it. Over any number of fills the fees come to the exact sum
/// rounded up once.
pub fn fee_within(notional: i64, fee_ppm: i32, slack: i32) -> (i64, i32) {
    let open = i128::from(notional) * i128::from(fee_ppm) - i128::from(slack);
    let fee = if open > 0 { (open + MILLION - 1) / MILLION } else { 0 };
    (fee as i64, (fee * MILLION - open) as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn many_fills_cost_as_much_as_one(parts in prop::collection::vec(1i64..1_000_000_000, 1..20), ppm in 0i32..100_000) {
            let (mut fees, mut slack) = (0, 0);
            for part in &parts {
                let (fee, after) = fee_within(*part, ppm, slack);
                prop_assert!((0..1_000_000).contains(&after));
                prop_assert!(fee <= *part);
                fees += fee;
                slack = after;
            }
            let whole: i64 = parts.iter().sum();
            prop_assert_eq!((fees, slack), fee_within(whole, ppm, 0));
        }
    }
}
