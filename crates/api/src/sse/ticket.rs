//! Tickets: an `EventSource` of a browser sends no `Authorization` and reconnects to the same address, so the address
//! itself must open the stream. A caller with a token makes a ticket for one stream; it is first used within
//! [`UNUSED_FOR`], and from then on opens the same stream again until [`IDLE_FOR`] after its last use, on any process, but
//! never past the end of the token that it was made with. Whether its maker may still read is the module's to check, each
//! time. Only a hash of the secret is kept.
//!
//! A use is noted while the stream is open, for a process that is killed can't say when it was the last one.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use common::context::{Caller, Context};
use common::db::{AnyStatement, Db, DbError, Row, TxOptions, statements};
use http::header::CACHE_CONTROL;
use serde::Serialize;
use tokio::time::Instant;
use utoipa::ToSchema;
use uuid::Uuid;

use super::NO_STORE;
use super::problems::{TICKET_UNKNOWN, TOO_MANY_TICKETS};
use crate::context::unauthenticated;
use crate::{Problem, Reply};

/// How long a new ticket waits for its first use.
pub const UNUSED_FOR: TimeDelta = TimeDelta::seconds(30);
/// How long after its last use a ticket opens its stream again.
pub const IDLE_FOR: TimeDelta = TimeDelta::minutes(10);
/// How often an open stream notes that its ticket is in use.
const RENEW_EVERY: Duration = Duration::from_secs(60);
/// How long that may take.
const RENEW_WITHIN: Duration = Duration::from_secs(2);
/// Tickets of one subject that can still be used.
const PER_SUBJECT_MAX: i64 = 100;
/// Nobody guesses one.
const SECRET_BYTES: usize = 32;
/// Tickets that are over are deleted so many at a time, so that no transaction is long.
const DELETED_AT_ONCE: i64 = 1_000;
/// The plan of a caller who is known by a ticket.
const PLAN: &str = "ticket";

statements! {
    /// One ticket of a subject's at a time is made, so that they can be counted.
    write LOCK_SUBJECT = "SELECT pg_advisory_xact_lock(hashtextextended('ticket ' || $1, 0)) IS NOT NULL";
    /// A new ticket, unless the subject has too many.
    write INSERT_TICKET = "INSERT INTO ticket (secret_hash, about, subject, token_ends_at, opens_until)
        SELECT $1, $2, $3, $4, $5 WHERE (SELECT count(*) FROM ticket WHERE subject = $3 AND opens_until > $6) < $7
        RETURNING true";
    /// Uses a ticket; tells whose it is and how long the token lasts that it was made with.
    write USE_TICKET = "UPDATE ticket SET opens_until = $4
        WHERE secret_hash = $1 AND about = $2 AND opens_until > $3 RETURNING subject, token_ends_at";
    /// Tickets that are over.
    write DELETE_TICKETS = "DELETE FROM ticket WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM ticket WHERE opens_until <= $1 ORDER BY opens_until LIMIT $2
        )) RETURNING true";
}

/// A ticket as its maker is given it, once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamTicket)]
pub struct Ticket {
    /// Opens the stream, and resumes it; a secret.
    #[schema(format = "uri-reference")]
    pub url: String,
    /// When it must have been used for the first time.
    pub opens_until: DateTime<Utc>,
    /// Seconds after its last use in which it opens the stream again.
    pub resumes_for_s: i64,
}

impl Ticket {
    /// 201, for its maker alone.
    pub fn into_reply(self) -> Reply {
        Reply::created(&self.url, &self).header(CACHE_CONTROL, NO_STORE)
    }
}

/// Makes a ticket of the caller's for the stream of `about`; `address` and the secret make its URL. Whether the caller may
/// read that stream was checked before.
pub async fn create(ctx: &Context, db: &Db, about: Uuid, address: &str) -> Result<Ticket, Problem> {
    let mut secret = [0; SECRET_BYTES];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| Problem::internal("there is no randomness"))?;
    let secret = URL_SAFE_NO_PAD.encode(secret);
    let (hash, subject, token_ends_at) = (hash_of(&secret), &*ctx.caller().subject, ctx.caller().expires_at);
    let (now, opens_until) = (ctx.now(), ctx.now() + UNUSED_FOR);
    let made = db
        .write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move {
                tx.execute(&LOCK_SUBJECT, &[&subject]).await?;
                let params: common::db::SqlParams<'_> =
                    &[&&hash[..], &about, &subject, &token_ends_at, &opens_until, &now, &PER_SUBJECT_MAX];
                tx.row_opt(&INSERT_TICKET, params).await
            })
        })
        .await?;
    if made.is_none() {
        let detail = format!("one subject may have {PER_SUBJECT_MAX} tickets");
        return Err(Problem::of(&TOO_MANY_TICKETS)
            .detail(detail)
            .retry_after(UNUSED_FOR.to_std().unwrap_or_default()));
    }
    let url = format!("{address}?ticket={secret}");
    Ok(Ticket { url, opens_until, resumes_for_s: IDLE_FOR.num_seconds() })
}

/// Uses a ticket for the stream of `about`: the surroundings of its maker, and what keeps the ticket valid while the stream
/// is open.
pub async fn redeem(ctx: &Context, db: &Db, about: Uuid, secret: &str) -> Result<(Context, Lease), Problem> {
    let hash = hash_of(secret);
    let row = use_ticket(ctx, db, hash, about).await?.ok_or(&TICKET_UNKNOWN)?;
    let subject: String = row.try_get(0).map_err(unreadable)?;
    let expires_at: Option<DateTime<Utc>> = row.try_get(1).map_err(unreadable)?;
    if expires_at.is_some_and(|at| at <= ctx.now()) {
        return Err(unauthenticated(Some("the token that the ticket was made with has ended")));
    }
    let caller = Caller { subject: subject.into(), scopes: [].into(), plan: PLAN.into(), expires_at };
    let lease = Lease { db: db.clone(), hash, about, renew_at: Instant::now() + RENEW_EVERY };
    Ok((ctx.with_caller(caller), lease))
}

/// A ticket in use by an open stream.
pub struct Lease {
    db: Db,
    hash: [u8; 32],
    about: Uuid,
    renew_at: Instant,
}

impl Lease {
    pub(super) fn renew_at(&self) -> Instant {
        self.renew_at
    }

    /// Notes that it is in use. What fails is tried again the next time.
    pub(super) async fn renew(&mut self, ctx: &Context) {
        self.renew_at = Instant::now() + RENEW_EVERY;
        let ctx = ctx.child(ctx.token(), RENEW_WITHIN);
        if let Err(error) = use_ticket(&ctx, &self.db, self.hash, self.about).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "a ticket's use is not noted");
        }
    }
}

async fn use_ticket(ctx: &Context, db: &Db, hash: [u8; 32], about: Uuid) -> Result<Option<Row>, DbError> {
    let (now, opens_until) = (ctx.now(), ctx.now() + IDLE_FOR);
    db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move { tx.row_opt(&USE_TICKET, &[&&hash[..], &about, &now, &opens_until]).await })
    })
    .await
}

/// Deletes tickets that are over. Run now and then by a job; says how many went.
pub async fn delete_expired(ctx: &Context, db: &Db) -> Result<u64, DbError> {
    let now = ctx.now();
    let mut deleted = 0;
    loop {
        let gone = db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move { tx.rows(&DELETE_TICKETS, &[&now, &DELETED_AT_ONCE]).await })
            })
            .await?
            .len();
        deleted += gone as u64;
        if gone < DELETED_AT_ONCE as usize {
            return Ok(deleted);
        }
    }
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DbError {
    DbError::row(USE_TICKET.statement().name, error)
}

fn hash_of(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret.as_bytes()).as_ref());
    hash
}
