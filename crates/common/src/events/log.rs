//! The log: gapless numbers per stream, appended in the transaction of the change.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::context::Context;
use crate::db::{AnyStatement, Db, DbError, Freshness, Row, SqlParams, Tx};
use crate::event::Event;

/// Events that one read of a stream gives at most.
pub const READ_MAX: i64 = 1_000;

/// An aggregate: what its stream is called and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey {
    /// `instrument`, `account`, `household`, `person`.
    pub kind: &'static str,
    /// The aggregate's id.
    pub id: Uuid,
}

/// An event to append. Its number is the stream's head, as `lock` gave it, plus one, two, …
#[derive(Clone, Debug)]
pub struct NewEvent<'a> {
    /// The aggregate.
    pub stream: StreamKey,
    /// Its number.
    pub seq: i64,
    /// Who did it.
    pub actor: &'a str,
    /// What it touched.
    pub subject: &'a str,
    /// What happened.
    pub kind: &'a str,
    /// The version of the body's shape.
    pub schema: i16,
    /// Enough to rebuild the change.
    pub body: serde_json::Value,
}

crate::statements! {
    /// A stream that starts.
    write CREATE_STREAM = "INSERT INTO stream (id, kind) VALUES ($1, $2)";
    /// Locks the aggregates, in the order of their ids, and tells their heads. What depends on it is read after it, in
    /// a later statement.
    write LOCK_STREAMS = "SELECT id, head FROM stream WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    /// Moves the counters; they are locked already.
    write BUMP_STREAMS = "UPDATE stream SET head = bumped.head
        FROM unnest($1::uuid[], $2::bigint[]) AS bumped (id, head) WHERE stream.id = bumped.id";
    /// Appends.
    write INSERT_EVENTS = "INSERT INTO event (kind, stream, seq, at, actor, subject, type, schema, body)
        SELECT kind, stream, seq, $4, actor, subject, type, schema, body
        FROM unnest($1::text[], $2::uuid[], $3::bigint[], $5::text[], $6::text[], $7::text[], $8::smallint[], $9::jsonb[])
            AS new (kind, stream, seq, actor, subject, type, schema, body)";
    /// A stretch of a stream. Both ends are given: with `LIMIT` alone it sorts the whole tail.
    read LIST_EVENTS = "SELECT kind, stream, seq, at, actor, subject, type, schema, body FROM event
        WHERE kind = $1 AND stream = $2 AND seq > $3 AND seq <= $4 ORDER BY seq";
    /// A stream's last number.
    read FIND_HEAD = "SELECT head FROM stream WHERE id = $1";
    /// This month's and the coming months' partitions of the module's event kinds.
    write MAKE_EVENT_PARTITIONS = "SELECT weir.make_event_partitions($1, $2)";
}

/// Starts a stream at head 0. The transaction that starts it holds its lock.
pub async fn create(tx: &mut Tx<'_>, stream: StreamKey) -> Result<(), DbError> {
    tx.execute(&CREATE_STREAM, &[&stream.id, &stream.kind]).await
}

/// Locks aggregates, sorted by id, and gives each one's head. A stream that doesn't exist is not in the answer.
pub async fn lock(tx: &mut Tx<'_>, streams: &[Uuid]) -> Result<HashMap<Uuid, i64>, DbError> {
    let rows = tx.rows(&LOCK_STREAMS, &[&streams]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// Appends events and moves their streams' counters, in one round trip. The streams are locked, or were created, in
/// this transaction; each stream's events come in the order of their numbers.
pub async fn append(tx: &mut Tx<'_>, at: DateTime<Utc>, events: Vec<NewEvent<'_>>) -> Result<(), DbError> {
    append_behind(tx, &[], at, events).await
}

/// The same behind further statements, all in one round trip: for a change whose latency counts.
pub async fn append_behind(
    tx: &mut Tx<'_>,
    calls: &[(&dyn AnyStatement, SqlParams<'_>)],
    at: DateTime<Utc>,
    events: Vec<NewEvent<'_>>,
) -> Result<(), DbError> {
    if events.is_empty() {
        return if calls.is_empty() { Ok(()) } else { tx.pipeline(calls).await.map(drop) };
    }
    let mut heads: HashMap<Uuid, i64> = HashMap::new();
    for event in &events {
        heads.insert(event.stream.id, event.seq);
    }
    let (ids, heads): (Vec<Uuid>, Vec<i64>) = heads.into_iter().unzip();
    let kinds: Vec<&str> = events.iter().map(|e| e.stream.kind).collect();
    let streams: Vec<Uuid> = events.iter().map(|e| e.stream.id).collect();
    let seqs: Vec<i64> = events.iter().map(|e| e.seq).collect();
    let actors: Vec<&str> = events.iter().map(|e| e.actor).collect();
    let subjects: Vec<&str> = events.iter().map(|e| e.subject).collect();
    let types: Vec<&str> = events.iter().map(|e| e.kind).collect();
    let schemas: Vec<i16> = events.iter().map(|e| e.schema).collect();
    let bodies: Vec<&serde_json::Value> = events.iter().map(|e| &e.body).collect();
    let inserted: SqlParams<'_> =
        &[&kinds, &streams, &seqs, &at, &actors, &subjects, &types, &schemas, &bodies];
    let bumped: SqlParams<'_> = &[&ids, &heads];
    let mut all: Vec<(&dyn AnyStatement, SqlParams<'_>)> = calls.to_vec();
    all.extend([
        (&INSERT_EVENTS as &dyn AnyStatement, inserted),
        (&BUMP_STREAMS as &dyn AnyStatement, bumped),
    ]);
    tx.pipeline(&all).await?;
    tx.record(events.into_iter().map(|e| Event {
        stream_kind: e.stream.kind.to_owned(),
        stream: e.stream.id,
        seq: e.seq,
        at,
        actor: e.actor.to_owned(),
        subject: e.subject.to_owned(),
        kind: e.kind.to_owned(),
        schema: e.schema,
        body: e.body,
    }));
    Ok(())
}

/// The events after `after`, at most `limit` of them ([`READ_MAX`] bounds it). Empty when there are none, or when the
/// numbers from there on are no longer kept.
pub async fn read(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    stream: StreamKey,
    after: i64,
    limit: i64,
) -> Result<Vec<Event>, DbError> {
    let last = after.saturating_add(limit.clamp(1, READ_MAX));
    let rows = db.read(ctx, freshness, &LIST_EVENTS, &[&stream.kind, &stream.id, &after, &last]).await?;
    rows.iter().map(event_of).collect::<Result<_, _>>().map_err(unreadable)
}

/// The same inside a transaction, after its lock.
pub async fn read_in(
    tx: &mut Tx<'_>,
    stream: StreamKey,
    after: i64,
    limit: i64,
) -> Result<Vec<Event>, DbError> {
    let last = after.saturating_add(limit.clamp(1, READ_MAX));
    let rows = tx.rows(&LIST_EVENTS, &[&stream.kind, &stream.id, &after, &last]).await?;
    rows.iter().map(event_of).collect::<Result<_, _>>().map_err(unreadable)
}

/// A stream's last number; `None` when there is no such stream.
pub async fn head(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    stream: Uuid,
) -> Result<Option<i64>, DbError> {
    Ok(db.read_opt(ctx, freshness, &FIND_HEAD, &[&stream]).await?.map(|row| row.get(0)))
}

/// Makes the partitions that events of this month and the next `ahead` go to. Cheap when they are there.
pub async fn make_partitions(db: &Db, ctx: &Context, ahead: i32) -> Result<(), DbError> {
    let now = ctx.now();
    let now = &now;
    db.write(ctx, Default::default(), |tx| {
        Box::pin(async move { tx.execute(&MAKE_EVENT_PARTITIONS, &[now, &ahead]).await })
    })
    .await
}

fn event_of(row: &Row) -> Result<Event, tokio_postgres::Error> {
    Ok(Event {
        stream_kind: row.try_get(0)?,
        stream: row.try_get(1)?,
        seq: row.try_get(2)?,
        at: row.try_get(3)?,
        actor: row.try_get(4)?,
        subject: row.try_get(5)?,
        kind: row.try_get(6)?,
        schema: row.try_get(7)?,
        body: row.try_get(8)?,
    })
}

fn unreadable(error: tokio_postgres::Error) -> DbError {
    DbError::row(LIST_EVENTS.0.name, error)
}
