//! Accounts, balances, deposits.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use uuid::Uuid;

use super::unreadable;
use crate::model::AccountId;

common::statements! {
    /// Whose accounts these are.
    read LIST_OWNERS = "SELECT id, owner FROM account WHERE id = ANY($1)";
    /// A new account.
    write INSERT_ACCOUNT = "INSERT INTO account (id, owner, name, created_at) VALUES ($1, $2, $3, $4)";
    /// An owner's accounts, the newest first, a page of them.
    read LIST_ACCOUNTS = "SELECT id, name, created_at FROM account WHERE owner = $1 AND id < $2
        ORDER BY id DESC LIMIT $3";
    /// An account with its balances and the number that they are of, all from one snapshot.
    read FIND_ACCOUNT = "SELECT a.id, a.name, a.created_at, s.head, b.asset, asset.scale, b.available, b.held
        FROM account a JOIN stream s ON s.id = a.id
        LEFT JOIN balance b ON b.account = a.id LEFT JOIN asset ON asset.code = b.asset
        WHERE a.id = $1 ORDER BY b.asset";
    /// One balance of a locked account.
    read FIND_BALANCE = "SELECT available, held, external FROM balance WHERE account = $1 AND asset = $2";
    /// What came from outside: into `available`, and out of `external`.
    write ADD_DEPOSIT = "INSERT INTO balance AS kept (account, asset, available, external) VALUES ($1, $2, $3, -$3::bigint)
        ON CONFLICT (account, asset) DO UPDATE
        SET available = kept.available + excluded.available, external = kept.external + excluded.external
        RETURNING available, held";
    /// Its line of the ledger.
    write INSERT_DEPOSIT = "INSERT INTO ledger (stream, seq, line, asset, from_account, from_kind, to_account, to_kind,
            amount, reason, at)
        VALUES ($1, $2, 1, $3, $1, 'external', $1, 'available', $4, 'deposit', $5)";
    /// Which asset, with its decimals.
    read FIND_ASSET_SCALE = "SELECT scale FROM asset WHERE code = $1";
}

/// An account without its balances.
#[derive(Clone, Debug)]
pub struct AccountRow {
    /// Its id.
    pub id: AccountId,
    /// What its owner calls it.
    pub name: String,
    /// When it was opened.
    pub created_at: DateTime<Utc>,
}

/// One balance of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalanceRow {
    /// The asset's code.
    pub asset: String,
    /// Its decimals.
    pub scale: u8,
    /// Free to use.
    pub available: i64,
    /// Kept back for open orders.
    pub held: i64,
}

/// An account with its balances.
#[derive(Clone, Debug)]
pub struct AccountState {
    /// The account.
    pub account: AccountRow,
    /// The number of its last event.
    pub version: i64,
    /// Sorted by asset.
    pub balances: Vec<BalanceRow>,
}

/// The owners of those of the accounts that exist.
pub async fn list_owners(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    accounts: &[AccountId],
) -> Result<Vec<(AccountId, Option<Arc<str>>)>, DbError> {
    let ids: Vec<Uuid> = accounts.iter().map(|account| account.0).collect();
    let rows = db.read(ctx, freshness, &LIST_OWNERS, &[&ids]).await?;
    Ok(rows
        .iter()
        .map(|row| (AccountId(row.get(0)), row.get::<_, Option<&str>>(1).map(Into::into)))
        .collect())
}

/// Inserts an account; without an owner it is nobody's.
pub async fn insert_account(
    tx: &mut Tx<'_>,
    account: &AccountRow,
    owner: Option<&str>,
) -> Result<(), DbError> {
    tx.execute(&INSERT_ACCOUNT, &[&account.id.0, &owner, &account.name, &account.created_at]).await
}

/// Up to `limit` of the owner's accounts that are older than `before`.
pub async fn list_accounts(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    owner: &str,
    before: Uuid,
    limit: i64,
) -> Result<Vec<AccountRow>, DbError> {
    let rows = db.read(ctx, freshness, &LIST_ACCOUNTS, &[&owner, &before, &limit]).await?;
    Ok(rows.iter().map(account).collect())
}

/// An account with its balances.
pub async fn find_account(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    id: AccountId,
) -> Result<Option<AccountState>, DbError> {
    let rows = db.read(ctx, freshness, &FIND_ACCOUNT, &[&id.0]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let balances = rows.iter().filter_map(|row| {
        Some(BalanceRow {
            asset: row.get::<_, Option<String>>(4)?,
            scale: row.get::<_, i16>(5) as u8,
            available: row.get(6),
            held: row.get(7),
        })
    });
    Ok(Some(AccountState { account: account(first), version: first.get(3), balances: balances.collect() }))
}

/// An asset's decimals, if there is such an asset.
pub async fn find_asset_scale(tx: &mut Tx<'_>, asset: &str) -> Result<Option<u8>, DbError> {
    let row = tx.row_opt(&FIND_ASSET_SCALE, &[&asset]).await?;
    Ok(row.map(|row| row.get::<_, i16>(0) as u8))
}

/// What an account has of an asset, and how much of it came from outside. The account is locked.
pub async fn find_deposited(tx: &mut Tx<'_>, account: AccountId, asset: &str) -> Result<(i64, i64), DbError> {
    let row = tx.row_opt(&FIND_BALANCE, &[&account.0, &asset]).await?;
    Ok(row.map_or((0, 0), |row| (row.get(0), -row.get::<_, i64>(2))))
}

/// Enters a deposit as the account's event `seq`: the balance and its line of the ledger.
pub async fn insert_deposit(
    tx: &mut Tx<'_>,
    account: AccountId,
    seq: i64,
    asset: (&str, u8),
    amount: i64,
    at: DateTime<Utc>,
) -> Result<BalanceRow, DbError> {
    let (code, scale) = asset;
    let answers = tx
        .pipeline(&[
            (&ADD_DEPOSIT, &[&account.0, &code, &amount]),
            (&INSERT_DEPOSIT, &[&account.0, &seq, &code, &amount, &at]),
        ])
        .await?;
    let row = answers.first().and_then(|rows| rows.first());
    let row = row.ok_or_else(|| unreadable(ADD_DEPOSIT.0.name, "the balance after a deposit"))?;
    Ok(BalanceRow { asset: code.to_owned(), scale, available: row.get(0), held: row.get(1) })
}

fn account(row: &Row) -> AccountRow {
    AccountRow { id: AccountId(row.get(0)), name: row.get(1), created_at: row.get(2) }
}
