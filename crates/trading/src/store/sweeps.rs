//! Sweeps over several instruments, and the timers that set them off.

use std::collections::HashMap;
use std::sync::Arc;

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
    write INSERT_SWEEP = "INSERT INTO sweep (account, id, asked, reason, instruments, at, is_open)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    /// Sweeps that nobody waits for and that are not carried out yet, the oldest first.
    read LIST_OPEN_SWEEPS = "SELECT asked, instruments, reason, at, account, id FROM sweep
        WHERE is_open ORDER BY at LIMIT $1";
    /// All of a sweep's children are carried out.
    write CLOSE_SWEEP = "UPDATE sweep SET is_open = false WHERE account = $1 AND id = $2";
    /// Sets a timer, anew if it is set.
    write ARM_DEAD_MAN = "INSERT INTO dead_man (account, kind, arm, fires_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account, kind) DO UPDATE SET arm = excluded.arm, fires_at = excluded.fires_at";
    /// Stops a timer, whoever set it.
    write DISARM_DEAD_MAN = "DELETE FROM dead_man WHERE account = $1 AND kind = $2";
    /// Moves timers on, as far as they are still set as they were.
    write MOVE_DEAD_MEN = "UPDATE dead_man SET fires_at = moved.fires_at
        FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) AS moved (account, arm, fires_at)
        WHERE dead_man.account = moved.account AND dead_man.kind = $4 AND dead_man.arm = moved.arm";
    /// How the timers of these accounts are set now.
    read LIST_ARMS = "SELECT account, arm FROM dead_man WHERE account = ANY($1) AND kind = $2";
    /// Sets a timer where there is none.
    write REARM_DEAD_MAN = "INSERT INTO dead_man (account, kind, arm, fires_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (account, kind) DO NOTHING";
    /// Timers that have run out, the first ones first.
    read LIST_DUE = "SELECT account, kind, arm FROM dead_man WHERE fires_at <= $1 AND ($2 OR kind <> 'socket')
        ORDER BY fires_at LIMIT $3";
    /// Forgets a timer that has run out, unless somebody has moved it meanwhile.
    write DELETE_DUE = "DELETE FROM dead_man WHERE account = $1 AND kind = $2 AND arm = $3 AND fires_at <= $4
        RETURNING arm";
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
    is_open: bool,
) -> Result<(), DbError> {
    let reason = sweep.reason.as_str();
    let params: common::db::SqlParams<'_> =
        &[&account.0, &id, &sweep.asked, &reason, &sweep.instruments, &sweep.at, &is_open];
    tx.execute(&INSERT_SWEEP, params).await
}

/// Sweeps that nobody waits for and that are not carried out yet.
pub async fn list_open_sweeps(
    db: &Db,
    ctx: &Context,
    limit: i64,
) -> Result<Vec<(AccountId, Arc<str>, SweepRow)>, DbError> {
    let rows = db.read(ctx, Freshness::Strong, &LIST_OPEN_SWEEPS, &[&limit]).await?;
    let open = |row: &Row| Ok((AccountId(row.get(4)), row.get::<_, &str>(5).into(), sweep(row)?));
    rows.iter().map(open).collect()
}

/// Notes that a sweep is carried out.
pub async fn close_sweep(db: &Db, ctx: &Context, account: AccountId, id: &str) -> Result<(), DbError> {
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move { tx.execute(&CLOSE_SWEEP, &[&account.0, &id]).await })
    })
    .await
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

/// Moves the timers of sockets on, and tells how those accounts' timers are set then.
pub async fn move_sockets(
    db: &Db,
    ctx: &Context,
    timers: &[(AccountId, Uuid, DateTime<Utc>)],
) -> Result<HashMap<AccountId, Uuid>, DbError> {
    let accounts: Vec<Uuid> = timers.iter().map(|(account, ..)| account.0).collect();
    let arms: Vec<Uuid> = timers.iter().map(|(_, arm, _)| *arm).collect();
    let times: Vec<DateTime<Utc>> = timers.iter().map(|(.., at)| *at).collect();
    let (accounts, arms, times, kind) = (&accounts, &arms, &times, DeadManKind::Socket.as_str());
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move {
            tx.execute(&MOVE_DEAD_MEN, &[accounts, arms, times, &kind]).await?;
            let rows = tx.rows(&LIST_ARMS, &[accounts, &kind]).await?;
            Ok(rows.iter().map(|row| (AccountId(row.get(0)), row.get(1))).collect())
        })
    })
    .await
}

/// Sets a timer where there is none.
pub async fn rearm(db: &Db, ctx: &Context, timer: DeadMan, fires_at: DateTime<Utc>) -> Result<(), DbError> {
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move {
            let DeadMan { account, kind, arm } = timer;
            tx.execute(&REARM_DEAD_MAN, &[&account.0, &kind.as_str(), &arm, &fires_at]).await
        })
    })
    .await
}

/// Timers that have run out, those of sockets among them or not.
pub async fn list_due(
    db: &Db,
    ctx: &Context,
    also_sockets: bool,
    limit: i64,
) -> Result<Vec<DeadMan>, DbError> {
    let rows = db.read(ctx, Freshness::Strong, &LIST_DUE, &[&ctx.now(), &also_sockets, &limit]).await?;
    let due = |row: &Row| {
        let kind = word(row, 1, LIST_DUE.0.name, DeadManKind::parse)?;
        Ok(DeadMan { account: AccountId(row.get(0)), kind, arm: row.get(2) })
    };
    rows.iter().map(due).collect()
}

/// Forgets a timer that has run out. False when somebody has moved it meanwhile.
pub async fn delete_due(tx: &mut Tx<'_>, timer: DeadMan, now: DateTime<Utc>) -> Result<bool, DbError> {
    let DeadMan { account, kind, arm } = timer;
    Ok(tx.row_opt(&DELETE_DUE, &[&account.0, &kind.as_str(), &arm, &now]).await?.is_some())
}
