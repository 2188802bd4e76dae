//! Pools per (target, role), and the connection that is never given back in an unknown state.

use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{self, Object};
use futures_util::future::join_all;
use tokio::time::timeout_at;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement as Prepared};

use super::budget::{Budget, Permit};
use super::session::{Session, Sessions};
use super::statement::Statement;
use super::{DbError, SqlParams};
use crate::context::Context;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The net under the deadline of each call: no statement of a session runs longer.
const STATEMENT_TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// How long a cancelled statement's connection is waited for before it is dropped anyway.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// One target as one module's role.
#[derive(Clone)]
pub(super) struct Pool {
    pool: managed::Pool<Sessions>,
    budget: Budget,
    name: String,
}

/// Where a pool leads and as whom.
pub(super) struct PoolOptions<'a> {
    /// `writer` or `reader-1`: the label in metrics.
    pub target: &'a str,
    /// The target's address with the login's credentials.
    pub config: &'a tokio_postgres::Config,
    /// The module: its schema, and the role `weir_<module>`.
    pub module: &'a str,
    /// Whether the sessions refuse to write.
    pub read_only: bool,
    /// Connections at most.
    pub max: usize,
}

/// The session's settings of a module's role.
pub(super) fn session_options(module: &str, read_only: bool) -> String {
    let read_only = if read_only { " -c default_transaction_read_only=on" } else { "" };
    format!(
        "-c role=weir_{module} -c search_path={module} -c statement_timeout={}{read_only}",
        STATEMENT_TIMEOUT_MAX.as_millis()
    )
}

impl Pool {
    pub(super) fn new(options: PoolOptions<'_>, budget: &Budget) -> Self {
        let mut config = options.config.clone();
        config.options(session_options(options.module, options.read_only));
        config.application_name(format!("weir {} {}", options.module, options.target));
        config.connect_timeout(CONNECT_TIMEOUT);
        let pool = managed::Pool::builder(Sessions { config })
            .max_size(options.max)
            .runtime(Runtime::Tokio1)
            .build()
            .expect("a runtime is set, which is all that building can miss");
        Self { pool, budget: budget.clone(), name: format!("{}.{}", options.module, options.target) }
    }

    /// Opens `count` connections, so that the first callers don't wait for them.
    pub(super) async fn warm(&self, ctx: &Context, count: usize) -> Result<(), DbError> {
        let count = count.min(self.pool.status().max_size);
        join_all((0..count).map(|_| self.get(ctx))).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        Ok(())
    }

    /// A connection, by the context's deadline.
    pub(super) async fn get(&self, ctx: &Context) -> Result<Connection, DbError> {
        let asked = std::time::Instant::now();
        let permit = self.budget.permit(ctx.priority(), ctx.deadline()).await?;
        let object = match timeout_at(ctx.deadline(), self.pool.get()).await {
            Ok(Ok(object)) => object,
            Ok(Err(e)) => return Err(DbError::unavailable(e)),
            Err(_) => return Err(DbError::Busy),
        };
        metrics::histogram!("weir_pool_wait_seconds", "pool" => self.name.clone())
            .record(asked.elapsed().as_secs_f64());
        Ok(Connection { object: Some(object), permit: Some(permit), state: State::Idle, is_left: false })
    }

    /// Open and idle connections.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let status = self.pool.status();
        (status.size, status.available)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between statements, outside a transaction.
    Idle,
    /// Between statements, inside a transaction.
    InTransaction,
    /// A statement was sent and its answer not read.
    Busy,
    /// COMMIT was sent: never cancel it.
    Committing,
}

/// A borrowed connection. Dropped between statements and outside a transaction it goes back to its pool; dropped in
/// any other state (the caller went away) it is thrown away, after the running statement was cancelled. A COMMIT that
/// was sent is not cancelled: one that waits for its standby would then answer success and could still be lost.
pub(super) struct Connection {
    object: Option<Object<Sessions>>,
    permit: Option<Permit>,
    state: State,
    /// Its server is not the one to talk to.
    is_left: bool,
}

impl Connection {
    fn session(&self) -> &Session {
        self.object.as_ref().expect("the object leaves only in drop")
    }

    pub(super) fn client(&self) -> &Client {
        &self.session().client
    }

    /// The prepared form, from this connection's cache where it is there.
    pub(super) async fn prepare(&mut self, statement: &Statement) -> Result<Prepared, DbError> {
        let before = std::mem::replace(&mut self.state, State::Busy);
        let prepared = self.session().client.prepare_cached(statement.sql).await;
        self.state = before;
        prepared.map_err(|e| DbError::of(statement.name, e))
    }

    /// Runs several prepared statements in one round trip, each answer by itself.
    pub(super) async fn query_all(
        &mut self,
        calls: &[(&Statement, Prepared, SqlParams<'_>)],
    ) -> Vec<Result<Vec<Row>, DbError>> {
        let before = std::mem::replace(&mut self.state, State::Busy);
        let client = self.client();
        let answers = join_all(calls.iter().map(|(statement, prepared, params)| async move {
            client.query(prepared, params).await.map_err(|e| DbError::of(statement.name, e))
        }))
        .await;
        self.state = before;
        answers
    }

    /// Runs one prepared statement.
    pub(super) async fn query(
        &mut self,
        statement: &Statement,
        prepared: &Prepared,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, DbError> {
        let before = std::mem::replace(&mut self.state, State::Busy);
        let answer = self.client().query(prepared, params).await;
        self.state = before;
        answer.map_err(|e| DbError::of(statement.name, e))
    }

    /// BEGIN and the first statements in one round trip.
    pub(super) async fn begin_and_query_all(
        &mut self,
        begin: &str,
        calls: &[(&Statement, Prepared, SqlParams<'_>)],
    ) -> Result<Vec<Result<Vec<Row>, DbError>>, DbError> {
        self.state = State::Busy;
        let client = self.client();
        let queries = join_all(calls.iter().map(|(statement, prepared, params)| async move {
            client.query(prepared, params).await.map_err(|e| DbError::of(statement.name, e))
        }));
        let (begun, answers) = tokio::join!(client.batch_execute(begin), queries);
        self.state = State::InTransaction;
        begun.map_err(|e| DbError::of("BEGIN", e))?;
        Ok(answers)
    }

    /// A command without parameters inside a transaction: SAVEPOINT and its kin.
    pub(super) async fn command(&mut self, sql: &str) -> Result<(), DbError> {
        self.state = State::Busy;
        let answer = self.client().batch_execute(sql).await;
        self.state = State::InTransaction;
        answer.map_err(|e| DbError::of("savepoint", e))
    }

    /// COMMIT, and behind it in the same round trip the statement that tells the log's position. `None` when the server
    /// says that it committed but warns: it did not wait for its standby to the end.
    pub(super) async fn commit_with(
        &mut self,
        position: &Prepared,
    ) -> Option<(Result<(), tokio_postgres::Error>, Result<Vec<Row>, tokio_postgres::Error>)> {
        self.state = State::Committing;
        let session = self.session();
        session.take_warning();
        let client = &session.client;
        let answers = tokio::join!(client.batch_execute("COMMIT"), client.query(position, &[]));
        if answers.0.is_ok() && session.take_warning() {
            return None;
        }
        if answers.0.is_ok() && answers.1.is_ok() {
            self.state = State::Idle;
        }
        Some(answers)
    }

    /// Runs a statement that writes and commits by itself. `true`: it did, and waited for the standbys that it had to
    /// wait for, and so is all that this server committed before.
    pub(super) async fn commit_alone(&mut self, statement: &Prepared) -> bool {
        self.state = State::Committing;
        let session = self.session();
        session.take_warning();
        let is_done = session.client.query(statement, &[]).await.is_ok() && !session.take_warning();
        if is_done {
            self.state = State::Idle;
        }
        is_done
    }

    /// The server has changed its role: neither this session nor the idle ones beside it are used again, and the next
    /// callers find out who has the role now.
    pub(super) fn leave_server(&mut self) {
        self.is_left = true;
        if let Some(pool) = self.object.as_ref().and_then(Object::pool) {
            pool.retain(|_, _| false);
        }
    }

    /// ROLLBACK; on failure the connection is thrown away, which rolls back as well.
    pub(super) async fn rollback(&mut self) {
        self.state = State::Busy;
        if self.client().batch_execute("ROLLBACK").await.is_ok() {
            self.state = State::Idle;
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(object) = self.object.take() else { return };
        match self.state {
            State::Idle if !self.is_left => drop(object),
            State::Idle | State::InTransaction | State::Committing => drop(Object::take(object)),
            State::Busy => {
                metrics::counter!("weir_statements_cancelled_total").increment(1);
                let client = Object::take(object).client;
                let permit = self.permit.take();
                let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
                runtime.spawn(async move {
                    let cancel = client.cancel_token();
                    if let Ok(Err(error)) = tokio::time::timeout(CANCEL_TIMEOUT, cancel.cancel_query(NoTls)).await {
                        tracing::debug!(%error, "a cancel could not be sent; the connection is dropped all the same");
                    }
                    drop((client, permit));
                });
            }
        }
    }
}
