//! `/v1/households/{household_id}/transactions`

use super::answers::{Whole, changed, created, patch, replace};
use crate::error::Error;
use crate::model::TransactionContent;
use crate::service::{Household, NewTransaction, TransactionFilter, TransactionView};
use api::{
    Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem,
    Query, Reply,
};
use axum::extract::State;
use chrono::NaiveDate;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// The only order: newest first.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
pub(super) enum Sort {
    /// By date, newest first.
    #[serde(rename = "-date")]
    NewestFirst,
}

/// Which transactions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Of this account, transfers to it too.
    account: Option<Uuid>,
    /// With a split of this category.
    category: Option<Uuid>,
    /// From this date on.
    from: Option<NaiveDate>,
    /// Before this date: a month is `from=2026-02-01&to=2026-03-01`.
    to: Option<NaiveDate>,
    /// `-date`, newest first.
    #[param(inline)]
    #[expect(dead_code, reason = "there is one order; the field refuses others")]
    sort: Option<Sort>,
}

/// List transactions, newest first.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/transactions", operation_id = "list_transactions", tag = "household",
    params(PageRequest, Filter),
    responses((status = 200, description = "A page of transactions", body = Page<TransactionView>)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_transactions(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    page: PageRequest,
    Query(filter): Query<Filter>,
) -> Result<Page<TransactionView>, Problem> {
    let before: Option<(NaiveDate, Uuid)> = page.after()?;
    let Filter { account, category, from, to, .. } = filter;
    let filter = TransactionFilter { account, category, from, to };
    let found = service.list_transactions(&ctx, household, filter, before, page.rows()).await?;
    Ok(Page::of(found, &page, |last| (last.content.date, last.id)))
}

/// Create a transaction.
///
/// An expense, an income, a transfer between two accounts, or the opening entry of an account.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/transactions", operation_id = "create_transaction", tag = "household",
    request_body = NewTransaction,
    responses((status = 201, description = "The transaction", body = TransactionView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "id-taken", "opening-exists"])),
    ),
)]
pub(super) async fn create_transaction(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    key: IdempotencyKey,
    Json(new): Json<NewTransaction>,
) -> Result<Reply, Problem> {
    let (ctx, new) = (&ctx.0, &new);
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let (transaction, is_new) = Household::create_transaction(ctx, tx, household, new).await?;
            let location = format!("/v1/households/{household}/transactions/{}", transaction.id);
            Ok::<_, Error>(created(location, transaction.version, &transaction, is_new))
        })
    })
    .await
}

/// Read a transaction.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/transactions/{transaction_id}", operation_id = "get_transaction", tag = "household",
    responses((status = 200, description = "The transaction", body = TransactionView)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_transaction(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, transaction)): Path<(Uuid, Uuid)>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let transaction = service.get_transaction(&ctx, household, transaction).await?;
    Ok(Reply::versioned(&seen, transaction.version, &transaction))
}

/// Replace what is said of a transaction.
///
/// With `Prefer: handling=lenient` a stale change is merged with what others did, when both together keep the rules.
#[utoipa::path(
    put, path = "/v1/households/{household_id}/transactions/{transaction_id}", operation_id = "replace_transaction", tag = "household",
    request_body = TransactionContent,
    responses((status = 200, description = "The transaction", body = TransactionView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "opening-exists"])),
    ),
)]
pub(super) async fn replace_transaction(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, transaction)): Path<(Uuid, Uuid)>,
    version: IfMatch,
    prefer: Prefer,
    body: Whole,
) -> Result<Reply, Problem> {
    let revision = replace(version, prefer, body);
    let transaction = service.update_transaction(&ctx, household, transaction, &revision).await?;
    Ok(changed(transaction.resource.version, &transaction))
}

/// Change a transaction.
///
/// `splits` takes an object keyed by split id (null removes one, a new id adds one) or the whole list. The amount of a
/// transaction with one split moves that split along. `Prefer: handling=lenient` as with `PUT`.
#[utoipa::path(
    patch, path = "/v1/households/{household_id}/transactions/{transaction_id}", operation_id = "update_transaction", tag = "household",
    request_body(content = TransactionContent, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The transaction", body = TransactionView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "opening-exists"])),
    ),
)]
pub(super) async fn update_transaction(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, transaction)): Path<(Uuid, Uuid)>,
    version: IfMatch,
    prefer: Prefer,
    body: MergePatch,
) -> Result<Reply, Problem> {
    let revision = patch(version, prefer, body);
    let transaction = service.update_transaction(&ctx, household, transaction, &revision).await?;
    Ok(changed(transaction.resource.version, &transaction))
}

/// Delete a transaction.
#[utoipa::path(
    delete, path = "/v1/households/{household_id}/transactions/{transaction_id}", operation_id = "delete_transaction", tag = "household",
    responses((status = 204, description = "Gone")),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn delete_transaction(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, transaction)): Path<(Uuid, Uuid)>,
    IfMatch(version): IfMatch,
) -> Result<Reply, Problem> {
    service.delete_transaction(&ctx, household, transaction, version).await?;
    Ok(Reply::no_content())
}
