//! What is read: metrics, samples, series and the quarantine; the same over HTTP and on the socket's channels.

use api::Page;
use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::catalogue::Metric as MetricModel;
use crate::model::sample::Reason;
use crate::model::time::BUCKET;
use crate::store::reading::{BucketRow, QuarantineRow, SamplePlace, SampleRow};

/// Something that can be measured.
#[derive(Debug, Serialize, ToSchema)]
pub struct Metric {
    /// What the API calls it.
    metric: &'static str,
    /// For people.
    title: &'static str,
    /// Its LOINC code.
    loinc: &'static str,
    /// The canonical unit, by UCUM. Values are kept and compared in it.
    unit: &'static str,
    /// All units that are accepted.
    units: Vec<&'static str>,
    plausible: Range,
}

/// What a living person can have, in the canonical unit, bounds included.
#[derive(Debug, Serialize, ToSchema)]
pub struct Range {
    #[schema(value_type = String)]
    low: Decimal,
    #[schema(value_type = String)]
    high: Decimal,
}

/// How fine a series is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
pub enum Resolution {
    /// Each sample.
    #[serde(rename = "raw")]
    Raw,
    /// Quarters of an hour.
    #[default]
    #[serde(rename = "15m")]
    Quarters,
    /// Days in the person's zone.
    #[serde(rename = "1d")]
    Days,
}

/// A stored sample.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sample {
    metric: &'static str,
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
    /// In the canonical unit.
    #[schema(value_type = String)]
    value: Decimal,
    /// The canonical unit.
    unit: &'static str,
    given: Given,
    /// How it was derived from several measurements, if it was.
    statistic: Option<String>,
    device_id: Option<Uuid>,
    epoch: Option<i32>,
    seq: Option<i64>,
    /// What the source's own ids are kept under.
    source: Option<String>,
    source_id: Option<String>,
    /// The number of the person's change that brought it.
    change: i64,
    /// What else was sent.
    extra: Option<serde_json::Value>,
}

/// Exactly what was sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct Given {
    value: String,
    unit: String,
}

/// Raw samples, and how complete they are.
#[derive(Debug, Serialize, ToSchema)]
pub struct Samples {
    /// In the order in which they began.
    #[serde(flatten)]
    pub page: Page<Sample>,
    /// Nothing that a device is known to have measured before this is missing; null: that can be said of no time.
    pub complete_through: Option<DateTime<Utc>>,
}

/// A series, and how complete it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Series {
    /// As the catalogue calls it.
    pub metric: &'static str,
    /// The canonical unit.
    pub unit: &'static str,
    /// How fine it is.
    pub resolution: Resolution,
    /// Where days begin and end.
    pub zone: &'static str,
    /// In the order of time.
    #[serde(flatten)]
    pub page: Page<Bucket>,
    /// Nothing that a device is known to have measured before this is missing; null: that can be said of no time.
    pub complete_through: Option<DateTime<Utc>>,
}

/// A bucket of a series; of the raw one, a sample.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Bucket {
    /// What began within it.
    Sums(Sums),
    /// One sample.
    Sample(Box<Sample>),
}

/// What began within a bucket, in the canonical unit.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sums {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    /// The day, for days.
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<NaiveDate>,
    count: i64,
    #[schema(value_type = String)]
    min: Decimal,
    #[schema(value_type = String)]
    max: Decimal,
    /// Rounded to six digits behind the point.
    #[schema(value_type = String)]
    avg: Decimal,
    #[schema(value_type = String)]
    last: Decimal,
}

/// Something that could not be accepted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Quarantined {
    id: Uuid,
    /// quarantined, expired or conflict.
    status: String,
    device_id: Option<Uuid>,
    epoch: Option<i32>,
    seq: Option<i64>,
    source: Option<String>,
    source_id: Option<String>,
    /// The first reason's code.
    code: String,
    /// The first reason, for people.
    detail: String,
    reasons: Vec<Reason>,
    /// Exactly as it was sent.
    #[schema(value_type = serde_json::Value)]
    raw: Box<RawValue>,
    received_at: DateTime<Utc>,
}

impl From<&MetricModel> for Metric {
    fn from(metric: &MetricModel) -> Self {
        Self {
            metric: metric.code,
            title: metric.title,
            loinc: metric.loinc,
            unit: metric.unit(),
            units: metric.units.iter().map(|unit| unit.name).collect(),
            plausible: Range { low: metric.low.normalize(), high: metric.high.normalize() },
        }
    }
}

impl Sample {
    /// A row of this metric.
    pub fn of(metric: &'static MetricModel, row: SampleRow) -> Self {
        let (given_value, given_unit) = row.given;
        let given = Given {
            value: given_value.unwrap_or_else(|| row.value.to_string()),
            unit: given_unit.unwrap_or_else(|| metric.unit().to_owned()),
        };
        let SamplePlace(start, change, _) = row.place;
        let (device_id, epoch, seq) = row.device;
        let (source, source_id) = row.source;
        Self {
            metric: metric.code,
            start,
            end: row.end,
            value: row.value,
            unit: metric.unit(),
            given,
            statistic: row.statistic,
            device_id,
            epoch,
            seq,
            source,
            source_id,
            change,
            extra: row.extra,
        }
    }
}

impl Sums {
    /// A quarter of an hour.
    pub fn of_quarter(row: BucketRow<DateTime<Utc>>) -> Self {
        Self::of(row.at, row.at + BUCKET, None, row)
    }

    /// A day in this zone.
    pub fn of_day(row: BucketRow<NaiveDate>, zone: Tz) -> Self {
        let next = row.at.succ_opt().unwrap_or(row.at);
        Self::of(midnight(row.at, zone), midnight(next, zone), Some(row.at), row)
    }

    fn of<At>(start: DateTime<Utc>, end: DateTime<Utc>, date: Option<NaiveDate>, row: BucketRow<At>) -> Self {
        let BucketRow { count, avg, min, max, last, .. } = row;
        Self { start, end, date, count, min, max, avg: avg.normalize(), last }
    }
}

/// When a day begins; in a zone that skips midnight, at its first hour.
fn midnight(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    (0..24)
        .filter_map(|hour| day.and_hms_opt(hour, 0, 0))
        .find_map(|local| zone.from_local_datetime(&local).earliest())
        .map_or_else(
            || day.and_hms_opt(0, 0, 0).unwrap_or_default().and_utc(),
            |begin| begin.with_timezone(&Utc),
        )
}

impl From<QuarantineRow> for Quarantined {
    fn from(row: QuarantineRow) -> Self {
        let reasons: Vec<Reason> = serde_json::from_value(row.reasons).unwrap_or_default();
        let (code, detail) = reasons.first().map(|r| (r.code.clone(), r.detail.clone())).unwrap_or_default();
        let (device_id, epoch, seq) = row.device;
        let (source, source_id) = row.source;
        let raw = RawValue::from_string(row.raw).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self {
            id: row.id,
            status: row.status,
            device_id,
            epoch,
            seq,
            source,
            source_id,
            code,
            detail,
            reasons,
            raw,
            received_at: row.received_at,
        }
    }
}
