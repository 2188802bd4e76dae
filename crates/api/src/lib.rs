//! The conventions of the HTTP and WebSocket interface, once for all modules: problems, sign-in, versions,
//! idempotency, lists, freshness, documents. A module brings handlers; [`App`] puts what is the same for all around
//! them. What a handler's documentation says of it (`x-scope`, `x-deadline-ms`, query parameters) is what holds.
//!
//! ```
//! use std::sync::Arc;
//!
//! use api::{Actions, Ctx, IdempotencyKey, IfNoneMatch, Json, Path, Problem, Reply, idempotency};
//! use axum::extract::State;
//! use utoipa_axum::{router::OpenApiRouter, routes};
//!
//! #[derive(serde::Serialize, serde::Deserialize, garde::Validate, utoipa::ToSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Account {
//!     /// What its owner calls it.
//!     #[garde(length(min = 1, max = 100))]
//!     name: String,
//! }
//!
//! struct Bank {
//!     db: common::db::Db,
//! }
//!
//! /// Without the module's state, so that the document needs no database.
//! fn routes() -> OpenApiRouter<Arc<Bank>> {
//!     OpenApiRouter::new()
//!         .routes(routes!(create_account))
//!         .routes(routes!(get_account))
//!         .action(routes!(close_account)) // POST …/{account}:close
//! }
//!
//! /// Open an account.
//! #[utoipa::path(
//!     post, path = "/v1/accounts", operation_id = "create_account", request_body = Account,
//!     responses((status = 201, description = "The account", body = Account)),
//!     extensions(
//!         ("x-scope" = json!("bank:write")), ("x-idempotency" = json!("key")), ("x-precondition" = json!("none")),
//!         ("x-freshness" = json!("strong")), ("x-problems" = json!(["conflict"])),
//!     ),
//! )]
//! async fn create_account(
//!     State(bank): State<Arc<Bank>>,
//!     ctx: Ctx,
//!     key: IdempotencyKey, // before the body, which its hash covers
//!     Json(new): Json<Account>,
//! ) -> Result<Reply, Problem> {
//!     let new = &new; // the block may run again, so it only borrows
//!     idempotency::once(&ctx, &bank.db, &key, move |tx| {
//!         Box::pin(async move {
//!             let savepoint = tx.savepoint().await?; // stands for the service's work with `tx`
//!             tx.rollback_to(savepoint).await?;
//!             Ok::<_, common::db::DbError>(Reply::created("/v1/accounts/1", new).etag(1))
//!         })
//!     })
//!     .await
//! }
//!
//! /// Read an account.
//! #[utoipa::path(
//!     get, path = "/v1/accounts/{account}", operation_id = "get_account",
//!     responses((status = 200, description = "The account", body = Account)),
//!     extensions(("x-scope" = json!("bank:read")), ("x-freshness" = json!("read-your-writes"))),
//! )]
//! async fn get_account(_: Ctx, Path(account): Path<i64>, seen: IfNoneMatch) -> Result<Reply, Problem> {
//!     let version = Some(account).filter(|it| *it == 1).ok_or(&api::problem::kinds::NOT_FOUND)?;
//!     Ok(Reply::versioned(&seen, version, &Account { name: "a".into() })) // ETag, or 304
//! }
//!
//! /// Close an account.
//! #[utoipa::path(
//!     post, path = "/v1/accounts/{account}:close", operation_id = "close_account",
//!     responses((status = 204, description = "It is closed")),
//!     extensions(("x-scope" = json!("bank:write"))),
//! )]
//! async fn close_account(_: Ctx, Path(_account): Path<i64>) -> Reply {
//!     Reply::no_content()
//! }
//! # let _ = routes();
//! ```

pub mod action;
pub mod app;
pub mod asyncapi;
pub mod auth;
pub mod context;
mod docs;
mod edge;
pub mod etag;
pub mod extract;
pub mod freshness;
pub mod idempotency;
mod limits;
pub mod merge_patch;
pub mod operation;
pub mod page;
pub mod peers;
pub mod prefer;
pub mod problem;
pub mod readiness;
pub mod reply;
pub mod route;
mod seats;
pub mod socket;
pub mod sse;
pub mod stale;
mod trace;

pub use action::Actions;
pub use app::{App, AppConfig, AppError, Environment, openapi};
pub use context::{Anyone, Ctx};
pub use etag::{IfMatch, IfNoneMatch, etag};
pub use extract::{IdempotencyKey, Json, Path, Query, RawBody};
pub use merge_patch::MergePatch;
pub use page::{Page, PageRequest, cursor};
pub use peers::Peers;
pub use prefer::Prefer;
pub use problem::{FieldError, Problem, ProblemType};
pub use reply::{Public, Reply};
pub use stale::{Conflict, Stale, merge_disjoint};
