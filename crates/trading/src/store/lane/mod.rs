//! What a lane reads under its locks: balances, decided commands, the open orders of a book that must be rebuilt.

pub mod owner;
pub mod rows;

use std::collections::HashMap;
use std::sync::Arc;

use common::db::{AnyStatement, DbError, Row, SqlParams, Tx};
use common::events::log::LOCK_STREAMS;
use uuid::Uuid;

use super::{unreadable, word};
use crate::lane::command::Swept;
use crate::matching::{Balance, Funds, Holding};
use crate::model::{
    AccountId, CancelReason, Instrument, InstrumentId, Order, OrderId, OrderStatus, Side, TimeInForce,
};

common::statements! {
    /// The balances of locked accounts in an instrument's two assets.
    read LIST_BALANCES = "SELECT account, asset, available, held FROM balance
        WHERE account = ANY($1) AND asset = ANY($2)";
    /// What was decided before under these client ids. The accounts are locked, so nobody decides meanwhile. One look-up
    /// for each, whatever the planner thinks of the tables' sizes: a join read all of a table that had just grown, 19 ms
    /// for 256 ids against 0.8.
    read LIST_COMMANDS = "SELECT asked.account, asked.client_id, found.instrument, found.order_id, found.request::text,
            found.result::text
        FROM unnest($1::uuid[], $2::text[]) AS asked (account, client_id)
        CROSS JOIN LATERAL (SELECT instrument, order_id, request, result FROM command
            WHERE account = asked.account AND client_id = asked.client_id LIMIT 1) AS found";
    /// What sweeps came to on this instrument before.
    read LIST_SWEPT = "SELECT found.account, found.id, found.orders, found.seq, found.instrument_seq, found.at
        FROM unnest($1::uuid[], $2::text[]) AS asked (account, id)
        CROSS JOIN LATERAL (SELECT account, id, orders, seq, instrument_seq, at FROM swept
            WHERE account = asked.account AND id = asked.id AND instrument = $3 LIMIT 1) AS found";
    /// The open orders of an instrument in the order of their time.
    read LIST_OPEN_ORDERS = "SELECT account, id, client_id, side, time_in_force, price, quantity, filled, notional, fee,
        fee_slack, status, reason, placed_seq, placed_line, created_at
        FROM orders WHERE instrument = $1 AND status = 'open' ORDER BY placed_seq, placed_line LIMIT $2";
    /// Those of these orders that are open. One look-up for each, as for the commands.
    read LIST_STILL_OPEN = "SELECT o.account, o.id, o.client_id, o.side, o.time_in_force, o.price, o.quantity, o.filled,
            o.notional, o.fee, o.fee_slack, o.status, o.reason, o.placed_seq, o.placed_line, o.created_at
        FROM unnest($1::uuid[], $2::uuid[]) AS asked (account, id)
        CROSS JOIN LATERAL (SELECT account, id, client_id, side, time_in_force, price, quantity, filled, notional, fee,
                fee_slack, status, reason, placed_seq, placed_line, created_at
            FROM orders WHERE account = asked.account AND id = asked.id AND status = 'open' LIMIT 1) AS o";
    /// The number of an instrument's last trade.
    read FIND_LAST_TRADE = "SELECT number FROM trade WHERE instrument = $1 ORDER BY number DESC LIMIT 1";
    /// The state of orders that are not in the book.
    read LIST_CLOSED_ORDERS = "SELECT asked.account, asked.id, o.client_id, o.status, o.reason, o.filled, o.notional,
            o.fee, o.seq, o.instrument_seq, o.updated_at
        FROM unnest($1::uuid[], $2::uuid[]) AS asked (account, id)
        CROSS JOIN LATERAL (SELECT client_id, status, reason, filled, notional, fee, seq, instrument_seq, updated_at
            FROM orders WHERE account = asked.account AND id = asked.id AND instrument = $3 LIMIT 1) AS o";
}

/// What a lane finds once it has its locks.
pub struct Locked {
    /// The number of the instrument's last event: the version of its book.
    pub head: i64,
    /// The numbers of the accounts' last events.
    pub account_heads: HashMap<AccountId, i64>,
    /// What the accounts have.
    pub funds: Funds,
    /// What was decided before.
    pub decided: HashMap<(AccountId, Arc<str>), Decided>,
    /// What sweeps came to before.
    pub swept: HashMap<(AccountId, Arc<str>), Swept>,
}

/// A command that was decided before.
#[derive(Clone, Debug)]
pub struct Decided {
    /// On which instrument; `None` when the id was sealed.
    pub instrument: Option<InstrumentId>,
    /// The order, if it was accepted.
    pub order: Option<OrderId>,
    /// What was asked for, as it was stored.
    pub request: String,
    /// What was answered, as it was stored.
    pub result: String,
}

/// An order that is over, as far as the answer to its cancel says.
#[derive(Clone, Debug)]
pub struct Closed {
    pub account: AccountId,
    pub id: OrderId,
    pub client_id: Arc<str>,
    pub status: OrderStatus,
    pub reason: Option<CancelReason>,
    pub filled: i64,
    pub notional: i64,
    pub fee: i64,
    pub seq: i64,
    pub instrument_seq: i64,
    pub at: chrono::DateTime<chrono::Utc>,
}

/// Locks the instrument, then the accounts by their ids, and reads what stands behind the locks: in one round trip, for
/// each statement sees what was committed when it began.
pub async fn lock(
    tx: &mut Tx<'_>,
    instrument: &Instrument,
    accounts: &[AccountId],
    keys: &[(AccountId, Arc<str>)],
    sweeps: &[(AccountId, Arc<str>)],
) -> Result<Locked, DbError> {
    let of_instrument = [instrument.id.0];
    let of_accounts: Vec<Uuid> = accounts.iter().map(|account| account.0).collect();
    let assets = [&*instrument.base.code, &*instrument.quote.code];
    let (key_accounts, key_ids) = columns(keys);
    let (swept_accounts, swept_ids) = columns(sweeps);
    let calls: &[(&dyn AnyStatement, SqlParams<'_>)] = &[
        (&LOCK_STREAMS, &[&&of_instrument[..]]),
        (&LOCK_STREAMS, &[&of_accounts]),
        (&LIST_BALANCES, &[&of_accounts, &&assets[..]]),
        (&LIST_COMMANDS, &[&key_accounts, &key_ids]),
        // Seldom asked for, so last.
        (&LIST_SWEPT, &[&swept_accounts, &swept_ids, &instrument.id.0]),
    ];
    let asked = if sweeps.is_empty() { &calls[..calls.len() - 1] } else { calls };
    let answers = tx.pipeline(asked).await?;
    let [heads, account_heads, balances, commands, swept @ ..] = &answers[..] else {
        return Err(unreadable(LOCK_STREAMS.statement().name, "the number of answers"));
    };
    let head = heads
        .first()
        .ok_or_else(|| unreadable(LOCK_STREAMS.statement().name, "an instrument without a stream"))?;
    let account_heads: HashMap<AccountId, i64> =
        account_heads.iter().map(|row| (AccountId(row.get(0)), row.get(1))).collect();
    let mut holdings: HashMap<AccountId, Holding> =
        account_heads.keys().map(|account| (*account, Holding::default())).collect();
    for row in balances {
        let Some(holding) = holdings.get_mut(&AccountId(row.get(0))) else { continue };
        let is_base = row.get::<_, &str>(1) == &*instrument.base.code;
        let balance = if is_base { &mut holding.base } else { &mut holding.quote };
        *balance = Balance { available: row.get(2), held: row.get(3) };
    }
    Ok(Locked {
        head: head.get(1),
        account_heads,
        funds: Funds::of(holdings),
        decided: commands.iter().map(decided).collect(),
        swept: swept.iter().flatten().map(swept_before).collect(),
    })
}

fn columns(keys: &[(AccountId, Arc<str>)]) -> (Vec<Uuid>, Vec<&str>) {
    keys.iter().map(|(account, id)| (account.0, &**id)).unzip()
}

fn swept_before(row: &Row) -> ((AccountId, Arc<str>), Swept) {
    let swept = Swept {
        orders: row.get::<_, Vec<Uuid>>(2).into_iter().map(OrderId).collect(),
        seq: row.get(3),
        instrument_seq: row.get(4),
        at: row.get(5),
        duplicate: false,
    };
    ((AccountId(row.get(0)), row.get::<_, &str>(1).into()), swept)
}

fn decided(row: &Row) -> ((AccountId, Arc<str>), Decided) {
    let key = (AccountId(row.get(0)), row.get::<_, &str>(1).into());
    let decided = Decided {
        instrument: row.get::<_, Option<Uuid>>(2).map(InstrumentId),
        order: row.get::<_, Option<Uuid>>(3).map(OrderId),
        request: row.get(4),
        result: row.get(5),
    };
    (key, decided)
}

/// All open orders of the instrument in the order of their time, and the number of its last trade.
pub async fn list_open_orders(
    tx: &mut Tx<'_>,
    instrument: InstrumentId,
    limit: i64,
) -> Result<(Vec<Order>, i64), DbError> {
    let answers = tx
        .pipeline(&[(&LIST_OPEN_ORDERS, &[&instrument.0, &limit]), (&FIND_LAST_TRADE, &[&instrument.0])])
        .await?;
    let [orders, last] = &answers[..] else {
        return Err(unreadable(LIST_OPEN_ORDERS.0.name, "the number of answers"));
    };
    let orders = orders.iter().map(open_order).collect::<Result<_, _>>()?;
    Ok((orders, last.first().map_or(0, |row| row.get(0))))
}

/// Those of these orders that are open, as they are now.
pub async fn list_still_open(tx: &mut Tx<'_>, keys: &[(AccountId, OrderId)]) -> Result<Vec<Order>, DbError> {
    let (accounts, ids): (Vec<Uuid>, Vec<Uuid>) = keys.iter().map(|(account, id)| (account.0, id.0)).unzip();
    let rows = tx.rows(&LIST_STILL_OPEN, &[&accounts, &ids]).await?;
    rows.iter().map(open_order).collect()
}

fn open_order(row: &Row) -> Result<Order, DbError> {
    let statement = LIST_OPEN_ORDERS.0.name;
    Ok(Order {
        account: AccountId(row.get(0)),
        id: OrderId(row.get(1)),
        client_id: row.get::<_, &str>(2).into(),
        side: word(row, 3, statement, Side::parse)?,
        time_in_force: word(row, 4, statement, TimeInForce::parse)?,
        price: row.get(5),
        quantity: row.get(6),
        filled: row.get(7),
        notional: row.get(8),
        fee: row.get(9),
        fee_slack: row.get(10),
        status: word(row, 11, statement, OrderStatus::parse)?,
        reason: None,
        placed_seq: row.get(13),
        placed_line: row.get(14),
        created_at: row.get(15),
    })
}

/// What became of orders of the instrument that are not in the book; those that never were are not in the answer.
pub async fn list_closed_orders(
    tx: &mut Tx<'_>,
    instrument: InstrumentId,
    keys: &[(AccountId, OrderId)],
) -> Result<Vec<Closed>, DbError> {
    let accounts: Vec<Uuid> = keys.iter().map(|(account, _)| account.0).collect();
    let ids: Vec<Uuid> = keys.iter().map(|(_, id)| id.0).collect();
    let rows = tx.rows(&LIST_CLOSED_ORDERS, &[&accounts, &ids, &instrument.0]).await?;
    rows.iter().map(closed_order).collect()
}

fn closed_order(row: &Row) -> Result<Closed, DbError> {
    let statement = LIST_CLOSED_ORDERS.0.name;
    Ok(Closed {
        account: AccountId(row.get(0)),
        id: OrderId(row.get(1)),
        client_id: row.get::<_, &str>(2).into(),
        status: word(row, 3, statement, OrderStatus::parse)?,
        reason: row.get::<_, Option<&str>>(4).and_then(CancelReason::parse),
        filled: row.get(5),
        notional: row.get(6),
        fee: row.get(7),
        seq: row.get(8),
        instrument_seq: row.get(9),
        at: row.get(10),
    })
}
