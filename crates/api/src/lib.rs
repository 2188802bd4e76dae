//! The conventions of the HTTP and WebSocket interface, once for all modules.

pub mod action;
pub mod app;
pub mod auth;
pub mod context;
mod docs;
mod edge;
pub mod etag;
pub mod extract;
pub mod freshness;
pub mod idempotency;
pub mod merge_patch;
pub mod page;
pub mod prefer;
pub mod problem;
pub mod readiness;
pub mod reply;
pub mod route;
pub mod socket;
pub mod stale;
mod trace;

pub use action::Actions;
pub use app::{App, AppConfig, AppError, Environment, openapi};
pub use context::{Anyone, Ctx};
pub use etag::{IfMatch, IfNoneMatch, etag};
pub use extract::{IdempotencyKey, Json, Path, Query, RawBody};
pub use merge_patch::MergePatch;
pub use page::{Page, PageRequest, cursor};
pub use prefer::Prefer;
pub use problem::{FieldError, Problem, ProblemType};
pub use reply::Reply;
pub use stale::{Conflict, Stale, merge_disjoint};
