//! `/v1/households/{household_id}/accounts`

use super::answers::{Whole, changed, created, patch, replace};
use crate::error::Error;
use crate::model::{Account, AccountContent};
use crate::service::{Balance, Household, NewAccount};
use api::{
    Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem,
    Reply,
};
use axum::extract::State;
use std::sync::Arc;
use uuid::Uuid;

/// List the accounts of a household.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/accounts", operation_id = "list_accounts", tag = "household",
    params(PageRequest),
    responses((status = 200, description = "A page of accounts", body = Page<Account>)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_accounts(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    page: PageRequest,
) -> Result<Page<Account>, Problem> {
    let after: Uuid = page.after()?.unwrap_or_default();
    let found = service.list_accounts(&ctx, household, after, page.rows()).await?;
    Ok(Page::of(found, &page, |last| last.id))
}

/// Create an account.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/accounts", operation_id = "create_account", tag = "household",
    request_body = NewAccount,
    responses((status = 201, description = "The account", body = Account)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "id-taken"])),
    ),
)]
pub(super) async fn create_account(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    key: IdempotencyKey,
    Json(new): Json<NewAccount>,
) -> Result<Reply, Problem> {
    let (ctx, new) = (&ctx.0, &new);
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let (account, is_new) = Household::create_account(ctx, tx, household, new).await?;
            let location = format!("/v1/households/{household}/accounts/{}", account.id);
            Ok::<_, Error>(created(location, account.version, &account, is_new))
        })
    })
    .await
}

/// Read an account.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/accounts/{account_id}", operation_id = "get_account", tag = "household",
    responses((status = 200, description = "The account", body = Account)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_account(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, account)): Path<(Uuid, Uuid)>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let account = service.get_account(&ctx, household, account).await?;
    Ok(Reply::versioned(&seen, account.version, &account))
}

/// Replace what is said of an account.
#[utoipa::path(
    put, path = "/v1/households/{household_id}/accounts/{account_id}", operation_id = "replace_account", tag = "household",
    request_body = AccountContent,
    responses((status = 200, description = "The account", body = Account)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn replace_account(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, account)): Path<(Uuid, Uuid)>,
    version: IfMatch,
    prefer: Prefer,
    body: Whole,
) -> Result<Reply, Problem> {
    let account = service.update_account(&ctx, household, account, &replace(version, prefer, body)).await?;
    Ok(changed(account.resource.version, &account))
}

/// Change an account.
#[utoipa::path(
    patch, path = "/v1/households/{household_id}/accounts/{account_id}", operation_id = "update_account", tag = "household",
    request_body(content = AccountContent, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The account", body = Account)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn update_account(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, account)): Path<(Uuid, Uuid)>,
    version: IfMatch,
    prefer: Prefer,
    body: MergePatch,
) -> Result<Reply, Problem> {
    let account = service.update_account(&ctx, household, account, &patch(version, prefer, body)).await?;
    Ok(changed(account.resource.version, &account))
}

/// Delete an account that has no transactions.
#[utoipa::path(
    delete, path = "/v1/households/{household_id}/accounts/{account_id}", operation_id = "delete_account", tag = "household",
    responses((status = 204, description = "Gone")),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "account-in-use"])),
    ),
)]
pub(super) async fn delete_account(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, account)): Path<(Uuid, Uuid)>,
    IfMatch(version): IfMatch,
) -> Result<Reply, Problem> {
    service.delete_account(&ctx, household, account, version).await?;
    Ok(Reply::no_content())
}

/// Read what an account holds.
///
/// A projection: `as_of` says how far it goes, and the `Consistency-Token` of a write is waited for.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/accounts/{account_id}/balance", operation_id = "get_balance", tag = "household",
    responses((status = 200, description = "The balance", body = Balance)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
        ("x-problems" = json!(["projection-behind"])),
    ),
)]
pub(super) async fn get_balance(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, account)): Path<(Uuid, Uuid)>,
) -> Result<Reply, Problem> {
    Ok(Reply::ok(&service.get_balance(&ctx, household, account).await?))
}
