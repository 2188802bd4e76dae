//! A request with an `Idempotency-Key` has one effect and one answer, however often it comes. The answer is stored in
//! the transaction of the effect, for [`KEPT_FOR`], under (caller, route, key).
//!
//! One request at a time: an advisory lock is asked for first (a plain second INSERT would wait for the first one's
//! commit), and a second that finds it taken is told 409. The stored answer is looked up in a statement of its own
//! behind the lock, so that it sees what the previous holder committed. The effect stands behind a savepoint: a
//! refusal goes back to it and is stored like any other answer. What may succeed next time (401, 429, 5xx) is not.

use std::time::Duration;

use common::context::Context;
use common::db::{Db, DbError, Tx, TxOptions};
use futures_util::future::BoxFuture;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::extract::IdempotencyKey;
use crate::problem::{Problem, kinds};
use crate::reply::Reply;

mod store;

pub use store::{STATEMENTS, delete_expired};

/// How long an answer is kept.
pub const KEPT_FOR: chrono::TimeDelta = chrono::TimeDelta::hours(24);
/// The largest answer that is stored.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// When a second request is told to come back while the first is under way.
const IN_FLIGHT_RETRY: Duration = Duration::from_secs(1);
/// How often a commit with an unknown outcome is looked after.
const ATTEMPTS_MAX: u32 = 3;

const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Runs `effect` once for this key and answers what it answered, now or the first time.
///
/// `effect` may run again after a lost race, so it has no effect but through `tx`. Its refusals (`E` as a 4xx problem)
/// undo what it did and are stored.
///
/// ```ignore
/// let (household, new) = (&household, &new);
/// idempotency::once(&ctx, db, &key, move |tx| Box::pin(async move {
///     let account = household.create_account(tx, new).await?;
///     Ok::<_, Error>(Reply::created(account.path(), &account).etag(account.version))
/// })).await
/// ```
pub async fn once<'env, E, F>(
    ctx: &'env Context,
    db: &Db,
    key: &'env IdempotencyKey,
    effect: F,
) -> Result<Reply, Problem>
where
    E: From<DbError> + Into<Problem> + Send + 'env,
    F: for<'t> Fn(&'t mut Tx<'env>) -> BoxFuture<'t, Result<Reply, E>> + Clone + Send + Sync + 'env,
{
    // A repeat of our own waits for the lock: what holds it may be our own transaction, not yet gone.
    let mut wait = false;
    for attempt in 1.. {
        let mut first_run = true;
        let outcome = db
            .write(ctx, TxOptions::default(), |tx| {
                let (effect, wait) = (effect.clone(), wait || !std::mem::take(&mut first_run));
                Box::pin(async move { under_key(ctx, key, wait, tx, effect).await })
            })
            .await;
        match outcome {
            Ok(Answer::New(reply)) => return Ok(reply),
            // The first run was our own, whose commit went unanswered: to the client it is no replay.
            Ok(Answer::Stored(reply)) if wait => return Ok(reply),
            Ok(Answer::Stored(reply)) => return Ok(reply.header(REPLAYED, HeaderValue::from_static("true"))),
            Err(Interrupted::Db(DbError::Unknown))
                if attempt < ATTEMPTS_MAX && !ctx.remaining().is_zero() =>
            {
                wait = true;
            }
            Err(Interrupted::Db(error)) => return Err(error.into()),
            Err(Interrupted::Problem(problem)) => return Err(problem),
        }
    }
    unreachable!("the last attempt returns")
}

enum Answer {
    New(Reply),
    Stored(Reply),
}

/// Why nothing was stored.
enum Interrupted {
    Db(DbError),
    Problem(Problem),
}

impl From<DbError> for Interrupted {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

async fn under_key<'env, E, F>(
    ctx: &Context,
    key: &IdempotencyKey,
    wait: bool,
    tx: &mut Tx<'env>,
    effect: F,
) -> Result<Answer, Interrupted>
where
    E: From<DbError> + Into<Problem>,
    F: for<'t> Fn(&'t mut Tx<'env>) -> BoxFuture<'t, Result<Reply, E>>,
{
    let caller = &*ctx.caller().subject;
    let hash = key.request_hash();
    let (locked, stored) = store::lock_and_find(tx, caller, key, wait, ctx.now() - KEPT_FOR).await?;
    if let Some(stored) = stored {
        if stored.request_hash != hash {
            return Err(Interrupted::Problem(Problem::of(&kinds::IDEMPOTENCY_KEY_REUSED)));
        }
        tx.vouch_for_reads().await?;
        return Ok(Answer::Stored(stored.reply));
    }
    if !locked {
        let problem = Problem::of(&kinds::IDEMPOTENCY_IN_FLIGHT).retry_after(IN_FLIGHT_RETRY);
        return Err(Interrupted::Problem(problem));
    }
    let savepoint = tx.savepoint().await?;
    let reply = match effect(tx).await {
        Ok(reply) => reply,
        Err(error) => {
            let problem: Problem = error.into();
            if !is_final(problem.status()) {
                return Err(Interrupted::Problem(problem));
            }
            tx.rollback_to(savepoint).await?;
            Reply::problem(&problem)
        }
    };
    if reply.body.len() > BODY_BYTES_MAX {
        let problem =
            Problem::internal(format!("an answer of {} bytes is too large to be stored", reply.body.len()));
        return Err(Interrupted::Problem(problem));
    }
    store::insert(tx, caller, key, &hash, &reply, ctx.now()).await?;
    Ok(Answer::New(reply))
}

/// Whether the same request would be answered the same tomorrow.
fn is_final(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS)
}
