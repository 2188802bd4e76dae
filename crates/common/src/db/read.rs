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

/// Without a token a read may miss what was committed within this time before it, and nothing older. A standby that is
/// further behind is left alone until it has caught up.
pub const STALE_MAX: Duration = Duration::from_secs(5);
/// Between two looks at a standby that has not caught up yet, when the caller allows a wait.
const CATCH_UP_STEP: Duration = Duration::from_millis(2);
/// Standbys that one read asks before it turns to the writer.
const READERS_ASKED_MAX: usize = 2;
/// How long a standby that was left alone may take to show that it is back.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// How fresh a read must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// All that is committed: the writer answers.
    Strong,
    /// What the caller's token says, and all that was committed [`STALE_MAX`] before: a standby answers if it proves, in the
    /// same round trip, that it has it.
    ReadYourWrites,
    /// What this process has already told anyone through its caches and channels, or newer. For loads of caches.
    Seen,
    /// All that was committed so long before the read was sent. No clock of another machine has a part in it.
    BoundedStaleness(Duration),
}

super::statements! {
    /// How far this standby has replayed, the timeline that it receives, and the one that it is on when it receives none (its
    /// primary is away). No row from a primary: a standby that was promoted, which is left to its own pool. Sent before
    /// the read itself, as a statement of its own: in one statement the read's snapshot would be older than this.
    read FIND_REPLAYED = "SELECT pg_last_wal_replay_lsn(), received, coalesce(received, (SELECT timeline_id FROM pg_control_checkpoint()))
        FROM (SELECT (SELECT received_tli FROM pg_stat_wal_receiver) AS received) AS receiver WHERE pg_is_in_recovery()";
}

/// What a standby's answer is worth.
enum Found {
    Rows(Vec<Row>),
    /// It has not got as far as this read needs.
    Behind,
    /// It is further behind than any read may be.
    Lags,
}

/// What a standby must show.
#[derive(Clone, Copy)]
struct Proof {
    position: Option<Position>,
    bound: Option<Duration>,
}

enum Needed {
    Writer,
    Standby(Proof),
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
                Needed::Standby(proof) => self.read_on_standby(ctx, proof, statement, params).await,
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
        if self.inner.readers.is_empty() {
            return Needed::Writer;
        }
        let (known, bound) = match freshness {
            Freshness::Strong => return Needed::Writer,
            Freshness::BoundedStaleness(bound) => (Some(None), Some(bound)),
            Freshness::ReadYourWrites => {
                let token = ctx.token();
                let nothing = token.is_empty().then_some(None);
                (nothing.or_else(|| token.position(self.set()).map(Some)), Some(STALE_MAX))
            }
            Freshness::Seen => (self.seen().map(Some), None),
        };
        if let Some(bound) = bound {
            self.inner.staleness.want(bound);
        }
        known.map_or(Needed::Writer, |position| Needed::Standby(Proof { position, bound }))
    }

    async fn read_on_standby(
        &self,
        ctx: &Context,
        proof: Proof,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Vec<Row>, DbError> {
        self.probe(ctx);
        let patience = Instant::now() + ctx.wait();
        let mut passed = Vec::new();
        while passed.len() < READERS_ASKED_MAX
            && let Some(asked) = self.inner.readers.choose(&passed)
        {
            match self.ask_standby(ctx, &asked, proof, statement, params).await {
                Ok(Found::Rows(rows)) => {
                    asked.answered();
                    metrics::counter!("weir_reads_total", "served_by" => "standby").increment(1);
                    return Ok(rows);
                }
                Ok(Found::Behind) if Instant::now() + CATCH_UP_STEP < patience => {
                    asked.answered();
                    tokio::time::sleep(CATCH_UP_STEP).await;
                }
                // The others got the same log at the same time.
                Ok(Found::Behind) if proof.position.is_some() => {
                    asked.answered();
                    break;
                }
                Ok(Found::Behind) => passed.push(asked.passed()),
                Ok(Found::Lags) => passed.push(asked.left("lags")),
                // A conflict with replay hits this one read.
                Err(error) if error.is_lost_race() => passed.push(asked.passed()),
                Err(DbError::Unavailable(error)) => {
                    tracing::debug!(%error, reader = asked.pool().name(), "a standby failed; another is asked");
                    passed.push(asked.left("failed"));
                }
                Err(error) => return Err(error),
            }
        }
        // Lagging standbys must not drown the writer: only so many reads at once fall back to it.
        let _turn = self.inner.fallback.acquire().await.expect("the fallback's semaphore is never closed");
        metrics::counter!("weir_reads_total", "served_by" => "writer_fallback").increment(1);
        self.ask(ctx, &self.inner.writer, statement, params).await
    }

    async fn ask_standby(
        &self,
        ctx: &Context,
        asked: &Asked,
        proof: Proof,
        statement: &ReadStatement,
        params: SqlParams<'_>,
    ) -> Result<Found, DbError> {
        let mut connection = asked.pool().get(ctx).await?;
        asked.sent();
        // A standby that lags behind a migration doesn't know the tables yet: that is its fault, not the statement's.
        let read = connection.prepare(statement.statement()).await.map_err(DbError::unavailable)?;
        let replayed = connection.prepare(FIND_REPLAYED.statement()).await.map_err(DbError::unavailable)?;
        let sent = Instant::now();
        let mut answers = connection
            .query_all(&[(FIND_REPLAYED.statement(), replayed, &[]), (statement.statement(), read, params)])
            .await;
        let rows = answers.pop().expect("two answers to two statements");
        let replayed = answers.pop().expect("two answers to two statements")?;
        match self.judge(proof, &replayed, sent)? {
            None => rows.map(Found::Rows),
            Some(fault) => Ok(fault),
        }
    }

    /// What is wrong with a standby that has replayed so far, if anything is.
    fn judge(&self, proof: Proof, replayed: &[Row], sent: Instant) -> Result<Option<Found>, DbError> {
        let row = replayed.first().ok_or_else(|| DbError::unavailable("it is a primary by now"))?;
        let (Some(lsn), Some(timeline)) = (row.get::<_, Option<PgLsn>>(0), row.get::<_, Option<i32>>(2))
        else {
            return Err(DbError::unavailable("it has replayed nothing yet"));
        };
        let lsn = u64::from(lsn);
        let staleness = &self.inner.staleness;
        let age = staleness.seen_until(timeline as u32, lsn).map(|seen| sent.saturating_duration_since(seen));
        let is_watched =
            staleness.sampled_at().is_some_and(|at| sent.saturating_duration_since(at) < STALE_MAX);
        if is_watched && age.is_none_or(|age| age > STALE_MAX) {
            return Ok(Some(Found::Lags));
        }
        let received = row.get::<_, Option<i32>>(1);
        let is_there =
            proof.position.is_none_or(|needs| lsn >= needs.lsn && received == Some(needs.timeline as i32));
        let is_young = proof.bound.is_none_or(|bound| age.is_some_and(|age| age <= bound));
        Ok((!is_there || !is_young).then_some(Found::Behind))
    }

    /// Looks after the standbys that were left alone; nobody waits for it.
    fn probe(&self, ctx: &Context) {
        for asked in self.inner.readers.due_for_probe() {
            let (db, ctx) =
                (self.clone(), Context::background(ctx.clock().clone()).with_deadline(PROBE_TIMEOUT));
            tokio::spawn(async move {
                let found = timeout_at(ctx.deadline(), async {
                    let mut connection = asked.pool().get(&ctx).await?;
                    let replayed = connection.prepare(FIND_REPLAYED.statement()).await?;
                    let sent = Instant::now();
                    let rows = connection.query(FIND_REPLAYED.statement(), &replayed, &[]).await?;
                    db.judge(Proof { position: None, bound: None }, &rows, sent)
                });
                match found.await {
                    Ok(Ok(None)) => asked.answered(),
                    Ok(Ok(Some(_))) => drop(asked.left("lags")),
                    Ok(Err(_)) | Err(_) => drop(asked.left("failed")),
                }
            });
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
