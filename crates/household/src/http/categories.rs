//! `/v1/households/{household_id}/categories`

use super::answers::{Whole, changed, created, patch, replace};
use crate::error::Error;
use crate::model::{Category, CategoryContent};
use crate::service::{Household, NewCategory};
use api::{
    Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem,
    Reply,
};
use axum::extract::State;
use std::sync::Arc;
use uuid::Uuid;

/// List the categories of a household.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/categories", operation_id = "list_categories", tag = "household",
    params(PageRequest),
    responses((status = 200, description = "A page of categories", body = Page<Category>)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_categories(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    page: PageRequest,
) -> Result<Page<Category>, Problem> {
    let after: Uuid = page.after()?.unwrap_or_default();
    let found = service.list_categories(&ctx, household, after, page.rows()).await?;
    Ok(Page::of(found, &page, |last| last.id))
}

/// Create a category.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/categories", operation_id = "create_category", tag = "household",
    request_body = NewCategory,
    responses((status = 201, description = "The category", body = Category)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "id-taken"])),
    ),
)]
pub(super) async fn create_category(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    key: IdempotencyKey,
    Json(new): Json<NewCategory>,
) -> Result<Reply, Problem> {
    let (ctx, new) = (&ctx.0, &new);
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let (category, is_new) = Household::create_category(ctx, tx, household, new).await?;
            let location = format!("/v1/households/{household}/categories/{}", category.id);
            Ok::<_, Error>(created(location, category.version, &category, is_new))
        })
    })
    .await
}

/// Read a category.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/categories/{category_id}", operation_id = "get_category", tag = "household",
    responses((status = 200, description = "The category", body = Category)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_category(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, category)): Path<(Uuid, Uuid)>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let category = service.get_category(&ctx, household, category).await?;
    Ok(Reply::versioned(&seen, category.version, &category))
}

/// Replace what is said of a category.
#[utoipa::path(
    put, path = "/v1/households/{household_id}/categories/{category_id}", operation_id = "replace_category", tag = "household",
    request_body = CategoryContent,
    responses((status = 200, description = "The category", body = Category)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn replace_category(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, category)): Path<(Uuid, Uuid)>,
    version: IfMatch,
    prefer: Prefer,
    body: Whole,
) -> Result<Reply, Problem> {
    let category =
        service.update_category(&ctx, household, category, &replace(version, prefer, body)).await?;
    Ok(changed(category.resource.version, &category))
}

/// Change a category.
#[utoipa::path(
    patch, path = "/v1/households/{household_id}/categories/{category_id}", operation_id = "update_category", tag = "household",
    request_body(content = CategoryContent, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The category", body = Category)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn update_category(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, category)): Path<(Uuid, Uuid)>,
    version: IfMatch,
    prefer: Prefer,
    body: MergePatch,
) -> Result<Reply, Problem> {
    let category = service.update_category(&ctx, household, category, &patch(version, prefer, body)).await?;
    Ok(changed(category.resource.version, &category))
}

/// Delete a category that has no transactions.
#[utoipa::path(
    delete, path = "/v1/households/{household_id}/categories/{category_id}", operation_id = "delete_category", tag = "household",
    responses((status = 204, description = "Gone")),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "category-in-use"])),
    ),
)]
pub(super) async fn delete_category(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, category)): Path<(Uuid, Uuid)>,
    IfMatch(version): IfMatch,
) -> Result<Reply, Problem> {
    service.delete_category(&ctx, household, category, version).await?;
    Ok(Reply::no_content())
}
