//! `/v1/trading/accounts/{account_id}/orders`, `…/commands` and `…/fills`

use std::sync::Arc;

use api::{Ctx, Json, Page, PageRequest, Path, Problem, Query, Reply};
use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::model::{AccountId, OrderId};
use crate::service::{Trading, WhichOrder};
use crate::wire;
use crate::wire::OrderBody;

/// Which orders.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OrderFilter {
    /// Only those that rest.
    #[param(inline)]
    status: Option<OnlyOpen>,
}

/// The one status that has an index.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnlyOpen {
    /// It rests in the book.
    Open,
}

/// List an account's orders, the newest first.
#[utoipa::path(
    get, path = "/v1/trading/accounts/{account_id}/orders", operation_id = "list_orders", tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account"), OrderFilter, PageRequest),
    responses((status = 200, description = "A page of orders", body = Page<wire::Order>)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_orders(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
    Query(filter): Query<OrderFilter>,
    page: PageRequest,
) -> Result<Page<wire::Order>, Problem> {
    let found = trading.list_orders(&ctx, AccountId(account), filter.status.is_some(), &page).await?;
    Ok(Page::of(found, &page, |last| last.order.0).map(wire::Order::from))
}

/// Place an order.
///
/// Once for each `client_order_id` of the account, for ever: the same id with the same content gives the original answer
/// with `duplicate: true` (and status 200), with other content a conflict.
#[utoipa::path(
    post, path = "/v1/trading/accounts/{account_id}/orders", operation_id = "place_order", tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account")),
    request_body = OrderBody,
    responses(
        (status = 201, description = "Accepted and committed", body = wire::Ack),
        (status = 200, description = "It had been placed before: the original answer", body = wire::Ack),
    ),
    extensions(
        ("x-scope" = json!("trading:write")),
        ("x-idempotency" = json!("command")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-priority" = json!("critical")),
        ("x-problems" = json!(["order-rejected", "client-order-id-conflict", "lane-full", "outcome-unknown"])),
    ),
)]
pub(super) async fn place_order(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
    Json(body): Json<OrderBody>,
) -> Result<Reply, Problem> {
    let (listing, ack) = trading.place_order(&ctx, AccountId(account), &body.into()).await?;
    let ack = wire::Ack::of(&listing.instrument, &ack);
    let status = if ack.duplicate { StatusCode::OK } else { StatusCode::CREATED };
    let location = format!("/v1/trading/accounts/{account}/orders/{}", ack.order_id);
    Ok(Reply::json(status, &ack).location(location))
}

/// Get an order.
#[utoipa::path(
    get, path = "/v1/trading/accounts/{account_id}/orders/{order_id}", operation_id = "get_order", tag = "trading",
    params(
        ("account_id" = Uuid, Path, description = "The account"),
        ("order_id" = Uuid, Path, description = "The order"),
    ),
    responses((status = 200, description = "The order", body = wire::Order)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_order(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path((account, order)): Path<(Uuid, Uuid)>,
) -> Result<Reply, Problem> {
    let order = trading.get_order(&ctx, AccountId(account), OrderId(order)).await?;
    Ok(Reply::ok(&wire::Order::from(order)))
}

/// Cancel an open order.
///
/// What is cancelled already stays so: the answer then says `duplicate: true`.
#[utoipa::path(
    post, path = "/v1/trading/accounts/{account_id}/orders/{order_id}:cancel", operation_id = "cancel_order",
    tag = "trading",
    params(
        ("account_id" = Uuid, Path, description = "The account"),
        ("order_id" = Uuid, Path, description = "The order"),
    ),
    responses((status = 200, description = "Cancelled and committed", body = wire::Ack)),
    extensions(
        ("x-scope" = json!("trading:write")),
        ("x-idempotency" = json!("content")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-priority" = json!("critical")),
        ("x-problems" = json!(["order-not-open", "lane-full", "outcome-unknown"])),
    ),
)]
pub(super) async fn cancel_order(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path((account, order)): Path<(Uuid, Uuid)>,
) -> Result<Reply, Problem> {
    let which = WhichOrder::Id(OrderId(order));
    let (listing, ack) = trading.cancel_order(&ctx, AccountId(account), which).await?;
    Ok(Reply::ok(&wire::Ack::of(&listing.instrument, &ack)))
}

/// Get what was decided under a client order id.
///
/// 404 says that the id was never seen up to now.
#[utoipa::path(
    get, path = "/v1/trading/accounts/{account_id}/commands/{client_order_id}", operation_id = "get_command",
    tag = "trading",
    params(
        ("account_id" = Uuid, Path, description = "The account"),
        ("client_order_id" = String, Path, description = "The client's own id"),
    ),
    responses((status = 200, description = "What was asked and answered", body = wire::CommandState)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
    ),
)]
pub(super) async fn get_command(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path((account, client_id)): Path<(Uuid, String)>,
) -> Result<Reply, Problem> {
    let found = trading.get_command(&ctx, AccountId(account), &client_id).await?;
    Ok(Reply::ok(&wire::CommandState::of(client_id, &found)))
}

/// List an account's fills, the newest first.
#[utoipa::path(
    get, path = "/v1/trading/accounts/{account_id}/fills", operation_id = "list_fills", tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account"), PageRequest),
    responses((status = 200, description = "A page of fills", body = Page<wire::Fill>)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_fills(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
    page: PageRequest,
) -> Result<Page<wire::Fill>, Problem> {
    let found = trading.list_fills(&ctx, AccountId(account), &page).await?;
    Ok(Page::of(found, &page, |last| (last.seq, last.fill.0)).map(wire::Fill::from))
}
