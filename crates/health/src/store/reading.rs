//! Samples, series and quarantine as they are read. What a reading says of its completeness stands in the same statement
//! as its rows, so that it never promises more than they hold.

use chrono::{DateTime, NaiveDate, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A stretch of a list by time: what begins from `from` on, before `to`, after a row that was given out already.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// Included.
    pub from: DateTime<Utc>,
    /// Excluded.
    pub to: DateTime<Utc>,
    /// Rows at most.
    pub limit: i64,
}

/// A sample's place in its list.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct SamplePlace(pub DateTime<Utc>, pub i64, pub i32);

/// A stored sample.
#[derive(Clone, Debug)]
pub struct SampleRow {
    /// When it began, the number of the event that brought it, and its position there.
    pub place: SamplePlace,
    /// When it ended, for an interval.
    pub end: Option<DateTime<Utc>>,
    /// In the canonical unit.
    pub value: Decimal,
    /// The value and the unit as they were given, where they differ from the canonical ones.
    pub given: (Option<String>, Option<String>),
    /// How it was derived.
    pub statistic: Option<String>,
    /// What measured it: device, epoch and number.
    pub device: (Option<Uuid>, Option<i32>, Option<i64>),
    /// Where it came from otherwise, and the id there.
    pub source: (Option<String>, Option<String>),
    /// What else was sent.
    pub extra: Option<serde_json::Value>,
}

/// A bucket of a series.
#[derive(Clone, Debug)]
pub struct BucketRow<At> {
    /// The bucket.
    pub at: At,
    /// How many samples began in it.
    pub count: i64,
    /// Their mean, rounded to six digits behind the point.
    pub avg: Decimal,
    /// The least.
    pub min: Decimal,
    /// The greatest.
    pub max: Decimal,
    /// The last.
    pub last: Decimal,
}

/// Something that could not be accepted.
#[derive(Clone, Debug)]
pub struct QuarantineRow {
    /// The number of the event that brought it, and its position there.
    pub place: (i64, i32),
    /// Its id.
    pub id: Uuid,
    /// What sent it: device, epoch and number.
    pub device: (Option<Uuid>, Option<i32>, Option<i64>),
    /// Where it came from otherwise, and the id there.
    pub source: (Option<String>, Option<String>),
    /// quarantined, expired or conflict.
    pub status: String,
    /// Why.
    pub reasons: serde_json::Value,
    /// Exactly what was sent.
    pub raw: String,
    /// When.
    pub received_at: DateTime<Utc>,
}

/// Rows, and up to when nothing is known to be missing.
#[derive(Clone, Debug)]
pub struct Complete<T> {
    /// In order.
    pub rows: Vec<T>,
    /// Nothing that a device is known to have measured before this is missing; `None`: that can be said of no time.
    pub through: Option<DateTime<Utc>>,
}

/// One row in front of the rows: how complete the person's data is. Gaps of numberings that a factory reset has ended do
/// not count, for nothing can fill them any more.
macro_rules! with_completeness {
    ($columns:literal, $rows:literal) => {
        concat!(
            "SELECT complete.through, item.* FROM (
                SELECT CASE WHEN bool_or(r.has_gap AND r.complete_at IS NULL) THEN NULL
                    ELSE least(min(r.complete_at) FILTER (WHERE r.has_gap), max(r.newest_at)) END AS through
                FROM device d JOIN receipt r ON r.device = d.id AND r.epoch = d.epoch WHERE d.person = $1
            ) complete LEFT JOIN LATERAL (SELECT true AS there, ",
            $columns,
            " ",
            $rows,
            ") item ON true"
        )
    };
}

common::statements! {
    /// Raw samples of one metric in the order of their beginning.
    read LIST_SAMPLES = with_completeness!(
        "start_at, change, position, end_at, value, given_value, given_unit, statistic, device, epoch, seq, source, source_id,
            extra",
        "FROM sample WHERE person = $1 AND metric = $2 AND start_at >= $3 AND start_at < $4
            AND (start_at, change, position) > ($3, $5, $6) ORDER BY start_at, change, position LIMIT $7"
    );
    /// Quarters of an hour of one metric.
    read LIST_QUARTERS = with_completeness!(
        "bucket, count, round(sum / count, 6) AS avg, min, max, last",
        "FROM rollup_15m WHERE person = $1 AND metric = $2 AND bucket >= $3 AND bucket < $4 ORDER BY bucket LIMIT $5"
    );
    /// Days of one metric in the person's zone.
    read LIST_DAYS = with_completeness!(
        "day, count, round(sum / count, 6) AS avg, min, max, last",
        "FROM rollup_1d WHERE person = $1 AND metric = $2 AND zone = $3 AND day >= $4 AND day < $5 ORDER BY day LIMIT $6"
    );
    /// A person's quarantine in the order of arrival.
    read LIST_QUARANTINE = "SELECT change, position, id, device, epoch, seq, source, source_id, status, reasons, raw, received_at
        FROM quarantine WHERE person = $1 AND (change, position) > ($2, $3) ORDER BY change, position LIMIT $4";
}

/// Raw samples of one metric.
pub async fn list_samples(
    db: &Db,
    ctx: &Context,
    (person, metric): (Uuid, i16),
    stretch: &Stretch,
    after: Option<SamplePlace>,
) -> Result<Complete<SampleRow>, DbError> {
    let SamplePlace(from, change, position) = after.unwrap_or(SamplePlace(stretch.from, -1, -1));
    let rows = db
        .read(
            ctx,
            Freshness::ReadYourWrites,
            &LIST_SAMPLES,
            &[&person, &metric, &from, &stretch.to, &change, &position, &stretch.limit],
        )
        .await?;
    let mut complete = complete_of(&rows, sample_of);
    complete.rows.sort_by_key(|row| (row.place.0, row.place.1, row.place.2));
    Ok(complete)
}

/// Quarters of an hour that begin within the stretch.
pub async fn list_quarters(
    db: &Db,
    ctx: &Context,
    (person, metric): (Uuid, i16),
    stretch: &Stretch,
) -> Result<Complete<BucketRow<DateTime<Utc>>>, DbError> {
    let params: common::db::SqlParams<'_> = &[&person, &metric, &stretch.from, &stretch.to, &stretch.limit];
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_QUARTERS, params).await?;
    let mut complete = complete_of(&rows, |row| bucket_of(row, row.get(2)));
    complete.rows.sort_by_key(|row| row.at);
    Ok(complete)
}

/// Days from `from` on, before `to`.
pub async fn list_days(
    db: &Db,
    ctx: &Context,
    (person, metric, zone): (Uuid, i16, &str),
    (from, to, limit): (NaiveDate, NaiveDate, i64),
) -> Result<Complete<BucketRow<NaiveDate>>, DbError> {
    let params: common::db::SqlParams<'_> = &[&person, &metric, &zone, &from, &to, &limit];
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_DAYS, params).await?;
    let mut complete = complete_of(&rows, |row| bucket_of(row, row.get(2)));
    complete.rows.sort_by_key(|row| row.at);
    Ok(complete)
}

/// A person's quarantine after a place.
pub async fn list_quarantine(
    db: &Db,
    ctx: &Context,
    person: Uuid,
    (change, position): (i64, i32),
    limit: i64,
) -> Result<Vec<QuarantineRow>, DbError> {
    let params: common::db::SqlParams<'_> = &[&person, &change, &position, &limit];
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_QUARANTINE, params).await?;
    Ok(rows
        .iter()
        .map(|row| QuarantineRow {
            place: (row.get(0), row.get(1)),
            id: row.get(2),
            device: (row.get(3), row.get(4), row.get(5)),
            source: (row.get(6), row.get(7)),
            status: row.get(8),
            reasons: row.get(9),
            raw: row.get(10),
            received_at: row.get(11),
        })
        .collect())
}

/// A sample that stands behind two other columns.
pub(super) fn sample_of(row: &Row) -> SampleRow {
    SampleRow {
        place: SamplePlace(row.get(2), row.get(3), row.get(4)),
        end: row.get(5),
        value: row.get(6),
        given: (row.get(7), row.get(8)),
        statistic: row.get(9),
        device: (row.get(10), row.get(11), row.get(12)),
        source: (row.get(13), row.get(14)),
        extra: row.get(15),
    }
}

fn complete_of<T>(rows: &[Row], item: impl FnMut(&Row) -> T) -> Complete<T> {
    let through = rows.first().and_then(|row| row.get(0));
    let there = |row: &&Row| row.get::<_, Option<bool>>(1) == Some(true);
    Complete { rows: rows.iter().filter(there).map(item).collect(), through }
}

fn bucket_of<At>(row: &Row, at: At) -> BucketRow<At> {
    BucketRow { at, count: row.get(3), avg: row.get(4), min: row.get(5), max: row.get(6), last: row.get(7) }
}
