//! What is read from the log: the change feed, the base of a stale edit; and the month totals that a projector keeps.

use super::people::currency_of;
use crate::model::{Currency, Ledger, Month, Move};
use chrono::{DateTime, NaiveDate, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use serde_json::Value;
use uuid::Uuid;

common::statements! {
    /// What an event made of a resource.
    read FIND_BASE = "SELECT body FROM event WHERE kind = 'household' AND stream = $1 AND seq = $2 AND subject = $3";
    /// The stream's number and the changes after a number, in one snapshot, so that a gap is a gap.
    read LIST_CHANGES = "SELECT s.head, e.seq, e.at, e.actor, e.subject, e.body->'resource' FROM stream s
        LEFT JOIN LATERAL (SELECT seq, at, actor, subject, body FROM event
            WHERE kind = 'household' AND stream = $1 AND seq > $2 AND seq <= $3 ORDER BY seq) e ON true
        WHERE s.id = $1 ORDER BY e.seq";
    /// The oldest change that is kept after a number.
    read FIND_FLOOR = "SELECT min(seq) FROM event WHERE kind = 'household' AND stream = $1 AND seq > $2";
    /// Adds what events moved. Sorted by key.
    write ADD_MOVES = "INSERT INTO month_total AS old (household, month, ledger, owner, currency, amount, entries)
        SELECT $1, month, ledger, owner, currency, amount, entries
        FROM unnest($2::date[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::bigint[])
            AS new (month, ledger, owner, currency, amount, entries)
        ON CONFLICT (household, month, ledger, owner, currency)
        DO UPDATE SET amount = old.amount + excluded.amount, entries = old.entries + excluded.entries";
    /// A month's totals and how far they go: the number of the last change in them and its time.
    read FIND_SUMMARY = "SELECT c.seq, (SELECT e.at FROM event e WHERE e.kind = 'household' AND e.stream = $2 AND e.seq = c.seq),
            t.ledger, t.owner, t.currency, t.amount, t.entries
        FROM (SELECT coalesce((SELECT seq FROM checkpoint WHERE projector = $1 AND stream = $2), 0) AS seq) c
        LEFT JOIN month_total t ON t.household = $2 AND t.month = $3 AND t.entries <> 0
        ORDER BY t.ledger, t.currency, t.owner";
    /// An account's balance and how far it goes.
    read FIND_BALANCE = "SELECT c.seq, (SELECT e.at FROM event e WHERE e.kind = 'household' AND e.stream = $2 AND e.seq = c.seq),
            (SELECT coalesce(sum(t.amount), 0)::bigint FROM month_total t
                WHERE t.household = $2 AND t.owner = $3 AND t.ledger = 'account')
        FROM (SELECT coalesce((SELECT seq FROM checkpoint WHERE projector = $1 AND stream = $2), 0) AS seq) c";
}

/// How far a projection goes: a change's number and its time (`None` when that change is no longer kept).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AsOf {
    pub seq: i64,
    pub at: Option<DateTime<Utc>>,
}

/// One line of a month.
#[derive(Debug, Clone)]
pub(crate) struct Total {
    pub ledger: Ledger,
    pub owner: Uuid,
    pub currency: Currency,
    pub amount: i64,
    pub entries: i64,
}

/// A change as the log has it.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    pub seq: i64,
    pub at: DateTime<Utc>,
    pub actor: String,
    pub subject: String,
    /// `null` when it was deleted.
    pub resource: Value,
}

/// The body of the event that made this version of a resource, as long as it is kept.
pub(crate) async fn read_base(
    tx: &mut Tx<'_>,
    household: Uuid,
    version: i64,
    subject: &str,
) -> Result<Option<Value>, DbError> {
    Ok(tx.row_opt(&FIND_BASE, &[&household, &version, &subject]).await?.map(|row| row.get(0)))
}

/// The stream's number, and up to `limit` changes after `since`; `None` when there is no such stream.
pub(crate) async fn list_changes(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    since: i64,
    limit: i64,
) -> Result<Option<(i64, Vec<Logged>)>, DbError> {
    let last = since.saturating_add(limit);
    let rows = db.read(ctx, freshness, &LIST_CHANGES, &[&household, &since, &last]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let logged = |row: &Row| {
        let seq = row.get::<_, Option<i64>>(1)?;
        let resource = row.get::<_, Option<Value>>(5).unwrap_or_default();
        Some(Logged { seq, at: row.get(2), actor: row.get(3), subject: row.get(4), resource })
    };
    Ok(Some((first.get(0), rows.iter().filter_map(logged).collect())))
}

/// The number of the oldest change after `since` that is kept.
pub(crate) async fn find_floor(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    since: i64,
) -> Result<Option<i64>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_FLOOR, &[&household, &since]).await?;
    Ok(row.and_then(|row| row.get(0)))
}

pub(crate) async fn add_moves(tx: &mut Tx<'_>, household: Uuid, moves: &[Move]) -> Result<(), DbError> {
    let month: Vec<NaiveDate> = moves.iter().map(|m| m.month).collect();
    let ledger: Vec<&str> = moves.iter().map(|m| m.ledger.name()).collect();
    let owner: Vec<Uuid> = moves.iter().map(|m| m.owner).collect();
    let currency: Vec<&str> = moves.iter().map(|m| m.currency.code()).collect();
    let amount: Vec<i64> = moves.iter().map(|m| m.amount).collect();
    let entries: Vec<i64> = moves.iter().map(|m| m.entries).collect();
    tx.execute(&ADD_MOVES, &[&household, &month, &ledger, &owner, &currency, &amount, &entries]).await
}

pub(crate) async fn find_summary(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    projector: &str,
    household: Uuid,
    month: Month,
) -> Result<(AsOf, Vec<Total>), DbError> {
    let rows = db.read(ctx, freshness, &FIND_SUMMARY, &[&projector, &household, &month.first()]).await?;
    let total = |row: &Row| {
        let ledger = Ledger::from_name(row.get::<_, Option<&str>>(2)?).expect("written by Ledger::name");
        let currency = currency_of(row.get(4));
        Some(Total { ledger, owner: row.get(3), currency, amount: row.get(5), entries: row.get(6) })
    };
    Ok((as_of(rows.first()), rows.iter().filter_map(total).collect()))
}

/// Minor units of the account's currency.
pub(crate) async fn find_balance(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    projector: &str,
    household: Uuid,
    account: Uuid,
) -> Result<(AsOf, i64), DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_BALANCE, &[&projector, &household, &account]).await?;
    Ok((as_of(row.as_ref()), row.map_or(0, |row| row.get(2))))
}

fn as_of(row: Option<&Row>) -> AsOf {
    row.map_or(AsOf { seq: 0, at: None }, |row| AsOf { seq: row.get(0), at: row.get(1) })
}
