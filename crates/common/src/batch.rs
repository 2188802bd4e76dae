//! The collector: a batch is what arrived while the previous one was under way. There is no timer, so a lone
//! item waits for nobody, and a crowd shares one transaction. Used for group commit and for loading by keys.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use metrics::{Gauge, Histogram, gauge, histogram};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::context::Context;

/// What bounds a batcher. Every number is at least 1.
#[derive(Debug)]
pub struct BatchOptions<I> {
    /// The label in metrics, such as `trading.lane`.
    pub name: &'static str,
    /// Items in one batch at most.
    pub items_max: usize,
    /// Bytes in one batch at most, as `weigh` counts them.
    pub bytes_max: usize,
    /// Items that may wait for their batch. Who comes when it is full waits for room until its deadline.
    pub queue_max: usize,
    /// Batches under way at most. With 1 they run one after another, in the order of arrival.
    pub in_flight_max: usize,
    /// How many bytes an item counts for.
    pub weigh: fn(&I) -> usize,
}

impl<I> BatchOptions<I> {
    /// Batches of at most `items_max`, one after another, with room for four more batches to wait.
    pub fn new(name: &'static str, items_max: usize) -> Self {
        Self {
            name,
            items_max,
            bytes_max: usize::MAX,
            queue_max: items_max.saturating_mul(4),
            in_flight_max: 1,
            weigh: |_| 0,
        }
    }
}

/// Why an item has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// No room came free in the queue before the deadline. The item was not taken.
    #[error("too much is waiting to be batched")]
    Full,
    /// The item alone weighs more than a batch may. It was not taken.
    #[error("the item is larger than a batch may be")]
    TooLarge,
    /// The program is shutting down. The item was not taken.
    #[error("no more is taken: shutting down")]
    Closed,
    /// The deadline passed first. The item was taken and is still carried out: the outcome is not known yet.
    #[error("the batch was not done in time; its outcome is not known")]
    Unanswered,
    /// The batch's work panicked or gave no result for the item: the outcome is not known.
    #[error("the batch broke; its outcome is not known")]
    Broken,
}

/// Hands items to their batch and each result back. Clones share the queue.
pub struct Batcher<I, O> {
    shared: Arc<Shared<I, O>>,
}

struct Shared<I, O> {
    queue: mpsc::Sender<Waiting<I, O>>,
    weigh: fn(&I) -> usize,
    bytes_max: usize,
    depth: Arc<Depth>,
}

struct Waiting<I, O> {
    item: I,
    bytes: usize,
    since: Instant,
    answer: oneshot::Sender<Result<O, BatchError>>,
}

impl<I, O> Clone for Batcher<I, O> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<I: Send + 'static, O: Send + 'static> Batcher<I, O> {
    /// Starts a batcher that runs `work` on each batch. `work` gives one result for each item, in their order.
    ///
    /// It ends when `shutdown` is cancelled or the last clone is dropped: no more is taken then, and what was
    /// taken is carried out first. `tasks` has it, so that a shutdown can wait for that.
    pub fn spawn<F>(
        options: BatchOptions<I>,
        shutdown: &CancellationToken,
        tasks: &TaskTracker,
        work: impl Fn(Vec<I>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Vec<O>> + Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(options.queue_max.max(1));
        let BatchOptions { name, bytes_max, in_flight_max, weigh, .. } = options;
        let depth = Arc::new(Depth::of(name));
        let collector = Collector {
            options,
            receiver,
            overweight: None,
            depth: depth.clone(),
            in_flight: Arc::new(Semaphore::new(in_flight_max.max(1))),
            size: histogram!("weir_batch_items", "batcher" => name),
            wait: histogram!("weir_batch_wait_seconds", "batcher" => name),
            work: Arc::new(work),
            tasks: tasks.clone(),
        };
        tasks.spawn(collector.run(shutdown.clone()));
        Self { shared: Arc::new(Shared { queue: sender, weigh, bytes_max, depth }) }
    }

    /// Puts an item into the next batch that has room and waits for its result, both until the context's
    /// deadline. A caller that goes away meanwhile loses nothing but the result: what was taken is carried out.
    pub async fn submit(&self, ctx: &Context, item: I) -> Result<O, BatchError> {
        let bytes = (self.shared.weigh)(&item);
        if bytes > self.shared.bytes_max {
            return Err(BatchError::TooLarge);
        }
        let room = match timeout_at(ctx.deadline(), self.shared.queue.reserve()).await {
            Ok(Ok(room)) => room,
            Ok(Err(_)) => return Err(BatchError::Closed),
            Err(_) => return Err(BatchError::Full),
        };
        let result = self.shared.put(room, item, bytes);
        answered(ctx.deadline(), result).await
    }

    /// Puts an item into the next batch that has room, in the order of the calls and without waiting: refused at once
    /// when the queue is full. The future waits for the result until the context's deadline.
    pub fn offer(
        &self,
        ctx: &Context,
        item: I,
    ) -> Result<impl Future<Output = Result<O, BatchError>> + Send + use<I, O>, BatchError> {
        let bytes = (self.shared.weigh)(&item);
        if bytes > self.shared.bytes_max {
            return Err(BatchError::TooLarge);
        }
        let room = match self.shared.queue.try_reserve() {
            Ok(room) => room,
            Err(mpsc::error::TrySendError::Closed(())) => return Err(BatchError::Closed),
            Err(mpsc::error::TrySendError::Full(())) => return Err(BatchError::Full),
        };
        let result = self.shared.put(room, item, bytes);
        Ok(answered(ctx.deadline(), result))
    }
}

impl<I, O> Shared<I, O> {
    fn put(
        &self,
        room: mpsc::Permit<'_, Waiting<I, O>>,
        item: I,
        bytes: usize,
    ) -> oneshot::Receiver<Result<O, BatchError>> {
        let (answer, result) = oneshot::channel();
        self.depth.add(1);
        room.send(Waiting { item, bytes, since: Instant::now(), answer });
        result
    }
}

async fn answered<O>(
    deadline: Instant,
    result: oneshot::Receiver<Result<O, BatchError>>,
) -> Result<O, BatchError> {
    match timeout_at(deadline, result).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(BatchError::Broken),
        Err(_) => Err(BatchError::Unanswered),
    }
}

struct Collector<I, O, W> {
    options: BatchOptions<I>,
    receiver: mpsc::Receiver<Waiting<I, O>>,
    /// The first item of the next batch: it would have made the last one too heavy.
    overweight: Option<Waiting<I, O>>,
    depth: Arc<Depth>,
    in_flight: Arc<Semaphore>,
    size: Histogram,
    wait: Histogram,
    work: Arc<W>,
    tasks: TaskTracker,
}

impl<I, O, F, W> Collector<I, O, W>
where
    I: Send + 'static,
    O: Send + 'static,
    F: Future<Output = Vec<O>> + Send + 'static,
    W: Fn(Vec<I>) -> F + Send + Sync + 'static,
{
    async fn run(mut self, shutdown: CancellationToken) {
        loop {
            // First a place, then the items: what arrives while all places are taken makes the next batch.
            let place = self.in_flight.clone().acquire_owned().await.expect("it is never closed");
            let Some(batch) = self.collect(&shutdown).await else { return };
            let work = self.work.clone();
            self.tasks.spawn(async move {
                carry_out(batch, &*work).await;
                drop(place);
            });
        }
    }

    /// The next batch; `None` when there will be no more.
    async fn collect(&mut self, shutdown: &CancellationToken) -> Option<Vec<Waiting<I, O>>> {
        let first = match self.overweight.take() {
            Some(first) => first,
            None => self.first(shutdown).await?,
        };
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < self.options.items_max
            && let Ok(next) = self.receiver.try_recv()
        {
            bytes = bytes.saturating_add(next.bytes);
            if bytes > self.options.bytes_max {
                self.overweight = Some(next);
                break;
            }
            batch.push(next);
        }
        self.depth.remove(batch.len());
        self.size.record(batch.len() as f64);
        self.wait.record(batch[0].since.elapsed().as_secs_f64());
        Some(batch)
    }

    async fn first(&mut self, shutdown: &CancellationToken) -> Option<Waiting<I, O>> {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                // Nobody else gets in; those that are in are still received.
                self.receiver.close();
                self.receiver.recv().await
            }
            first = self.receiver.recv() => first,
        }
    }
}

/// Runs one batch and gives each item its result, whatever becomes of the work.
async fn carry_out<I, O, F>(batch: Vec<Waiting<I, O>>, work: &impl Fn(Vec<I>) -> F)
where
    F: Future<Output = Vec<O>>,
{
    let (items, answers): (Vec<I>, Vec<_>) =
        batch.into_iter().map(|waiting| (waiting.item, waiting.answer)).unzip();
    let results = AssertUnwindSafe(async { work(items).await }).catch_unwind().await;
    match results {
        Ok(results) if results.len() == answers.len() => {
            for (answer, result) in answers.into_iter().zip(results) {
                // Who went away doesn't want it.
                let _ = answer.send(Ok(result));
            }
        }
        broken => {
            let results = broken.as_ref().map(Vec::len).ok();
            tracing::error!(items = answers.len(), ?results, "a batch panicked or lost count of its items");
            for answer in answers {
                let _ = answer.send(Err(BatchError::Broken));
            }
        }
    }
}

/// How many items wait. Batchers of one name share one gauge, so it is moved and never set.
struct Depth {
    gauge: Gauge,
    waiting: AtomicUsize,
}

impl Depth {
    fn of(name: &'static str) -> Self {
        Self { gauge: gauge!("weir_batch_queue_depth", "batcher" => name), waiting: AtomicUsize::new(0) }
    }

    fn add(&self, count: usize) {
        self.waiting.fetch_add(count, Ordering::Relaxed);
        self.gauge.increment(count as f64);
    }

    fn remove(&self, count: usize) {
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        self.gauge.decrement(count as f64);
    }
}

impl Drop for Depth {
    fn drop(&mut self) {
        self.gauge.decrement(*self.waiting.get_mut() as f64);
    }
}

#[cfg(test)]
mod tests;
