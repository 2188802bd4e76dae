//! The conventions of the HTTP and WebSocket interface, once for all modules.

pub mod action;
pub mod context;
pub mod etag;
pub mod extract;
pub mod page;
pub mod problem;
pub mod reply;
pub mod socket;

pub use action::Actions;
pub use context::{Anyone, Ctx};
pub use etag::{IfMatch, IfNoneMatch, etag};
pub use extract::{IdempotencyKey, Json, Path, Query, RawBody};
pub use page::{Page, PageRequest, cursor};
pub use problem::{FieldError, Problem, ProblemType};
pub use reply::Reply;
