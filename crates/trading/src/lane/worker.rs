//! What a lane does with a batch: where, who may, then one transaction, and what to do when that fails or nobody knows.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api::peers::PeerError;
use common::context::{Clock, Context, Priority};
use common::db::{Db, DbError, Token, TxOptions};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::attempt::{Done, Stopped, attempt};
use super::command::{Answer, Item};
use super::decide::Task;
use super::memory::Memory;
use super::ownership::{Owner, Ownership};
use crate::error::Error;
use crate::model::Instrument;
use crate::service::Owners;

/// How long one transaction of a lane may take.
const TRANSACTION_WITHIN: Duration = Duration::from_secs(5);
/// How long an unknown outcome is looked for before it is answered as such.
const RESOLVE_WITHIN: Duration = Duration::from_secs(15);
/// Between two looks.
const RESOLVE_PAUSE: Duration = Duration::from_millis(100);
/// Owners that a batch is sent to before it is carried out here.
const OWNERS_ASKED_MAX: u32 = 2;
/// A book that changes under the lane is taken up again this often before the batch is refused.
const EXTENSIONS_MAX: u32 = 8;

/// One instrument's lane.
pub struct Worker {
    pub(super) db: Db,
    pub(super) clock: Clock,
    pub(super) instrument: Instrument,
    pub(super) owners: Owners,
    pub(super) ownership: Arc<Ownership>,
    /// Batches that may be open at once in this process.
    pub(super) turns: Arc<Semaphore>,
    pub(super) memory: Mutex<Option<Memory>>,
}

/// Why a batch has no answers of its own.
enum Failure {
    /// Nothing was done.
    Undone(DbError),
    /// It may have been done.
    Unknown,
    /// The matcher or a row is at fault.
    Broken(Error),
}

impl Worker {
    /// Answers a batch, item by item: the lane's owner carries it out. Who can't reach the owner becomes it.
    pub async fn run(&self, items: Vec<Item>) -> Vec<Answer> {
        let mut may_be_done = false;
        for _ in 0..OWNERS_ASKED_MAX {
            let ctx = self.context(TRANSACTION_WITHIN);
            let owner = match self.ownership.find(&ctx).await {
                Ok(Owner::Other(owner)) => owner,
                Ok(Owner::This) => break,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a lane's owner can't be looked up; the lock decides");
                    break;
                }
            };
            match self.ownership.forward(&owner, &self.instrument.symbol, &items).await {
                Ok(answers) => return answers,
                Err(PeerError::Refused(StatusCode::MISDIRECTED_REQUEST)) => self.ownership.doubt(),
                Err(error) => {
                    tracing::warn!(
                        instrument = &*self.instrument.symbol,
                        owner = &*owner.address,
                        error = &error as &dyn std::error::Error,
                        "the lane's owner is of no help; its lane is taken over"
                    );
                    may_be_done = matches!(error, PeerError::Lost(_));
                    // Waiting for the answer has used the other one's time up.
                    self.ownership.take_over(&self.context(TRANSACTION_WITHIN), &owner).await;
                    break;
                }
            }
        }
        self.run_here(items, may_be_done).await
    }

    async fn run_here(&self, items: Vec<Item>, may_be_done: bool) -> Vec<Answer> {
        let _turn = self.turns.acquire().await.expect("the turns' semaphore is never closed");
        let ctx = self.context(TRANSACTION_WITHIN);
        let accounts = items.iter().map(|item| item.account);
        let looked_up = self.owners.load(&ctx, accounts).await;
        let mut answers: Vec<Option<Answer>> =
            items.iter().map(|item| self.refusal(item, &looked_up, may_be_done)).collect();
        let (places, tasks): (Vec<usize>, Vec<Task>) = items
            .iter()
            .enumerate()
            .filter(|(at, _)| answers[*at].is_none())
            .map(|(at, item)| (at, Task { account: item.account, command: item.command.clone() }))
            .unzip();
        metrics::histogram!("weir_trading_batch_commands").record(tasks.len() as f64);
        let (done, token) = self.carry_out(&tasks, may_be_done).await;
        for (at, answer) in places.into_iter().zip(done) {
            if answer.is_ok() {
                items[at].ctx.wrote(&token);
            }
            answers[at] = Some(answer);
        }
        answers.into_iter().map(|answer| answer.expect("a task was made of what was not refused")).collect()
    }

    /// Why an item has no part in the batch, if it hasn't.
    fn refusal(&self, item: &Item, looked_up: &Result<(), DbError>, may_be_done: bool) -> Option<Answer> {
        if item.ctx.remaining().is_zero() {
            return Some(Err(if may_be_done { Error::Unknown } else { Error::NoTurn }));
        }
        match self.owners.known(item.account) {
            Some(owner) => self.owners.authorize(&item.ctx, owner.as_deref()).err().map(Err),
            None => Some(Err(match looked_up {
                Ok(()) => Error::NotFound,
                Err(_) if may_be_done => Error::Unknown,
                Err(error) => Error::Undone(error.clone()),
            })),
        }
    }

    /// Carries the tasks out, all in one transaction. Where the database refuses that, in halves, so that one that
    /// can't be done fails alone.
    fn carry_out<'a>(&'a self, tasks: &'a [Task], may_be_done: bool) -> BoxFuture<'a, (Vec<Answer>, Token)> {
        async move {
            if tasks.is_empty() {
                return (Vec::new(), Token::default());
            }
            match self.commit(tasks, may_be_done).await {
                Ok((answers, token)) => (answers, token),
                Err(Failure::Unknown) => (refuse_all(tasks, || Error::Unknown), Token::default()),
                Err(Failure::Undone(error)) => {
                    tracing::warn!(
                        instrument = &*self.instrument.symbol,
                        error = &error as &dyn std::error::Error,
                        "a batch could not be carried out"
                    );
                    (refuse_all(tasks, || Error::Undone(error.clone())), Token::default())
                }
                Err(Failure::Broken(error)) if tasks.len() == 1 => (vec![Err(error)], Token::default()),
                Err(Failure::Broken(error)) => {
                    tracing::error!(
                        instrument = &*self.instrument.symbol,
                        error = &error as &dyn std::error::Error,
                        "a batch is broken; its halves are tried"
                    );
                    let (first, second) = tasks.split_at(tasks.len() / 2);
                    let (mut answers, mut token) = self.carry_out(first, may_be_done).await;
                    let (others, other_token) = self.carry_out(second, may_be_done).await;
                    answers.extend(others);
                    token.merge(&other_token);
                    (answers, token)
                }
            }
        }
        .boxed()
    }

    /// One transaction, run again where that is sure to do nothing twice. After an unknown outcome the next attempt waits
    /// for the instrument's lock, which the lost backend holds as long as it may still commit; what it then finds in
    /// `command` has happened, and the rest has not.
    /// `may_be_done` says that the outcome is unknown from the start: another process was to do it.
    async fn commit(&self, tasks: &[Task], may_be_done: bool) -> Result<(Vec<Answer>, Token), Failure> {
        let give_up = Instant::now() + RESOLVE_WITHIN;
        let lost: Mutex<Option<HashSet<usize>>> = Mutex::new(None);
        let mut is_unknown = may_be_done;
        let mut extensions = 0;
        loop {
            let ctx = self.context(TRANSACTION_WITHIN);
            match self.transaction(&ctx, tasks, is_unknown, &lost).await {
                Ok(mut done) => {
                    if let Some(lost) = lost.lock().take().filter(|_| is_unknown) {
                        own_up(&mut done.answers, &lost);
                    }
                    *self.memory.lock() = Some(done.memory);
                    if done.met_others {
                        self.ownership.doubt();
                    }
                    let mut token = ctx.token().without_streams();
                    if let Some(seq) = done.seq {
                        token.add_stream(self.instrument.id.0, seq);
                    }
                    return Ok((done.answers, token));
                }
                Err(Stopped::Extend(memory)) if extensions < EXTENSIONS_MAX => {
                    extensions += 1;
                    *self.memory.lock() = Some(*memory);
                }
                Err(Stopped::Extend(_)) if is_unknown => return Err(Failure::Unknown),
                Err(Stopped::Extend(_)) => return Err(Failure::Undone(DbError::Busy)),
                Err(Stopped::Db(DbError::Unknown)) => {
                    is_unknown = true;
                    metrics::counter!("weir_trading_unknown_outcomes_total").increment(1);
                    tracing::warn!(instrument = &*self.instrument.symbol, "a commit's outcome is not known");
                }
                Err(Stopped::Db(error)) if is_unknown && Instant::now() < give_up => {
                    tracing::debug!(%error, "the unknown outcome can't be looked up yet");
                    tokio::time::sleep(RESOLVE_PAUSE).await;
                }
                Err(_) if is_unknown => return Err(Failure::Unknown),
                Err(Stopped::Db(error @ (DbError::Sql { .. } | DbError::Row { .. } | DbError::Doomed))) => {
                    return Err(Failure::Broken(Error::Db(error)));
                }
                Err(Stopped::Db(error)) => return Err(Failure::Undone(error)),
                Err(Stopped::Broken(error)) => return Err(Failure::Broken(error)),
            }
            if is_unknown && Instant::now() >= give_up {
                return Err(Failure::Unknown);
            }
        }
    }

    async fn transaction(
        &self,
        ctx: &Context,
        tasks: &[Task],
        is_repeat: bool,
        lost: &Mutex<Option<HashSet<usize>>>,
    ) -> Result<Done, Stopped> {
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    // Taken, not borrowed: an attempt that fails has spoilt it.
                    let memory = self.memory.lock().take();
                    let done = attempt(tx, &self.instrument, memory, tasks, ctx.now()).await?;
                    if !is_repeat {
                        *lost.lock() = Some(first_done(&done.answers));
                    }
                    Ok(done)
                })
            })
            .await
    }

    fn context(&self, within: Duration) -> Context {
        Context::background(self.clock.clone()).with_priority(Priority::Critical).with_deadline(within)
    }
}

/// The tasks that this attempt does, if it commits; the others had been done before.
fn first_done(answers: &[Answer]) -> HashSet<usize> {
    let is_first = |answer: &Answer| match answer {
        Ok(reply) => !reply.is_duplicate(),
        Err(Error::Rejected { duplicate, .. }) => !duplicate,
        Err(_) => false,
    };
    answers.iter().enumerate().filter(|(_, answer)| is_first(answer)).map(|(at, _)| at).collect()
}

/// What the lost attempt had done was this command's own effect, not an earlier one's.
fn own_up(answers: &mut [Answer], lost: &HashSet<usize>) {
    for (at, answer) in answers.iter_mut().enumerate() {
        match answer {
            Ok(reply) if lost.contains(&at) => *reply.duplicate_mut() = false,
            Err(Error::Rejected { duplicate, .. }) if lost.contains(&at) => *duplicate = false,
            _ => {}
        }
    }
}

fn refuse_all(tasks: &[Task], error: impl Fn() -> Error) -> Vec<Answer> {
    tasks.iter().map(|_| Err(error())).collect()
}
