//! Sweeps over several instruments, and the timers that set them off.

use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx, TxOptions};
use uuid::Uuid;

use super::word;
use crate::model::{AccountId, CancelReason, words};

common::statements! {
    /// A sweep that was begun.
    read FIND_SWEEP = "SELECT asked, instruments, reason, at FROM sweep WHERE account = $1 AND id = $2";
    /// Where the account has open orders.
    read LIST_OPEN_SYMBOLS = "SELECT DISTINCT i.symbol FROM orders o JOIN instrument i ON i.id = o.instrument
        WHERE o.account = $1 AND o.status = 'open' ORDER BY i.symbol LIMIT $2";
    /// Begins a sweep. The account is locked.
    write INSERT_SWEEP = "INSERT INTO sweep (account, id, asked, reason, instruments, at)
        VALUES ($1, $2, $3, $4, $5, $6)";
    /// Sets a timer, anew if it is set.
    write ARM_DEAD_MAN = "INSERT INTO dead_man (account, kind, arm, fires_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account, kind) DO UPDATE SET arm = excluded.arm, fires_at = excluded.fires_at";
    /// Stops a timer, whoever set it.
    write DISARM_DEAD_MAN = "DELETE FROM dead_man WHERE account = $1 AND kind = $2";
    /// Forgets one setting of a timer, which is over; a newer one stays.
    write DELETE_DEAD_MAN = "DELETE FROM dead_man WHERE account = $1 AND kind = $2 AND arm = $3";
    /// Moves timers on, as far as they are still set as they were.
    write MOVE_DEAD_MEN = "UPDATE dead_man SET fires_at = moved.fires_at
        FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS moved (account, arm, fires_at)
        WHERE dead_man.account = moved.account AND dead_man.kind = $4 AND dead_man.arm = moved.arm";
    /// Timers that have run out, the first ones first.
    read LIST_DUE = "SELECT account, kind, arm FROM dead_man WHERE fires_at <= $1 ORDER BY fires_at LIMIT $2";
    /// Whether a timer has run out and nobody has moved it meanwhile.
    write LOCK_DUE = "SELECT arm FROM dead_man WHERE account = $1 AND kind = $2 AND arm = $3 AND fires_at <= $4 FOR UPDATE";
}

words! {
    /// What a timer waits for.
    DeadManKind {
        /// The owner sets it anew.
        Timer = "timer",
        /// The owner's connection stays.
        Socket = "socket",
    }
}

/// A sweep that was begun.
#[derive(Clone, Debug)]
pub struct SweepRow {
    /// The one instrument that it was for; `None`: all.
    pub asked: Option<String>,
    /// Where there were open orders.
    pub instruments: Vec<String>,
    /// Why.
    pub reason: CancelReason,
    /// When.
    pub at: DateTime<Utc>,
}

/// One setting of a timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeadMan {
    /// Whose orders.
    pub account: AccountId,
    /// What it waits for.
    pub kind: DeadManKind,
    /// Names the setting.
    pub arm: Uuid,
}

/// A sweep of the account, after its lock.
pub async fn find_sweep(tx: &mut Tx<'_>, account: AccountId, id: &str) -> Result<Option<SweepRow>, DbError> {
    let row = tx.row_opt(&FIND_SWEEP, &[&account.0, &id]).await?;
    row.as_ref().map(sweep).transpose()
}

fn sweep(row: &Row) -> Result<SweepRow, DbError> {
    Ok(SweepRow {
        asked: row.get(0),
        instruments: row.get(1),
        reason: word(row, 2, FIND_SWEEP.0.name, CancelReason::parse)?,
        at: row.get(3),
    })
}

/// The symbols of the instruments on which the account has open orders.
pub async fn list_open_symbols(
    tx: &mut Tx<'_>,
    account: AccountId,
    limit: i64,
) -> Result<Vec<String>, DbError> {
    let rows = tx.rows(&LIST_OPEN_SYMBOLS, &[&account.0, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Begins a sweep, under the account's lock.
pub async fn insert_sweep(
    tx: &mut Tx<'_>,
    account: AccountId,
    id: &str,
    sweep: &SweepRow,
) -> Result<(), DbError> {
    let reason = sweep.reason.as_str();
    let params: common::db::SqlParams<'_> =
        &[&account.0, &id, &sweep.asked, &reason, &sweep.instruments, &sweep.at];
    tx.execute(&INSERT_SWEEP, params).await
}

/// Sets a timer, instead of the one of its kind that the account may have.
pub async fn arm(db: &Db, ctx: &Context, timer: DeadMan, fires_at: DateTime<Utc>) -> Result<(), DbError> {
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move {
            let DeadMan { account, kind, arm } = timer;
            tx.execute(&ARM_DEAD_MAN, &[&account.0, &kind.as_str(), &arm, &fires_at]).await
        })
    })
    .await
}

/// Stops a timer.
pub async fn disarm(db: &Db, ctx: &Context, account: AccountId, kind: DeadManKind) -> Result<(), DbError> {
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move { tx.execute(&DISARM_DEAD_MAN, &[&account.0, &kind.as_str()]).await })
    })
    .await
}

/// Forgets a setting that has done its work.
pub async fn delete(db: &Db, ctx: &Context, timer: DeadMan) -> Result<(), DbError> {
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move {
            let DeadMan { account, kind, arm } = timer;
            tx.execute(&DELETE_DEAD_MAN, &[&account.0, &kind.as_str(), &arm]).await
        })
    })
    .await
}

/// Moves the timers of sockets on.
pub async fn move_sockets(
    db: &Db,
    ctx: &Context,
    timers: &[(AccountId, Uuid, DateTime<Utc>)],
) -> Result<(), DbError> {
    // Sorted, as rows are locked.
    let mut timers = timers.to_vec();
    timers.sort_unstable_by_key(|(account, ..)| *account);
    let accounts: Vec<Uuid> = timers.iter().map(|(account, ..)| account.0).collect();
    let arms: Vec<Uuid> = timers.iter().map(|(_, arm, _)| *arm).collect();
    let times: Vec<DateTime<Utc>> = timers.iter().map(|(.., at)| *at).collect();
    let (accounts, arms, times, kind) = (&accounts, &arms, &times, DeadManKind::Socket.as_str());
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move { tx.execute(&MOVE_DEAD_MEN, &[accounts, arms, times, &kind]).await })
    })
    .await
}

/// Timers that have run out.
pub async fn list_due(db: &Db, ctx: &Context, limit: i64) -> Result<Vec<DeadMan>, DbError> {
    let rows = db.read(ctx, Freshness::Strong, &LIST_DUE, &[&ctx.now(), &limit]).await?;
    let due = |row: &Row| {
        let kind = word(row, 1, LIST_DUE.0.name, DeadManKind::parse)?;
        Ok(DeadMan { account: AccountId(row.get(0)), kind, arm: row.get(2) })
    };
    rows.iter().map(due).collect()
}

/// Whether the timer has still run out; its row is locked then, so that nobody moves it before this transaction ends.
pub async fn lock_due(tx: &mut Tx<'_>, timer: DeadMan, now: DateTime<Utc>) -> Result<bool, DbError> {
    let DeadMan { account, kind, arm } = timer;
    Ok(tx.row_opt(&LOCK_DUE, &[&account.0, &kind.as_str(), &arm, &now]).await?.is_some())
}
