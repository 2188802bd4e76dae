//! Reads of orders, trades, fills and decided commands.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use uuid::Uuid;

use super::lane::Decided;
use crate::events::{FillPart, InstrumentPart, OrderPart, Traded};
use crate::model::{AccountId, InstrumentId, OrderId};

macro_rules! order_columns {
    () => {
        "o.id, o.client_id, o.side = 'sell', o.time_in_force, o.price, o.quantity, o.filled, o.notional, o.fee, \
         o.status, o.reason, o.created_at, i.symbol, o.instrument_seq, i.price_scale, i.base_scale, i.quote_scale, \
         o.seq, o.updated_at"
    };
}

common::statements! {
    /// An order of an account.
    read FIND_ORDER = concat!("SELECT ", order_columns!(), " FROM orders o JOIN instrument i ON i.id = o.instrument
        WHERE o.account = $1 AND o.id = $2");
    /// An account's orders, the newest first, a page of them.
    read LIST_ORDERS = concat!("SELECT ", order_columns!(), " FROM orders o JOIN instrument i ON i.id = o.instrument
        WHERE o.account = $1 AND o.id < $2 ORDER BY o.id DESC LIMIT $3");
    /// Those of them that rest.
    read LIST_OPEN_ORDERS_OF_ACCOUNT = concat!("SELECT ", order_columns!(),
        " FROM orders o JOIN instrument i ON i.id = o.instrument
        WHERE o.account = $1 AND o.id < $2 AND o.status = 'open' ORDER BY o.id DESC LIMIT $3");
    /// The same in one snapshot with the number that they are of.
    read LIST_OPEN_ORDERS_AT = concat!("SELECT s.head, ", order_columns!(), " FROM stream s
        LEFT JOIN LATERAL (SELECT id FROM orders WHERE account = s.id AND status = 'open' ORDER BY id DESC LIMIT $2)
            AS newest ON true
        LEFT JOIN orders o ON o.account = s.id AND o.id = newest.id
        LEFT JOIN instrument i ON i.id = o.instrument
        WHERE s.id = $1 ORDER BY o.id DESC");
    /// What an order is on.
    read FIND_ORDERS_INSTRUMENT = "SELECT i.symbol FROM orders o JOIN instrument i ON i.id = o.instrument
        WHERE o.account = $1 AND o.id = $2";
    /// What was decided under a client id.
    read FIND_COMMAND = "SELECT c.instrument, c.order_id, c.request::text, c.result::text, c.at, i.symbol
        FROM command c LEFT JOIN instrument i ON i.id = c.instrument WHERE c.account = $1 AND c.client_id = $2";
    /// Seals a client id, unless it was used. The account is locked.
    write VOID_COMMAND = "INSERT INTO command (account, client_id, outcome, request, result, at)
        VALUES ($1, $2, 'void', '{}', '{}', $3) ON CONFLICT (account, client_id) DO NOTHING";
    /// An account's trades by the numbers of its events, the newest first. Each of the two indexes gives its part in order.
    read LIST_FILLS = "SELECT t.number, t.own_order, t.sells, t.takes, t.price, t.quantity, t.notional, t.fee, i.symbol,
            t.seq, i.price_scale, i.base_scale, i.quote_scale, t.own_seq, t.at
        FROM (
            (SELECT instrument, number, seq, buyer_order AS own_order, false AS sells, taker_side = 'buy' AS takes, price,
                quantity, notional, buyer_fee AS fee, buyer_seq AS own_seq, at
            FROM trade WHERE buyer = $1 AND (buyer_seq, number) < ($2, $3)
            ORDER BY buyer_seq DESC, number DESC LIMIT $4)
            UNION ALL
            (SELECT instrument, number, seq, seller_order, true, taker_side = 'sell', price, quantity, notional,
                seller_fee, seller_seq, at
            FROM trade WHERE seller = $1 AND (seller_seq, number) < ($2, $3)
            ORDER BY seller_seq DESC, number DESC LIMIT $4)
        ) AS t JOIN instrument i ON i.id = t.instrument
        ORDER BY t.own_seq DESC, t.number DESC LIMIT $4";
    /// An instrument's trades, the newest first, a page of them.
    read LIST_TRADES = "SELECT number, price, quantity, taker_side = 'sell', seq, at FROM trade
        WHERE instrument = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
    /// The book by levels in one snapshot with the number that it is of.
    read LIST_LEVELS = "SELECT s.head, level.sells, level.price, level.quantity FROM stream s LEFT JOIN (
            SELECT side = 'sell' AS sells, price, sum(quantity - filled)::bigint AS quantity
            FROM orders WHERE instrument = $1 AND status = 'open' GROUP BY side, price) AS level ON true
        WHERE s.id = $1";
}

/// An order as its row says.
#[derive(Clone, Debug)]
pub struct OrderRow {
    /// On what.
    pub instrument: InstrumentPart,
    /// What it is like.
    pub order: OrderPart,
    /// The number of the account's event that last changed it.
    pub seq: i64,
    /// When that was.
    pub updated_at: DateTime<Utc>,
}

/// A trade from one account's side.
#[derive(Clone, Debug)]
pub struct FillRow {
    /// On what.
    pub instrument: InstrumentPart,
    /// What was traded.
    pub fill: FillPart,
    /// The number of the account's event.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// A trade as everybody may see it.
#[derive(Clone, Debug)]
pub struct TradeRow {
    /// What was traded.
    pub trade: Traded,
    /// The number of the instrument's event.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// A decided command with the symbol of its instrument.
#[derive(Clone, Debug)]
pub struct CommandRow {
    /// What was decided.
    pub decided: Decided,
    /// On what; `None` when the id was sealed.
    pub symbol: Option<Arc<str>>,
    /// When.
    pub at: DateTime<Utc>,
}

/// The levels of a book, best first, and the number that they are of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelRows {
    /// The instrument's last event.
    pub head: i64,
    /// Who buys.
    pub bids: Vec<(i64, i64)>,
    /// Who sells.
    pub asks: Vec<(i64, i64)>,
}

/// An order of the account.
pub async fn find_order(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    account: AccountId,
    id: OrderId,
) -> Result<Option<OrderRow>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_ORDER, &[&account.0, &id.0]).await?;
    Ok(row.as_ref().map(|row| order(row, 0)))
}

/// Up to `limit` orders of the account that are older than `before`.
pub async fn list_orders(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    account: AccountId,
    only_open: bool,
    before: Uuid,
    limit: i64,
) -> Result<Vec<OrderRow>, DbError> {
    let statement = if only_open { &LIST_OPEN_ORDERS_OF_ACCOUNT } else { &LIST_ORDERS };
    let rows = db.read(ctx, freshness, statement, &[&account.0, &before, &limit]).await?;
    Ok(rows.iter().map(|row| order(row, 0)).collect())
}

/// The newest open orders of the account, and the number of its last event in the same snapshot.
pub async fn list_open_orders_at(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    account: AccountId,
    limit: i64,
) -> Result<(i64, Vec<OrderRow>), DbError> {
    let rows = db.read(ctx, freshness, &LIST_OPEN_ORDERS_AT, &[&account.0, &limit]).await?;
    let head = rows.first().map_or(0, |row| row.get(0));
    let found = rows.iter().filter(|row| row.get::<_, Option<Uuid>>(1).is_some());
    Ok((head, found.map(|row| order(row, 1)).collect()))
}

/// The symbol of the instrument that an order of the account is on.
pub async fn find_orders_instrument(
    db: &Db,
    ctx: &Context,
    account: AccountId,
    id: OrderId,
) -> Result<Option<String>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_ORDERS_INSTRUMENT, &[&account.0, &id.0]).await?;
    Ok(row.map(|row| row.get(0)))
}

/// Seals a client id, unless it was used. The account is locked.
pub async fn void_command(
    tx: &mut Tx<'_>,
    account: AccountId,
    client_id: &str,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    tx.execute(&VOID_COMMAND, &[&account.0, &client_id, &at]).await
}

/// What was decided under a client id, as the writer has it.
pub async fn find_command(
    db: &Db,
    ctx: &Context,
    account: AccountId,
    client_id: &str,
) -> Result<Option<CommandRow>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_COMMAND, &[&account.0, &client_id]).await?;
    Ok(row.as_ref().map(command_row))
}

/// The same in a transaction.
pub async fn find_command_in(
    tx: &mut Tx<'_>,
    account: AccountId,
    client_id: &str,
) -> Result<Option<CommandRow>, DbError> {
    let row = tx.row_opt(&FIND_COMMAND, &[&account.0, &client_id]).await?;
    Ok(row.as_ref().map(command_row))
}

fn command_row(row: &Row) -> CommandRow {
    CommandRow {
        decided: Decided {
            instrument: row.get::<_, Option<Uuid>>(0).map(InstrumentId),
            order: row.get::<_, Option<Uuid>>(1).map(OrderId),
            request: row.get(2),
            result: row.get(3),
        },
        at: row.get(4),
        symbol: row.get::<_, Option<&str>>(5).map(Into::into),
    }
}

/// Up to `limit` fills of the account before (its event's number, the trade's number).
pub async fn list_fills(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    account: AccountId,
    before: (i64, i64),
    limit: i64,
) -> Result<Vec<FillRow>, DbError> {
    let rows = db.read(ctx, freshness, &LIST_FILLS, &[&account.0, &before.0, &before.1, &limit]).await?;
    Ok(rows.iter().map(fill).collect())
}

/// Up to `limit` trades of the instrument before a number.
pub async fn list_trades(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    instrument: InstrumentId,
    before: i64,
    limit: i64,
) -> Result<Vec<TradeRow>, DbError> {
    let rows = db.read(ctx, freshness, &LIST_TRADES, &[&instrument.0, &before, &limit]).await?;
    let trade = |row: &Row| TradeRow {
        trade: Traded(row.get(0), row.get(1), row.get(2), row.get(3)),
        seq: row.get(4),
        at: row.get(5),
    };
    Ok(rows.iter().map(trade).collect())
}

/// The book by levels.
pub async fn list_levels(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    instrument: InstrumentId,
) -> Result<LevelRows, DbError> {
    let rows = db.read(ctx, freshness, &LIST_LEVELS, &[&instrument.0]).await?;
    let mut levels = LevelRows { head: rows.first().map_or(0, |row| row.get(0)), ..LevelRows::default() };
    for row in &rows {
        let Some(sells) = row.get::<_, Option<bool>>(1) else { continue };
        let of_side = if sells { &mut levels.asks } else { &mut levels.bids };
        of_side.push((row.get(2), row.get(3)));
    }
    levels.bids.sort_unstable_by(|a, b| b.cmp(a));
    levels.asks.sort_unstable();
    Ok(levels)
}

fn instrument(row: &Row, at: usize) -> InstrumentPart {
    let scale = |at: usize| row.get::<_, i16>(at) as u8;
    InstrumentPart(row.get(at), row.get(at + 1), scale(at + 2), scale(at + 3), scale(at + 4))
}

fn order(row: &Row, at: usize) -> OrderRow {
    OrderRow {
        order: OrderPart(
            row.get(at),
            row.get(at + 1),
            row.get(at + 2),
            row.get(at + 3),
            row.get(at + 4),
            row.get(at + 5),
            row.get(at + 6),
            row.get(at + 7),
            row.get(at + 8),
            row.get(at + 9),
            row.get(at + 10),
            row.get::<_, DateTime<Utc>>(at + 11).timestamp_micros(),
        ),
        instrument: instrument(row, at + 12),
        seq: row.get(at + 17),
        updated_at: row.get(at + 18),
    }
}

fn fill(row: &Row) -> FillRow {
    FillRow {
        fill: FillPart(
            row.get(0),
            row.get(1),
            row.get(2),
            row.get(3),
            row.get(4),
            row.get(5),
            row.get(6),
            row.get(7),
        ),
        instrument: instrument(row, 8),
        seq: row.get(13),
        at: row.get(14),
    }
}
