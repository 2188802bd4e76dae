//! Long work: started with 202 and a `Location` ([`accepted`]), looked at with `GET /v1/operations/{id}`, stopped with
//! `:cancel`. An operation belongs to the module that started it; its row is found in one of the modules' databases.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use common::context::Context;
use common::db::{Db, DbError, Freshness, TxOptions};
use common::jobs::Jobs;
use common::jobs::operation::{self, Operation, Stopped};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::problem::{Problem, kinds};
use crate::{Actions, Ctx, Path, Reply};

/// Between two looks at an operation whose end is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// When to look again, as the client is told.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("1");

/// The modules of this process: where their operations are, and what is done with those that are stopped.
#[derive(Clone)]
struct Modules {
    databases: Arc<[Db]>,
    jobs: Jobs,
}

/// The operations of all modules of this process. Merged into the app like a module's router.
pub fn router(databases: Vec<Db>, jobs: Jobs) -> OpenApiRouter {
    routes().with_state(Modules { databases: databases.into(), jobs })
}

/// The same without databases, for the document.
fn routes() -> OpenApiRouter<Modules> {
    OpenApiRouter::new().routes(routes!(get_operation)).action(routes!(cancel_operation))
}

/// 202 for an operation that was just created; `more` are members beside its own, such as the id of what it makes.
pub fn accepted(id: Uuid, kind: &str, more: Map<String, Value>) -> Reply {
    let view = OperationView {
        id,
        kind: kind.to_owned(),
        state: OperationState::Queued,
        progress: None,
        result: None,
        problem: None,
        cancel_requested: false,
        links: Links::of(id, true),
    };
    let mut body = serde_json::to_value(&view).unwrap_or_default();
    if let Value::Object(members) = &mut body {
        members.extend(more);
    }
    let reply = Reply::json(StatusCode::ACCEPTED, &body).location(view.links.this);
    reply.header(RETRY_AFTER, RETRY_AFTER_S)
}

/// A refusal ends the operation with that problem; what may pass is tried again.
impl From<Problem> for Stopped {
    fn from(problem: Problem) -> Self {
        if problem.status().is_client_error() {
            Self::Failed(problem.to_json("", None, None))
        } else {
            Self::Retry(Box::new(problem))
        }
    }
}

/// Long work and how far it is.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Operation)]
pub struct OperationView {
    /// Its id.
    pub id: Uuid,
    /// What kind of work it is.
    pub kind: String,
    /// Where it is.
    pub state: OperationState,
    /// How far it is, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<OperationProgress>,
    /// What came of it, when it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub result: Option<Value>,
    /// Why it failed, as a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    pub problem: Option<Value>,
    /// Whether it was asked to stop.
    pub cancel_requested: bool,
    /// Where to go from here.
    pub links: Links,
}

/// Where an operation is; the last three are ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OperationState {
    /// No worker has begun it.
    Queued,
    /// A worker is at it.
    Running,
    /// Done; there is a result.
    Succeeded,
    /// Given up; there is a problem.
    Failed,
    /// Stopped because somebody asked for it.
    Cancelled,
}

/// How far an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationProgress {
    /// What is done.
    pub done: u64,
    /// What there is to do, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Of what, such as `rows`.
    pub unit: String,
}

/// Where to go from an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// The operation itself.
    #[serde(rename = "self")]
    pub this: String,
    /// Asks it to stop; absent once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel: Option<String>,
}

impl Links {
    fn of(id: Uuid, under_way: bool) -> Self {
        let this = format!("/v1/operations/{id}");
        Self { cancel: under_way.then(|| format!("{this}:cancel")), this }
    }
}

impl OperationView {
    fn of(operation: Operation) -> Self {
        let state = match operation.state {
            operation::State::Queued => OperationState::Queued,
            operation::State::Running => OperationState::Running,
            operation::State::Succeeded => OperationState::Succeeded,
            operation::State::Failed => OperationState::Failed,
            operation::State::Cancelled => OperationState::Cancelled,
        };
        Self {
            id: operation.id,
            kind: operation.kind,
            state,
            progress: operation.progress.and_then(|progress| serde_json::from_value(progress).ok()),
            result: operation.result,
            problem: operation.problem,
            cancel_requested: operation.cancel_requested,
            links: Links::of(operation.id, !operation.state.is_final()),
        }
    }
}

/// Look at an operation.
///
/// Always 200 while it exists; `Prefer: wait=5` waits so long for its end.
#[utoipa::path(
    get, path = "/v1/operations/{id}", operation_id = "get_operation", tag = "operations",
    params(("id" = Uuid, Path, description = "The operation")),
    responses((status = 200, description = "The operation", body = OperationView)),
    extensions(
        ("x-scope" = json!("any")), ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")), ("x-deadline-ms" = json!(15_000)),
    ),
)]
async fn get_operation(
    State(Modules { databases, .. }): State<Modules>,
    ctx: Ctx,
    Path(id): Path<Uuid>,
) -> Result<Reply, Problem> {
    let (db, mut found) = match find(&databases, &ctx, Freshness::ReadYourWrites, id).await {
        Ok(found) => found,
        // It may have been started a moment ago, and a standby not have it yet.
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => {
            find(&databases, &ctx, Freshness::Strong, id).await?
        }
        Err(problem) => return Err(problem),
    };
    let wait_until = ctx.deadline().min(Instant::now() + ctx.wait());
    while !found.state.is_final() && Instant::now() + LOOK_EVERY <= wait_until {
        tokio::time::sleep(LOOK_EVERY).await;
        found = find_in(db, &ctx, Freshness::Strong, id).await?.ok_or(&kinds::NOT_FOUND)?;
    }
    if found.state.is_final() {
        // Whoever sees the end sees what the work has done: the token covers it.
        db.observe_log(&ctx).await?;
        return Ok(Reply::ok(&OperationView::of(found)));
    }
    Ok(Reply::ok(&OperationView::of(found)).header(RETRY_AFTER, RETRY_AFTER_S))
}

/// Ask an operation to stop.
///
/// One that no worker has begun is cancelled at once, one that runs at its next step; one that has ended stays as it is.
#[utoipa::path(
    post, path = "/v1/operations/{id}:cancel", operation_id = "cancel_operation", tag = "operations",
    params(("id" = Uuid, Path, description = "The operation")),
    responses((status = 200, description = "The operation", body = OperationView)),
    extensions(
        ("x-scope" = json!("any")), ("x-idempotency" = json!("content")), ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
    ),
)]
async fn cancel_operation(
    State(Modules { databases, jobs }): State<Modules>,
    ctx: Ctx,
    Path(id): Path<Uuid>,
) -> Result<Reply, Problem> {
    let (db, _) = find(&databases, &ctx, Freshness::Strong, id).await?;
    let (context, jobs) = (&ctx.0, &jobs);
    db.write(context, TxOptions::default(), |tx| Box::pin(async move { jobs.cancel(tx, context, id).await }))
        .await
        .map_err(|error: DbError| Problem::from(error))?;
    let found = find_in(db, &ctx, Freshness::Strong, id).await?.ok_or(&kinds::NOT_FOUND)?;
    Ok(Reply::ok(&OperationView::of(found)))
}

/// The caller's operation of this id, in whichever module it is; somebody else's is 404.
async fn find<'d>(
    databases: &'d [Db],
    ctx: &Context,
    freshness: Freshness,
    id: Uuid,
) -> Result<(&'d Db, Operation), Problem> {
    for db in databases {
        if let Some(found) = find_in(db, ctx, freshness, id).await? {
            return Ok((db, found));
        }
    }
    Err(Problem::of(&kinds::NOT_FOUND))
}

async fn find_in(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    id: Uuid,
) -> Result<Option<Operation>, DbError> {
    let found = operation::find(db, ctx, freshness, id).await?;
    Ok(found.filter(|operation| *operation.caller == *ctx.caller().subject))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_started_says_where_it_is_found() {
        let id = Uuid::from_u128(7);
        let more = Map::from_iter([("import_id".to_owned(), json!("i1"))]);
        let reply = accepted(id, "household.import", more);
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["state"], "queued");
        assert_eq!(body["import_id"], "i1");
        assert_eq!(body["links"]["cancel"], format!("/v1/operations/{id}:cancel"));
        let response = reply.into_response();
        assert_eq!(
            (response.status(), &response.headers()["retry-after"]),
            (StatusCode::ACCEPTED, &RETRY_AFTER_S)
        );
        assert_eq!(response.headers()["location"], format!("/v1/operations/{id}"));
    }

    #[test]
    fn a_refusal_ends_the_work_and_an_outage_does_not() {
        let refused = Stopped::from(Problem::of(&kinds::CONFLICT).detail("no"));
        assert!(
            matches!(refused, Stopped::Failed(problem) if problem["code"] == "conflict" && problem["detail"] == "no")
        );
        assert!(matches!(Stopped::from(Problem::of(&kinds::UNAVAILABLE)), Stopped::Retry(_)));
    }
}
