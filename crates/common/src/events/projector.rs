//! Projectors: a named consumer of a kind of stream, whose checkpoint moves in the transaction of its effect.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::log::{self, StreamKey};
use crate::context::{Clock, Context};
use crate::db::{Db, DbError, Freshness, Tx};
use crate::event::Event;

/// Events that one transaction of a projector takes at most.
const BATCH_MAX: i64 = 500;
/// Streams that one look for unfinished work names at most.
const BEHIND_MAX: i64 = 1_000;
/// How often it looks for work that nobody announced.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// After a failure, before the next try.
const RETRY_AFTER: Duration = Duration::from_secs(1);

crate::statements! {
    /// Makes sure that there is a checkpoint to lock.
    write ENSURE_CHECKPOINT = "INSERT INTO checkpoint (projector, stream, seq) VALUES ($1, $2, 0)
        ON CONFLICT DO NOTHING";
    /// Of two processes one projects a stream; the other leaves it alone.
    write LOCK_CHECKPOINT = "SELECT seq FROM checkpoint WHERE projector = $1 AND stream = $2
        FOR NO KEY UPDATE SKIP LOCKED";
    /// In the transaction of the effect.
    write UPDATE_CHECKPOINT = "UPDATE checkpoint SET seq = $3 WHERE projector = $1 AND stream = $2";
    /// How far a projector got in a stream.
    read FIND_CHECKPOINT = "SELECT seq FROM checkpoint WHERE projector = $1 AND stream = $2";
    /// Streams that have events which the projector has not seen.
    read LIST_BEHIND = "SELECT s.id FROM stream s
        LEFT JOIN checkpoint c ON c.projector = $1 AND c.stream = s.id
        WHERE s.kind = $2 AND s.head > coalesce(c.seq, 0) LIMIT $3";
}

/// The effect of a run of events of one stream, in order and each exactly once.
pub type Apply =
    Arc<dyn for<'t> Fn(&'t mut Tx<'_>, &'t [Event]) -> BoxFuture<'t, Result<(), DbError>> + Send + Sync>;

/// What a projector follows and does.
#[derive(Clone)]
pub struct Projection {
    /// The checkpoint's name. A new name starts from the beginning.
    pub name: &'static str,
    /// The kind of stream that it follows.
    pub stream_kind: &'static str,
    /// The effect.
    pub apply: Apply,
}

/// How a projector is told of streams that moved.
#[derive(Clone, Default)]
pub(crate) struct Wake {
    kind: &'static str,
    moved: Arc<Mutex<HashSet<Uuid>>>,
    notify: Arc<Notify>,
}

impl Wake {
    pub(crate) fn moved(&self, kind: &str, stream: Uuid) {
        if kind == self.kind {
            self.moved.lock().insert(stream);
            self.notify.notify_one();
        }
    }
}

/// Starts a projector; it ends with the shutdown, after the transaction under way.
pub(crate) fn start(
    db: Db,
    clock: Clock,
    projection: Projection,
    shutdown: CancellationToken,
) -> (Wake, BoxFuture<'static, ()>) {
    let wake = Wake { kind: projection.stream_kind, ..Wake::default() };
    let run = run(db, clock, projection, wake.clone(), shutdown);
    (wake, Box::pin(run))
}

async fn run(db: Db, clock: Clock, projection: Projection, wake: Wake, shutdown: CancellationToken) {
    let mut look = true;
    while !shutdown.is_cancelled() {
        let ctx = Context::background(clock.clone());
        if look {
            match db
                .read(
                    &ctx,
                    Freshness::Strong,
                    &LIST_BEHIND,
                    &[&projection.name, &projection.stream_kind, &BEHIND_MAX],
                )
                .await
            {
                Ok(rows) => wake.moved.lock().extend(rows.iter().map(|row| row.get::<_, Uuid>(0))),
                Err(error) => tracing::warn!(
                    projector = projection.name,
                    error = &error as &dyn std::error::Error,
                    "can't look for work"
                ),
            }
        }
        let mut failed = false;
        let streams = std::mem::take(&mut *wake.moved.lock());
        for stream in streams {
            if shutdown.is_cancelled() {
                return;
            }
            if let Err(error) = catch_up(&db, &ctx, &projection, stream).await {
                metrics::counter!("weir_projector_errors_total", "projector" => projection.name).increment(1);
                tracing::warn!(projector = projection.name, %stream, error = &error as &dyn std::error::Error, "a projection failed");
                failed = true;
            }
        }
        look = tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(if failed { RETRY_AFTER } else { LOOK_EVERY }) => true,
            () = wake.notify.notified(), if !failed => false,
        };
    }
}

async fn catch_up(db: &Db, ctx: &Context, projection: &Projection, stream: Uuid) -> Result<(), DbError> {
    loop {
        let ctx = Context::background(ctx.clock().clone());
        let done = db.write(&ctx, Default::default(), |tx| Box::pin(step(tx, projection, stream))).await?;
        if done < BATCH_MAX as usize {
            return Ok(());
        }
    }
}

/// One transaction: checkpoint, events after it, effect. Gives the number of events.
async fn step(tx: &mut Tx<'_>, projection: &Projection, stream: Uuid) -> Result<usize, DbError> {
    let name = projection.name;
    tx.execute(&ENSURE_CHECKPOINT, &[&name, &stream]).await?;
    let Some(row) = tx.row_opt(&LOCK_CHECKPOINT, &[&name, &stream]).await? else { return Ok(0) };
    let key = StreamKey { kind: projection.stream_kind, id: stream };
    let events = log::read_in(tx, key, row.get(0), BATCH_MAX).await?;
    let Some(last) = events.last() else { return Ok(0) };
    (projection.apply)(tx, &events).await?;
    tx.execute(&UPDATE_CHECKPOINT, &[&name, &stream, &last.seq]).await?;
    metrics::counter!("weir_projected_events_total", "projector" => name).increment(events.len() as u64);
    Ok(events.len())
}

/// How far a projector got in a stream; 0 when it has not seen it yet.
pub async fn position(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    projector: &str,
    stream: Uuid,
) -> Result<i64, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_CHECKPOINT, &[&projector, &stream]).await?;
    Ok(row.map_or(0, |row| row.get(0)))
}
