//! household: money that several people keep the books of at once. REST, optimistic locks, and projections that say how
//! old they are. Whoever looks on is told live, over event streams.
//!
//! A household is the aggregate: one stream of numbered changes, whose row is the lock of every write. Read `model` for the
//! rules, `service` for how a write goes, `store` for the SQL, `projection` for balances and summaries, `import` for bank
//! statements.

mod demo;
pub mod error;
mod http;
pub mod import;
pub mod model;
mod projection;
pub mod service;
mod store;
mod stream;

pub use demo::{DEMO_HOUSEHOLD, demo};
pub use error::PROBLEMS;
pub use service::Household;
pub use store::STATEMENTS;

use common::DataPath;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Opens the module on its data path, starts its projector, and says what is done for its jobs.
pub fn start(path: &DataPath) -> Arc<Household> {
    let household = Arc::new(Household::new(path.db.clone(), path.feeds.clone(), &path.caches));
    path.project(projection::projection());
    let reader = household.clone();
    path.jobs.operation(service::READ_IMPORT, &path.db, move |running| {
        service::import_reading::run(reader.clone(), running)
    });
    path.jobs.abandoned(
        service::READ_IMPORT,
        Arc::new(|tx, abandoned| Box::pin(service::import_reading::settle(tx, abandoned))),
    );
    household
}

/// All routes, below `/v1/households`.
pub fn router(household: Arc<Household>) -> OpenApiRouter {
    http::routes().with_state(household)
}

/// What the event stream tells, for the document.
pub fn stream_document() -> api::sse::StreamDocument {
    stream::DOCUMENT
}

/// What the routes say of themselves, without a database.
pub fn openapi() -> utoipa::openapi::OpenApi {
    http::routes().into_openapi()
}
