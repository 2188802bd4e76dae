//! `/v1/households`

use super::answers::{changed, created, patch};
use crate::error::Error;
use crate::service::{Household, HouseholdView, NewHousehold};
use api::{
    Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem,
    Reply,
};
use axum::extract::State;
use std::sync::Arc;
use uuid::Uuid;

/// List the caller's households.
#[utoipa::path(
    get, path = "/v1/households", operation_id = "list_households", tag = "household",
    params(PageRequest),
    responses((status = 200, description = "A page of households", body = Page<HouseholdView>)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_households(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    page: PageRequest,
) -> Result<Page<HouseholdView>, Problem> {
    let after: Uuid = page.after()?.unwrap_or_default();
    let found = service.list_households(&ctx, after, page.rows()).await?;
    Ok(Page::of(found, &page, |last| last.household.id))
}

/// Create a household.
///
/// The caller becomes its owner. Its id is derived from the caller and the `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/households", operation_id = "create_household", tag = "household",
    request_body = NewHousehold,
    responses((status = 201, description = "The household", body = HouseholdView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["id-taken"])),
    ),
)]
pub(super) async fn create_household(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    key: IdempotencyKey,
    Json(new): Json<NewHousehold>,
) -> Result<Reply, Problem> {
    let (ctx, new) = (&ctx.0, &new);
    let id = Household::new_household_id(ctx, key.as_str());
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let (view, is_new) = Household::create_household(ctx, tx, id, new).await?;
            let location = format!("/v1/households/{id}");
            Ok::<_, Error>(created(location, view.household.version, &view, is_new))
        })
    })
    .await
}

/// Read a household.
#[utoipa::path(
    get, path = "/v1/households/{household_id}", operation_id = "get_household", tag = "household",
    responses((status = 200, description = "The household, with the role of the caller", body = HouseholdView)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_household(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let view = service.get_household(&ctx, household).await?;
    Ok(Reply::versioned(&seen, view.household.version, &view))
}

/// Change a household.
#[utoipa::path(
    patch, path = "/v1/households/{household_id}", operation_id = "update_household", tag = "household",
    request_body(content = NewHousehold, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The household", body = HouseholdView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn update_household(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    version: IfMatch,
    prefer: Prefer,
    body: MergePatch,
) -> Result<Reply, Problem> {
    let view = service.update_household(&ctx, household, &patch(version, prefer, body)).await?;
    Ok(changed(view.resource.household.version, &view))
}
