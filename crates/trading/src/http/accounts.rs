//! `/v1/trading/accounts`

use std::sync::Arc;

use api::{Ctx, IdempotencyKey, Json, Page, PageRequest, Path, Problem, Reply};
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::model::AccountId;
use crate::service::Trading;
use crate::wire;

/// An account to be opened.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::NewAccount)]
pub(super) struct Body {
    /// What its owner calls it.
    #[garde(length(chars, min = 1, max = 100))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
}

/// What comes in.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::NewDeposit)]
pub(super) struct DepositBody {
    /// The asset's code.
    #[garde(length(min = 1, max = 12))]
    #[schema(example = "USD")]
    asset: String,
    /// A decimal above zero.
    #[garde(length(min = 1, max = 32))]
    #[schema(example = "1000.00")]
    amount: String,
}

/// List one's accounts, the newest first.
#[utoipa::path(
    get, path = "/v1/trading/accounts", operation_id = "list_trading_accounts", tag = "trading",
    params(PageRequest),
    responses((status = 200, description = "A page of accounts", body = Page<wire::AccountEntry>)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_trading_accounts(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    page: PageRequest,
) -> Result<Page<wire::AccountEntry>, Problem> {
    let found = trading.list_accounts(&ctx, &page).await?;
    Ok(Page::of(found, &page, |last| last.id.0).map(wire::AccountEntry::from))
}

/// Open an account.
#[utoipa::path(
    post, path = "/v1/trading/accounts", operation_id = "open_trading_account", tag = "trading",
    request_body = Body,
    responses((status = 201, description = "The account", body = wire::Account)),
    extensions(
        ("x-scope" = json!("trading:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
    ),
)]
pub(super) async fn open_trading_account(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    key: IdempotencyKey,
    Json(body): Json<Body>,
) -> Result<Reply, Problem> {
    Ok(trading.open_account(&ctx, &key, &body.name).await?)
}

/// Get an account with its balances.
#[utoipa::path(
    get, path = "/v1/trading/accounts/{account_id}", operation_id = "get_trading_account", tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account")),
    responses((status = 200, description = "The account", body = wire::Account)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_trading_account(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
) -> Result<Reply, Problem> {
    Ok(Reply::ok(&wire::Account::from(trading.get_account(&ctx, AccountId(account)).await?)))
}

/// Deposit into an account of one's own.
///
/// It makes money out of nothing, so its scope is one that in production only the treasury's tokens carry.
#[utoipa::path(
    post, path = "/v1/trading/accounts/{account_id}/deposits", operation_id = "create_deposit", tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account")),
    request_body = DepositBody,
    responses((status = 201, description = "The deposit", body = wire::Deposit)),
    extensions(
        ("x-scope" = json!("trading:deposit")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
    ),
)]
pub(super) async fn create_deposit(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
    key: IdempotencyKey,
    Json(body): Json<DepositBody>,
) -> Result<Reply, Problem> {
    Ok(trading.deposit(&ctx, &key, AccountId(account), &body.asset, &body.amount).await?)
}
