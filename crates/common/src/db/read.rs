//! Reads, routed by how fresh the caller says they must be.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tokio_postgres::Row;
use tokio_postgres::types::PgLsn;

use super::pool::Pool;
use super::readers::Asked;
use super::token::Position;
use super::{Db, DbError, ReadStatement, SqlParams};
use crate::context::Context;
use crate::db::AnyStatement;

/// Between two looks at a standby that has not caught up yet, when the caller allows a wait.
const CATCH_UP_STEP: Duration = Duration::from_millis(2);

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// All that is committed: the writer answers.
    Strong,
    /// What the caller's token says: a standby answers if it proves, in the same round trip, that it has it.
    ReadYourWrites,
    /// What this process has already told anyone through its caches and channels, or newer. For loads of caches.
    Seen,
    /// Whatever the standbys have.
    Eventual,
}

super::statements! {
    /// Whether this standby has replayed up to a position on its timeline. Sent before the read itself, as a statement
    /// of its own: in one statement the read's snapshot would be older than the check. False without a WAL receiver, and
    /// `NULL` from a primary: a standby that was promoted, which is left to its own pool.
    read PROVE_POSITION = "SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn() >= $1
        AND (SELECT received_tli FROM pg_stat_wal_receiver) = $2, false) END";
}

impl Db {
    /// Runs a read where it is allowed to run, by the context's deadline.
    pub async fn read(
        &self,
        ctx: &Context,
        freshness: Freshness,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Vec<Row>, DbError> {
        let started = std::time::Instant::now();
        let read = async {
            match self.needed(ctx, freshness) {
                Needed::Writer => self.ask(ctx, &self.inner.writer, statement, params).await,
                Needed::Standby(position) => self.read_on_standby(ctx, position, statement, params).await,
            }
        };
        let rows = timeout_at(ctx.deadline(), read).await.unwrap_or(Err(DbError::Timeout));
        super::observe(statement.0.name, started, rows.is_ok());
        rows
    }

    /// The first row of a read, if there is one.
    pub async fn read_opt(
        &self,
        ctx: &Context,
        freshness: Freshness,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Option<Row>, DbError> {
        Ok(self.read(ctx, freshness, statement, params).await?.into_iter().next())
    }

    fn needed(&self, ctx: &Context, freshness: Freshness) -> Needed {
        let known = match freshness {
            Freshness::Strong => return Needed::Writer,
            Freshness::Eventual => return Needed::Standby(None),
            Freshness::ReadYourWrites => {
                let token = ctx.token();
                if token.is_empty() {
                    return Needed::Standby(None);
                }
                token.position(self.set())
            }
            Freshness::Seen => self.seen(),
        };
        known.map_or(Needed::Writer, |position| Needed::Standby(Some(position)))
    }

    async fn read_on_standby(
        &self,
        ctx: &Context,
        position: Option<Position>,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Vec<Row>, DbError> {
        let patience = Instant::now() + ctx.wait();
        let mut failed: Option<Pool> = None;
        while let Some(asked) = self.inner.readers.choose(failed.as_ref()) {
            match self.ask_standby(ctx, &asked, position, statement, params).await {
                Ok(Some(rows)) => {
                    asked.answered();
                    metrics::counter!("weir_reads_total", "served_by" => "standby").increment(1);
                    return Ok(rows);
                }
                Ok(None) if Instant::now() + CATCH_UP_STEP < patience => {
                    asked.answered();
                    tokio::time::sleep(CATCH_UP_STEP).await;
                }
                Ok(None) => {
                    asked.answered();
                    break;
                }
                Err(error) if failed.is_none() && is_readers_fault(&error) => {
                    tracing::debug!(%error, reader = asked.pool().name(), "a standby failed; another is asked");
                    if !error.is_lost_race() {
                        asked.failed();
                    }
                    failed = Some(asked.pool().clone());
                }
                Err(error) if is_readers_fault(&error) => {
                    asked.failed();
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        // Lagging standbys must not drown the writer: only so many reads at once fall back to it.
        let _turn = self.inner.fallback.acquire().await.expect("the fallback's semaphore is never closed");
        metrics::counter!("weir_reads_total", "served_by" => "writer_fallback").increment(1);
        self.ask(ctx, &self.inner.writer, statement, params).await
    }

    /// `None` when the standby has not got that far.
    async fn ask_standby(
        &self,
        ctx: &Context,
        asked: &Asked<'_>,
        position: Option<Position>,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Option<Vec<Row>>, DbError> {
        let mut connection = asked.pool().get(ctx).await?;
        // A standby that lags behind a migration doesn't know the tables yet: that is its fault, not the statement's.
        let read = connection.prepare(statement.statement()).await.map_err(DbError::unavailable)?;
        let Some(position) = position else {
            return connection.query(statement.statement(), &read, params).await.map(Some);
        };
        let proof = connection.prepare(PROVE_POSITION.statement()).await.map_err(DbError::unavailable)?;
        let (lsn, timeline) = (PgLsn::from(position.lsn), position.timeline as i32);
        let mut answers = connection
            .query_all(&[
                (PROVE_POSITION.statement(), proof, &[&lsn, &timeline]),
                (statement.statement(), read, params),
            ])
            .await;
        let rows = answers.pop().expect("two answers to two statements");
        let proof = answers.pop().expect("two answers to two statements")?;
        match proof.first().and_then(|row| row.get::<_, Option<bool>>(0)) {
            Some(true) => rows.map(Some),
            Some(false) => Ok(None),
            None => Err(DbError::unavailable("it is a primary by now")),
        }
    }

    async fn ask(
        &self,
        ctx: &Context,
        pool: &Pool,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Vec<Row>, DbError> {
        let mut connection = pool.get(ctx).await?;
        let prepared = connection.prepare(statement.statement()).await?;
        connection.query(statement.statement(), &prepared, params).await
    }
}

enum Needed {
    Writer,
    Standby(Option<Position>),
}

/// What another reader, or the writer, may well answer: a broken connection or a recovery conflict.
fn is_readers_fault(error: &DbError) -> bool {
    matches!(error, DbError::Unavailable(_)) || error.is_lost_race()
}
