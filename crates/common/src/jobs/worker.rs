//! The worker: takes jobs whose kinds the process has handlers for, and takes over those of workers that died.
//! It outlives restarts of the database.

use std::time::Duration;

use futures_util::FutureExt;
use graphile_worker::{
    Database, DbExecutor, FailureReason, IntoTaskHandlerResult, JobPermanentlyFail, JobRecovery,
    JobRecoveryResult, TaskHandler, WorkerContext, WorkerRecoveryConfig,
};
use metrics::{counter, gauge, histogram};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;
use tokio_postgres::Config;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::session::{self, SCHEMA};
use super::{Job, JobError, Jobs};
use crate::db::{Budget, BudgetExceeded};

/// For the sign of life, the sweep and the gauges.
const CONNECTIONS_BESIDE: usize = 3;
/// The connection that hears of new jobs.
const LISTEN_CONNECTIONS: usize = 1;

/// How often a worker gives a sign of life.
const HEARTBEAT_EVERY: Duration = Duration::from_millis(500);
/// How often it looks for workers that give none.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// A worker without a sign of life for so long is dead. Its jobs are put back, to be run after a pause that grows
/// with each attempt (3 s after the first).
const DEAD_AFTER: Duration = Duration::from_secs(3);
/// How often the queue is looked at when nobody announces a job: what a restart of the database or a retry costs.
const POLL_EVERY: Duration = Duration::from_secs(1);
/// How long jobs under way may go on after the shutdown has begun. They are put back then.
const GRACE: Duration = Duration::from_secs(8);
/// After the worker broke (the database restarts), before it is started again.
const RESTART_AFTER: Duration = Duration::from_millis(500);
/// How often the queue's gauges are set.
const REPORT_EVERY: Duration = Duration::from_secs(5);

/// Where the queue is and how much a worker takes at once.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The writer, with the credentials of a login that is a member of `weir_jobs`.
    pub writer: Config,
    /// Jobs under way at most.
    pub concurrency: usize,
}

impl WorkerOptions {
    /// What a worker of this concurrency takes of the budget: a connection for each job under way (to fetch it, to
    /// put down its end; handlers use their module's pool), and those beside.
    pub fn connections(concurrency: usize) -> usize {
        concurrency + CONNECTIONS_BESIDE + LISTEN_CONNECTIONS
    }
}

/// Why a worker can't be started.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The budget is too small.
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    /// The pool can't be made.
    #[error("the job queue's pool can't be made: {0}")]
    Pool(String),
}

/// Starts a worker for all handlers that were added; where there are none, none: it would take jobs of every kind. It
/// ends with the shutdown, after a grace period for the jobs under way. A database that is away is waited for.
pub fn start(
    jobs: &Jobs,
    options: WorkerOptions,
    budget: &Budget,
    shutdown: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<(), WorkerError> {
    if jobs.kinds().is_empty() {
        return Ok(());
    }
    let concurrency = options.concurrency.max(1);
    budget.reserve("the job queue", WorkerOptions::connections(concurrency))?;
    let database = session::open(&options.writer, "weir jobs", concurrency + CONNECTIONS_BESIDE)
        .map_err(|error| WorkerError::Pool(error.to_string()))?;
    let database = Database::from(database);
    tasks.spawn(report(database.clone(), shutdown.clone()));
    tasks.spawn(run(jobs.clone(), database, concurrency, shutdown.clone()));
    Ok(())
}

async fn run(jobs: Jobs, database: Database, concurrency: usize, shutdown: CancellationToken) {
    loop {
        if let Err(error) = run_until_broken(&jobs, &database, concurrency, &shutdown).await {
            counter!("weir_job_worker_restarts_total").increment(1);
            tracing::warn!(error, "the job worker broke; it is started again");
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RESTART_AFTER) => {}
        }
    }
}

/// `Err` with the text of what went wrong.
async fn run_until_broken(
    jobs: &Jobs,
    database: &Database,
    concurrency: usize,
    shutdown: &CancellationToken,
) -> Result<(), String> {
    let recovery = WorkerRecoveryConfig::default()
        .enabled(true)
        .heartbeat_interval(HEARTBEAT_EVERY)
        .sweep_interval(SWEEP_EVERY)
        .sweep_threshold(DEAD_AFTER)
        .recovery_delay(Duration::ZERO);
    let (recovering, giving_up) = (jobs.clone(), jobs.clone());
    let mut options = graphile_worker::WorkerOptions::default()
        .database(database.clone())
        .schema(SCHEMA)
        .concurrency(concurrency)
        .poll_interval(POLL_EVERY)
        .worker_recovery(recovery)
        .listen_os_shutdown_signals(false)
        .shutdown_signal(shutdown.clone().cancelled_owned())
        .shutdown_grace_period(GRACE)
        .shutdown_interrupted_job_retry_delay(Duration::ZERO)
        .define_job::<Dispatch>()
        .add_extension(jobs.clone())
        .on(JobRecovery, move |lost| recover(recovering.clone(), lost))
        .on(JobPermanentlyFail, move |failed| give_up(giving_up.clone(), failed.job));
    for kind in jobs.kinds() {
        options = options.add_accepted_flag(kind);
    }
    let worker = options.init().await.map_err(|error| error.to_string())?;
    worker.run().await.map_err(|error| error.to_string())
}

/// The library's only task: it finds out by itself what is to be done.
#[derive(Deserialize, Serialize)]
struct Dispatch {
    kind: String,
    payload: Value,
}

impl TaskHandler for Dispatch {
    const IDENTIFIER: &'static str = "weir";

    async fn run(self, worker: WorkerContext) -> impl IntoTaskHandlerResult {
        let jobs = worker.get_ext::<Jobs>().ok_or("the worker has no handlers")?;
        let handler = jobs.find(&self.kind).ok_or("there is no handler for this kind")?;
        let attempt = u32::try_from(*worker.job().attempts()).unwrap_or(1);
        let started = Instant::now();
        let job = Job { ctx: jobs.context(), payload: self.payload, attempt };
        let done = (handler.run)(job).await;
        histogram!("weir_job_seconds", "kind" => self.kind.clone()).record(started.elapsed().as_secs_f64());
        let outcome = if done.is_ok() { "done" } else { "failed" };
        counter!("weir_jobs_total", "kind" => self.kind, "outcome" => outcome).increment(1);
        done.map_err(|error| chain(&error))
    }
}

/// What becomes of a job whose worker is gone. One that was stopped by a shutdown is as if it had not been begun.
/// One whose worker died has used an attempt: it may be what killed it.
async fn recover(jobs: Jobs, lost: graphile_worker::JobRecoveryContext) -> JobRecoveryResult {
    if lost.reason == FailureReason::ShutdownAborted {
        return JobRecoveryResult::Default;
    }
    if lost.job.attempts() >= lost.job.max_attempts() {
        give_up(jobs, lost.job).await;
    }
    JobRecoveryResult::FailWithBackoff
}

async fn give_up(jobs: Jobs, job: std::sync::Arc<graphile_worker::Job>) {
    let Ok(Dispatch { kind, payload }) = Dispatch::deserialize(job.payload()) else { return };
    counter!("weir_jobs_total", "kind" => kind.clone(), "outcome" => "given_up").increment(1);
    tracing::error!(kind, job = job.id(), "a job failed for the last time");
    let Some(give_up) = jobs.find(&kind).and_then(|handler| handler.give_up) else { return };
    // A panic here would end the sweep for all.
    let told = std::panic::AssertUnwindSafe(give_up(jobs.context(), payload)).catch_unwind().await;
    match told {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::error!(kind, error = chain(&error), "what a job stood for is not marked failed")
        }
        Err(_) => tracing::error!(kind, "giving up a job panicked"),
    }
}

fn chain(error: &JobError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// How many jobs wait, and how long the first of them has.
async fn report(database: Database, shutdown: CancellationToken) {
    const QUEUE: &str = "SELECT count(*) FILTER (WHERE is_available AND run_at <= now()) AS ready,
            count(*) FILTER (WHERE is_available AND run_at > now()) AS later,
            count(*) FILTER (WHERE locked_at IS NOT NULL) AS running,
            count(*) FILTER (WHERE locked_at IS NULL AND attempts >= max_attempts) AS given_up,
            coalesce((extract(epoch FROM now() - min(run_at) FILTER (WHERE is_available)) * 1000)::bigint, 0)
                AS age_ms
        FROM graphile_worker._private_jobs";
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(REPORT_EVERY) => {}
        }
        // Away now: the gauges stay as they were, and other metrics tell of it.
        let Ok(row) = database.fetch_one(QUEUE, graphile_worker::DbParams::new()).await else { continue };
        for state in ["ready", "later", "running", "given_up"] {
            let count: i64 = row.try_get(state).unwrap_or_default();
            gauge!("weir_jobs_waiting", "state" => state).set(count as f64);
        }
        let age_ms: i64 = row.try_get("age_ms").unwrap_or_default();
        gauge!("weir_jobs_age_seconds").set(age_ms.max(0) as f64 / 1_000.0);
    }
}
