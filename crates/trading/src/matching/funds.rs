//! What the accounts of a round have of the two assets, as their locked rows said and as the round changes it.

use std::collections::BTreeMap;

use crate::model::{AccountId, BALANCE_MAX};

/// One account's balance of one asset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Free to use.
    pub available: i64,
    /// Kept back for open orders.
    pub held: i64,
}

/// One account's balances of an instrument's two assets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Of what is bought and sold.
    pub base: Balance,
    /// Of what is paid with.
    pub quote: Balance,
}

impl Balance {
    /// Whether `amount` more stays within what is kept.
    pub fn has_room_for(&self, amount: i64) -> bool {
        // A balance that another instrument filled up may already stand above the bound.
        self.available.checked_add(amount).is_some_and(|sum| sum <= BALANCE_MAX)
    }

    /// Moves from available to held.
    pub(super) fn hold(&mut self, amount: i64) {
        self.available -= amount;
        self.held += amount;
    }

    /// Moves back.
    pub(super) fn release(&mut self, amount: i64) {
        self.hold(-amount);
    }
}

/// The holdings of all accounts that are locked. An account that is missing here must not be touched.
#[derive(Clone, Debug, Default)]
pub struct Funds {
    holdings: BTreeMap<AccountId, Holding>,
}

impl Funds {
    /// Of these accounts and no others.
    pub fn of(holdings: impl IntoIterator<Item = (AccountId, Holding)>) -> Self {
        Self { holdings: holdings.into_iter().collect() }
    }

    /// Whether the account is locked.
    pub fn covers(&self, account: AccountId) -> bool {
        self.holdings.contains_key(&account)
    }

    /// What an account has now.
    pub fn get(&self, account: AccountId) -> Option<&Holding> {
        self.holdings.get(&account)
    }

    pub(super) fn get_mut(&mut self, account: AccountId) -> &mut Holding {
        self.holdings.get_mut(&account).expect("a round asks `covers` before it touches an account")
    }
}
