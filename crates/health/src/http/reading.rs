//! What is read: the catalogue, raw samples, series and the quarantine.

use std::sync::Arc;

use api::{Anyone, Ctx, Page, PageRequest, Path, Problem, Public, Query};
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, TimeZone, Utc};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use crate::Health;
use crate::model::catalogue::{CATALOGUE, Metric as MetricModel};
use crate::model::time::BUCKET;
use crate::store::reading::{Complete, Stretch};
use crate::wire::{Bucket, Metric, Quarantined, Resolution, Sample, Samples, Series, Sums, unknown_metric};

/// The catalogue changes with a release only.
const CATALOGUE_MAX_AGE_S: u32 = 3600;

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
            (rows.map(|row| Bucket::Sums(Sums::of_quarter(row))), complete.through)
        }
        Resolution::Days => {
            let complete = health.list_days(&ctx, &person, metric, &stretch, page.after()?).await?;
            let rows = Page::of(complete.rows, &page, |last| last.at);
            (rows.map(|row| Bucket::Sums(Sums::of_day(row, person.zone))), complete.through)
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
    MetricModel::find(code).ok_or_else(|| unknown_metric("/query/metric"))
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
