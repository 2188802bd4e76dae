//! A lane: all commands of one instrument, in batches. A batch is what arrived while the previous commit was in flight,
//! so a hot instrument costs one fsync per batch and a quiet one waits for nobody.
//!
//! Of several processes one carries an instrument's lane, and the others hand their batches to it. The lock in the database,
//! not the lane, decides who may write: two that both carry it stay correct, and the one that finds a number it doesn't know
//! takes in what the other wrote.

mod attempt;
pub mod command;
mod decide;
pub mod forward;
mod memory;
mod ownership;
mod worker;

use std::future::Future;
use std::sync::Arc;

use api::Peers;
use common::DataPath;
use common::batch::{BatchError, BatchOptions, Batcher};
use common::context::Context;
use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::command::{Answer, Command, Flight, Item, Reply};
use self::ownership::Ownership;
use self::worker::Worker;
use crate::error::Error;
use crate::model::{AccountId, Instrument};
use crate::service::Owners;

/// Commands in one transaction at most.
pub const BATCH_MAX: usize = 256;
/// Commands that may wait in one lane; more are refused before acceptance.
pub const QUEUE_MAX: usize = 4_096;

/// One instrument's queue of commands. Clones share it.
#[derive(Clone)]
pub struct Lane {
    batcher: Batcher<Item, Answer>,
    ownership: Arc<Ownership>,
}

impl Lane {
    /// Opens the lane. `turns` are shared by all lanes of the process.
    pub(crate) fn open(
        dp: &DataPath,
        peers: Option<Peers>,
        instrument: Instrument,
        owners: Owners,
        turns: Arc<Semaphore>,
    ) -> Self {
        let ownership = Arc::new(Ownership::new(peers, dp.db.clone(), instrument.id));
        let worker = Arc::new(Worker {
            ownership: ownership.clone(),
            db: dp.db.clone(),
            clock: dp.clock.clone(),
            instrument,
            owners,
            turns,
            memory: Mutex::new(None),
        });
        let options = BatchOptions { queue_max: QUEUE_MAX, ..BatchOptions::new("trading.lane", BATCH_MAX) };
        let work = move |items| {
            let worker = worker.clone();
            async move { worker.run(items).await }
        };
        Self { batcher: Batcher::spawn(options, &dp.shutdown, &dp.tasks, work), ownership }
    }

    /// Queues a command. The call keeps the order of the callers; the future waits for the commit. A caller that goes
    /// away takes nothing back.
    pub fn submit(
        &self,
        ctx: &Context,
        account: AccountId,
        command: Command,
        flight: Option<Flight>,
    ) -> impl Future<Output = Result<Reply, Error>> + Send + use<> {
        let item = Item { ctx: ctx.clone(), account, command, _flight: flight };
        match self.batcher.offer(ctx, item) {
            Ok(result) => {
                result.map(|result| result.unwrap_or_else(|error| Err(refused(error)))).left_future()
            }
            Err(error) => std::future::ready(Err(refused(error))).right_future(),
        }
    }
}

fn refused(error: BatchError) -> Error {
    match error {
        BatchError::Full | BatchError::TooLarge | BatchError::Closed => Error::LaneFull,
        BatchError::Unanswered | BatchError::Broken => Error::Unknown,
    }
}
