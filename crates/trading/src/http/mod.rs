//! Routes below `/v1/trading` and their documentation. No SQL, no rules.

mod accounts;
mod instruments;
mod market;
mod orders;
mod sweeps;

use std::sync::Arc;

use api::Actions;
use api::socket::Upgrade;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::Trading;
use crate::stream::Socket;

/// Without the module's state: the document needs no database.
pub fn routes() -> OpenApiRouter<Arc<Trading>> {
    OpenApiRouter::new()
        .routes(routes!(instruments::list_instruments, instruments::list_instrument))
        .routes(routes!(instruments::get_instrument))
        .routes(routes!(market::get_book))
        .routes(routes!(market::list_trades))
        .routes(routes!(market::check_invariants))
        .routes(routes!(accounts::list_trading_accounts, accounts::open_trading_account))
        .routes(routes!(accounts::get_trading_account))
        .routes(routes!(accounts::create_deposit))
        .routes(routes!(orders::list_orders, orders::place_order))
        .routes(routes!(orders::get_order))
        .action(routes!(orders::cancel_order))
        .routes(routes!(orders::get_command))
        .routes(routes!(orders::list_fills))
        .action(routes!(sweeps::cancel_all_orders))
        .action(routes!(sweeps::void_command))
        .action(routes!(sweeps::set_dead_man))
        .routes(routes!(open_socket))
}

/// Trade and follow the market over a WebSocket.
///
/// What it speaks is in `/asyncapi.json`. A browser, which can't send `Authorization`, signs in with the first message.
#[utoipa::path(
    get, path = "/v1/trading/ws", operation_id = "open_trading_socket", tag = "trading",
    responses((status = 101, description = "The socket is open")),
    extensions(
        ("x-scope" = json!("public")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["malformed-request", "too-many-sockets"])),
    ),
)]
async fn open_socket(State(trading): State<Arc<Trading>>, upgrade: Upgrade) -> Response {
    upgrade.serve(Arc::new(Socket::new(trading)))
}
