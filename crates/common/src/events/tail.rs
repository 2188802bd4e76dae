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
    /// The transaction of the last event.
    read FIND_LAST_XID = "SELECT xid::text FROM event ORDER BY xid DESC LIMIT 1";
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
    /// The timeline that the writer is on. On another one nothing that was read before may be true, and positions,
    /// transaction ids and even numbers of streams are others.
    pub timeline: u32,
    /// The streams that moved.
    pub moved: Vec<Moved>,
    /// Where the next look, also one of another run, may go on from.
    pub cursor: String,
}

/// One process's tail of one module's log.
pub(crate) struct Tail {
    db: Db,
    hint: Arc<Notify>,
    timeline: u32,
    cursor: Option<Cursor>,
    connected: Option<Look>,
}

impl Tail {
    /// A tail that starts at what is committed now.
    pub(crate) fn new(db: Db, hint: Arc<Notify>) -> Self {
        Self { db, hint, timeline: 0, cursor: None, connected: None }
    }

    /// The next look tells of everything since that look of another run on this timeline, too.
    pub(crate) fn go_back_to(&mut self, cursor: &str) {
        if let Some(other) = Cursor::parse(cursor) {
            self.cursor = self.cursor.take().map(|own| own.earliest(other));
        }
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

    /// Looks. On each new connection the heads of `held` are told whatever the cursor says. On a new timeline the cursor
    /// starts anew at what is committed by then, for transaction ids are handed out again: its reader must forget whatever
    /// is not in `held`.
    pub(crate) async fn look(&mut self, held: impl FnOnce() -> Vec<Uuid>) -> Result<Found, DbError> {
        let looked = timeout(POLL_TIMEOUT, self.look_now(held)).await.unwrap_or(Err(DbError::Timeout));
        if looked.is_err() {
            self.connected = None;
        }
        looked
    }

    async fn look_now(&mut self, held: impl FnOnce() -> Vec<Uuid>) -> Result<Found, DbError> {
        let mut compare = Vec::new();
        if self.connected.is_none() {
            let look = Look::connect(&self.db).await?;
            let (_, position) = look.position().await?;
            if position.timeline < self.timeline {
                return Err(DbError::unavailable("it is an old primary that came back"));
            }
            if position.timeline > self.timeline {
                (self.timeline, self.cursor) = (position.timeline, None);
            }
            self.connected = Some(look);
            compare = held();
        }
        let look = self.connected.as_ref().expect("connected just above");
        let (moved, cursor) = look.take(self.cursor.as_ref(), compare).await?;
        let (at, position) = look.position().await?;
        if self.db.seen().is_some_and(|seen| seen.timeline > position.timeline) {
            return Err(DbError::unavailable("another server was promoted"));
        }
        let position = Position { set: self.db.set(), ..position };
        self.db.saw(position);
        self.db.sampled(at, position);
        let text = cursor.to_string();
        self.cursor = Some(cursor);
        Ok(Found { timeline: self.timeline, moved, cursor: text })
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the looks so far have told of: every event whose transaction's id is below `next` and not among `in_flight`.
///
/// `next` is no snapshot's end but follows the last event that was seen, whose commit is on disk. An id above it may have been
/// used by a transaction that left nothing there: after a crash it is handed out again, and what it then writes is new.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Cursor {
    next: u64,
    in_flight: BTreeSet<u64>,
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let (next, in_flight) = text.split_once(':')?;
        let in_flight = in_flight.split(',').filter(|xid| !xid.is_empty()).map(|xid| xid.parse().ok());
        Some(Self { next: next.parse().ok()?, in_flight: in_flight.collect::<Option<_>>()? })
    }

    /// After a look that began at this snapshot (`xmin:xmax:xip,xip,…`) and saw events of transactions up to `last`.
    fn after(snapshot: &str, before: u64, last: Option<u64>) -> Option<Self> {
        let (_, rest) = snapshot.split_once(':')?;
        let Self { next: end, mut in_flight } = Self::parse(rest)?;
        let next = last.map_or(before, |last| before.max(last + 1)).min(end);
        in_flight.retain(|xid| *xid < next);
        Some(Self { next, in_flight })
    }

    /// What both have told of.
    fn earliest(self, other: Self) -> Self {
        let next = self.next.min(other.next);
        let in_flight = &self.in_flight | &other.in_flight;
        Self { next, in_flight: in_flight.into_iter().filter(|xid| *xid < next).collect() }
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.next, self.in_flight.iter().map(u64::to_string).collect::<Vec<_>>().join(","))
    }
}

/// The tail's own connection, with its statements prepared.
struct Look {
    client: Client,
    _connection: AbortOnDrop,
    snapshot: tokio_postgres::Statement,
    started_since: tokio_postgres::Statement,
    were_in_flight: tokio_postgres::Statement,
    last_xid: tokio_postgres::Statement,
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
            last_xid: prepare(&client, &FIND_LAST_XID).await?,
            heads: prepare(&client, &LIST_MOVED_HEADS).await?,
            position: prepare(&client, &LOG_POSITION).await?,
            client,
            _connection: connection,
        })
    }

    /// One look. `compare`: streams whose heads are told whatever the cursor says.
    async fn take(&self, from: Option<&Cursor>, compare: Vec<Uuid>) -> Result<(Vec<Moved>, Cursor), DbError> {
        let row = self.client.query_one(&self.snapshot, &[]).await;
        let snapshot: String = row.map_err(|e| DbError::of(SNAPSHOT.0.name, e))?.get(0);
        let mut streams: BTreeSet<Uuid> = compare.into_iter().collect();
        let last = match from {
            None => self.last_xid().await?,
            Some(from) => {
                if !from.in_flight.is_empty() {
                    let xids: Vec<String> = from.in_flight.iter().map(u64::to_string).collect();
                    let rows = self.client.query(&self.were_in_flight, &[&xids]).await;
                    let rows = rows.map_err(|e| DbError::of(LIST_WERE_IN_FLIGHT.0.name, e))?;
                    streams.extend(rows.iter().map(|row| row.get::<_, Uuid>(0)));
                }
                self.started_since(from.next, &mut streams).await?
            }
        };
        let cursor = Cursor::after(&snapshot, from.map_or(0, |from| from.next), last)
            .ok_or_else(|| DbError::row(SNAPSHOT.0.name, snapshot))?;
        let mut moved = Vec::new();
        if !streams.is_empty() {
            let streams: Vec<Uuid> = streams.into_iter().collect();
            let rows = self.client.query(&self.heads, &[&streams]).await;
            let rows = rows.map_err(|e| DbError::of(LIST_MOVED_HEADS.0.name, e))?;
            moved.extend(rows.iter().map(|r| Moved { stream: r.get(0), kind: r.get(1), head: r.get(2) }));
        }
        Ok((moved, cursor))
    }

    /// How far the log is, and a moment before it was asked.
    async fn position(&self) -> Result<(Instant, Position), DbError> {
        let at = Instant::now();
        let row = self.client.query_one(&self.position, &[]).await;
        let row = row.map_err(|e| DbError::of(LOG_POSITION.statement().name, e))?;
        let (lsn, timeline): (PgLsn, i32) = (row.get(0), row.get(1));
        Ok((at, Position { set: 0, timeline: timeline as u32, lsn: lsn.into() }))
    }

    /// Adds the streams of the events of transactions from `next` on, and gives the last one's id.
    async fn started_since(&self, next: u64, streams: &mut BTreeSet<Uuid>) -> Result<Option<u64>, DbError> {
        let next = next.to_string();
        let mut after = ("0".to_owned(), Uuid::nil());
        let mut last = None;
        loop {
            let rows = self
                .client
                .query(&self.started_since, &[&next, &after.0, &after.1, &PAGE_ROWS])
                .await
                .map_err(|e| DbError::of(LIST_STARTED_SINCE.0.name, e))?;
            streams.extend(rows.iter().map(|row| row.get::<_, Uuid>(1)));
            let Some(row) = rows.last() else { return Ok(last) };
            after = (row.get(0), row.get(1));
            last = Some(xid_of(LIST_STARTED_SINCE.statement().name, &after.0)?);
            if (rows.len() as i64) < PAGE_ROWS {
                return Ok(last);
            }
        }
    }

    async fn last_xid(&self) -> Result<Option<u64>, DbError> {
        let name = FIND_LAST_XID.statement().name;
        let row = self.client.query_opt(&self.last_xid, &[]).await.map_err(|e| DbError::of(name, e))?;
        row.map(|row| xid_of(name, row.get(0))).transpose()
    }
}

fn xid_of(statement: &'static str, text: &str) -> Result<u64, DbError> {
    text.parse().map_err(|e: std::num::ParseIntError| DbError::row(statement, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(text: &str) -> Cursor {
        Cursor::parse(text).unwrap()
    }

    #[test]
    fn a_cursor_follows_the_last_event_and_not_the_snapshots_end() {
        let after = |before, last| Cursor::after("10:20:10,14,18", before, last).unwrap().to_string();
        assert_eq!(after(0, None), "0:");
        assert_eq!(after(12, None), "12:10");
        assert_eq!(after(12, Some(15)), "16:10,14");
        assert_eq!(after(12, Some(25)), "20:10,14,18");
    }

    #[test]
    fn of_two_cursors_what_both_have_told_of_counts() {
        assert_eq!(cursor("20:5,19").earliest(cursor("15:7")), cursor("15:5,7"));
        assert_eq!(cursor("15:").earliest(cursor("20:16")), cursor("15:"));
    }

    #[test]
    fn what_is_no_snapshot_is_no_cursor() {
        for text in ["", "12", "x:", "1:x", "1:2:3", "1:'"] {
            assert_eq!(Cursor::parse(text), None, "{text}");
        }
        for text in ["", "1:2", "1:x:", "1:2:3:4"] {
            assert_eq!(Cursor::after(text, 0, None), None, "{text}");
        }
    }
}
