//! `…/orders:cancel-all`, `…/commands/{client_order_id}:void` and the dead-man timer

use std::sync::Arc;

use api::{Ctx, Json, Path, Problem, Reply};
use axum::extract::State;
use uuid::Uuid;

use crate::model::AccountId;
use crate::service::{SweepRequest, Trading};
use crate::wire::{self, DeadManBody, SweepBody};

/// Cancel all open orders of an account.
///
/// On all instruments, or on one. Once for each `sweep_id` of the account, for ever: the same id again gives the original
/// answer. Where an answer is missing, the same id again finishes what was begun.
#[utoipa::path(
    post, path = "/v1/trading/accounts/{account_id}/orders:cancel-all", operation_id = "cancel_all_orders",
    tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account")),
    request_body = SweepBody,
    responses((status = 200, description = "They are off, and committed", body = wire::SweepResult)),
    extensions(
        ("x-scope" = json!("trading:write")),
        ("x-idempotency" = json!("command")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-priority" = json!("critical")),
        ("x-problems" = json!(["client-order-id-conflict", "lane-full", "outcome-unknown"])),
    ),
)]
pub(super) async fn cancel_all_orders(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
    Json(body): Json<SweepBody>,
) -> Result<Reply, Problem> {
    let request = SweepRequest::from(body);
    let done = trading.cancel_all(&ctx, AccountId(account), &request).await?;
    Ok(Reply::ok(&wire::SweepResult::of(&request.id, done)))
}

/// Seal a client order id that was never used.
///
/// After it no order will ever be placed under the id. If something was decided under it before, that is the answer and
/// nothing changes: either way it is certain what became of it.
#[utoipa::path(
    post, path = "/v1/trading/accounts/{account_id}/commands/{client_order_id}:void", operation_id = "void_command",
    tag = "trading",
    params(
        ("account_id" = Uuid, Path, description = "The account"),
        ("client_order_id" = String, Path, description = "The client's own id"),
    ),
    responses((status = 200, description = "What is known of the id, now and for ever", body = wire::CommandState)),
    extensions(
        ("x-scope" = json!("trading:write")),
        ("x-idempotency" = json!("content")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-priority" = json!("critical")),
        ("x-problems" = json!(["validation-failed", "outcome-unknown"])),
    ),
)]
pub(super) async fn void_command(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path((account, client_id)): Path<(Uuid, String)>,
) -> Result<Reply, Problem> {
    wire::check_client_id(&client_id)?;
    let found = trading.void_command(&ctx, AccountId(account), &client_id).await?;
    Ok(Reply::ok(&wire::CommandState::of(client_id, &found)))
}

/// Set an account's dead-man timer.
///
/// Unless it is set anew before it runs out, all open orders of the account are cancelled. It is kept on disk, so it runs
/// out also when the server that took it has crashed.
#[utoipa::path(
    post, path = "/v1/trading/accounts/{account_id}:set-dead-man", operation_id = "set_dead_man", tag = "trading",
    params(("account_id" = Uuid, Path, description = "The account")),
    request_body = DeadManBody,
    responses((status = 200, description = "The timer as it is set", body = wire::DeadMan)),
    extensions(
        ("x-scope" = json!("trading:write")),
        ("x-idempotency" = json!("content")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-priority" = json!("critical")),
        ("x-problems" = json!(["outcome-unknown"])),
    ),
)]
pub(super) async fn set_dead_man(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(account): Path<Uuid>,
    Json(body): Json<DeadManBody>,
) -> Result<Reply, Problem> {
    let fires_at = trading.set_dead_man(&ctx, AccountId(account), body.after()).await?;
    Ok(Reply::ok(&wire::DeadMan { fires_at }))
}
