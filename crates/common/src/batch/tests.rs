//! Batches of concurrent callers. Each test holds the batches back itself, so none depends on timing.

use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::*;
use crate::context::Clock;

const PATIENCE: Duration = Duration::from_secs(10);

struct Bench {
    shutdown: CancellationToken,
    tasks: TaskTracker,
    batcher: Batcher<u64, u64>,
    /// A batch takes one permit before it goes on.
    gate: Arc<Semaphore>,
    batches: Arc<Mutex<Vec<Vec<u64>>>>,
}

/// A batcher whose work doubles numbers, notes its batches, and panics at 13.
fn bench(options: BatchOptions<u64>) -> Bench {
    let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
    let (gate, batches) = (Arc::new(Semaphore::new(0)), Arc::new(Mutex::new(Vec::new())));
    let work = {
        let (gate, batches) = (gate.clone(), batches.clone());
        move |items: Vec<u64>| {
            let (gate, batches) = (gate.clone(), batches.clone());
            async move {
                batches.lock().push(items.clone());
                gate.acquire().await.unwrap().forget();
                assert!(!items.contains(&13), "a test's own panic");
                let lost = usize::from(items.contains(&14));
                items.into_iter().skip(lost).map(|n| n * 2).collect()
            }
        }
    };
    let batcher = Batcher::spawn(options, &shutdown, &tasks, work);
    Bench { shutdown, tasks, batcher, gate, batches }
}

impl Bench {
    fn open(&self) {
        self.gate.add_permits(1_000);
    }

    fn submit(&self, into: &mut JoinSet<(u64, Result<u64, BatchError>)>, item: u64) {
        self.submit_within(into, item, PATIENCE);
    }

    fn submit_within(&self, into: &mut JoinSet<(u64, Result<u64, BatchError>)>, item: u64, within: Duration) {
        let batcher = self.batcher.clone();
        let ctx = context(within);
        into.spawn(async move { (item, batcher.submit(&ctx, item).await) });
    }

    fn started(&self) -> usize {
        self.batches.lock().len()
    }

    fn waiting(&self) -> usize {
        self.batcher.shared.depth.waiting.load(Ordering::Relaxed)
    }
}

fn context(within: Duration) -> Context {
    Context::background(Clock::default()).with_deadline(within)
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_batch_is_what_arrived_while_the_previous_one_was_under_way() {
    let bench = bench(BatchOptions::new("test", 100));
    let mut calls = JoinSet::new();
    bench.submit(&mut calls, 0);
    until(|| bench.started() == 1).await;
    for item in 101..=130 {
        bench.submit(&mut calls, item);
    }
    until(|| bench.waiting() == 30).await;
    bench.open();
    while let Some(call) = calls.join_next().await {
        let (item, result) = call.unwrap();
        assert_eq!(result, Ok(item * 2));
    }
    assert_eq!(*bench.batches.lock(), [vec![0], (101..=130).collect()]);
}

#[tokio::test]
async fn batches_keep_to_their_size_and_weight() {
    let options = BatchOptions { bytes_max: 10, weigh: |&n| n as usize, ..BatchOptions::new("test", 4) };
    let bench = bench(options);
    let mut calls = JoinSet::new();
    assert_eq!(bench.batcher.submit(&context(PATIENCE), 11).await, Err(BatchError::TooLarge));
    bench.submit(&mut calls, 10);
    until(|| bench.started() == 1).await;
    for item in [5, 4, 2, 9, 1, 0, 0, 0, 0] {
        bench.submit(&mut calls, item);
        let waiting = bench.waiting() + 1;
        until(|| bench.waiting() == waiting).await;
    }
    bench.open();
    calls.join_all().await;
    let expected = [vec![10], vec![5, 4], vec![2], vec![9, 1, 0, 0], vec![0, 0]];
    assert_eq!(*bench.batches.lock(), expected);
}

#[tokio::test]
async fn a_full_queue_holds_callers_back_until_their_deadline() {
    let bench = bench(BatchOptions { queue_max: 2, ..BatchOptions::new("test", 1) });
    let mut calls = JoinSet::new();
    bench.submit(&mut calls, 0);
    until(|| bench.started() == 1).await;
    bench.submit(&mut calls, 1);
    bench.submit(&mut calls, 2);
    until(|| bench.waiting() == 2).await;
    let late = bench.batcher.submit(&context(Duration::from_millis(20)), 3).await;
    assert_eq!(late, Err(BatchError::Full));
    bench.submit(&mut calls, 4);
    bench.open();
    assert!(calls.join_all().await.into_iter().all(|(item, result)| result == Ok(item * 2)));
    assert!(!bench.batches.lock().concat().contains(&3));
}

#[tokio::test]
async fn who_goes_away_loses_nothing_but_the_result() {
    let bench = bench(BatchOptions::new("test", 100));
    let mut calls = JoinSet::new();
    bench.submit(&mut calls, 0);
    until(|| bench.started() == 1).await;
    bench.submit(&mut calls, 1);
    until(|| bench.waiting() == 1).await;
    calls.abort_all();
    while calls.join_next().await.is_some() {}
    bench.open();
    bench.submit(&mut calls, 2);
    assert_eq!(calls.join_all().await, [(2, Ok(4))]);
    assert_eq!(bench.batches.lock().concat(), [0, 1, 2]);
}

#[tokio::test]
async fn a_deadline_that_passes_meanwhile_leaves_the_outcome_open_and_the_item_in() {
    let bench = bench(BatchOptions::new("test", 100));
    let result = bench.batcher.submit(&context(Duration::from_millis(20)), 7).await;
    assert_eq!(result, Err(BatchError::Unanswered));
    bench.open();
    let result = bench.batcher.submit(&context(PATIENCE), 8).await;
    assert_eq!(result, Ok(16));
    assert_eq!(*bench.batches.lock(), [[7], [8]]);
}

#[tokio::test]
async fn a_panic_answers_its_batch_and_the_next_goes_on() {
    let bench = bench(BatchOptions::new("test", 100));
    let mut calls = JoinSet::new();
    bench.submit(&mut calls, 0);
    until(|| bench.started() == 1).await;
    bench.submit(&mut calls, 13);
    bench.submit(&mut calls, 5);
    until(|| bench.waiting() == 2).await;
    bench.open();
    for (item, result) in calls.join_all().await {
        assert_eq!(result, if item == 0 { Ok(0) } else { Err(BatchError::Broken) });
    }
    let ctx = context(PATIENCE);
    assert_eq!(bench.batcher.submit(&ctx, 14).await, Err(BatchError::Broken), "a result is missing");
    assert_eq!(bench.batcher.submit(&ctx, 6).await, Ok(12));
}

#[tokio::test]
async fn a_shutdown_takes_no_more_and_carries_out_what_is_in() {
    let bench = bench(BatchOptions::new("test", 2));
    let mut calls = JoinSet::new();
    bench.submit(&mut calls, 0);
    until(|| bench.started() == 1).await;
    for item in 1..=5 {
        bench.submit(&mut calls, item);
    }
    until(|| bench.waiting() == 5).await;
    bench.shutdown.cancel();
    bench.tasks.close();
    bench.open();
    bench.tasks.wait().await;
    assert_eq!(bench.batcher.submit(&context(PATIENCE), 9).await, Err(BatchError::Closed));
    assert!(calls.join_all().await.into_iter().all(|(item, result)| result == Ok(item * 2)));
    assert_eq!(bench.batches.lock().concat(), [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn it_ends_when_nobody_holds_it_any_more() {
    let Bench { tasks, batcher, .. } = bench(BatchOptions::new("test", 2));
    tasks.close();
    drop(batcher);
    tasks.wait().await;
}

#[tokio::test]
async fn several_batches_run_at_once_where_that_is_allowed() {
    let bench = bench(BatchOptions { in_flight_max: 3, ..BatchOptions::new("test", 1) });
    let mut calls = JoinSet::new();
    for item in 0..5 {
        bench.submit(&mut calls, item);
    }
    until(|| bench.started() == 3 && bench.waiting() == 2).await;
    bench.open();
    assert!(calls.join_all().await.into_iter().all(|(item, result)| result == Ok(item * 2)));
    assert_eq!(bench.started(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_item_of_many_callers_is_carried_out_once_and_has_its_own_result() {
    let bench = bench(BatchOptions { queue_max: 64, ..BatchOptions::new("test", 16) });
    bench.gate.add_permits(100_000);
    let mut calls = JoinSet::new();
    for caller in 0..50 {
        let batcher = bench.batcher.clone();
        calls.spawn(async move {
            for n in 0..100 {
                let item = 1_000 + caller * 100 + n;
                assert_eq!(batcher.submit(&context(PATIENCE), item).await, Ok(item * 2));
            }
        });
    }
    calls.join_all().await;
    let batches = bench.batches.lock();
    assert!(batches.iter().all(|batch| batch.len() <= 16));
    let all = batches.concat();
    assert_eq!((all.len(), all.iter().collect::<HashSet<_>>().len()), (5_000, 5_000));
}
