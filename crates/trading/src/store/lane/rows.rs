//! What a lane writes: each kind of row of a whole batch in one statement, over arrays.

use chrono::{DateTime, Utc};
use common::db::{DbError, Tx};
use common::events::{NewEvent, log};
use uuid::Uuid;

use crate::lane::command::Swept;
use crate::matching::{Changed, Effects, Holding, Kind};
use crate::model::{AccountId, Instrument, OrderId};

common::statements! {
    /// Orders that the batch brought, as it left them.
    write INSERT_ORDERS = "INSERT INTO orders (account, id, instrument, client_id, side, type, time_in_force, self_trade,
            price, quantity, filled, notional, fee, fee_slack, status, reason, placed_seq, placed_line, seq,
            instrument_seq, created_at, updated_at)
        SELECT account, id, $1, client_id, side, 'limit', time_in_force, 'cancel_taker', price, quantity, filled, notional,
            fee, fee_slack, status, reason, $2, placed_line, seq, $2, $3, $3
        FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::bigint[], $10::bigint[],
                $11::bigint[], $12::bigint[], $13::bigint[], $14::int[], $15::text[], $16::text[], $17::int[],
                $18::bigint[])
            AS new (account, id, client_id, side, time_in_force, price, quantity, filled, notional, fee, fee_slack,
                status, reason, placed_line, seq)";
    /// Orders that were there before, as the batch left them.
    write UPDATE_ORDERS = "UPDATE orders SET filled = now.filled, notional = now.notional, fee = now.fee,
            fee_slack = now.fee_slack, status = now.status, reason = now.reason, seq = now.seq, instrument_seq = $1,
            updated_at = $2
        FROM unnest($3::uuid[], $4::uuid[], $5::bigint[], $6::bigint[], $7::bigint[], $8::int[], $9::text[], $10::text[],
                $11::bigint[])
            AS now (account, id, filled, notional, fee, fee_slack, status, reason, seq)
        WHERE orders.account = now.account AND orders.id = now.id";
    /// Balances of locked accounts, as the batch left them.
    write UPSERT_BALANCES = "INSERT INTO balance (account, asset, available, held)
        SELECT account, asset, available, held
        FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) AS now (account, asset, available, held)
        ON CONFLICT (account, asset) DO UPDATE SET available = excluded.available, held = excluded.held";
    /// What the instrument's fee account collected. The instrument's lock is its lock.
    write ADD_FEES = "INSERT INTO balance AS kept (account, asset, fees) VALUES ($1, $2, $3)
        ON CONFLICT (account, asset) DO UPDATE SET fees = kept.fees + excluded.fees";
    /// Lines of the ledger.
    write INSERT_LEDGER = "INSERT INTO ledger (stream, seq, line, asset, from_account, from_kind, to_account, to_kind,
            amount, reason, at)
        SELECT $1, $2, line, asset, from_account, from_kind, to_account, to_kind, amount, reason, $3
        FROM unnest($4::text[], $5::uuid[], $6::text[], $7::uuid[], $8::text[], $9::bigint[], $10::text[])
            WITH ORDINALITY AS new (asset, from_account, from_kind, to_account, to_kind, amount, reason, line)";
    /// Trades.
    write INSERT_TRADES = "INSERT INTO trade (instrument, number, seq, taker_side, price, quantity, notional, buyer,
            buyer_order, buyer_seq, buyer_fee, seller, seller_order, seller_seq, seller_fee, at)
        SELECT $1, number, $2, taker_side, price, quantity, notional, buyer, buyer_order, buyer_seq, buyer_fee, seller,
            seller_order, seller_seq, seller_fee, $3
        FROM unnest($4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::bigint[], $9::uuid[], $10::uuid[],
                $11::bigint[], $12::bigint[], $13::uuid[], $14::uuid[], $15::bigint[], $16::bigint[])
            AS new (number, taker_side, price, quantity, notional, buyer, buyer_order, buyer_seq, buyer_fee, seller,
                seller_order, seller_seq, seller_fee)";
    /// Commands with what was decided.
    write INSERT_COMMANDS = "INSERT INTO command (account, client_id, instrument, outcome, order_id, request, result, at)
        SELECT account, client_id, $1, outcome, order_id, request::json, result::json, $2
        FROM unnest($3::uuid[], $4::text[], $5::text[], $6::uuid[], $7::text[], $8::text[])
            AS new (account, client_id, outcome, order_id, request, result)";
    /// What a sweep came to on this instrument.
    write INSERT_SWEPT = "INSERT INTO swept (account, id, instrument, orders, seq, instrument_seq, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
}

/// A sweep that the batch carried out.
#[derive(Clone, Debug)]
pub struct NewSwept {
    /// Whose.
    pub account: AccountId,
    /// Its id.
    pub id: std::sync::Arc<str>,
    /// What came of it.
    pub swept: Swept,
}

/// A command that the batch decided.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// Whose.
    pub account: AccountId,
    /// Under which id.
    pub client_id: std::sync::Arc<str>,
    /// The order, if it was accepted.
    pub order: Option<OrderId>,
    /// Compact JSON.
    pub request: String,
    /// Compact JSON.
    pub result: String,
}

/// A batch's effects with the numbers and the time that they are written under.
pub struct Batch<'a> {
    /// On which instrument.
    pub instrument: &'a Instrument,
    /// The number of the instrument's event.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What happened.
    pub effects: &'a Effects,
    /// The numbers of the touched accounts' events.
    pub account_seq: &'a (dyn Fn(AccountId) -> i64 + Sync),
    /// What the touched accounts have now.
    pub holding: &'a (dyn Fn(AccountId) -> Holding + Sync),
    /// What was decided.
    pub commands: &'a [NewCommand],
    /// What sweeps came to.
    pub sweeps: &'a [NewSwept],
}

/// Writes all of it, and the events of it, in one round trip.
pub async fn write(tx: &mut Tx<'_>, batch: &Batch<'_>, events: Vec<NewEvent<'_>>) -> Result<(), DbError> {
    let new = OrderColumns::of(batch, true);
    let old = OrderColumns::of(batch, false);
    let balances = BalanceColumns::of(batch);
    let ledger = LedgerColumns::of(batch);
    let trades = TradeColumns::of(batch);
    let commands = CommandColumns::of(batch.commands);
    let (instrument, seq, at) = (&batch.instrument.id.0, &batch.seq, &batch.at);
    let (fee_account, quote) = (&batch.instrument.fee_account.0, &*batch.instrument.quote.code);
    let insert_orders = new.insert_params(instrument, seq, at);
    let update_orders = old.update_params(seq, at);
    let insert_ledger = ledger.params(instrument, seq, at);
    let insert_trades = trades.params(instrument, seq, at);
    let mut calls: Vec<(&dyn common::db::AnyStatement, common::db::SqlParams<'_>)> = Vec::with_capacity(7);
    if !new.ids.is_empty() {
        calls.push((&INSERT_ORDERS, &insert_orders));
    }
    if !old.ids.is_empty() {
        calls.push((&UPDATE_ORDERS, &update_orders));
    }
    let upsert_balances: [Param<'_>; 4] =
        [&balances.accounts, &balances.assets, &balances.available, &balances.held];
    if !balances.accounts.is_empty() {
        calls.push((&UPSERT_BALANCES, &upsert_balances));
    }
    let add_fees: [Param<'_>; 3] = [fee_account, &quote, &batch.effects.fees];
    if batch.effects.fees > 0 {
        calls.push((&ADD_FEES, &add_fees));
    }
    if !ledger.amounts.is_empty() {
        calls.push((&INSERT_LEDGER, &insert_ledger));
    }
    if !trades.numbers.is_empty() {
        calls.push((&INSERT_TRADES, &insert_trades));
    }
    let insert_commands: [Param<'_>; 8] = [
        instrument,
        at,
        &commands.accounts,
        &commands.client_ids,
        &commands.outcomes,
        &commands.orders,
        &commands.requests,
        &commands.results,
    ];
    if !commands.accounts.is_empty() {
        calls.push((&INSERT_COMMANDS, &insert_commands));
    }
    let sweeps: Vec<SweptColumns<'_>> = batch.sweeps.iter().map(SweptColumns::of).collect();
    let insert_swept: Vec<[Param<'_>; 7]> = sweeps.iter().map(|swept| swept.params(instrument, at)).collect();
    for params in &insert_swept {
        calls.push((&INSERT_SWEPT, params));
    }
    log::append_behind(tx, &calls, batch.at, events).await
}

type Param<'a> = &'a (dyn tokio_postgres::types::ToSql + Sync);

#[derive(Default)]
struct OrderColumns<'a> {
    accounts: Vec<Uuid>,
    ids: Vec<Uuid>,
    client_ids: Vec<&'a str>,
    sides: Vec<&'static str>,
    times_in_force: Vec<&'static str>,
    prices: Vec<i64>,
    quantities: Vec<i64>,
    filled: Vec<i64>,
    notionals: Vec<i64>,
    fees: Vec<i64>,
    fee_slacks: Vec<i32>,
    statuses: Vec<&'static str>,
    reasons: Vec<Option<&'static str>>,
    placed_lines: Vec<i32>,
    seqs: Vec<i64>,
}

impl<'a> OrderColumns<'a> {
    fn of(batch: &Batch<'a>, is_new: bool) -> Self {
        let mut columns = Self::default();
        for Changed { order, .. } in batch.effects.orders.iter().filter(|changed| changed.is_new == is_new) {
            columns.accounts.push(order.account.0);
            columns.ids.push(order.id.0);
            columns.client_ids.push(&order.client_id);
            columns.sides.push(order.side.as_str());
            columns.times_in_force.push(order.time_in_force.as_str());
            columns.prices.push(order.price);
            columns.quantities.push(order.quantity);
            columns.filled.push(order.filled);
            columns.notionals.push(order.notional);
            columns.fees.push(order.fee);
            columns.fee_slacks.push(order.fee_slack);
            columns.statuses.push(order.status.as_str());
            columns.reasons.push(order.reason.map(|reason| reason.as_str()));
            columns.placed_lines.push(order.placed_line);
            columns.seqs.push((batch.account_seq)(order.account));
        }
        columns
    }

    fn insert_params<'p>(
        &'p self,
        instrument: &'p Uuid,
        seq: &'p i64,
        at: &'p DateTime<Utc>,
    ) -> [Param<'p>; 18] {
        [
            instrument,
            seq,
            at,
            &self.accounts,
            &self.ids,
            &self.client_ids,
            &self.sides,
            &self.times_in_force,
            &self.prices,
            &self.quantities,
            &self.filled,
            &self.notionals,
            &self.fees,
            &self.fee_slacks,
            &self.statuses,
            &self.reasons,
            &self.placed_lines,
            &self.seqs,
        ]
    }

    fn update_params<'p>(&'p self, seq: &'p i64, at: &'p DateTime<Utc>) -> [Param<'p>; 11] {
        [
            seq,
            at,
            &self.accounts,
            &self.ids,
            &self.filled,
            &self.notionals,
            &self.fees,
            &self.fee_slacks,
            &self.statuses,
            &self.reasons,
            &self.seqs,
        ]
    }
}

#[derive(Default)]
struct BalanceColumns<'a> {
    accounts: Vec<Uuid>,
    assets: Vec<&'a str>,
    available: Vec<i64>,
    held: Vec<i64>,
}

impl<'a> BalanceColumns<'a> {
    fn of(batch: &Batch<'a>) -> Self {
        let mut columns = Self::default();
        for (account, is_base) in batch.effects.balances() {
            let holding = (batch.holding)(account);
            let (asset, balance) = match is_base {
                true => (&batch.instrument.base, holding.base),
                false => (&batch.instrument.quote, holding.quote),
            };
            columns.accounts.push(account.0);
            columns.assets.push(&asset.code);
            columns.available.push(balance.available);
            columns.held.push(balance.held);
        }
        columns
    }
}

#[derive(Default)]
struct LedgerColumns<'a> {
    assets: Vec<&'a str>,
    from_accounts: Vec<Uuid>,
    from_kinds: Vec<&'static str>,
    to_accounts: Vec<Uuid>,
    to_kinds: Vec<&'static str>,
    amounts: Vec<i64>,
    reasons: Vec<&'static str>,
}

impl<'a> LedgerColumns<'a> {
    fn of(batch: &Batch<'a>) -> Self {
        let mut columns = Self::default();
        let place = |(account, kind): (AccountId, Kind)| (account.0, kind.as_str());
        for line in &batch.effects.transfers {
            let asset = if line.is_base { &batch.instrument.base } else { &batch.instrument.quote };
            let ((from_account, from_kind), (to_account, to_kind)) = (place(line.from), place(line.to));
            columns.assets.push(&asset.code);
            columns.from_accounts.push(from_account);
            columns.from_kinds.push(from_kind);
            columns.to_accounts.push(to_account);
            columns.to_kinds.push(to_kind);
            columns.amounts.push(line.amount);
            columns.reasons.push(line.reason.as_str());
        }
        columns
    }

    fn params<'p>(&'p self, stream: &'p Uuid, seq: &'p i64, at: &'p DateTime<Utc>) -> [Param<'p>; 10] {
        [
            stream,
            seq,
            at,
            &self.assets,
            &self.from_accounts,
            &self.from_kinds,
            &self.to_accounts,
            &self.to_kinds,
            &self.amounts,
            &self.reasons,
        ]
    }
}

#[derive(Default)]
struct TradeColumns {
    numbers: Vec<i64>,
    taker_sides: Vec<&'static str>,
    prices: Vec<i64>,
    quantities: Vec<i64>,
    notionals: Vec<i64>,
    buyers: PartyColumns,
    sellers: PartyColumns,
}

#[derive(Default)]
struct PartyColumns {
    accounts: Vec<Uuid>,
    orders: Vec<Uuid>,
    seqs: Vec<i64>,
    fees: Vec<i64>,
}

impl TradeColumns {
    fn of(batch: &Batch<'_>) -> Self {
        let mut columns = Self::default();
        for trade in &batch.effects.trades {
            columns.numbers.push(trade.number);
            columns.taker_sides.push(trade.taker_side.as_str());
            columns.prices.push(trade.price);
            columns.quantities.push(trade.quantity);
            columns.notionals.push(trade.notional);
            for (party, of_side) in
                [(&trade.buyer, &mut columns.buyers), (&trade.seller, &mut columns.sellers)]
            {
                of_side.accounts.push(party.account.0);
                of_side.orders.push(party.order.0);
                of_side.seqs.push((batch.account_seq)(party.account));
                of_side.fees.push(party.fee);
            }
        }
        columns
    }

    fn params<'p>(&'p self, instrument: &'p Uuid, seq: &'p i64, at: &'p DateTime<Utc>) -> [Param<'p>; 16] {
        [
            instrument,
            seq,
            at,
            &self.numbers,
            &self.taker_sides,
            &self.prices,
            &self.quantities,
            &self.notionals,
            &self.buyers.accounts,
            &self.buyers.orders,
            &self.buyers.seqs,
            &self.buyers.fees,
            &self.sellers.accounts,
            &self.sellers.orders,
            &self.sellers.seqs,
            &self.sellers.fees,
        ]
    }
}

/// Its list of orders is an array already, so a sweep is a row of its own.
struct SweptColumns<'a> {
    new: &'a NewSwept,
    id: &'a str,
    orders: Vec<Uuid>,
}

impl<'a> SweptColumns<'a> {
    fn of(new: &'a NewSwept) -> Self {
        Self { new, id: &new.id, orders: new.swept.orders.iter().map(|order| order.0).collect() }
    }

    fn params<'p>(&'p self, instrument: &'p Uuid, at: &'p DateTime<Utc>) -> [Param<'p>; 7] {
        let Swept { seq, instrument_seq, .. } = &self.new.swept;
        [&self.new.account.0, &self.id, instrument, &self.orders, seq, instrument_seq, at]
    }
}

#[derive(Default)]
struct CommandColumns<'a> {
    accounts: Vec<Uuid>,
    client_ids: Vec<&'a str>,
    outcomes: Vec<&'static str>,
    orders: Vec<Option<Uuid>>,
    requests: Vec<&'a str>,
    results: Vec<&'a str>,
}

impl<'a> CommandColumns<'a> {
    fn of(commands: &'a [NewCommand]) -> Self {
        let mut columns = Self::default();
        for command in commands {
            columns.accounts.push(command.account.0);
            columns.client_ids.push(&command.client_id);
            columns.outcomes.push(if command.order.is_some() { "accepted" } else { "rejected" });
            columns.orders.push(command.order.map(|order| order.0));
            columns.requests.push(&command.request);
            columns.results.push(&command.result);
        }
        columns
    }
}
