//! A household checked against itself: rows, postings, projection and log, recomputed in one statement and so in one
//! snapshot. It reads all of one household and nothing of another.

use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row};
use uuid::Uuid;

common::statements! {
    /// Each check: how much was looked at, how much of it is wrong, and some of that. No row: there is no such stream.
    /// What the log no longer keeps can't be held against the rows.
    read CHECK_INTEGRITY = "WITH
        now_at AS (SELECT s.head, coalesce(c.seq, 0) AS as_of FROM stream s
            LEFT JOIN checkpoint c ON c.projector = $2 AND c.stream = s.id WHERE s.id = $1),
        log AS MATERIALIZED (SELECT seq, subject FROM event WHERE kind = 'household' AND stream = $1),
        kept AS (SELECT coalesce((SELECT min(seq) FROM log), head + 1) AS floor, head FROM now_at),
        live AS MATERIALIZED (SELECT id, kind, date, account, amount, currency, to_account, to_amount, to_currency, splits
            FROM transaction WHERE household = $1 AND NOT deleted),
        part AS MATERIALIZED (SELECT t.id, t.kind, t.date, t.currency, s.ledger, s.category, s.amount
            FROM live t CROSS JOIN LATERAL jsonb_to_recordset(t.splits) AS s (category uuid, ledger text, amount bigint)
            WHERE t.kind IN ('expense', 'income')),
        owed AS MATERIALIZED (SELECT id AS transaction, date, ledger, owner, currency, sum(amount) AS amount FROM (
            SELECT id, date, 'account' AS ledger, account AS owner, currency,
                    CASE WHEN kind IN ('expense', 'transfer') THEN -amount ELSE amount END AS amount FROM live
            UNION ALL SELECT id, date, 'account', to_account, to_currency, to_amount FROM live WHERE kind = 'transfer'
            UNION ALL SELECT id, date, ledger, coalesce(category, '00000000-0000-0000-0000-000000000000'), currency,
                    CASE kind WHEN 'expense' THEN amount ELSE -amount END FROM part
            UNION ALL SELECT id, date, 'opening', '00000000-0000-0000-0000-000000000000', currency, -amount
                FROM live WHERE kind = 'opening'
            UNION ALL SELECT id, date, 'exchange', '00000000-0000-0000-0000-000000000000', side.unit, side.sum
                FROM live CROSS JOIN LATERAL (VALUES (currency, amount), (to_currency, -to_amount)) AS side (unit, sum)
                WHERE kind = 'transfer' AND currency <> to_currency) AS line
            GROUP BY id, date, ledger, owner, currency),
        posted AS MATERIALIZED (SELECT transaction, date, ledger, owner, currency, amount FROM posting WHERE household = $1),
        told AS MATERIALIZED (SELECT month, ledger, owner, currency, sum(amount) AS amount, sum(entries) AS entries FROM (
            SELECT month, ledger, owner, currency, amount, entries FROM month_total WHERE household = $1
            UNION ALL SELECT m.month, m.ledger, m.owner, m.currency, m.amount, m.entries
                FROM now_at JOIN event e ON e.kind = 'household' AND e.stream = $1 AND e.seq > now_at.as_of
                CROSS JOIN LATERAL jsonb_to_recordset(e.body->'moves')
                    AS m (month date, ledger text, owner uuid, currency text, amount bigint, entries bigint)) AS line
            GROUP BY month, ledger, owner, currency),
        row_version AS (SELECT 'household' AS subject, version FROM household WHERE id = $1
            UNION ALL SELECT 'member/' || subject, version FROM member WHERE household = $1
            UNION ALL SELECT 'account/' || id, version FROM account WHERE household = $1
            UNION ALL SELECT 'category/' || id, version FROM category WHERE household = $1
            UNION ALL SELECT 'transaction/' || id, version FROM transaction WHERE household = $1
            UNION ALL SELECT 'import/' || id, version FROM import WHERE household = $1),
        looked_at (place, what, wrong, example) AS (
            SELECT 1, 'splits_sum_to_amounts', coalesce(sum(p.amount), 0) <> t.amount, t.id::text
                FROM live t LEFT JOIN part p ON p.id = t.id WHERE t.kind IN ('expense', 'income') GROUP BY t.id, t.amount
            UNION ALL SELECT 2, 'postings_sum_to_zero', sum(amount) <> 0, transaction || ' ' || currency
                FROM posted GROUP BY transaction, currency
            UNION ALL SELECT 3, 'transfers_have_both_sides', account = to_account
                    OR currency = to_currency AND amount <> to_amount
                    OR NOT EXISTS (SELECT FROM posted p WHERE p.transaction = live.id AND p.ledger = 'account'
                        AND p.owner = account AND p.currency = live.currency AND p.amount = -live.amount)
                    OR NOT EXISTS (SELECT FROM posted p WHERE p.transaction = live.id AND p.ledger = 'account'
                        AND p.owner = to_account AND p.currency = to_currency AND p.amount = to_amount), id::text
                FROM live WHERE kind = 'transfer'
            UNION ALL SELECT 4, 'postings_are_the_transactions', o.amount IS DISTINCT FROM p.amount
                    OR o.date IS DISTINCT FROM p.date, transaction::text
                FROM owed o FULL JOIN posted p USING (transaction, ledger, owner, currency)
            UNION ALL SELECT 5, 'balances_are_the_transactions', coalesce(t.amount, 0) <> coalesce(o.amount, 0),
                    owner || ' ' || currency
                FROM (SELECT owner, currency, sum(amount) AS amount FROM told WHERE ledger = 'account' GROUP BY 1, 2) t
                FULL JOIN (SELECT owner, currency, sum(amount) AS amount FROM owed WHERE ledger = 'account' GROUP BY 1, 2) o
                    USING (owner, currency)
            UNION ALL SELECT 6, 'months_are_the_postings', coalesce(t.amount, 0) <> coalesce(p.amount, 0)
                    OR coalesce(t.entries, 0) <> coalesce(p.entries, 0),
                    to_char(month, 'YYYY-MM') || ' ' || ledger || ' ' || owner || ' ' || currency
                FROM told t FULL JOIN (SELECT date_trunc('month', date)::date AS month, ledger, owner, currency,
                        sum(amount) AS amount, count(*) AS entries FROM posted GROUP BY 1, 2, 3, 4) p
                    USING (month, ledger, owner, currency)
            UNION ALL SELECT 7, 'changes_have_no_gap', l.times IS DISTINCT FROM 1 OR seq > kept.head, seq::text
                FROM (SELECT seq FROM kept CROSS JOIN LATERAL generate_series(kept.floor, kept.head) AS seq) n
                FULL JOIN (SELECT seq, count(*) AS times FROM log GROUP BY seq) l USING (seq) CROSS JOIN kept
            UNION ALL SELECT 8, 'versions_are_the_last_changes', CASE WHEN l.last IS NULL THEN v.version >= kept.floor
                    ELSE l.last IS DISTINCT FROM v.version END, subject
                FROM row_version v FULL JOIN (SELECT subject, max(seq) AS last FROM log GROUP BY subject) l USING (subject)
                CROSS JOIN kept)
        SELECT check_name.what, count(l.what), count(l.what) FILTER (WHERE l.wrong),
            (array_agg(l.example ORDER BY l.example) FILTER (WHERE l.wrong))[1:$3], now_at.head, now_at.as_of,
            (SELECT e.at FROM event e WHERE e.kind = 'household' AND e.stream = $1 AND e.seq = now_at.as_of)
        FROM now_at CROSS JOIN (VALUES (1, 'splits_sum_to_amounts'), (2, 'postings_sum_to_zero'),
            (3, 'transfers_have_both_sides'), (4, 'postings_are_the_transactions'), (5, 'balances_are_the_transactions'),
            (6, 'months_are_the_postings'), (7, 'changes_have_no_gap'), (8, 'versions_are_the_last_changes'))
            AS check_name (place, what)
        LEFT JOIN looked_at l ON l.place = check_name.place
        GROUP BY check_name.place, check_name.what, now_at.head, now_at.as_of ORDER BY check_name.place";
}

/// What one check found.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub name: String,
    pub checked: i64,
    pub broken: i64,
    pub examples: Vec<String>,
}

/// All checks, and the number of the stream and of the projection that they hold for.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub checks: Vec<Checked>,
    pub head: i64,
    pub as_of: (i64, Option<DateTime<Utc>>),
}

/// Checks a household; `None` when the reader has no such stream.
pub(crate) async fn check(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    projector: &str,
    household: Uuid,
    examples_max: i32,
) -> Result<Option<Found>, DbError> {
    let rows = db.read(ctx, freshness, &CHECK_INTEGRITY, &[&household, &projector, &examples_max]).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let checked = |row: &Row| Checked {
        name: row.get(0),
        checked: row.get(1),
        broken: row.get(2),
        examples: row.get::<_, Option<Vec<String>>>(3).unwrap_or_default(),
    };
    let (head, as_of) = (first.get(4), (first.get(5), first.get(6)));
    Ok(Some(Found { checks: rows.iter().map(checked).collect(), head, as_of }))
}
