//! Trading: orders that happen once, books that everybody can trust. WebSocket first, with a REST mirror over the same
//! commands; strong consistency under pessimistic row locks; made for instruments that everybody wants at once.
//!
//! It owns instruments, accounts and their ledger, orders, trades and books. Read `model` (types and rules) and
//! [`matching`] (the matcher, pure) first, then `lane` (how a command becomes a commit), `view` (what everybody sees of a
//! book), and `http` and `stream` for what goes in and out.

pub mod error;
pub mod events;
mod http;
mod internal;
mod lane;
pub mod matching;
pub mod model;
mod service;
mod store;
mod stream;
mod view;
pub mod wire;

use std::sync::Arc;

use api::Peers;
use common::DataPath;
use common::context::Context;
use utoipa_axum::router::OpenApiRouter;

pub use self::error::{Error, PROBLEMS};
pub use self::lane::{BATCH_MAX, QUEUE_MAX};
pub use self::service::{Check, Invariants, Trading};
pub use self::store::STATEMENTS;
pub use self::stream::{CHANNELS, OPERATIONS};

/// Opens the module on its data path: a lane for every instrument that is listed. With `peers`, each lane is carried by one
/// process of the fleet.
pub async fn start(dp: &DataPath, peers: Option<Peers>) -> Result<Arc<Trading>, Error> {
    let trading = Trading::open(dp, peers).await?;
    trading.start_dead_men();
    Ok(Arc::new(trading))
}

/// All routes, below `/v1/trading`.
pub fn router(trading: Arc<Trading>) -> OpenApiRouter {
    http::routes().with_state(trading)
}

/// What the processes of a fleet ask of one another, for the internal port.
pub fn internal_router(trading: Arc<Trading>) -> axum::Router {
    internal::routes(trading)
}

/// What the routes say of themselves, without a database.
pub fn openapi() -> utoipa::openapi::OpenApi {
    http::routes().into_openapi()
}

/// Loads demonstration data for the context's caller, once however often it is called.
pub async fn demo(dp: &DataPath, ctx: &Context) -> Result<(), Error> {
    Trading::open(dp, None).await?.load_demo(ctx).await
}

/// What the socket speaks, for the document.
pub fn socket_document() -> api::asyncapi::SocketDocument {
    api::asyncapi::SocketDocument {
        name: stream::NAME,
        address: "/v1/trading/ws",
        summary: "Trade and follow the market",
        operations: OPERATIONS,
        channels: CHANNELS,
    }
}
