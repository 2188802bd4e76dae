//! Checks of all rows against one another. Each reads whole tables in one snapshot and gives one row: how many rows break
//! the rule, and one of them. For tests and operators, never for a request's way.

use common::context::Context;
use common::db::{Db, DbError, Freshness, ReadStatement};

common::statements! {
    /// Every balance is what its ledger lines add up to.
    read CHECK_BALANCES_ARE_THE_LEDGER = "WITH line AS (
            SELECT to_account AS account, asset, to_kind AS kind, amount FROM ledger
            UNION ALL SELECT from_account, asset, from_kind, -amount FROM ledger),
        entered AS (SELECT account, asset, coalesce(sum(amount) FILTER (WHERE kind = 'available'), 0) AS available,
                coalesce(sum(amount) FILTER (WHERE kind = 'held'), 0) AS held,
                coalesce(sum(amount) FILTER (WHERE kind = 'fees'), 0) AS fees,
                coalesce(sum(amount) FILTER (WHERE kind = 'external'), 0) AS external
            FROM line GROUP BY account, asset)
        SELECT count(*), min(account::text || ' ' || asset) FROM entered FULL JOIN balance USING (account, asset)
        WHERE entered.available IS DISTINCT FROM balance.available::numeric
            OR entered.held IS DISTINCT FROM balance.held::numeric
            OR entered.fees IS DISTINCT FROM balance.fees::numeric
            OR entered.external IS DISTINCT FROM balance.external::numeric";
    /// Of each asset there is as much as was deposited.
    read CHECK_ASSETS_ARE_CONSERVED = "SELECT count(*), min(asset) FROM (SELECT asset FROM balance GROUP BY asset
        HAVING sum(available::numeric + held + fees + external) <> 0) AS broken";
    /// Nothing is below zero.
    read CHECK_NOTHING_IS_NEGATIVE = "SELECT count(*), min(account::text || ' ' || asset) FROM balance
        WHERE available < 0 OR held < 0 OR fees < 0";
    /// What is held is the worst case of the open orders.
    read CHECK_HOLDS_ARE_THE_WORST_CASE = "WITH open AS (
            SELECT o.account, CASE o.side WHEN 'sell' THEN i.base ELSE i.quote END AS asset, o.side,
                (o.quantity - o.filled)::numeric AS leaves, o.fee_slack, i.maker_fee_ppm,
                o.price::numeric * (o.quantity - o.filled)
                    / power(10::numeric, i.price_scale + i.base_scale - i.quote_scale) AS notional
            FROM orders o JOIN instrument i ON i.id = o.instrument WHERE o.status = 'open'),
        needed AS (SELECT account, asset, sum(CASE side WHEN 'sell' THEN leaves
                ELSE notional + greatest(0, ceil((notional * maker_fee_ppm - fee_slack) / 1000000)) END) AS held
            FROM open GROUP BY account, asset)
        SELECT count(*), min(account::text || ' ' || asset) FROM balance FULL JOIN needed USING (account, asset)
        WHERE coalesce(needed.held, 0) <> coalesce(balance.held, 0)";
    /// No buyer pays as much as a seller asks.
    read CHECK_BOOKS_ARE_NOT_CROSSED = "SELECT count(*), min(instrument::text) FROM (
            SELECT instrument FROM orders WHERE status = 'open' GROUP BY instrument
            HAVING max(price) FILTER (WHERE side = 'buy') >= min(price) FILTER (WHERE side = 'sell')) AS crossed";
    /// An order is what its trades add up to.
    read CHECK_ORDERS_ARE_THEIR_TRADES = "WITH part AS (
            SELECT buyer AS account, buyer_order AS id, quantity, notional, buyer_fee AS fee FROM trade
            UNION ALL SELECT seller, seller_order, quantity, notional, seller_fee FROM trade),
        traded AS (SELECT account, id, sum(quantity) AS quantity, sum(notional) AS notional, sum(fee) AS fee
            FROM part GROUP BY account, id)
        SELECT count(*), min(id::text) FROM orders o FULL JOIN traded USING (account, id)
        WHERE o.filled IS NULL OR o.filled <> coalesce(traded.quantity, 0)
            OR o.notional <> coalesce(traded.notional, 0) OR o.fee <> coalesce(traded.fee, 0)
            OR (o.status = 'filled') <> (o.filled = o.quantity)";
    /// No order trades at a worse price than its limit, and none with its own account.
    read CHECK_TRADES_KEEP_LIMITS = "SELECT count(*), min(t.instrument::text || ' ' || t.number::text) FROM trade t
        JOIN orders b ON b.account = t.buyer AND b.id = t.buyer_order
        JOIN orders s ON s.account = t.seller AND s.id = t.seller_order
        WHERE t.price > b.price OR t.price < s.price OR t.buyer = t.seller
            OR t.price <> CASE t.taker_side WHEN 'buy' THEN s.price ELSE b.price END";
    /// An immediate order never rests.
    read CHECK_IMMEDIATE_ORDERS_ARE_OVER = "SELECT count(*), min(id::text) FROM orders
        WHERE time_in_force = 'ioc' AND status = 'open'";
    /// Each accepted command has its one order, and each order its one command.
    read CHECK_COMMANDS_ARE_ORDERS = "SELECT count(*), min(coalesce(o.id, c.order_id)::text) FROM orders o
        FULL JOIN (SELECT account, client_id, order_id FROM command WHERE outcome = 'accepted') c
            ON c.account = o.account AND c.order_id = o.id
        WHERE o.id IS NULL OR c.order_id IS NULL OR c.client_id <> o.client_id";
    /// The numbers of an instrument's trades have no gap.
    read CHECK_TRADES_ARE_GAPLESS = "SELECT count(*), min(instrument::text) FROM (
            SELECT instrument FROM trade GROUP BY instrument
            HAVING count(*) <> max(number) - min(number) + 1) AS broken";
    /// The numbers of a stream have no gap, and its counter is the last of them.
    read CHECK_STREAMS_ARE_GAPLESS = "SELECT count(*), min(id::text) FROM (
            SELECT s.id FROM stream s LEFT JOIN event e ON e.stream = s.id GROUP BY s.id, s.head
            HAVING coalesce(max(e.seq), 0) <> s.head OR count(e.seq) <> coalesce(max(e.seq) - min(e.seq) + 1, 0)
                OR count(DISTINCT e.seq) <> count(e.seq)) AS broken";
}

/// The checks by name.
pub const CHECKS: &[(&str, ReadStatement)] = &[
    ("balances_are_the_ledger", CHECK_BALANCES_ARE_THE_LEDGER),
    ("assets_are_conserved", CHECK_ASSETS_ARE_CONSERVED),
    ("nothing_is_negative", CHECK_NOTHING_IS_NEGATIVE),
    ("holds_are_the_worst_case", CHECK_HOLDS_ARE_THE_WORST_CASE),
    ("books_are_not_crossed", CHECK_BOOKS_ARE_NOT_CROSSED),
    ("orders_are_their_trades", CHECK_ORDERS_ARE_THEIR_TRADES),
    ("trades_keep_limits", CHECK_TRADES_KEEP_LIMITS),
    ("immediate_orders_are_over", CHECK_IMMEDIATE_ORDERS_ARE_OVER),
    ("commands_are_orders", CHECK_COMMANDS_ARE_ORDERS),
    ("trades_are_gapless", CHECK_TRADES_ARE_GAPLESS),
    ("streams_are_gapless", CHECK_STREAMS_ARE_GAPLESS),
];

/// How many rows break the rule of `check`, and one of them.
pub async fn find_broken(
    db: &Db,
    ctx: &Context,
    check: &ReadStatement,
) -> Result<(i64, Option<String>), DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, check, &[]).await?;
    Ok(row.map_or((0, None), |row| (row.get(0), row.get(1))))
}
