//! Checks of some people's rows against one another and against their streams. Each reads in one snapshot and gives one row:
//! how many break the rule, and one of them. For tests and operators, never for a request's way.
//!
//! `$1` are the people; `$2` is a midnight behind which nothing has left retention.

use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, ReadStatement, SqlParams};
use uuid::Uuid;

/// Rows that carry a device's number, but for conflicts, whose number came before.
macro_rules! numbered {
    () => {
        "numbered AS (
            SELECT device, epoch, seq, change, person, start_at FROM sample WHERE person = ANY($1) AND seq IS NOT NULL
            UNION ALL SELECT device, epoch, seq, change, person, NULL FROM quarantine
            WHERE person = ANY($1) AND seq IS NOT NULL AND status <> 'conflict')"
    };
}

/// Rows that are keyed by their source, but for conflicts.
macro_rules! keyed {
    () => {
        "keyed AS (
            SELECT person, source, source_id, hash, change, 'stored' AS status FROM sample WHERE person = ANY($1) AND seq IS NULL
            UNION ALL SELECT person, source, source_id, hash, change, status FROM quarantine
            WHERE person = ANY($1) AND seq IS NULL AND status <> 'conflict')"
    };
}

/// What each event says that had been received of a numbering by then, and what the one before it says.
macro_rules! told {
    () => {
        "told AS (SELECT e.stream AS person, e.seq AS change, (n->>'device')::uuid AS device, (n->>'epoch')::int AS epoch,
                coalesce((SELECT range_agg(int8range((r->>0)::bigint, (r->>1)::bigint, '[]'))
                    FROM jsonb_array_elements(n->'received') r), '{}') AS received
            FROM event e CROSS JOIN LATERAL jsonb_array_elements(e.body->'numberings') n
            WHERE e.kind = 'person' AND e.stream = ANY($1) AND e.type = 'samples_recorded'),
        grown AS (SELECT told.*, lag(received) OVER numbering AS before, lead(received) OVER numbering IS NULL AS is_last
            FROM told WINDOW numbering AS (PARTITION BY device, epoch ORDER BY change))"
    };
}

/// The sums of what is rolled up, by what is selected before.
macro_rules! sums {
    () => {
        "count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max,
            (array_agg(value ORDER BY start_at DESC, value DESC))[1] AS last, max(start_at) AS last_at"
    };
}

/// What is rolled up at all.
macro_rules! rolled_up {
    () => {
        "s.person = ANY($1) AND s.start_at >= $2 AND s.statistic IS NULL
            AND (s.end_at IS NULL OR s.end_at - s.start_at <= interval '15 minutes')"
    };
}

macro_rules! differ {
    () => {
        "(r.count, r.sum, r.min, r.max, r.last, r.last_at)
            IS DISTINCT FROM (raw.count, raw.sum, raw.min, raw.max, raw.last, raw.last_at)"
    };
}

common::statements! {
    /// People by id, whoever's.
    read LIST_EVERYBODY = "SELECT id FROM person WHERE id > $1 ORDER BY id LIMIT $2";
    /// Each number that was received is stored or in quarantine, and no other is. Numbers may be missing below the least that
    /// is kept, when the oldest one is about to leave retention, and where numbers that were given up count as received.
    read CHECK_RECEIVED_IS_KEPT = concat!("WITH ", numbered!(), ",
        kept AS (SELECT device, epoch, range_agg(int8range(seq, seq, '[]')) AS numbers, min(seq) AS least,
            min(start_at) AS oldest FROM numbered GROUP BY device, epoch),
        judged AS (SELECT device, epoch, coalesce(kept.numbers, '{}') - coalesce(r.received, '{}') AS unannounced,
                coalesce(r.received, '{}') - coalesce(kept.numbers, '{}') AS lost, least, oldest, r.newest_at,
                (SELECT count(*) FROM unnest(r.received)) >= 900 AS folded
            FROM (SELECT * FROM receipt WHERE person = ANY($1)) r FULL JOIN kept USING (device, epoch))
        SELECT count(*), min(device::text || ' ' || epoch::text) FROM judged
        WHERE NOT isempty(unannounced) OR NOT isempty(CASE WHEN folded OR newest_at < $2 THEN '{}'::int8multirange
            WHEN oldest < $2 THEN lost * int8multirange(int8range(least, NULL)) ELSE lost END)");
    /// No key is there twice: neither a device's number nor a source's id, whose data point may hold several readings.
    read CHECK_NO_KEY_TWICE = concat!("WITH ", numbered!(), ", ", keyed!(), "
        SELECT count(*), min(key) FROM (
            SELECT device::text || ' ' || epoch::text || ' ' || seq::text AS key FROM numbered
            GROUP BY device, epoch, seq HAVING count(*) > 1
            UNION ALL SELECT source || ' ' || source_id FROM keyed GROUP BY person, source, source_id
            HAVING count(DISTINCT (change, hash, status)) > 1) AS broken");
    /// Each key of a source has its rows, of this content, and each such row its key.
    read CHECK_SOURCE_KEYS_ARE_ROWS = concat!("WITH ", keyed!(), "
        SELECT count(*), min(source || ' ' || source_id) FROM (SELECT * FROM source_key WHERE person = ANY($1)) k
        FULL JOIN (SELECT DISTINCT person, source, source_id, hash, status FROM keyed) kept USING (person, source, source_id)
        WHERE k.hash IS DISTINCT FROM kept.hash OR k.status IS DISTINCT FROM kept.status");
    /// A quarter of an hour is what its samples add up to.
    read CHECK_QUARTERS_ARE_SAMPLES = concat!("WITH raw AS (SELECT person, metric,
                date_bin('15 minutes', start_at, '0001-01-01 00:00:00+00') AS bucket, ", sums!(), "
            FROM sample s WHERE ", rolled_up!(), " GROUP BY 1, 2, 3)
        SELECT count(*), min(person::text || ' ' || metric::text || ' ' || bucket::text)
        FROM (SELECT * FROM rollup_15m WHERE person = ANY($1) AND bucket >= $2) r FULL JOIN raw USING (person, metric, bucket)
        WHERE ", differ!());
    /// A day in the person's zone is what its samples add up to, and there are no days of another zone.
    read CHECK_DAYS_ARE_SAMPLES = concat!("WITH raw AS (SELECT s.person, s.metric, p.zone,
                (s.start_at AT TIME ZONE p.zone)::date AS day, ", sums!(), "
            FROM sample s JOIN person p ON p.id = s.person WHERE ", rolled_up!(), " GROUP BY 1, 2, 3, 4)
        SELECT count(*), min(person::text || ' ' || metric::text || ' ' || day::text)
        FROM (SELECT * FROM rollup_1d WHERE person = ANY($1)) r FULL JOIN raw USING (person, metric, zone, day)
        WHERE day > ($2 AT TIME ZONE 'UTC')::date + 1 AND ", differ!());
    /// The numbers of a person's stream have no gap, and its counter is the last of them.
    read CHECK_STREAMS_ARE_GAPLESS = "SELECT count(*), min(id::text) FROM (
            SELECT s.id FROM stream s LEFT JOIN event e ON e.stream = s.id WHERE s.id = ANY($1)
            GROUP BY s.id, s.head
            HAVING coalesce(max(e.seq), 0) <> s.head OR count(e.seq) <> coalesce(max(e.seq) - min(e.seq) + 1, 0)
                OR count(DISTINCT e.seq) <> count(e.seq)) AS broken";
    /// Each row's `change` is an event of its person, and each event brought as many rows as it says.
    read CHECK_CHANGES_ARE_EVENTS = "WITH brought AS (
            SELECT person, change, count(*) FILTER (WHERE stored) AS stored, count(*) FILTER (WHERE NOT stored) AS quarantined
            FROM (SELECT person, change, true AS stored FROM sample WHERE person = ANY($1)
                UNION ALL SELECT person, change, false FROM quarantine WHERE person = ANY($1)) AS row GROUP BY person, change),
        said AS (SELECT stream AS person, seq AS change, (body->>'stored')::bigint AS stored,
                (body->>'quarantined')::bigint AS quarantined
            FROM event WHERE kind = 'person' AND stream = ANY($1) AND type = 'samples_recorded'),
        kept AS (SELECT stream AS person, min(seq) AS oldest FROM event WHERE kind = 'person' AND stream = ANY($1) GROUP BY stream)
        SELECT count(*), min(person::text || ' ' || change::text) FROM said FULL JOIN brought USING (person, change)
            LEFT JOIN kept USING (person)
        WHERE change >= coalesce(kept.oldest, 0)
            AND (coalesce(brought.stored, 0), coalesce(brought.quarantined, 0))
                IS DISTINCT FROM (said.stored, said.quarantined)";
    /// A device's numbers came in the order of the stream: each with the event that its row names, which is the first one to
    /// count it as received; and what was received once stays so.
    read CHECK_NUMBERS_CAME_IN_ORDER = concat!("WITH ", numbered!(), ", ", told!(), ",
        kept AS (SELECT stream AS person, min(seq) AS oldest FROM event WHERE kind = 'person' AND stream = ANY($1) GROUP BY stream)
        SELECT count(*), min(broken) FROM (
            SELECT device::text || ' ' || epoch::text AS broken FROM grown WHERE NOT received @> before
            UNION ALL SELECT device::text || ' ' || epoch::text || ' ' || seq::text
            FROM numbered n LEFT JOIN grown g USING (device, epoch, change) LEFT JOIN kept ON kept.person = n.person
            WHERE change >= coalesce(kept.oldest, 0)
                AND (g.received @> n.seq IS NOT TRUE OR g.before @> n.seq)) AS out_of_order");
    /// What has arrived of a numbering is what its last event says, and a device is at its last numbering.
    read CHECK_RECEIPTS_ARE_EVENTS = concat!("WITH ", told!(), "
        SELECT count(*), min(broken) FROM (
            SELECT g.device::text || ' ' || g.epoch::text AS broken FROM grown g LEFT JOIN receipt r USING (device, epoch)
            WHERE g.is_last AND r.received IS DISTINCT FROM g.received
            UNION ALL SELECT d.id::text FROM device d LEFT JOIN receipt r ON r.device = d.id
            WHERE d.person = ANY($1) GROUP BY d.id, d.epoch
            HAVING d.epoch <> greatest(1, max(r.epoch))) AS broken");
}

/// A check, and whether it takes `$2`.
pub struct Check {
    /// What always holds.
    pub name: &'static str,
    statement: ReadStatement,
    by_retention: bool,
}

const fn check(name: &'static str, statement: ReadStatement) -> Check {
    Check { name, statement, by_retention: false }
}

const fn check_of_kept(name: &'static str, statement: ReadStatement) -> Check {
    Check { name, statement, by_retention: true }
}

/// All of them.
pub const CHECKS: &[Check] = &[
    check_of_kept("received_is_stored_or_quarantined", CHECK_RECEIVED_IS_KEPT),
    check("no_key_is_there_twice", CHECK_NO_KEY_TWICE),
    check("source_keys_are_rows", CHECK_SOURCE_KEYS_ARE_ROWS),
    check_of_kept("quarters_are_their_samples", CHECK_QUARTERS_ARE_SAMPLES),
    check_of_kept("days_are_their_samples", CHECK_DAYS_ARE_SAMPLES),
    check("streams_are_gapless", CHECK_STREAMS_ARE_GAPLESS),
    check("changes_are_events", CHECK_CHANGES_ARE_EVENTS),
    check("numbers_came_in_order", CHECK_NUMBERS_CAME_IN_ORDER),
    check("receipts_are_their_last_events", CHECK_RECEIPTS_ARE_EVENTS),
];

/// People after an id.
pub async fn list_everybody(db: &Db, ctx: &Context, after: Uuid, limit: i64) -> Result<Vec<Uuid>, DbError> {
    let rows = db.read(ctx, Freshness::Strong, &LIST_EVERYBODY, &[&after, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many break the rule of `check`, and one of them.
pub async fn find_broken(
    db: &Db,
    ctx: &Context,
    check: &Check,
    people: &[Uuid],
    kept_from: DateTime<Utc>,
) -> Result<(i64, Option<String>), DbError> {
    let params: SqlParams<'_> = if check.by_retention { &[&people, &kept_from] } else { &[&people] };
    let row = db.read_opt(ctx, Freshness::Strong, &check.statement, params).await?;
    Ok(row.map_or((0, None), |row| (row.get(0), row.get(1))))
}
