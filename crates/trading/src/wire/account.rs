//! Accounts, balances and deposits, and what an account's channel tells.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Fill, Order, text};
use crate::events::{AccountChange, BalancePart};
use crate::store::accounts::{AccountRow, AccountState, BalanceRow};

/// An account without its balances.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::AccountEntry)]
pub struct AccountEntry {
    /// Its id, also its stream.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// An account with what it has.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Account)]
pub struct Account {
    /// Its id, also its stream.
    pub id: Uuid,
    /// What its owner calls it.
    pub name: String,
    /// The number of its last event.
    pub version: i64,
    /// Sorted by asset.
    pub balances: Vec<Balance>,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// What an account has of an asset.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Balance)]
pub struct Balance {
    /// The asset's code.
    pub asset: String,
    /// Free to use.
    pub available: String,
    /// Kept back for open orders.
    pub held: String,
    /// Both.
    pub total: String,
}

/// A deposit that was entered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Deposit)]
pub struct Deposit {
    /// The account.
    pub account: Uuid,
    /// The asset's code.
    pub asset: String,
    /// What came in.
    pub amount: String,
    /// What is free to use now.
    pub available: String,
    /// The number of the account's event.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// What an account's channel tells.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::AccountUpdate)]
pub struct AccountUpdate {
    /// The account.
    pub account: Uuid,
    /// Orders that changed, as they are now; in a snapshot all that are open.
    pub orders: Vec<Order>,
    /// What was traded.
    pub fills: Vec<Fill>,
    /// Balances that changed, as they are now; in a snapshot all of them.
    pub balances: Vec<Balance>,
}

impl From<AccountRow> for AccountEntry {
    fn from(row: AccountRow) -> Self {
        Self { id: row.id.0, name: row.name, created_at: row.created_at }
    }
}

impl From<AccountState> for Account {
    fn from(state: AccountState) -> Self {
        Self {
            id: state.account.id.0,
            name: state.account.name,
            version: state.version,
            balances: state.balances.into_iter().map(Balance::from).collect(),
            created_at: state.account.created_at,
        }
    }
}

impl From<BalanceRow> for Balance {
    fn from(row: BalanceRow) -> Self {
        Self::from(&BalancePart(row.asset, row.scale, row.available, row.held))
    }
}

impl From<&BalancePart> for Balance {
    fn from(BalancePart(asset, scale, available, held): &BalancePart) -> Self {
        Self {
            asset: asset.clone(),
            available: text(*available, *scale),
            held: text(*held, *scale),
            total: text(available + held, *scale),
        }
    }
}

impl AccountUpdate {
    /// What an account's event tells.
    pub fn of(account: Uuid, change: &AccountChange, seq: i64, at: DateTime<Utc>) -> Self {
        let on = change.instrument.as_ref();
        Self {
            account,
            orders: on
                .map(|on| change.orders.iter().map(|o| Order::of(on, o, seq, at)).collect())
                .unwrap_or_default(),
            fills: on
                .map(|on| change.fills.iter().map(|f| Fill::of(on, f, seq, at)).collect())
                .unwrap_or_default(),
            balances: change.balances.iter().map(Balance::from).collect(),
        }
    }
}
