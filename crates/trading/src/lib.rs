//! Trading: orders that happen once, books that everybody can trust. WebSocket first, with a REST mirror over the same
//! commands; strong consistency under pessimistic row locks; made for instruments that everybody wants at once.
//!
//! It owns instruments, accounts and their ledger, orders, trades and books. Read `model` (types and rules) and
//! [`matching`] (the matcher, pure) first, then `lane` (how a command becomes a commit), `view` (what everybody sees of a
//! book), and `http` and `stream` for what goes in and out.

pub mod error;
pub mod events;
mod http;
mod lane;
pub mod matching;
pub mod model;
mod service;
mod store;
mod stream;
mod view;
pub mod wire;

use std::sync::Arc;

use common::DataPath;
use common::context::Context;
use utoipa_axum::router::OpenApiRouter;

pub use self::error::{Error, PROBLEMS};
pub use self::lane::{BATCH_MAX, QUEUE_MAX};
pub use self::service::{Check, Invariants, Trading};
pub use self::store::STATEMENTS;
pub use self::stream::{CHANNELS, OPERATIONS};

/// Opens the module on its data path: a lane for every instrument that is listed.
pub async fn start(dp: &DataPath) -> Result<Arc<Trading>, Error> {
    Ok(Arc::new(Trading::open(dp).await?))
}

/// All routes, below `/v1/trading`.
pub fn router(trading: Arc<Trading>) -> OpenApiRouter {
    http::routes().with_state(trading)
}

/// What the routes say of themselves, without a database.
pub fn openapi() -> utoipa::openapi::OpenApi {
    http::routes().into_openapi()
}

/// Loads demonstration data for the context's caller, once however often it is called.
pub async fn demo(dp: &DataPath, ctx: &Context) -> Result<(), Error> {
    Trading::open(dp).await?.load_demo(ctx).await
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
