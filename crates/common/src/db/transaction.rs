//! Transactions on the writer: begin, retry, doom, commit, and what a commit sets in motion.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::PgLsn;

use super::pool::Connection;
use super::statement::AnyStatement;
use super::token::{Position, Token};
use super::{Db, DbError, SqlParams};
use crate::context::Context;
use crate::event::Event;

/// A transaction that lost a race is run again this often at most, within the deadline.
const ATTEMPTS_MAX: u32 = 8;
/// The pause before the first repeat is anything up to this; it doubles with each.
const BACKOFF_FIRST: Duration = Duration::from_millis(5);
/// How long a sent COMMIT's answer is waited for past the deadline, before its outcome counts as unknown.
const COMMIT_PATIENCE: Duration = Duration::from_secs(2);
/// A session that dies inside a transaction is ended by the server after this.
const IDLE_IN_TRANSACTION_MAX: Duration = Duration::from_secs(10);

/// How a transaction runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct TxOptions {
    /// The longest wait for a lock; `None`: until the deadline.
    pub lock_timeout: Option<Duration>,
}

super::statements! {
    /// Behind COMMIT in the same round trip: how far the log is on disk, and on which timeline.
    read LOG_POSITION = "SELECT lsn, ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::int
        FROM (SELECT pg_current_wal_flush_lsn() AS lsn) AS flushed";
    /// Something to commit: that commit waits until the log up to it, all earlier commits included, is where commits must
    /// be. One of a transaction that has only read waits for nothing.
    write LOG_MARK = "SELECT pg_logical_emit_message(true, 'weir', '')";
}

/// A transaction under way. It gives access to the writer and to nothing else: no Redis, no HTTP, no second connection.
pub struct Tx<'env> {
    connection: Connection,
    begin: Option<String>,
    doomed: bool,
    lost_race: bool,
    savepoints: u32,
    events: Vec<Arc<Event>>,
    /// What the work may borrow from around it.
    env: PhantomData<&'env ()>,
}

/// A named point to go back to, after which the transaction is as if what followed had not been.
#[must_use]
#[derive(Debug)]
pub struct Savepoint {
    number: u32,
    events: usize,
}

impl Db {
    /// Runs `work` in a transaction (READ COMMITTED) and commits it, all by the context's deadline.
    ///
    /// An `Err` of `work` rolls back. A lost race (40001, 40P01) runs `work` again, so it must have no effect but
    /// through `tx`. A failed statement dooms the transaction, whatever `work` makes of it. After COMMIT the context's
    /// token knows the log's position and every stream appended to, and feeds and caches are told.
    ///
    /// ```ignore
    /// let names = &names; // what `work` uses more than once, it uses by reference
    /// db.write(ctx, TxOptions::default(), |tx| Box::pin(async move { insert_names(tx, names).await })).await?;
    /// ```
    pub async fn write<'env, T, E, F>(&self, ctx: &Context, options: TxOptions, mut work: F) -> Result<T, E>
    where
        E: From<DbError>,
        // Not `AsyncFnMut`: the compiler can't yet show that its future is `Send` when it borrows what is around it.
        F: for<'t> FnMut(&'t mut Tx<'env>) -> BoxFuture<'t, Result<T, E>>,
    {
        let mut attempt = 1;
        loop {
            let mut tx = self.begin(ctx, options).await?;
            let outcome = timeout_at(ctx.deadline(), work(&mut tx)).await;
            let lost_race = tx.lost_race;
            let finished = match outcome {
                Ok(Ok(value)) => match self.commit(ctx, tx).await {
                    Ok(()) => return Ok(value),
                    Err(DbError::Doomed) if lost_race => Err(DbError::Doomed.into()),
                    Err(error) if error.is_lost_race() => Err(error.into()),
                    Err(error) => return Err(error.into()),
                },
                Ok(Err(error)) => {
                    tx.rollback().await;
                    Err(error)
                }
                Err(_) => return Err(DbError::Timeout.into()),
            };
            if !lost_race || attempt == ATTEMPTS_MAX {
                return finished;
            }
            metrics::counter!("weir_transactions_repeated_total").increment(1);
            let pause = BACKOFF_FIRST.mul_f64(f64::from(1u32 << attempt) * fastrand::f64());
            if pause >= ctx.remaining() {
                return finished;
            }
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
    }

    async fn begin<'env>(&self, ctx: &Context, options: TxOptions) -> Result<Tx<'env>, DbError> {
        let connection = self.inner.writer.get(ctx).await?;
        let left = ctx.remaining().max(Duration::from_millis(1));
        let lock_timeout = options.lock_timeout.unwrap_or(left).min(left).max(Duration::from_millis(1));
        // A transaction looks things up by their keys. Over arrays PostgreSQL would plan that anew at every call: 0.25 ms
        // for one command's.
        let begin = format!(
            "BEGIN; SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = {}; \
             SET LOCAL idle_in_transaction_session_timeout = {}; SET LOCAL plan_cache_mode = force_generic_plan",
            left.as_millis(),
            lock_timeout.as_millis(),
            IDLE_IN_TRANSACTION_MAX.as_millis()
        );
        Ok(Tx {
            connection,
            begin: Some(begin),
            doomed: false,
            lost_race: false,
            savepoints: 0,
            events: Vec::new(),
            env: PhantomData,
        })
    }

    async fn commit(&self, ctx: &Context, mut tx: Tx<'_>) -> Result<(), DbError> {
        if tx.doomed {
            tx.rollback().await;
            return Err(DbError::Doomed);
        }
        if tx.begin.is_some() {
            return Ok(());
        }
        let started = std::time::Instant::now();
        let prepared = tx.connection.prepare(LOG_POSITION.statement()).await?;
        let patience = Instant::now() + ctx.remaining() + COMMIT_PATIENCE;
        let Ok(answers) = timeout_at(patience, tx.connection.commit_with(&prepared)).await else {
            return Err(DbError::Unknown);
        };
        let (committed, position) = match answers {
            Some(answers) => answers,
            None => {
                let replicated = timeout_at(patience, replicated(&mut tx.connection, &prepared)).await;
                (Ok(()), Ok(replicated.ok().flatten().ok_or(DbError::Unknown)?))
            }
        };
        match committed {
            Ok(()) => {}
            Err(error) if error.code().is_some() && !error.is_closed() => {
                return Err(match DbError::of("COMMIT", error) {
                    // The server went away, and that says nothing of what it had done by then.
                    DbError::Unavailable(_) => DbError::Unknown,
                    // It said why: it was rolled back.
                    error => error,
                });
            }
            // Without a code nobody knows.
            Err(_) => return Err(DbError::Unknown),
        }
        let position = match position {
            Ok(rows) => self.position_of(&rows)?,
            // It is committed, but the token must not promise less than that: ask again on another connection.
            Err(_) => self.log_position(ctx).await.map_err(|_| DbError::Unknown)?,
        };
        if position.timeline < self.inner.staleness.timeline() {
            // An old primary that came back took it, and there it will be lost.
            tx.connection.leave_server();
            return Err(DbError::Unknown);
        }
        super::observe("COMMIT", started, true);
        self.committed(ctx, position, tx.take_events());
        Ok(())
    }

    /// From here on the caller reads what is committed by now, and is given the token that says so.
    pub async fn observe_log(&self, ctx: &Context) -> Result<(), DbError> {
        let mut token = Token::default();
        token.add_position(self.log_position(ctx).await?);
        ctx.wrote(&token);
        Ok(())
    }

    /// The writer's position in the log, now.
    pub(crate) async fn log_position(&self, ctx: &Context) -> Result<Position, DbError> {
        let rows = self.read(ctx, super::Freshness::Strong, &LOG_POSITION, &[]).await?;
        self.position_of(&rows)
    }

    fn position_of(&self, rows: &[Row]) -> Result<Position, DbError> {
        let read = |row: &Row| -> Result<Position, tokio_postgres::Error> {
            let (lsn, timeline): (PgLsn, i32) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Position { set: self.set(), timeline: timeline as u32, lsn: lsn.into() })
        };
        let statement = LOG_POSITION.0.name;
        let row = rows.first().ok_or_else(|| DbError::row(statement, "no row"))?;
        read(row).map_err(|e| DbError::row(statement, e))
    }

    fn committed(&self, ctx: &Context, position: Position, events: Vec<Arc<Event>>) {
        let mut token = Token::default();
        token.add_position(position);
        for event in &events {
            token.add_stream(event.stream, event.seq);
        }
        ctx.wrote(&token);
        self.saw(position);
        if let Some(listener) = self.inner.on_commit.get()
            && !events.is_empty()
        {
            listener(&events);
        }
    }
}

/// After a COMMIT whose wait for its standby was cut short: commits once more behind it, on the same session and so on the
/// same server, and tells the log's position once that one has waited.
async fn replicated(connection: &mut Connection, position: &tokio_postgres::Statement) -> Option<Vec<Row>> {
    metrics::counter!("weir_commits_cut_short_total").increment(1);
    let mark = connection.prepare(LOG_MARK.statement()).await.ok()?;
    if !connection.commit_alone(&mark).await {
        return None;
    }
    connection.query(LOG_POSITION.statement(), position, &[]).await.ok()
}

impl Tx<'_> {
    /// Runs a statement.
    pub async fn rows(
        &mut self,
        statement: &impl AnyStatement,
        params: SqlParams<'_>,
    ) -> Result<Vec<Row>, DbError> {
        let answers = self.run(&[(statement, params)]).await?;
        Ok(answers.into_iter().next().expect("one answer to one statement"))
    }

    /// Runs a statement that gives one row or none.
    pub async fn row_opt(
        &mut self,
        statement: &impl AnyStatement,
        params: SqlParams<'_>,
    ) -> Result<Option<Row>, DbError> {
        Ok(self.rows(statement, params).await?.into_iter().next())
    }

    /// Runs a statement that always gives a row.
    pub async fn row(
        &mut self,
        statement: &impl AnyStatement,
        params: SqlParams<'_>,
    ) -> Result<Row, DbError> {
        let row = self.row_opt(statement, params).await?;
        row.ok_or_else(|| DbError::row(statement.statement().name, "a row was expected and none came"))
    }

    /// Runs a statement for its effect.
    pub async fn execute(
        &mut self,
        statement: &impl AnyStatement,
        params: SqlParams<'_>,
    ) -> Result<(), DbError> {
        self.rows(statement, params).await.map(drop)
    }

    /// Runs several statements in one round trip, in order. All must succeed.
    pub async fn pipeline(
        &mut self,
        calls: &[(&dyn AnyStatement, SqlParams<'_>)],
    ) -> Result<Vec<Vec<Row>>, DbError> {
        self.run(calls).await
    }

    /// Before an answer that rests on what others committed: this transaction's commit waits until that is replicated.
    /// A commit whose wait was cut short is there to be read, and a failover could still lose it.
    pub async fn vouch_for_reads(&mut self) -> Result<(), DbError> {
        self.execute(&LOG_MARK, &[]).await
    }

    /// A point to go back to. A statement that fails after it dooms the transaction no more once it was gone back to.
    pub async fn savepoint(&mut self) -> Result<Savepoint, DbError> {
        self.ensure_begun().await?;
        self.savepoints += 1;
        let savepoint = Savepoint { number: self.savepoints, events: self.events.len() };
        let sql = format!("SAVEPOINT s{}", savepoint.number);
        let made = self.connection.command(&sql).await;
        self.note(&made);
        made.map(|()| savepoint)
    }

    /// Undoes what came after the savepoint.
    pub async fn rollback_to(&mut self, savepoint: Savepoint) -> Result<(), DbError> {
        self.connection.command(&format!("ROLLBACK TO SAVEPOINT s{}", savepoint.number)).await?;
        self.events.truncate(savepoint.events);
        self.doomed = false;
        Ok(())
    }

    /// The log tells the transaction what was appended, so that its commit can tell everyone.
    pub(crate) fn record(&mut self, events: impl IntoIterator<Item = Event>) {
        self.events.extend(events.into_iter().map(Arc::new));
    }

    fn take_events(&mut self) -> Vec<Arc<Event>> {
        std::mem::take(&mut self.events)
    }

    async fn ensure_begun(&mut self) -> Result<(), DbError> {
        let Some(begin) = self.begin.take() else { return Ok(()) };
        let begun = self.connection.command(&begin).await;
        self.note(&begun);
        begun
    }

    async fn run(&mut self, calls: &[(&dyn AnyStatement, SqlParams<'_>)]) -> Result<Vec<Vec<Row>>, DbError> {
        if self.doomed {
            return Err(DbError::Doomed);
        }
        let started = Instant::now();
        let mut prepared = Vec::with_capacity(calls.len());
        for (statement, params) in calls {
            let statement = statement.statement();
            match self.connection.prepare(statement).await {
                Ok(p) => prepared.push((statement, p, *params)),
                Err(error) => {
                    self.doomed = true;
                    return Err(error);
                }
            }
        }
        let answers = match self.begin.take() {
            Some(begin) => match self.connection.begin_and_query_all(&begin, &prepared).await {
                Ok(answers) => answers,
                Err(error) => {
                    self.doomed = true;
                    return Err(error);
                }
            },
            None => self.connection.query_all(&prepared).await,
        };
        let elapsed = started.elapsed();
        let mut rows = Vec::with_capacity(answers.len());
        for ((statement, ..), answer) in prepared.iter().zip(answers) {
            super::observe_for(statement.name, elapsed, answer.is_ok());
            self.note(&answer);
            rows.push(answer?);
        }
        Ok(rows)
    }

    fn note<T>(&mut self, answer: &Result<T, DbError>) {
        if let Err(error) = answer {
            self.doomed = true;
            self.lost_race |= error.is_lost_race();
            if error.is_read_only() {
                self.connection.leave_server();
            }
        }
    }

    async fn rollback(mut self) {
        if self.begin.is_none() {
            self.connection.rollback().await;
        }
    }
}
