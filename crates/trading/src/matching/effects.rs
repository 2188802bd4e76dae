//! What a round did, as plain lists: rows to write, levels and trades to tell.

use std::collections::BTreeSet;

use crate::model::{AccountId, Order, OrderId, Side};

/// Where in an account an amount stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Free to use.
    Available,
    /// Kept back for open orders.
    Held,
    /// Collected on an instrument's fee account.
    Fees,
    /// The other side of deposits.
    External,
}

impl Kind {
    /// The word of rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Held => "held",
            Self::Fees => "fees",
            Self::External => "external",
        }
    }
}

/// Why an amount moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It came from outside.
    Deposit,
    /// An order came to rest.
    Hold,
    /// An order was taken off.
    Release,
    /// Two orders met.
    Trade,
    /// The fee for that.
    Fee,
}

impl Reason {
    /// The word of rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deposit => "deposit",
            Self::Hold => "hold",
            Self::Release => "release",
            Self::Trade => "trade",
            Self::Fee => "fee",
        }
    }
}

/// One line of the ledger: from one place to another, so it sums to zero by its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Whether it is the base asset or the quote asset.
    pub is_base: bool,
    /// Who gives, and from where.
    pub from: (AccountId, Kind),
    /// Who takes, and to where.
    pub to: (AccountId, Kind),
    /// Minor units, above zero.
    pub amount: i64,
    /// Why.
    pub reason: Reason,
}

/// One side of a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Party {
    /// Whose order.
    pub account: AccountId,
    /// Which order.
    pub order: OrderId,
    /// What it was charged, in the quote asset.
    pub fee: i64,
}

/// Two orders that met, at the price of the one that rested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Counts the instrument's trades.
    pub number: i64,
    /// The side of the order that came.
    pub taker_side: Side,
    /// The price of the order that rested.
    pub price: i64,
    /// Minor units of the base asset.
    pub quantity: i64,
    /// Minor units of the quote asset.
    pub notional: i64,
    /// Who paid.
    pub buyer: Party,
    /// Who gave.
    pub seller: Party,
}

impl Trade {
    /// The party of a side.
    pub fn party(&self, side: Side) -> &Party {
        match side {
            Side::Buy => &self.buyer,
            Side::Sell => &self.seller,
        }
    }
}

/// An order as the round left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its state after the round.
    pub order: Order,
    /// Whether the round brought it, so that it has no row yet.
    pub is_new: bool,
}

/// All that a round did.
#[derive(Debug, Default)]
pub struct Effects {
    /// Each order once, in the order in which they were first touched.
    pub orders: Vec<Changed>,
    /// In the order in which they happened.
    pub trades: Vec<Trade>,
    /// In the order in which they happened.
    pub transfers: Vec<Transfer>,
    /// What the instrument's fee account collected.
    pub fees: i64,
    /// Levels whose quantity changed, best first, with their quantity now; 0: gone.
    pub bids: Vec<(i64, i64)>,
    /// The same of the other side.
    pub asks: Vec<(i64, i64)>,
    /// Of the book after the round.
    pub checksum: u32,
}

impl Effects {
    /// Whether the round changed nothing.
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// The balances of customers that changed: whose, and whether of the base asset. Sorted.
    pub fn balances(&self) -> BTreeSet<(AccountId, bool)> {
        let customers = |(_, kind): &(AccountId, Kind)| matches!(kind, Kind::Available | Kind::Held);
        let places =
            |line: &Transfer| [line.from, line.to].into_iter().filter(customers).map(|(account, _)| account);
        self.transfers.iter().flat_map(|line| places(line).map(|account| (account, line.is_base))).collect()
    }

    /// The accounts that were touched, sorted; without the fee account.
    pub fn accounts(&self) -> BTreeSet<AccountId> {
        // Whoever is party to a trade has an order that it changed.
        self.orders.iter().map(|changed| changed.order.account).collect()
    }
}
