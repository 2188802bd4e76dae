//! The way in: what devices send is collected per shard of people and recorded several requests to a transaction.

mod outcome;
mod plan;
mod record;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use api::socket::{Credit, CreditPool, Taken};
use chrono::{Datelike, NaiveDate};
use common::DataPath;
use common::batch::{BatchError, BatchOptions, Batcher};
use common::context::{Clock, Context, Priority};
use common::db::{Db, DbError, Token};
use parking_lot::Mutex;
use uuid::Uuid;

use self::outcome::conflict_reason;
pub use self::outcome::{ItemResult, Outcome, Status};
use crate::error::Error;
use crate::model::sample::{Item, Reason};
use crate::model::time::Horizon;
use crate::store::recording;

/// Collectors. A person's requests always meet in the same one, for two devices of a person share its rollups.
const SHARDS: usize = 4;
/// Samples in one transaction at most.
pub const SAMPLES_MAX: usize = 5_000;
/// Requests in one transaction at most.
const REQUESTS_MAX: usize = 256;
/// What all requests of this process together may have under way: four batches for each shard. Who has an account with it
/// is told what it may send; who has none waits for room.
const CREDIT: u32 = (SHARDS * SAMPLES_MAX * 4) as u32;
/// What one socket may have under way while most of that is free: a full batch.
const SOCKET_CREDIT: u32 = SAMPLES_MAX as u32;
/// So many bytes take as much credit as a sample, so that few large ones can't take more memory than many small ones.
const CREDIT_BYTES: usize = 1_024;
/// Requests that may wait in a shard: never the first bound that is met, for each takes credit.
const QUEUE_MAX: usize = CREDIT as usize;
/// How long a batch may take, all its repetitions included.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The type of the event that a transaction leaves in each person's stream.
pub const SAMPLES_RECORDED: &str = "samples_recorded";

/// Who sends, and what it says of its numbering.
#[derive(Clone, Debug)]
pub enum Sender {
    /// A device with numbers of its own.
    Device {
        /// Which.
        device: Uuid,
        /// Which of its numberings.
        epoch: i32,
        /// It never had what lies before.
        first_seq: Option<i64>,
        /// It no longer has these, both ends included.
        gone: Vec<(i64, i64)>,
        /// How far its clock runs ahead.
        skew_ms: Option<i64>,
    },
    /// Something that names its items itself.
    Source(&'static str),
}

/// One request's items.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Whom they measure.
    pub person: Uuid,
    /// Who sends them.
    pub actor: String,
    /// By what.
    pub sender: Sender,
    /// What the keys of items without a number are kept under.
    pub source: String,
    /// In the order of the request.
    pub items: Vec<Item>,
    /// What else the request carried and nobody here understands: kept in the event.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Submission {
    /// A request's items. A device's own ids are kept under the device's id.
    pub fn new(person: Uuid, actor: &str, sender: Sender, items: Vec<Item>) -> Self {
        let source = match &sender {
            Sender::Device { device, .. } => device.to_string(),
            Sender::Source(source) => (*source).to_owned(),
        };
        Self { person, actor: actor.to_owned(), sender, source, items, more: serde_json::Map::new() }
    }
}

/// Why nothing of a request was taken.
#[derive(Clone, Debug)]
pub enum Refusal {
    /// The device is no longer this person's.
    NotFound,
    /// The numbering would have too many gaps.
    TooManyGaps {
        /// How many.
        gaps: usize,
    },
    /// The transaction failed.
    Failed(DbError),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Error::NotFound,
            Refusal::TooManyGaps { gaps } => Error::TooManyGaps { gaps },
            Refusal::Failed(error) => Error::Db(error),
        }
    }
}

type Answer = Result<Outcome, Refusal>;

/// What a request takes of the credit: its samples, or its KiB when those are more.
pub fn credit_for(samples: usize, bytes: usize) -> u32 {
    u32::try_from(samples.max(bytes.div_ceil(CREDIT_BYTES)).max(1)).unwrap_or(u32::MAX)
}

/// A request with its credit, which is given back when its transaction is over.
type Queued = (Submission, Taken);

/// All shards. Clones share them.
#[derive(Clone)]
pub struct Collectors {
    shards: Arc<[Batcher<Queued, Answer>]>,
    credit: CreditPool,
}

impl Collectors {
    /// Starts the shards. What is older than `retention_years` is not stored.
    pub fn start(data_path: &DataPath, retention_years: u32) -> Self {
        let recorder = Arc::new(Recorder {
            db: data_path.db.clone(),
            clock: data_path.clock.clone(),
            retention_years,
            months: Mutex::default(),
        });
        let options = || BatchOptions {
            bytes_max: SAMPLES_MAX,
            queue_max: QUEUE_MAX,
            weigh: |(submission, _): &Queued| submission.items.len().max(1),
            ..BatchOptions::new("health.collector", REQUESTS_MAX)
        };
        let shard = |_| {
            let recorder = recorder.clone();
            Batcher::spawn(options(), &data_path.shutdown, &data_path.tasks, move |batch| {
                let recorder = recorder.clone();
                async move {
                    let (batch, taken): (Vec<Submission>, Vec<Taken>) = batch.into_iter().unzip();
                    let answers = recorder.collect(batch).await;
                    // Before they are answered, so that the answers can tell of it.
                    drop(taken);
                    answers
                }
            })
        };
        Self { shards: (0..SHARDS).map(shard).collect(), credit: CreditPool::new(CREDIT, SOCKET_CREDIT) }
    }

    /// The account of a socket that sends.
    pub fn open_credit(&self) -> Credit {
        self.credit.open()
    }

    /// Records a request's items with what else arrives, and tells the context's token. Without room it waits.
    pub async fn submit(&self, ctx: &Context, submission: Submission) -> Result<Outcome, Error> {
        let bytes = submission.items.iter().map(|item| item.raw.len()).sum();
        let needed = credit_for(submission.items.len(), bytes);
        let taken = self.credit.take(ctx, needed).await.ok_or(BatchError::Full)?;
        self.queue(ctx, submission, taken)?.await
    }

    /// Puts a request into its queue, in the order of the calls; the future records it as [`Collectors::submit`] does.
    pub fn queue(
        &self,
        ctx: &Context,
        submission: Submission,
        taken: Taken,
    ) -> Result<impl Future<Output = Result<Outcome, Error>> + Send + use<>, Error> {
        let shard = submission.person.as_u128() as usize % self.shards.len();
        let answer = self.shards[shard].offer(ctx, (submission, taken))?;
        let ctx = ctx.clone();
        Ok(async move {
            let outcome = answer.await??;
            ctx.wrote(&outcome.token);
            Ok(outcome)
        })
    }
}

/// Months whose partitions this process has seen.
type Months = HashSet<(i32, u32)>;

struct Recorder {
    db: Db,
    clock: Clock,
    retention_years: u32,
    months: Mutex<Months>,
}

impl Recorder {
    async fn collect(&self, batch: Vec<Submission>) -> Vec<Answer> {
        let ctx = Context::background(self.clock.clone())
            .with_priority(Priority::Normal)
            .with_deadline(BATCH_TIMEOUT);
        let count = batch.len();
        let answers = self.record(&ctx, batch).await;
        debug_assert_eq!(answers.len(), count);
        answers
    }

    /// Records a batch. What the database refuses for its content is taken apart until it is found, and that alone goes to
    /// quarantine.
    fn record<'a>(
        &'a self,
        ctx: &'a Context,
        mut batch: Vec<Submission>,
    ) -> Pin<Box<dyn Future<Output = Vec<Answer>> + Send + 'a>> {
        Box::pin(async move {
            let failed = match self.try_record(ctx, &batch).await {
                Ok(answers) => return answers,
                Err(error) if is_of_content(&error) => error,
                Err(error) => return fail_all(batch.len(), error),
            };
            tracing::warn!(
                error = &failed as &dyn std::error::Error,
                requests = batch.len(),
                "a batch was refused"
            );
            if batch.len() > 1 {
                let rest = batch.split_off(batch.len() / 2);
                let mut answers = self.record(ctx, batch).await;
                answers.extend(self.record(ctx, rest).await);
                return answers;
            }
            let Some(mut only) = batch.pop() else { return Vec::new() };
            match only.items.len() {
                0 => fail_all(1, failed),
                1 if only.items[0].verdict.is_err() => fail_all(1, failed),
                1 => {
                    let reason = Reason::new("", "refused", "the database can't hold it");
                    only.items[0].verdict = Err(vec![reason]);
                    self.record(ctx, vec![only]).await
                }
                many => {
                    let items = only.items.split_off(many / 2);
                    let rest = Submission { items, ..only.clone() };
                    let first = self.record(ctx, vec![only]).await.into_iter().next();
                    let rest = self.record(ctx, vec![rest]).await.into_iter().next();
                    first.into_iter().zip(rest).map(|(first, rest)| Ok(first?.join(rest?))).collect()
                }
            }
        })
    }

    async fn try_record(&self, ctx: &Context, batch: &[Submission]) -> Result<Vec<Answer>, DbError> {
        self.ensure_months(ctx, batch).await?;
        match self.write(ctx, batch).await {
            // A partition that was there has been dropped since.
            Err(error) if is_without_partition(&error) => {
                self.months.lock().clear();
                self.ensure_months(ctx, batch).await?;
                self.write(ctx, batch).await
            }
            result => result,
        }
    }

    async fn write(&self, ctx: &Context, batch: &[Submission]) -> Result<Vec<Answer>, DbError> {
        // Each batch has a token of its own: what others wrote is nothing that its callers need to see.
        let own = ctx.child(Token::default(), ctx.remaining());
        let horizon = Horizon::new(ctx.now(), self.retention_years);
        let mut answers = self
            .db
            .write(&own, Default::default(), |tx| Box::pin(record::record(tx, batch, horizon)))
            .await?;
        let token = own.token();
        answers.iter_mut().flatten().for_each(|outcome| outcome.token = token.clone());
        Ok(answers)
    }

    /// Partitions are made outside of the transaction that needs them, so that it never waits for their locks.
    async fn ensure_months(&self, ctx: &Context, batch: &[Submission]) -> Result<(), DbError> {
        let readings =
            batch.iter().flat_map(|s| &s.items).filter_map(|item| item.verdict.as_ref().ok()).flatten();
        let mut wanted: Vec<(i32, u32)> = readings.map(|r| (r.start.year(), r.start.month())).collect();
        wanted.sort_unstable();
        wanted.dedup();
        {
            let known = self.months.lock();
            wanted.retain(|month| !known.contains(month));
        }
        for (year, month) in wanted {
            let first = NaiveDate::from_ymd_opt(year, month, 1).expect("the month of a valid date");
            recording::ensure_month(&self.db, ctx, first).await?;
            self.months.lock().insert((year, month));
        }
        Ok(())
    }
}

fn fail_all(count: usize, error: DbError) -> Vec<Answer> {
    (0..count).map(|_| Err(Refusal::Failed(error.clone()))).collect()
}

/// Whether another content would have been taken: data that a type or a limit of the database refuses.
fn is_of_content(error: &DbError) -> bool {
    error.code().is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.code().starts_with(class)))
}

/// PostgreSQL says so with the code of a violated check, but names no constraint.
fn is_without_partition(error: &DbError) -> bool {
    let DbError::Sql { source, .. } = error else { return false };
    let refused = source.as_db_error();
    refused.is_some_and(|refused| refused.code().code() == "23514" && refused.constraint().is_none())
}
