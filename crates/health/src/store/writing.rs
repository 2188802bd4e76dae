//! What a recording transaction writes: rows in columns, so that one statement takes up to a thousand of them.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use common::db::{DbError, SqlParams, Tx};
use rust_decimal::Decimal;
use uuid::Uuid;

use crate::model::receipt::Receipt;
use crate::model::rollup::Rollup;

/// Rows that one statement inserts at most.
const ROWS_MAX: usize = 1_000;

common::statements! {
    /// Samples.
    write INSERT_SAMPLES = "INSERT INTO sample (person, metric, start_at, end_at, value, given_value, given_unit, statistic, device,
            epoch, seq, source, source_id, hash, change, position, skew_ms, extra)
        SELECT person, metric, start_at, end_at, value, given_value, given_unit, statistic, device, epoch, seq, source, source_id,
            hash, change, position, skew_ms, extra::jsonb
        FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::timestamptz[], $5::numeric[], $6::text[], $7::text[],
            $8::text[], $9::uuid[], $10::int[], $11::bigint[], $12::text[], $13::text[], $14::uuid[], $15::bigint[], $16::int[],
            $17::bigint[], $18::text[])
            AS new (person, metric, start_at, end_at, value, given_value, given_unit, statistic, device, epoch, seq, source,
                source_id, hash, change, position, skew_ms, extra)";
    /// What could not be accepted.
    write INSERT_QUARANTINE = "INSERT INTO quarantine (person, change, position, id, device, epoch, seq, source, source_id, status,
            reasons, raw, hash, skew_ms, received_at)
        SELECT person, change, position, id, device, epoch, seq, source, source_id, status, reasons, raw, hash, skew_ms, $15
        FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::uuid[], $5::uuid[], $6::int[], $7::bigint[], $8::text[], $9::text[],
            $10::text[], $11::jsonb[], $12::text[], $13::uuid[], $14::bigint[])
            AS new (person, change, position, id, device, epoch, seq, source, source_id, status, reasons, raw, hash, skew_ms)";
    /// Adds to quarters of an hour, in the order of their keys.
    write UPSERT_QUARTERS = "INSERT INTO rollup_15m AS r (person, metric, bucket, count, sum, min, max, last, last_at)
        SELECT person, metric, bucket, count, sum, min, max, last, last_at
        FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::bigint[], $5::numeric[], $6::numeric[], $7::numeric[],
            $8::numeric[], $9::timestamptz[]) AS new (person, metric, bucket, count, sum, min, max, last, last_at)
        ON CONFLICT (person, metric, bucket) DO UPDATE SET count = r.count + excluded.count, sum = r.sum + excluded.sum,
            min = least(r.min, excluded.min), max = greatest(r.max, excluded.max),
            last = CASE WHEN (excluded.last_at, excluded.last) > (r.last_at, r.last) THEN excluded.last ELSE r.last END,
            last_at = greatest(r.last_at, excluded.last_at)";
    /// Adds to days, in the order of their keys.
    write UPSERT_DAYS = "INSERT INTO rollup_1d AS r (person, metric, zone, day, count, sum, min, max, last, last_at)
        SELECT person, metric, zone, day, count, sum, min, max, last, last_at
        FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::date[], $5::bigint[], $6::numeric[], $7::numeric[], $8::numeric[],
            $9::numeric[], $10::timestamptz[]) AS new (person, metric, zone, day, count, sum, min, max, last, last_at)
        ON CONFLICT (person, metric, zone, day) DO UPDATE SET count = r.count + excluded.count, sum = r.sum + excluded.sum,
            min = least(r.min, excluded.min), max = greatest(r.max, excluded.max),
            last = CASE WHEN (excluded.last_at, excluded.last) > (r.last_at, r.last) THEN excluded.last ELSE r.last END,
            last_at = greatest(r.last_at, excluded.last_at)";
    /// Numberings, as they are after the batch.
    write UPSERT_NUMBERINGS = "INSERT INTO receipt
            (device, epoch, person, received, newest, waived, has_gap, complete_at, newest_at, skew_ms)
        SELECT device, epoch, person, received::int8multirange, newest::timestamptz[], waived::int8multirange, has_gap,
            complete_at, newest_at, skew_ms
        FROM unnest($1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::timestamptz[],
            $9::timestamptz[], $10::bigint[])
            AS new (device, epoch, person, received, newest, waived, has_gap, complete_at, newest_at, skew_ms)
        ON CONFLICT (device, epoch) DO UPDATE SET received = excluded.received, newest = excluded.newest,
            waived = excluded.waived, has_gap = excluded.has_gap, complete_at = excluded.complete_at,
            newest_at = excluded.newest_at, skew_ms = coalesce(excluded.skew_ms, receipt.skew_ms)";
    /// Devices that began a new numbering.
    write UPDATE_EPOCHS = "UPDATE device SET epoch = new.epoch, version = new.version
        FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS new (id, epoch, version)
        WHERE device.id = new.id AND device.epoch < new.epoch";
}

/// A sample to insert.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct NewSample<'a> {
    pub person: Uuid,
    pub metric: i16,
    pub start: DateTime<Utc>,
    pub end: Option<DateTime<Utc>>,
    pub value: Decimal,
    pub given_value: Option<&'a str>,
    pub given_unit: Option<&'a str>,
    pub statistic: Option<&'a str>,
    pub origin: Origin<'a>,
    pub hash: Uuid,
    pub change: i64,
    pub position: i32,
    pub skew_ms: Option<i64>,
    pub extra: Option<&'a str>,
}

/// What is put into quarantine.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct NewQuarantine<'a> {
    pub person: Uuid,
    pub change: i64,
    pub position: i32,
    pub origin: Origin<'a>,
    pub status: &'static str,
    pub reasons: serde_json::Value,
    pub raw: &'a str,
    pub hash: Uuid,
    pub skew_ms: Option<i64>,
}

/// Where an item came from: a device and its number, or a source and its id (a device's own ids have both).
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "the columns of the tables")]
pub struct Origin<'a> {
    pub device: Option<Uuid>,
    pub epoch: Option<i32>,
    pub seq: Option<i64>,
    pub source: Option<&'a str>,
    pub source_id: Option<&'a str>,
}

/// A numbering after the batch.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the columns of the table")]
pub struct NewNumbering<'a> {
    pub device: Uuid,
    pub epoch: i32,
    pub person: Uuid,
    pub receipt: &'a Receipt,
    pub skew_ms: Option<i64>,
}

/// All that a batch writes besides its events.
#[derive(Debug, Default)]
pub struct Writes<'a> {
    /// Samples.
    pub samples: Vec<NewSample<'a>>,
    /// What could not be accepted.
    pub quarantine: Vec<NewQuarantine<'a>>,
    /// What the samples add to quarters of an hour.
    pub quarters: BTreeMap<(Uuid, i16, DateTime<Utc>), Rollup>,
    /// What they add to days.
    pub days: BTreeMap<(Uuid, i16, &'static str, NaiveDate), Rollup>,
    /// Numberings that changed.
    pub numberings: Vec<NewNumbering<'a>>,
    /// Devices that began a new numbering: id, epoch and the event's number.
    pub epochs: Vec<(Uuid, i32, i64)>,
}

/// Writes it all: raw rows first, then rollups, then numberings.
pub async fn write(tx: &mut Tx<'_>, at: DateTime<Utc>, writes: &Writes<'_>) -> Result<(), DbError> {
    for samples in writes.samples.chunks(ROWS_MAX) {
        insert_samples(tx, samples).await?;
    }
    for quarantine in writes.quarantine.chunks(ROWS_MAX) {
        insert_quarantine(tx, at, quarantine).await?;
    }
    let quarters: Vec<_> = writes.quarters.iter().collect();
    for quarters in quarters.chunks(ROWS_MAX) {
        let people: Vec<Uuid> = quarters.iter().map(|((person, ..), _)| *person).collect();
        let metrics: Vec<i16> = quarters.iter().map(|((_, metric, _), _)| *metric).collect();
        let buckets: Vec<DateTime<Utc>> = quarters.iter().map(|((.., bucket), _)| *bucket).collect();
        let sums = Sums::of(quarters.iter().map(|(_, rollup)| *rollup));
        let Sums { count, sum, min, max, last, last_at } = &sums;
        tx.execute(&UPSERT_QUARTERS, &[&people, &metrics, &buckets, count, sum, min, max, last, last_at])
            .await?;
    }
    let days: Vec<_> = writes.days.iter().collect();
    for days in days.chunks(ROWS_MAX) {
        let people: Vec<Uuid> = days.iter().map(|((person, ..), _)| *person).collect();
        let metrics: Vec<i16> = days.iter().map(|((_, metric, ..), _)| *metric).collect();
        let zones: Vec<&str> = days.iter().map(|((_, _, zone, _), _)| *zone).collect();
        let dates: Vec<NaiveDate> = days.iter().map(|((.., day), _)| *day).collect();
        let sums = Sums::of(days.iter().map(|(_, rollup)| *rollup));
        let Sums { count, sum, min, max, last, last_at } = &sums;
        tx.execute(&UPSERT_DAYS, &[&people, &metrics, &zones, &dates, count, sum, min, max, last, last_at])
            .await?;
    }
    write_numberings(tx, writes).await
}

/// The columns of rollups, whichever their keys.
struct Sums {
    count: Vec<i64>,
    sum: Vec<Decimal>,
    min: Vec<Decimal>,
    max: Vec<Decimal>,
    last: Vec<Decimal>,
    last_at: Vec<DateTime<Utc>>,
}

impl Sums {
    fn of<'a>(rollups: impl Iterator<Item = &'a Rollup> + Clone) -> Self {
        Self {
            count: rollups.clone().map(|r| r.count).collect(),
            sum: rollups.clone().map(|r| r.sum).collect(),
            min: rollups.clone().map(|r| r.min).collect(),
            max: rollups.clone().map(|r| r.max).collect(),
            last: rollups.clone().map(|r| r.last).collect(),
            last_at: rollups.map(|r| r.last_at).collect(),
        }
    }
}

async fn insert_samples(tx: &mut Tx<'_>, rows: &[NewSample<'_>]) -> Result<(), DbError> {
    let people: Vec<Uuid> = rows.iter().map(|r| r.person).collect();
    let metrics: Vec<i16> = rows.iter().map(|r| r.metric).collect();
    let starts: Vec<DateTime<Utc>> = rows.iter().map(|r| r.start).collect();
    let ends: Vec<Option<DateTime<Utc>>> = rows.iter().map(|r| r.end).collect();
    let values: Vec<Decimal> = rows.iter().map(|r| r.value).collect();
    let given_values: Vec<Option<&str>> = rows.iter().map(|r| r.given_value).collect();
    let given_units: Vec<Option<&str>> = rows.iter().map(|r| r.given_unit).collect();
    let statistics: Vec<Option<&str>> = rows.iter().map(|r| r.statistic).collect();
    let origins = Origins::of(rows.iter().map(|r| r.origin));
    let Origins { devices, epochs, seqs, sources, source_ids } = &origins;
    let hashes: Vec<Uuid> = rows.iter().map(|r| r.hash).collect();
    let changes: Vec<i64> = rows.iter().map(|r| r.change).collect();
    let positions: Vec<i32> = rows.iter().map(|r| r.position).collect();
    let skews: Vec<Option<i64>> = rows.iter().map(|r| r.skew_ms).collect();
    let extras: Vec<Option<&str>> = rows.iter().map(|r| r.extra).collect();
    tx.execute(
        &INSERT_SAMPLES,
        &[
            &people,
            &metrics,
            &starts,
            &ends,
            &values,
            &given_values,
            &given_units,
            &statistics,
            devices,
            epochs,
            seqs,
            sources,
            source_ids,
            &hashes,
            &changes,
            &positions,
            &skews,
            &extras,
        ],
    )
    .await
}

async fn insert_quarantine(
    tx: &mut Tx<'_>,
    at: DateTime<Utc>,
    rows: &[NewQuarantine<'_>],
) -> Result<(), DbError> {
    let people: Vec<Uuid> = rows.iter().map(|r| r.person).collect();
    let changes: Vec<i64> = rows.iter().map(|r| r.change).collect();
    let positions: Vec<i32> = rows.iter().map(|r| r.position).collect();
    let ids: Vec<Uuid> = rows.iter().map(|_| Uuid::now_v7()).collect();
    let origins = Origins::of(rows.iter().map(|r| r.origin));
    let Origins { devices, epochs, seqs, sources, source_ids } = &origins;
    let statuses: Vec<&str> = rows.iter().map(|r| r.status).collect();
    let reasons: Vec<&serde_json::Value> = rows.iter().map(|r| &r.reasons).collect();
    let raws: Vec<&str> = rows.iter().map(|r| r.raw).collect();
    let hashes: Vec<Uuid> = rows.iter().map(|r| r.hash).collect();
    let skews: Vec<Option<i64>> = rows.iter().map(|r| r.skew_ms).collect();
    tx.execute(
        &INSERT_QUARANTINE,
        &[
            &people, &changes, &positions, &ids, devices, epochs, seqs, sources, source_ids, &statuses,
            &reasons, &raws, &hashes, &skews, &at,
        ],
    )
    .await
}

/// The columns of origins.
struct Origins<'a> {
    devices: Vec<Option<Uuid>>,
    epochs: Vec<Option<i32>>,
    seqs: Vec<Option<i64>>,
    sources: Vec<Option<&'a str>>,
    source_ids: Vec<Option<&'a str>>,
}

impl<'a> Origins<'a> {
    fn of(origins: impl Iterator<Item = Origin<'a>> + Clone) -> Self {
        Self {
            devices: origins.clone().map(|o| o.device).collect(),
            epochs: origins.clone().map(|o| o.epoch).collect(),
            seqs: origins.clone().map(|o| o.seq).collect(),
            sources: origins.clone().map(|o| o.source).collect(),
            source_ids: origins.map(|o| o.source_id).collect(),
        }
    }
}

async fn write_numberings(tx: &mut Tx<'_>, writes: &Writes<'_>) -> Result<(), DbError> {
    let rows = &writes.numberings;
    if !rows.is_empty() {
        let devices: Vec<Uuid> = rows.iter().map(|n| n.device).collect();
        let epochs: Vec<i32> = rows.iter().map(|n| n.epoch).collect();
        let people: Vec<Uuid> = rows.iter().map(|n| n.person).collect();
        let received: Vec<String> = rows.iter().map(|n| n.receipt.received().to_sql()).collect();
        let newest: Vec<String> = rows.iter().map(|n| instants_to_sql(n.receipt.newest())).collect();
        let waived: Vec<String> = rows.iter().map(|n| n.receipt.waived().to_sql()).collect();
        let gaps: Vec<bool> = rows.iter().map(|n| !n.receipt.missing().is_empty()).collect();
        let complete: Vec<Option<DateTime<Utc>>> = rows.iter().map(|n| n.receipt.complete_at()).collect();
        let last: Vec<Option<DateTime<Utc>>> = rows.iter().map(|n| n.receipt.newest_at()).collect();
        let skews: Vec<Option<i64>> = rows.iter().map(|n| n.skew_ms).collect();
        let params: SqlParams<'_> =
            &[&devices, &epochs, &people, &received, &newest, &waived, &gaps, &complete, &last, &skews];
        tx.execute(&UPSERT_NUMBERINGS, params).await?;
    }
    if !writes.epochs.is_empty() {
        let ids: Vec<Uuid> = writes.epochs.iter().map(|(device, ..)| *device).collect();
        let epochs: Vec<i32> = writes.epochs.iter().map(|(_, epoch, _)| *epoch).collect();
        let versions: Vec<i64> = writes.epochs.iter().map(|(.., version)| *version).collect();
        tx.execute(&UPDATE_EPOCHS, &[&ids, &epochs, &versions]).await?;
    }
    Ok(())
}

/// As PostgreSQL writes a `timestamptz[]`: an array of arrays can't be taken apart into rows.
fn instants_to_sql(instants: &[Option<DateTime<Utc>>]) -> String {
    let texts: Vec<String> = instants
        .iter()
        .map(|instant| instant.map_or_else(|| "NULL".to_owned(), |t| format!("\"{}\"", t.to_rfc3339())))
        .collect();
    format!("{{{}}}", texts.join(","))
}
