//! Whom a round could touch: the accounts to lock before it begins.

use std::collections::{BTreeSet, HashSet};

use super::Book;
use crate::model::{AccountId, OrderId, Side};

/// What of a round decides how far into the book it can get.
#[derive(Debug, Default)]
pub struct Demand {
    /// The highest limit and the summed quantity of the orders that buy.
    buys: Option<(i64, i128)>,
    /// The lowest limit and the summed quantity of the orders that sell.
    sells: Option<(i64, i128)>,
    /// Orders that the round takes off: they may be gone before an order gets to them.
    canceled: HashSet<OrderId>,
    accounts: BTreeSet<AccountId>,
}

impl Demand {
    /// An order that comes.
    pub fn add_order(&mut self, account: AccountId, side: Side, price: i64, quantity: i64) {
        self.accounts.insert(account);
        let (of_side, further): (_, fn(i64, i64) -> i64) = match side {
            Side::Buy => (&mut self.buys, i64::max),
            Side::Sell => (&mut self.sells, i64::min),
        };
        let (limit, sum) = of_side.get_or_insert((price, 0));
        *limit = further(*limit, price);
        *sum += i128::from(quantity);
    }

    /// An order that is taken off; `None` when it isn't known which.
    pub fn add_cancel(&mut self, account: AccountId, order: Option<OrderId>) {
        self.accounts.insert(account);
        self.canceled.extend(order);
    }
}

/// The accounts of the commands, and of the orders that rest as deep as all of the round's quantity together could get.
/// Never too few while the book is what it says; a few too many when some commands are refused.
pub fn reach(book: &Book, demand: &Demand) -> BTreeSet<AccountId> {
    let mut accounts = demand.accounts.clone();
    for (side, of_side) in [(Side::Buy, demand.buys), (Side::Sell, demand.sells)] {
        let Some((limit, mut open)) = of_side else { continue };
        for maker in book.orders(side.opposite()) {
            if open <= 0 || !side.crosses(limit, maker.price) {
                break;
            }
            accounts.insert(maker.account);
            if !demand.canceled.contains(&maker.id) {
                open -= i128::from(maker.leaves());
            }
        }
    }
    accounts
}
