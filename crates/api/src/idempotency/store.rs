//! The SQL of idempotency records: the table `idempotency` of the module's schema.

use aws_lc_rs::digest::{Context as Digest, SHA256};
use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{AnyStatement, Db, DbError, Row, Tx, TxOptions, statements};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Map, Value};

use super::KEPT_FOR;
use crate::extract::IdempotencyKey;
use crate::reply::Reply;

/// Expired records are deleted so many at a time, so that no transaction is long.
const DELETED_AT_ONCE: i64 = 1_000;

statements! {
    /// Whether nobody else is at this key; held to the end of the transaction.
    write TRY_LOCK = "SELECT pg_try_advisory_xact_lock($1)";
    /// The same, waiting.
    write LOCK = "SELECT pg_advisory_xact_lock($1) IS NOT NULL";
    /// The stored answer.
    read FIND_ANSWER = "SELECT request_hash, status, headers, body FROM idempotency
        WHERE caller = $1 AND route = $2 AND key = $3 AND created_at > $4";
    /// Stores the answer; only an expired one can stand in its place.
    write INSERT_ANSWER = "INSERT INTO idempotency
            (caller, route, key, request_hash, status, headers, body, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (caller, route, key) DO UPDATE SET request_hash = excluded.request_hash,
            status = excluded.status, headers = excluded.headers, body = excluded.body,
            created_at = excluded.created_at";
    /// Expired answers, the oldest first.
    write DELETE_EXPIRED = "DELETE FROM idempotency WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM idempotency WHERE created_at <= $1 ORDER BY created_at LIMIT $2
        )) RETURNING true";
}

/// What was answered the first time.
pub(super) struct Stored {
    pub(super) request_hash: Vec<u8>,
    pub(super) reply: Reply,
}

/// Asks for the key's lock, then looks the answer up, in one round trip. An answer may be there although the lock is
/// not ours: another repetition is reading it.
pub(super) async fn lock_and_find(
    tx: &mut Tx<'_>,
    caller: &str,
    key: &IdempotencyKey,
    wait: bool,
    not_before: DateTime<Utc>,
) -> Result<(bool, Option<Stored>), DbError> {
    let lock = lock_of(caller, key);
    let statement: &dyn AnyStatement = if wait { &LOCK } else { &TRY_LOCK };
    let answers = tx
        .pipeline(&[
            (statement, &[&lock]),
            (&FIND_ANSWER, &[&caller, &key.route(), &key.as_str(), &not_before]),
        ])
        .await?;
    let first = |at: usize| answers.get(at).and_then(|rows: &Vec<Row>| rows.first());
    let locked = first(0).map_or(Ok(false), |row| row.try_get(0)).map_err(unreadable)?;
    Ok((locked, first(1).map(stored).transpose()?))
}

fn stored(row: &Row) -> Result<Stored, DbError> {
    let read = || -> Result<Stored, Box<dyn std::error::Error + Send + Sync>> {
        let status = u16::try_from(row.try_get::<_, i16>(1)?)?;
        let headers: Value = row.try_get(2)?;
        let mut reply = Reply {
            status: StatusCode::from_u16(status)?,
            headers: HeaderMap::new(),
            body: row.try_get::<_, Vec<u8>>(3)?.into(),
        };
        for (name, value) in headers.as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            reply.headers.append(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        }
        Ok(Stored { request_hash: row.try_get(0)?, reply })
    };
    read().map_err(unreadable)
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DbError {
    DbError::row(FIND_ANSWER.statement().name, error)
}

pub(super) async fn insert(
    tx: &mut Tx<'_>,
    caller: &str,
    key: &IdempotencyKey,
    hash: &[u8],
    reply: &Reply,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let headers = reply
        .headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), Value::from(value.to_str().unwrap_or_default())));
    let headers = Value::Object(headers.collect::<Map<_, _>>());
    let status = i16::try_from(reply.status.as_u16()).unwrap_or(i16::MAX);
    let body: &[u8] = &reply.body;
    tx.execute(&INSERT_ANSWER, &[&caller, &key.route(), &key.as_str(), &hash, &status, &headers, &body, &now])
        .await
}

/// Deletes answers that are older than they are kept. Run now and then by a job; says how many went.
pub async fn delete_expired(ctx: &Context, db: &Db) -> Result<u64, DbError> {
    let not_after = ctx.now() - KEPT_FOR;
    let mut deleted = 0;
    loop {
        let gone = db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move { tx.rows(&DELETE_EXPIRED, &[&not_after, &DELETED_AT_ONCE]).await })
            })
            .await?
            .len();
        deleted += gone as u64;
        if gone < DELETED_AT_ONCE as usize {
            return Ok(deleted);
        }
    }
}

/// Advisory locks are one space for the whole database; 64 bits of a hash keep keys apart well enough, for a collision
/// only makes one request wait for another.
fn lock_of(caller: &str, key: &IdempotencyKey) -> i64 {
    let mut digest = Digest::new(&SHA256);
    for piece in [caller, key.route(), key.as_str()] {
        digest.update(&(piece.len() as u64).to_be_bytes());
        digest.update(piece.as_bytes());
    }
    let mut first = [0; 8];
    first.copy_from_slice(&digest.finish().as_ref()[..8]);
    i64::from_be_bytes(first)
}
