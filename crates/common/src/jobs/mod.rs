//! Durable background work. A job is enqueued in the transaction of what makes it necessary, so it is there
//! exactly when that was committed; a worker of any process runs it, again after a failure, and another goes on
//! when one is killed. A handler can be run twice at once in rare cases, so its effect must be one that can be
//! repeated. What a caller looks at while it runs is an [`operation`].
//!
//! The queue's tables belong to the role `weir_jobs`. A worker's sessions use it; a module's role can only
//! enqueue, through one function, and only kinds of its own.

mod migrate;
pub mod operation;
mod session;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::RwLock;
use serde_json::Value;

use crate::context::{Clock, Context};
use crate::db::{DbError, Statement, Tx};

pub use migrate::{MigrateError, migrate};
pub use worker::{WorkerError, WorkerOptions, start};

/// A job is tried this often. The pauses between grow from 3 s to 50 minutes; together about an hour and a half.
pub const ATTEMPTS_MAX: i32 = 8;

/// Every statement of jobs, for the registry.
pub const STATEMENTS: &[&[Statement]] = &[own::STATEMENTS, operation::STATEMENTS];

mod own {
    crate::statements! {
        /// Adds a job, visible to workers when the transaction is committed.
        write ENQUEUE = "SELECT weir_jobs.enqueue($1, $2, $3)";
    }
}

/// Why a job failed. It is tried again later; the text goes to the log and to the queue's table.
pub type JobError = Box<dyn std::error::Error + Send + Sync>;

/// What a handler is given.
#[derive(Debug)]
pub struct Job {
    /// Lowest priority, 30 s: work that takes longer makes a context for each step.
    pub ctx: Context,
    /// What was enqueued.
    pub payload: Value,
    /// 1 at the first try.
    pub attempt: u32,
}

type Run = dyn Fn(Job) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync;
type GiveUp = dyn Fn(Context, Value) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync;

/// What is done for a kind of job.
#[derive(Clone)]
struct Handler {
    run: Arc<Run>,
    /// After the last attempt has failed.
    give_up: Option<Arc<GiveUp>>,
}

/// The handlers of the process. Clones share them.
#[derive(Clone)]
pub struct Jobs(Arc<Shared>);

struct Shared {
    clock: Clock,
    handlers: RwLock<HashMap<&'static str, Handler>>,
    /// What is done when an operation ended without its work.
    settlers: RwLock<HashMap<&'static str, Arc<operation::Settle>>>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Jobs").field(&self.kinds()).finish()
    }
}

impl Jobs {
    /// No handlers yet. The modules add theirs, and then a worker is started where the process has that duty.
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Shared { clock, handlers: RwLock::default(), settlers: RwLock::default() }))
    }

    /// Says what is done for jobs of `kind`, which is named `module.name`.
    fn add(&self, kind: &'static str, handler: Handler) {
        let before = self.0.handlers.write().insert(kind, handler);
        assert!(before.is_none(), "there are two handlers for {kind}");
    }

    fn find(&self, kind: &str) -> Option<Handler> {
        self.0.handlers.read().get(kind).cloned()
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.0.handlers.read().keys().copied().collect()
    }

    fn context(&self) -> Context {
        Context::background(self.0.clock.clone())
    }
}

async fn enqueue(tx: &mut Tx<'_>, kind: &str, payload: Value) -> Result<(), DbError> {
    tx.execute(&own::ENQUEUE, &[&kind, &payload, &ATTEMPTS_MAX]).await
}
