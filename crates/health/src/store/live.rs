//! What a stretch of a person's stream brought, for the channels. The stream's head stands beside the rows, of the same
//! snapshot: a standby that does not have all of the stretch is found out.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use common::context::Context;
use common::db::{Db, DbError, Freshness, ReadStatement, Row, SqlParams};
use uuid::Uuid;

use super::reading::{BucketRow, SampleRow, sample_of};

/// Where samples can begin at all: partitions exist between these years.
const ALWAYS: (&str, &str) = ("1800-01-01T00:00:00Z", "3000-01-01T00:00:00Z");

/// A stretch of a person's stream, and what of it is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Changes {
    /// Whose.
    pub person: Uuid,
    /// The number before the stretch.
    pub after: i64,
    /// Its last number.
    pub until: i64,
    /// When the first and the last sample in it began, where that is known.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Only this metric's.
    pub metric: Option<i16>,
}

impl Changes {
    fn span(&self) -> (DateTime<Utc>, DateTime<Utc>) {
        let always = |at: &str| at.parse().expect("the first of a January");
        self.span.unwrap_or_else(|| (always(ALWAYS.0), always(ALWAYS.1)))
    }
}

/// A bucket's place in its list: the metric and the bucket.
pub type BucketPlace<At> = (i16, At);

macro_rules! beside_head {
    ($columns:literal, $rows:literal) => {
        concat!(
            "SELECT known.head, item.* FROM stream known LEFT JOIN LATERAL (SELECT true AS there, ",
            $columns,
            " ",
            $rows,
            ") item ON true WHERE known.id = $1"
        )
    };
}

common::statements! {
    /// Samples of a stretch in the order in which they came.
    read LIST_CHANGED_SAMPLES = beside_head!(
        "start_at, change, position, end_at, value, given_value, given_unit, statistic, device, epoch, seq, source, source_id,
            extra, metric",
        "FROM sample WHERE person = $1 AND (change, position) > ($2, $3) AND change <= $4 AND start_at >= $5 AND start_at <= $6
            AND ($7::smallint IS NULL OR metric = $7) ORDER BY change, position LIMIT $8"
    );
    /// Quarters of an hour that a stretch has added to, as they are now.
    read LIST_CHANGED_QUARTERS = beside_head!(
        "r.count, round(r.sum / r.count, 6) AS avg, r.min, r.max, r.last, r.metric, r.bucket",
        "FROM (SELECT DISTINCT metric, date_bin('15 minutes', start_at, '0001-01-01 00:00:00+00') AS bucket FROM sample
            WHERE person = $1 AND change > $2 AND change <= $3 AND start_at >= $4 AND start_at <= $5
            AND ($6::smallint IS NULL OR metric = $6) AND statistic IS NULL) AS changed
        JOIN rollup_15m r ON r.person = $1 AND r.metric = changed.metric AND r.bucket = changed.bucket
        WHERE ($7::smallint IS NULL OR (r.metric, r.bucket) > ($7, $8::timestamptz)) ORDER BY r.metric, r.bucket LIMIT $9"
    );
    /// Days that a stretch has added to, as they are now.
    read LIST_CHANGED_DAYS = beside_head!(
        "r.count, round(r.sum / r.count, 6) AS avg, r.min, r.max, r.last, r.metric, r.day",
        "FROM (SELECT DISTINCT metric, (start_at AT TIME ZONE $10)::date AS day FROM sample
            WHERE person = $1 AND change > $2 AND change <= $3 AND start_at >= $4 AND start_at <= $5
            AND ($6::smallint IS NULL OR metric = $6) AND statistic IS NULL) AS changed
        JOIN rollup_1d r ON r.person = $1 AND r.zone = $10 AND r.metric = changed.metric AND r.day = changed.day
        WHERE ($7::smallint IS NULL OR (r.metric, r.day) > ($7, $8::date)) ORDER BY r.metric, r.day LIMIT $9"
    );
    /// The oldest number of a stream that is kept.
    read FIND_OLDEST = "SELECT min(seq) FROM event WHERE kind = $1 AND stream = $2";
}

/// Samples after a place (change and position) within the stretch, each with its metric.
pub async fn list_changed_samples(
    db: &Db,
    ctx: &Context,
    changes: &Changes,
    (change, position): (i64, i32),
    limit: i64,
) -> Result<Vec<(i16, SampleRow)>, DbError> {
    let Changes { person, until, metric, .. } = changes;
    let (from, to) = changes.span();
    let params: SqlParams<'_> = &[person, &change, &position, until, &from, &to, metric, &limit];
    let rows = complete(db, ctx, &LIST_CHANGED_SAMPLES, params, *until).await?;
    let mut found: Vec<_> = rows.iter().map(|row| (row.get(16), sample_of(row))).collect();
    found.sort_by_key(|(_, row)| (row.place.1, row.place.2));
    Ok(found)
}

/// Quarters of an hour after a place that the stretch has added to.
pub async fn list_changed_quarters(
    db: &Db,
    ctx: &Context,
    changes: &Changes,
    after: Option<BucketPlace<DateTime<Utc>>>,
    limit: i64,
) -> Result<Vec<(i16, BucketRow<DateTime<Utc>>)>, DbError> {
    let Changes { person, after: before, until, metric, .. } = changes;
    let ((from, to), (last_metric, last)) = (changes.span(), after.unzip());
    let params: SqlParams<'_> = &[person, before, until, &from, &to, metric, &last_metric, &last, &limit];
    let rows = complete(db, ctx, &LIST_CHANGED_QUARTERS, params, *until).await?;
    let mut found: Vec<_> = rows.iter().map(|row| (row.get(7), bucket_of(row, row.get(8)))).collect();
    found.sort_by_key(|(metric, row)| (*metric, row.at));
    Ok(found)
}

/// Days of a zone after a place that the stretch has added to.
pub async fn list_changed_days(
    db: &Db,
    ctx: &Context,
    changes: &Changes,
    zone: Tz,
    after: Option<BucketPlace<NaiveDate>>,
    limit: i64,
) -> Result<Vec<(i16, BucketRow<NaiveDate>)>, DbError> {
    let Changes { person, after: before, until, metric, .. } = changes;
    let ((from, to), (last_metric, last)) = (changes.span(), after.unzip());
    let params: SqlParams<'_> =
        &[person, before, until, &from, &to, metric, &last_metric, &last, &limit, &zone.name()];
    let rows = complete(db, ctx, &LIST_CHANGED_DAYS, params, *until).await?;
    let mut found: Vec<_> = rows.iter().map(|row| (row.get(7), bucket_of(row, row.get(8)))).collect();
    found.sort_by_key(|(metric, row)| (*metric, row.at));
    Ok(found)
}

/// The oldest number of a person's stream that is kept; `None` when none is.
pub async fn find_oldest(db: &Db, ctx: &Context, person: Uuid) -> Result<Option<i64>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_OLDEST, &[&crate::STREAM_KIND, &person]).await?;
    Ok(row.and_then(|row| row.get(0)))
}

/// The rows of a statement that has the stream's head beside them, from one that has seen `until`.
async fn complete(
    db: &Db,
    ctx: &Context,
    statement: &ReadStatement,
    params: SqlParams<'_>,
    until: i64,
) -> Result<Vec<Row>, DbError> {
    let mut rows = db.read(ctx, Freshness::Seen, statement, params).await?;
    if rows.first().is_none_or(|row| row.get::<_, i64>(0) < until) {
        rows = db.read(ctx, Freshness::Strong, statement, params).await?;
    }
    rows.retain(|row| row.get::<_, Option<bool>>(1) == Some(true));
    Ok(rows)
}

fn bucket_of<At>(row: &Row, at: At) -> BucketRow<At> {
    BucketRow { at, count: row.get(2), avg: row.get(3), min: row.get(4), max: row.get(5), last: row.get(6) }
}
