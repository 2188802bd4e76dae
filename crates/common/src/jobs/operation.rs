//! Long work that a caller can look at: a row in the module's own table, and the job that carries it out. The
//! row says how far it is, what came of it, and whether somebody wants it to stop.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Handler, Job, JobError, Jobs, enqueue};
use crate::context::Context;
use crate::db::{Db, DbError, Freshness, Token, Tx, TxOptions};

crate::statements! {
    /// A new operation, waiting for a worker.
    write INSERT_OPERATION = "INSERT INTO operation (id, caller, kind, state, input, token, created_at, updated_at)
        VALUES ($1, $2, $3, 'queued', $4, $5, $6, $6)";
    /// A worker takes it, or takes it over from one that died.
    write START_OPERATION = "UPDATE operation SET state = 'running', updated_at = $2
        WHERE id = $1 AND state IN ('queued', 'running') RETURNING caller, input, token";
    /// How far it is; answers whether it should stop.
    write UPDATE_PROGRESS = "UPDATE operation SET progress = $2, updated_at = $3
        WHERE id = $1 AND state = 'running' RETURNING cancel_requested";
    /// Its end.
    write END_OPERATION = "UPDATE operation SET state = $2, result = $3, problem = $4, updated_at = $5
        WHERE id = $1 AND state IN ('queued', 'running') RETURNING kind, caller, input";
    /// One that no worker has begun ends at once; one that runs is asked to.
    write CANCEL_OPERATION = "UPDATE operation SET cancel_requested = true, updated_at = $2,
            state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END
        WHERE id = $1 AND state IN ('queued', 'running') RETURNING kind, caller, input, state = 'cancelled'";
    /// One operation.
    read FIND_OPERATION = "SELECT id, caller, kind, state, progress, result, problem, cancel_requested,
            created_at, updated_at
        FROM operation WHERE id = $1";
}

/// Where an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
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

impl State {
    /// Whether it will not change any more.
    pub fn is_final(self) -> bool {
        !matches!(self, State::Queued | State::Running)
    }

    fn name(self) -> &'static str {
        match self {
            State::Queued => "queued",
            State::Running => "running",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [State::Queued, State::Running, State::Succeeded, State::Failed, State::Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// An operation as it is looked at.
#[derive(Clone, Debug)]
pub struct Operation {
    /// Its id.
    pub id: Uuid,
    /// The subject who started it: nobody else may see it.
    pub caller: String,
    /// The kind of job.
    pub kind: String,
    /// Where it is.
    pub state: State,
    /// `{"done", "total", "unit"}`, once it has said so.
    pub progress: Option<Value>,
    /// What came of it.
    pub result: Option<Value>,
    /// Why it failed, as the members of a problem.
    pub problem: Option<Value>,
    /// Whether it was asked to stop.
    pub cancel_requested: bool,
    /// When it was started.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Progress {
    /// What is done.
    pub done: u64,
    /// What there is to do, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Of what, such as `rows`.
    pub unit: &'static str,
}

/// Why an operation's work ends without a result.
#[derive(Debug)]
pub enum Stopped {
    /// It can't be done, and trying again would not help: the members of a problem.
    Failed(Value),
    /// It was asked to stop.
    Cancelled,
    /// Something is away or broken: it is tried again later, from the start.
    Retry(JobError),
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Retry(error.into())
    }
}

/// Starts an operation in the caller's transaction: the row and its job. `input` is what the work needs.
pub async fn create(tx: &mut Tx<'_>, ctx: &Context, kind: &str, input: &Value) -> Result<Uuid, DbError> {
    let id = Uuid::now_v7();
    let (caller, token) = (&*ctx.caller().subject, ctx.token().encode());
    tx.execute(&INSERT_OPERATION, &[&id, &caller, &kind, input, &token, &ctx.now()]).await?;
    enqueue(tx, kind, json!({ "operation": id })).await?;
    Ok(id)
}

/// One operation of this module. Whoever shows it checks that its caller is the one who asks.
pub async fn find(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    id: Uuid,
) -> Result<Option<Operation>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_OPERATION, &[&id]).await?;
    row.map(|row| read(&row).map_err(|e| DbError::row(FIND_OPERATION.0.name, e))).transpose()
}

/// An operation that ended without its work having a say: cancelled before a worker began it, or given up after the last
/// attempt.
#[derive(Clone, Debug)]
pub struct Abandoned {
    /// The subject who started it.
    pub caller: String,
    /// What [`create`] was given.
    pub input: Value,
    /// `Cancelled` or `Failed`.
    pub state: State,
    /// When it ended.
    pub at: DateTime<Utc>,
}

/// Settles what an operation was about, in the transaction of its end.
pub type Settle =
    dyn for<'t> Fn(&'t mut Tx<'_>, Abandoned) -> BoxFuture<'t, Result<(), DbError>> + Send + Sync;

/// An operation under way, as its work sees it.
#[derive(Clone)]
pub struct Running {
    /// The operation's id.
    pub id: Uuid,
    /// The subject who started it, and in whose name the work is done.
    pub caller: String,
    /// What [`create`] was given.
    pub input: Value,
    /// 1 at the first try.
    pub attempt: u32,
    jobs: Jobs,
    db: Db,
    token: Token,
}

impl Running {
    /// The surroundings of one step: lowest priority, 30 s, and reads see all that the operation's start saw.
    pub fn step(&self) -> Context {
        let ctx = self.jobs.context();
        ctx.observe(&self.token);
        ctx
    }

    /// Says how far it is. `Cancelled` when somebody wants it to stop.
    pub async fn progress(&self, progress: Progress) -> Result<(), Stopped> {
        let ctx = self.step();
        let progress = serde_json::to_value(progress).expect("numbers and a text");
        let (id, now, progress) = (self.id, ctx.now(), &progress);
        let row = self
            .db
            .write(&ctx, TxOptions::default(), |tx| {
                Box::pin(async move { tx.row_opt(&UPDATE_PROGRESS, &[&id, progress, &now]).await })
            })
            .await?;
        // No row: it has ended under another worker, which took this one for dead.
        let stop = row.is_none_or(|row| row.get(0));
        if stop { Err(Stopped::Cancelled) } else { Ok(()) }
    }
}

impl Jobs {
    /// Says what is done with what an operation of `kind` was about when it ended without its work.
    pub fn abandoned(&self, kind: &'static str, settle: Arc<Settle>) {
        self.0.settlers.write().insert(kind, settle);
    }

    /// Asks an operation to stop. One that runs does so at its next step; one that has ended stays as it is.
    pub async fn cancel(&self, tx: &mut Tx<'_>, ctx: &Context, id: Uuid) -> Result<(), DbError> {
        let now = ctx.now();
        let Some(row) = tx.row_opt(&CANCEL_OPERATION, &[&id, &now]).await? else { return Ok(()) };
        let unreadable = |error| DbError::row(CANCEL_OPERATION.0.name, error);
        if row.try_get(3).map_err(unreadable)? {
            self.settle(tx, &row, State::Cancelled, now).await?;
        }
        Ok(())
    }

    /// The row begins with kind, caller and input.
    async fn settle(
        &self,
        tx: &mut Tx<'_>,
        row: &Row,
        state: State,
        at: DateTime<Utc>,
    ) -> Result<(), DbError> {
        let unreadable = |error| DbError::row(END_OPERATION.0.name, error);
        let kind: &str = row.try_get(0).map_err(unreadable)?;
        let settle = self.0.settlers.read().get(kind).cloned();
        let Some(settle) = settle else { return Ok(()) };
        let (caller, input) = (row.try_get(1).map_err(unreadable)?, row.try_get(2).map_err(unreadable)?);
        settle(tx, Abandoned { caller, input, state, at }).await
    }

    async fn give_up(&self, db: &Db, ctx: &Context, id: Uuid) -> Result<(), DbError> {
        let (problem, now) = (&given_up(), &ctx.now());
        db.write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move {
                let params: crate::db::SqlParams<'_> =
                    &[&id, &State::Failed.name(), &None::<Value>, &Some(problem), now];
                match tx.row_opt(&END_OPERATION, params).await? {
                    Some(row) => self.settle(tx, &row, State::Failed, *now).await,
                    None => Ok(()),
                }
            })
        })
        .await
    }

    /// Says what is done for operations of `kind`, which is named `module.name`. The work may be run again from
    /// its start, so it must be one that can be repeated. Its result, or why there is none, is put into the row.
    pub fn operation<F>(
        &self,
        kind: &'static str,
        db: &Db,
        work: impl Fn(Running) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<Value, Stopped>> + Send + 'static,
    {
        let (jobs, own_db) = (self.clone(), db.clone());
        let work = Arc::new(work);
        let run = move |job: Job| {
            let (jobs, db, work) = (jobs.clone(), own_db.clone(), work.clone());
            async move {
                let Some(running) = take(jobs, db, &job).await? else { return Ok(()) };
                let (id, ctx, db) = (running.id, running.step(), running.db.clone());
                match work(running).await {
                    Ok(result) => Ok(end(&db, &ctx, id, State::Succeeded, Some(result), None).await?),
                    Err(Stopped::Failed(problem)) => {
                        Ok(end(&db, &ctx, id, State::Failed, None, Some(problem)).await?)
                    }
                    Err(Stopped::Cancelled) => Ok(end(&db, &ctx, id, State::Cancelled, None, None).await?),
                    Err(Stopped::Retry(error)) => Err(error),
                }
            }
        };
        let (jobs, db) = (self.clone(), db.clone());
        let give_up = move |ctx: Context, payload: Value| {
            let (jobs, db) = (jobs.clone(), db.clone());
            async move { Ok(jobs.give_up(&db, &ctx, id_of(&payload)?).await?) }
        };
        self.add(
            kind,
            Handler {
                run: Arc::new(move |job| Box::pin(run(job))),
                give_up: Some(Arc::new(move |ctx, payload| Box::pin(give_up(ctx, payload)))),
            },
        );
    }
}

/// Marks it running. `None` when it has ended: cancelled before it began, or done by another worker.
async fn take(jobs: Jobs, db: Db, job: &Job) -> Result<Option<Running>, JobError> {
    let id = id_of(&job.payload)?;
    let (ctx, now) = (&job.ctx, job.ctx.now());
    let row: Result<Option<Row>, DbError> = db
        .write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move { tx.row_opt(&START_OPERATION, &[&id, &now]).await })
        })
        .await;
    let Some(row) = row? else { return Ok(None) };
    let (caller, input, token): (String, Value, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    // This commit came after the one that enqueued the job, so a token that covers it covers both.
    let mut seen = ctx.token();
    if let Some(token) = Token::decode(&token) {
        seen.merge(&token);
    }
    Ok(Some(Running { id, caller, input, attempt: job.attempt, jobs, db, token: seen }))
}

async fn end(
    db: &Db,
    ctx: &Context,
    id: Uuid,
    state: State,
    result: Option<Value>,
    problem: Option<Value>,
) -> Result<(), DbError> {
    let (state, result, problem, now) = (state.name(), &result, &problem, ctx.now());
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move { tx.execute(&END_OPERATION, &[&id, &state, result, problem, &now]).await })
    })
    .await
}

fn given_up() -> Value {
    json!({
        "type": "/problems/internal", "code": "internal", "status": 500, "title": "Something went wrong here",
        "detail": "it was tried several times and failed each time",
    })
}

fn id_of(payload: &Value) -> Result<Uuid, JobError> {
    let id = payload.get("operation").and_then(Value::as_str).ok_or("the job names no operation")?;
    Ok(id.parse()?)
}

fn read(row: &Row) -> Result<Operation, JobError> {
    let state: &str = row.try_get("state")?;
    Ok(Operation {
        id: row.try_get("id")?,
        caller: row.try_get("caller")?,
        kind: row.try_get("kind")?,
        state: State::of(state).ok_or_else(|| format!("there is no state {state}"))?,
        progress: row.try_get("progress")?,
        result: row.try_get("result")?,
        problem: row.try_get("problem")?,
        cancel_requested: row.try_get("cancel_requested")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
