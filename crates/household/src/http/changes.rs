//! `/v1/households/{household_id}/changes`, `…/summaries/{month}` and `…/integrity`

use crate::model::Month;
use crate::service::{CHANGES_MAX, Changes, Household, Integrity, Summary};
use api::problem::kinds;
use api::{Ctx, Path, Problem, Query, Reply};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use uuid::Uuid;

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// `next_since` of the answer before; 0 from the beginning.
    #[param(minimum = 0, default = 0)]
    since: Option<u32>,
    /// Changes at most.
    #[param(minimum = 1, maximum = 500, default = 500)]
    limit: Option<u16>,
}

/// List what changed since a number.
///
/// Every change in order and without a gap, deletions as tombstones. A number from which on not everything is kept is
/// answered by 410 `changes-reset`.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/changes", operation_id = "list_changes", tag = "household",
    params(Since),
    responses((status = 200, description = "Changes", body = Changes)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
        ("x-problems" = json!(["changes-reset"])),
    ),
)]
pub(super) async fn list_changes(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    Query(Since { since, limit }): Query<Since>,
) -> Result<Reply, Problem> {
    let limit = limit.map_or(CHANGES_MAX, i64::from);
    if !(1..=CHANGES_MAX).contains(&limit) {
        let detail = format!("must be from 1 to {CHANGES_MAX}");
        return Err(Problem::of(&kinds::INVALID_PARAMETER).field("/query/limit", detail, "out-of-range"));
    }
    let changes = service.list_changes(&ctx, household, since.unwrap_or(0).into(), limit).await?;
    Ok(Reply::ok(&changes))
}

/// Read a month in sums.
///
/// A projection: `as_of` says how far it goes, and the `Consistency-Token` of a write is waited for.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/summaries/{month}", operation_id = "get_summary", tag = "household",
    responses((status = 200, description = "The month", body = Summary)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
        ("x-problems" = json!(["projection-behind"])),
    ),
)]
pub(super) async fn get_summary(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, month)): Path<(Uuid, String)>,
) -> Result<Reply, Problem> {
    let month = Month::parse(&month).ok_or_else(|| {
        Problem::of(&kinds::INVALID_PARAMETER).field(
            "/path/month",
            "must be a month such as 2026-02",
            "invalid",
        )
    })?;
    Ok(Reply::ok(&service.get_summary(&ctx, household, month).await?))
}

/// Check the books.
///
/// Recomputes the household from its rows and its changes, in one snapshot: splits, double entry, transfers, balances, month
/// totals, the numbers of the changes, and the versions of all rows.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/integrity", operation_id = "check_integrity", tag = "household",
    responses((status = 200, description = "What the checks found", body = Integrity)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
        ("x-priority" = json!("background")),
        ("x-deadline-ms" = json!(10000)),
    ),
)]
pub(super) async fn check_integrity(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
) -> Result<Reply, Problem> {
    Ok(Reply::ok(&service.check_integrity(&ctx, household).await?))
}
