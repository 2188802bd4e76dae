//! Pools, read/write routing by freshness, statements as typed constants, transactions.
//!
//! A module holds one [`Db`]: its role's view of the writer and the standbys.

mod budget;
mod error;
mod pool;
mod read;
mod readers;
mod session;
mod staleness;
mod statement;
mod token;
mod transaction;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::types::ToSql;

pub use self::budget::{Budget, BudgetExceeded};
pub use self::error::DbError;
pub use self::read::{Freshness, STALE_MAX};
pub use self::statement::{AnyStatement, ReadStatement, Statement, WriteStatement};
pub use self::token::{Position, Token};
pub(crate) use self::transaction::LOG_POSITION;
pub use self::transaction::{Savepoint, Tx, TxOptions};
pub use crate::statements;
pub use tokio_postgres::Row;

use self::pool::{Pool, PoolOptions};
use self::readers::Readers;
use self::staleness::Staleness;
use crate::context::{Context, Priority};
use crate::event::Event;

/// What a statement is given for `$1`, `$2`, …
pub type SqlParams<'a> = &'a [&'a (dyn ToSql + Sync)];

/// Called after each COMMIT with the events that it made visible.
pub type CommitListener = Box<dyn Fn(&[Arc<Event>]) + Send + Sync>;

/// Every statement of this crate's database layer, for the registry.
pub const STATEMENTS: &[&[Statement]] = &[read::STATEMENTS, transaction::STATEMENTS, SELF_STATEMENTS];

const SELF_STATEMENTS: &[Statement] = own::STATEMENTS;

mod own {
    super::statements! {
        /// Which cluster this is (a primary and its standbys agree), and whether a commit waits for the disk.
        read IDENTIFY = "SELECT system_identifier, current_setting('synchronous_commit') <> 'off'
            FROM pg_control_system()";
        /// Alive.
        read PING = "SELECT 1";
    }
}

/// Where the databases are and how much of them a module may use.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// The module: its schema, and the role `weir_<module>`.
    pub module: &'static str,
    /// The writer, with the login's credentials.
    pub writer: tokio_postgres::Config,
    /// The standbys.
    pub readers: Vec<tokio_postgres::Config>,
    /// Connections at most to the writer.
    pub writer_connections: usize,
    /// Connections at most to each standby.
    pub reader_connections: usize,
}

/// One module's view of its database set. Clones share it.
#[derive(Clone)]
pub struct Db {
    inner: Arc<Inner>,
}

struct Inner {
    module: &'static str,
    writer_config: tokio_postgres::Config,
    writer: Pool,
    readers: Readers,
    set: OnceLock<u64>,
    seen: Mutex<Option<Position>>,
    staleness: Staleness,
    fallback: Semaphore,
    on_commit: OnceLock<CommitListener>,
}

/// Why a database can't be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The budget is too small.
    #[error(transparent)]
    Budget(#[from] BudgetExceeded),
    /// It does not answer.
    #[error("the database can't be used")]
    Db(#[from] DbError),
    /// Commits there don't wait for the disk, so no acknowledgement could be kept.
    #[error("synchronous_commit is off at the writer: an acknowledged write could be lost")]
    NotDurable,
}

impl Db {
    /// Reserves the connections, finds out which cluster it is, and opens a first few connections.
    pub async fn open(ctx: &Context, mut options: DbOptions, budget: &Budget) -> Result<Self, OpenError> {
        let module = options.module;
        // Of several hosts the one that takes writes; and where one address leads to all of them, nothing else will do.
        options.writer.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let pool = |target: &str, config: &tokio_postgres::Config, read_only: bool, max: usize| {
            budget.reserve(&format!("the {module} pool of the {target}"), max)?;
            Ok::<_, BudgetExceeded>(Pool::new(PoolOptions { target, config, module, read_only, max }, budget))
        };
        let writer = pool("writer", &options.writer, false, options.writer_connections)?;
        let readers = options
            .readers
            .iter()
            .enumerate()
            .map(|(n, config)| pool(&format!("reader-{}", n + 1), config, true, options.reader_connections))
            .collect::<Result<Vec<_>, _>>()?;
        let db = Self {
            inner: Arc::new(Inner {
                module,
                writer_config: options.writer,
                writer,
                readers: Readers::new(readers),
                set: OnceLock::new(),
                seen: Mutex::new(None),
                staleness: Staleness::new(),
                fallback: Semaphore::new((options.writer_connections / 2).max(1)),
                on_commit: OnceLock::new(),
            }),
        };
        db.identify(ctx).await?;
        db.warm(ctx, options.writer_connections / 2).await?;
        Ok(db)
    }

    async fn identify(&self, ctx: &Context) -> Result<(), OpenError> {
        let statement = own::IDENTIFY.0.name;
        let row = self.read_opt(ctx, Freshness::Strong, &own::IDENTIFY, &[]).await?;
        let row = row.ok_or_else(|| DbError::row(statement, "no row"))?;
        let set: i64 = row.get(0);
        if !row.get::<_, bool>(1) {
            return Err(OpenError::NotDurable);
        }
        self.inner.set.set(set as u64).expect("identified once, at open");
        let at = tokio::time::Instant::now();
        let position = self.log_position(ctx).await?;
        self.saw(position);
        self.sampled(at, position);
        Ok(())
    }

    /// A standby that is away at the start is not waited for: it is taken in when it answers.
    async fn warm(&self, ctx: &Context, count: usize) -> Result<(), DbError> {
        // All of them are held at once, which is more than background work ever gets.
        let ctx = &ctx.with_priority(Priority::Critical);
        self.inner.writer.warm(ctx, count).await?;
        for reader in self.inner.readers.iter() {
            if let Err(error) = reader.pool.warm(ctx, count).await {
                tracing::warn!(reader = reader.pool.name(), %error, "a standby does not answer");
            }
        }
        Ok(())
    }

    /// The module's name, which is also its schema's.
    pub fn module(&self) -> &'static str {
        self.inner.module
    }

    /// The cluster's identity in tokens.
    pub(crate) fn set(&self) -> u64 {
        self.inner.set.get().copied().unwrap_or_default()
    }

    /// The position up to which this process has told caches and channels of changes.
    pub(crate) fn seen(&self) -> Option<Position> {
        *self.inner.seen.lock()
    }

    /// Moves [`seen`](Self::seen) forward.
    pub(crate) fn saw(&self, position: Position) {
        self.inner.staleness.follow(position.timeline);
        let mut seen = self.inner.seen.lock();
        if seen.is_none_or(|old| (old.timeline, old.lsn) < (position.timeline, position.lsn)) {
            *seen = Some(position);
        }
    }

    /// Takes note of the writer's position, asked for at `at` or later: a standby that has it is no older than that.
    pub(crate) fn sampled(&self, at: tokio::time::Instant, position: Position) {
        self.inner.staleness.note(at, position);
    }

    /// How often reads want the writer's position taken note of, if any do.
    pub(crate) fn sample_every(&self) -> Option<Duration> {
        self.inner.staleness.sample_every()
    }

    /// Sets what each COMMIT tells of its events. Once, at start.
    pub(crate) fn on_commit(&self, listener: CommitListener) {
        assert!(self.inner.on_commit.set(listener).is_ok(), "a module has one commit listener");
    }

    /// The writer's address as the module's role, for a connection beside the pools (counted in the budget).
    pub(crate) fn writer_config(&self, application_name: &str) -> tokio_postgres::Config {
        let mut config = self.inner.writer_config.clone();
        config.options(pool::session_options(self.inner.module, false));
        config.application_name(application_name);
        config
    }

    /// Whether the writer answers, by the context's deadline.
    pub async fn ping(&self, ctx: &Context) -> Result<(), DbError> {
        self.read(ctx, Freshness::Strong, &own::PING, &[]).await.map(drop)
    }

    /// Sets the gauges of the pools: open and idle connections.
    pub fn report(&self) {
        for pool in std::iter::once(&self.inner.writer).chain(self.inner.readers.iter().map(|r| &r.pool)) {
            let (open, idle) = pool.sizes();
            metrics::gauge!("weir_pool_connections", "pool" => pool.name().to_owned(), "state" => "open")
                .set(open as f64);
            metrics::gauge!("weir_pool_connections", "pool" => pool.name().to_owned(), "state" => "idle")
                .set(idle as f64);
        }
    }

    /// Closes the pools: the last step of a shutdown.
    pub fn close(&self) {
        self.inner.writer.close();
        for reader in self.inner.readers.iter() {
            reader.pool.close();
        }
    }
}

fn observe(statement: &'static str, started: Instant, ok: bool) {
    observe_for(statement, started.elapsed(), ok);
}

fn observe_for(statement: &'static str, elapsed: Duration, ok: bool) {
    metrics::histogram!("weir_statement_seconds", "statement" => statement).record(elapsed.as_secs_f64());
    if !ok {
        metrics::counter!("weir_statement_errors_total", "statement" => statement).increment(1);
    }
}
