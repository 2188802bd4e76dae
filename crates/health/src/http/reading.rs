//! What is read: the catalogue, raw samples, series and the quarantine.

use std::sync::Arc;

use api::problem::kinds;
use api::{Anyone, Ctx, Page, PageRequest, Path, Problem, Public, Query};
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::Health;
use crate::model::catalogue::{CATALOGUE, Metric as MetricModel};
use crate::model::sample::Reason;
use crate::model::time::BUCKET;
use crate::store::reading::{BucketRow, Complete, QuarantineRow, SamplePlace, SampleRow, Stretch};

/// The catalogue changes with a release only.
const CATALOGUE_MAX_AGE_S: u32 = 3600;

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

/// Which samples.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SampleFilter {
    /// As the catalogue calls it.
    #[param(example = "heart_rate")]
    metric: String,
    /// Samples that begin at or after this.
    from: Option<DateTime<Utc>>,
    /// Samples that begin before this.
    to: Option<DateTime<Utc>>,
}

/// Which buckets, and how fine.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SeriesFilter {
    /// As the catalogue calls it.
    #[param(example = "heart_rate")]
    metric: String,
    /// Each sample, quarters of an hour, or days in the person's zone.
    #[param(inline)]
    resolution: Option<Resolution>,
    /// Buckets that begin at or after this; of days, those that end after it.
    from: Option<DateTime<Utc>>,
    /// Buckets that begin before this.
    to: Option<DateTime<Utc>>,
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
    #[serde(flatten)]
    page: Page<Sample>,
    /// Nothing that a device is known to have measured before this is missing; null: that can be said of no time.
    complete_through: Option<DateTime<Utc>>,
}

/// A series, and how complete it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Series {
    metric: &'static str,
    unit: &'static str,
    resolution: Resolution,
    /// Where days begin and end.
    zone: &'static str,
    #[serde(flatten)]
    page: Page<Bucket>,
    /// Nothing that a device is known to have measured before this is missing; null: that can be said of no time.
    complete_through: Option<DateTime<Utc>>,
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

/// List the metrics.
#[utoipa::path(
    get, path = "/v1/health/metrics", operation_id = "list_metrics", tag = "health",
    responses((status = 200, description = "The catalogue", body = Page<Metric>)),
    extensions(
        ("x-scope" = json!("public")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("eventual")),
    ),
)]
pub async fn list_metrics(_: Anyone) -> Public<Page<Metric>> {
    let items = CATALOGUE.iter().map(Metric::from).collect();
    Public(CATALOGUE_MAX_AGE_S, Page { items, next_cursor: None })
}

/// List raw samples of a metric.
///
/// In the order in which they began, each in the canonical unit with the given one beside it.
#[utoipa::path(
    get, path = "/v1/health/people/{person}/samples", operation_id = "list_samples", tag = "health",
    params(("person" = Uuid, Path, description = "The person"), SampleFilter, PageRequest),
    responses((status = 200, description = "Samples", body = Samples)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn list_samples(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    Query(filter): Query<SampleFilter>,
    page: PageRequest,
) -> Result<Response, Problem> {
    let person = health.own_person(&ctx, person).await?;
    let metric = find_metric(&filter.metric)?;
    let stretch = stretch(filter.from, filter.to, &page);
    let Complete { rows, through } =
        health.list_samples(&ctx, &person, metric, &stretch, page.after()?).await?;
    let found = Page::of(rows, &page, |last| last.place).map(|row| Sample::of(metric, row));
    Ok(found.within(|page| Samples { page, complete_through: through }))
}

/// Get a series of a metric.
#[utoipa::path(
    get, path = "/v1/health/people/{person}/series", operation_id = "get_series", tag = "health",
    params(("person" = Uuid, Path, description = "The person"), SeriesFilter, PageRequest),
    responses((status = 200, description = "The series", body = Series)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn get_series(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    Query(filter): Query<SeriesFilter>,
    page: PageRequest,
) -> Result<Response, Problem> {
    let person = health.own_person(&ctx, person).await?;
    let metric = find_metric(&filter.metric)?;
    let resolution = filter.resolution.unwrap_or_default();
    let mut stretch = stretch(filter.from, filter.to, &page);
    let (found, complete_through) = match resolution {
        Resolution::Raw => {
            let complete = health.list_samples(&ctx, &person, metric, &stretch, page.after()?).await?;
            let rows = Page::of(complete.rows, &page, |last| last.place);
            (rows.map(|row| Bucket::Sample(Box::new(Sample::of(metric, row)))), complete.through)
        }
        Resolution::Quarters => {
            if let Some(last) = page.after::<DateTime<Utc>>()? {
                stretch.from = last + BUCKET;
            }
            let complete = health.list_quarters(&ctx, &person, metric, &stretch).await?;
            let rows = Page::of(complete.rows, &page, |last| last.at);
            (rows.map(|row| Bucket::Sums(quarter(row))), complete.through)
        }
        Resolution::Days => {
            let complete = health.list_days(&ctx, &person, metric, &stretch, page.after()?).await?;
            let rows = Page::of(complete.rows, &page, |last| last.at);
            (rows.map(|row| Bucket::Sums(day(row, person.zone))), complete.through)
        }
    };
    let (metric, unit, zone) = (metric.code, metric.unit(), person.zone.name());
    Ok(found.within(|page| Series { metric, unit, resolution, zone, page, complete_through }))
}

/// List what could not be accepted.
///
/// In the order of arrival, exactly as it was sent, with the reasons.
#[utoipa::path(
    get, path = "/v1/health/people/{person}/quarantine", operation_id = "list_quarantine", tag = "health",
    params(("person" = Uuid, Path, description = "The person"), PageRequest),
    responses((status = 200, description = "The quarantine", body = Page<Quarantined>)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn list_quarantine(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    page: PageRequest,
) -> Result<Page<Quarantined>, Problem> {
    let person = health.own_person(&ctx, person).await?.id;
    let after = page.after()?.unwrap_or((-1, -1));
    let rows = health.list_quarantine(&ctx, person, after, page.rows()).await?;
    Ok(Page::of(rows, &page, |last| last.place).map(Quarantined::from))
}

fn find_metric(code: &str) -> Result<&'static MetricModel, Problem> {
    MetricModel::find(code).ok_or_else(|| {
        let detail = "is not in the catalogue, see /v1/health/metrics";
        Problem::of(&kinds::INVALID_PARAMETER).field("/query/metric", detail, "unknown-metric")
    })
}

/// Without bounds, all that there can be.
fn stretch(from: Option<DateTime<Utc>>, to: Option<DateTime<Utc>>, page: &PageRequest) -> Stretch {
    let year = |year| Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0).single().expect("the first of a January");
    let (first, last) = (year(1800), year(3000));
    Stretch {
        from: from.map_or(first, |from| from.clamp(first, last)),
        to: to.map_or(last, |to| to.clamp(first, last)),
        limit: page.rows(),
    }
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
    fn of(metric: &'static MetricModel, row: SampleRow) -> Self {
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

fn quarter(row: BucketRow<DateTime<Utc>>) -> Sums {
    sums(row.at, row.at + BUCKET, None, row)
}

fn day(row: BucketRow<NaiveDate>, zone: Tz) -> Sums {
    let next = row.at.succ_opt().unwrap_or(row.at);
    sums(midnight(row.at, zone), midnight(next, zone), Some(row.at), row)
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

fn sums<At>(start: DateTime<Utc>, end: DateTime<Utc>, date: Option<NaiveDate>, row: BucketRow<At>) -> Sums {
    let BucketRow { count, avg, min, max, last, .. } = row;
    Sums { start, end, date, count, min, max, avg: avg.normalize(), last }
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
