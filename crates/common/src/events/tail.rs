//! The tail: which streams moved, found by transaction id on the writer, so that no commit is ever missed.
//!
//! It names streams and their heads; each consumer reads each stream from its own number, so neither the order of the
//! names nor a repeated one matters. A hint makes it look at once; without hints it looks every 250 ms.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::db::{AnyStatement, Db, DbError, LOG_POSITION, Position};

/// The tail looks at least this often.
pub const POLL_EVERY: Duration = Duration::from_millis(250);
/// However many hints come, it pauses this long between two looks.
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// Rows that one look reads at once; a busier stretch is read in pages.
const PAGE_ROWS: i64 = 5_000;
/// A look that takes longer is given up, and the connection with it.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);

crate::statements! {
    /// What is in flight now: the next look starts from here.
    read SNAPSHOT = "SELECT pg_current_snapshot()::text";
    /// Events of transactions that had not started at the snapshot before, paged by (xid, stream). The names are made
    /// of these pairs; the heads are read from the counters.
    read LIST_STARTED_SINCE = "SELECT xid::text, stream FROM event
        WHERE xid >= $1::text::xid8 AND (xid, stream) > ($2::text::xid8, $3) ORDER BY xid, stream LIMIT $4";
    /// Events of transactions that were in flight then.
    read LIST_WERE_IN_FLIGHT = "SELECT DISTINCT stream FROM event WHERE xid = ANY($1::text[]::xid8[])";
    /// The heads of the streams that moved, and behind them the log's position that covers all of it.
    read LIST_MOVED_HEADS = "SELECT id, kind, head FROM stream WHERE id = ANY($1)";
}

/// A stream that has moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The aggregate.
    pub stream: Uuid,
    /// Its kind.
    pub kind: String,
    /// Its last number.
    pub head: i64,
}

/// What one look found. Everything committed before it began is covered by it and the looks before.
#[derive(Debug)]
pub(crate) struct Found {
    /// The streams that moved.
    pub moved: Vec<Moved>,
    /// Where the next look, also one of another run, may go on from.
    pub cursor: String,
}

/// One process's tail of one module's log.
pub(crate) struct Tail {
    db: Db,
    hint: Arc<Notify>,
    cursor: Option<Cursor>,
    connected: Option<Look>,
}

impl Tail {
    /// A tail that starts at what is committed now.
    pub(crate) fn new(db: Db, hint: Arc<Notify>) -> Self {
        Self { db, hint, cursor: None, connected: None }
    }

    /// The next look tells of everything since that look of an earlier run, too.
    pub(crate) fn go_back_to(&mut self, cursor: &str) {
        self.cursor = Cursor::parse(cursor).or(self.cursor.take());
    }

    /// Waits until it is time for the next look. Meanwhile it takes note of the writer's position as often as reads with a
    /// bound want it.
    pub(crate) async fn wait(&mut self) {
        tokio::time::sleep(POLL_PAUSE).await;
        let look_at = Instant::now() + POLL_EVERY;
        loop {
            let sample_at = self.db.sample_every().map(|every| Instant::now() + every);
            let until = sample_at.map_or(look_at, |at| at.min(look_at));
            if timeout_at(until, self.hint.notified()).await.is_ok() || until == look_at {
                return;
            }
            let Some(look) = &self.connected else { continue };
            match timeout_at(look_at, look.position()).await {
                Ok(Ok((at, position))) => self.db.sampled(at, Position { set: self.db.set(), ..position }),
                // The look finds out what is wrong.
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Looks. On each new connection the heads of `held` are told whatever the cursor says, for transaction ids are
    /// handed out again after a crash or a promotion, and a cursor alone would miss them.
    pub(crate) async fn look(&mut self, held: impl FnOnce() -> Vec<Uuid>) -> Result<Found, DbError> {
        let looked = timeout(POLL_TIMEOUT, self.look_now(held)).await.unwrap_or(Err(DbError::Timeout));
        if looked.is_err() {
            self.connected = None;
        }
        looked
    }

    async fn look_now(&mut self, held: impl FnOnce() -> Vec<Uuid>) -> Result<Found, DbError> {
        let mut compare = None;
        if self.connected.is_none() {
            self.connected = Some(Look::connect(&self.db).await?);
            compare = Some(held());
        }
        let look = self.connected.as_mut().expect("connected just above");
        let (moved, cursor, (at, position)) = look.take(self.cursor.as_ref(), compare).await?;
        let position = Position { set: self.db.set(), ..position };
        self.db.saw(position);
        self.db.sampled(at, position);
        let text = cursor.text.clone();
        self.cursor = Some(cursor);
        Ok(Found { moved, cursor: text })
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A snapshot of the transactions in flight: `xmin:xmax:xip,xip,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    text: String,
    next: String,
    in_flight: Vec<String>,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (_, next, in_flight) = (parts.next()?, parts.next()?, parts.next()?);
        let is_number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        let in_flight: Vec<String> =
            in_flight.split(',').filter(|x| !x.is_empty()).map(str::to_owned).collect();
        (parts.next().is_none() && is_number(next) && in_flight.iter().all(|x| is_number(x))).then(|| Self {
            text: text.to_owned(),
            next: next.to_owned(),
            in_flight,
        })
    }
}

/// The tail's own connection, with its statements prepared.
struct Look {
    client: Client,
    _connection: AbortOnDrop,
    snapshot: tokio_postgres::Statement,
    started_since: tokio_postgres::Statement,
    were_in_flight: tokio_postgres::Statement,
    heads: tokio_postgres::Statement,
    position: tokio_postgres::Statement,
}

impl Look {
    async fn connect(db: &Db) -> Result<Self, DbError> {
        let name = format!("weir {} tail", db.module());
        let (client, connection) =
            db.writer_config(&name).connect(NoTls).await.map_err(DbError::unavailable)?;
        let connection = AbortOnDrop(tokio::spawn(connection).abort_handle());
        async fn prepare(
            client: &Client,
            statement: &impl AnyStatement,
        ) -> Result<tokio_postgres::Statement, DbError> {
            let statement = statement.statement();
            client.prepare(statement.sql).await.map_err(|e| DbError::of(statement.name, e))
        }
        Ok(Self {
            snapshot: prepare(&client, &SNAPSHOT).await?,
            started_since: prepare(&client, &LIST_STARTED_SINCE).await?,
            were_in_flight: prepare(&client, &LIST_WERE_IN_FLIGHT).await?,
            heads: prepare(&client, &LIST_MOVED_HEADS).await?,
            position: prepare(&client, &LOG_POSITION).await?,
            client,
            _connection: connection,
        })
    }

    /// One look. `compare`: streams whose heads are told whatever the cursor says.
    async fn take(
        &mut self,
        from: Option<&Cursor>,
        compare: Option<Vec<Uuid>>,
    ) -> Result<(Vec<Moved>, Cursor, (Instant, Position)), DbError> {
        let row = self.client.query_one(&self.snapshot, &[]).await.map_err(|e| DbError::of("snapshot", e))?;
        let text: String = row.get(0);
        let cursor = Cursor::parse(&text).ok_or_else(|| DbError::row(SNAPSHOT.0.name, text))?;
        let mut streams: BTreeSet<Uuid> = compare.into_iter().flatten().collect();
        if let Some(from) = from {
            self.started_since(&from.next, &mut streams).await?;
            if !from.in_flight.is_empty() {
                let rows = self.client.query(&self.were_in_flight, &[&from.in_flight]).await;
                let rows = rows.map_err(|e| DbError::of(LIST_WERE_IN_FLIGHT.0.name, e))?;
                streams.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
            }
        }
        let mut moved = Vec::new();
        if !streams.is_empty() {
            let streams: Vec<Uuid> = streams.into_iter().collect();
            let rows = self.client.query(&self.heads, &[&streams]).await;
            let rows = rows.map_err(|e| DbError::of(LIST_MOVED_HEADS.0.name, e))?;
            moved.extend(rows.iter().map(|r| Moved { stream: r.get(0), kind: r.get(1), head: r.get(2) }));
        }
        Ok((moved, cursor, self.position().await?))
    }

    /// How far the log is, and a moment before it was asked.
    async fn position(&self) -> Result<(Instant, Position), DbError> {
        let at = Instant::now();
        let row = self.client.query_one(&self.position, &[]).await;
        let row = row.map_err(|e| DbError::of(LOG_POSITION.statement().name, e))?;
        let (lsn, timeline): (PgLsn, i32) = (row.get(0), row.get(1));
        Ok((at, Position { set: 0, timeline: timeline as u32, lsn: lsn.into() }))
    }

    async fn started_since(&self, next: &str, streams: &mut BTreeSet<Uuid>) -> Result<(), DbError> {
        let mut after = ("0".to_owned(), Uuid::nil());
        loop {
            let rows = self
                .client
                .query(&self.started_since, &[&next, &after.0, &after.1, &PAGE_ROWS])
                .await
                .map_err(|e| DbError::of(LIST_STARTED_SINCE.0.name, e))?;
            streams.extend(rows.iter().map(|row| row.get::<_, Uuid>(1)));
            match rows.last() {
                Some(last) if rows.len() as i64 == PAGE_ROWS => after = (last.get(0), last.get(1)),
                _ => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_from_a_snapshot() {
        let cursor = Cursor::parse("10:14:10,12").unwrap();
        assert_eq!((cursor.next.as_str(), cursor.in_flight), ("14", vec!["10".to_owned(), "12".to_owned()]));
        assert_eq!(Cursor::parse("10:10:").unwrap().in_flight, Vec::<String>::new());
    }

    #[test]
    fn what_is_no_snapshot_is_no_cursor() {
        for text in ["", "1:2", "1:x:", "1:2:3:4", "1:2:'"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
    }
}
