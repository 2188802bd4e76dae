//! What everybody sees of a book: an immutable snapshot by levels, swapped in whole, and the latest changes. It follows the
//! instrument's events, in the process whose lane writes them as in any other. A read takes no lock that a write wants.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use common::DataPath;
use common::context::{Context, Priority};
use common::db::{DbError, Freshness};
use common::events::log::LIST_EVENTS;
use common::events::{Event, FeedError};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::error::Error;
use crate::events::{MATCHED, Matched, instrument_stream};
use crate::matching::checksum;
use crate::model::Instrument;
use crate::store::orders::{LevelRows, list_levels};
use crate::wire;

/// Changes that are kept for subscribers that are a little behind; whoever is further behind gets a snapshot.
const RECENT_MAX: usize = 1_024;
/// After a failure, before the next try.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long the rows of a book may take to be read.
const LOAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a read waits for a number that is on its way, when the caller names no time of its own.
const CATCH_UP_WITHIN: Duration = Duration::from_millis(500);

/// Price and quantity per level, best first.
pub type Levels = Vec<(i64, i64)>;

/// A book by levels after the instrument's event `seq`.
#[derive(Debug)]
pub struct Snapshot {
    /// The instrument's last event in it.
    pub seq: i64,
    /// Who buys.
    pub bids: Levels,
    /// Who sells.
    pub asks: Levels,
    /// Of the ten best levels of each side.
    pub checksum: u32,
    json: OnceLock<Arc<RawValue>>,
}

/// What the events from `first` to `seq` changed.
#[derive(Debug)]
pub struct Delta {
    /// The first of them.
    pub first: i64,
    /// The last of them.
    pub seq: i64,
    /// Levels that changed, best first, with their quantity now; 0: gone.
    pub bids: Levels,
    /// The same of the other side.
    pub asks: Levels,
    /// Of the ten best levels of each side after it.
    pub checksum: u32,
    json: OnceLock<Arc<RawValue>>,
}

/// What a subscriber is told next.
pub enum Told {
    /// All levels.
    Snapshot(Arc<Snapshot>),
    /// What changed since.
    Delta(Arc<Delta>),
}

/// One instrument's view. It starts to follow when somebody first looks.
pub struct View {
    dp: DataPath,
    instrument: Instrument,
    state: OnceLock<Arc<State>>,
}

struct State {
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    recent: Mutex<VecDeque<Arc<Delta>>>,
}

/// One reader of the book's changes.
pub struct BookFeed {
    state: Arc<State>,
    snapshot: watch::Receiver<Option<Arc<Snapshot>>>,
    at: Option<i64>,
}

impl View {
    /// Of this instrument.
    pub fn new(dp: &DataPath, instrument: Instrument) -> Self {
        Self { dp: dp.clone(), instrument, state: OnceLock::new() }
    }

    /// The book, no older than `min_seq` and than what the caller has written.
    pub async fn read(&self, ctx: &Context, min_seq: i64) -> Result<Arc<Snapshot>, Error> {
        let wanted = min_seq.max(ctx.token().seq(self.instrument.id.0).unwrap_or(0));
        let mut snapshot = self.state().snapshot.subscribe();
        let within = ctx.wait().max(CATCH_UP_WITHIN).min(ctx.remaining());
        let fit = |snapshot: &Option<Arc<Snapshot>>| snapshot.as_ref().is_some_and(|book| book.seq >= wanted);
        if let Ok(Ok(book)) = tokio::time::timeout(within, snapshot.wait_for(fit)).await {
            return Ok(book.clone().expect("it fits"));
        }
        let at = snapshot.borrow().as_ref().map_or(0, |book| book.seq);
        Err(Error::BookBehind { at, wanted })
    }

    /// The book as it is in memory now, if anybody has looked yet.
    pub fn loaded(&self) -> Option<Arc<Snapshot>> {
        self.state.get().and_then(|state| state.snapshot.borrow().clone())
    }

    /// Follows the book: from a snapshot, or from after `resume_from` when that is still at hand.
    pub fn follow(&self, resume_from: Option<i64>) -> BookFeed {
        let state = self.state().clone();
        let snapshot = state.snapshot.subscribe();
        let at = resume_from.filter(|from| state.reaches_back_to(*from));
        BookFeed { state, snapshot, at }
    }

    fn state(&self) -> &Arc<State> {
        self.state.get_or_init(|| {
            let state = Arc::new(State { snapshot: watch::Sender::new(None), recent: Mutex::default() });
            let run = keep_up(self.dp.clone(), self.instrument.clone(), state.clone());
            let shutdown = self.dp.shutdown.clone();
            self.dp.tasks.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = run => {}
                }
            });
            state
        })
    }
}

/// Loads the book and applies the instrument's events to it, for ever.
async fn keep_up(dp: DataPath, instrument: Instrument, state: Arc<State>) {
    loop {
        let ctx =
            Context::background(dp.clock.clone()).with_priority(Priority::Normal).with_deadline(LOAD_WITHIN);
        let loaded = list_levels(&dp.db, &ctx, Freshness::Strong, instrument.id).await;
        let followed = match loaded {
            Ok(levels) => {
                state.restart(Snapshot::of(levels));
                state.keep_up(&dp, &instrument).await
            }
            Err(error) => Err(FeedError::Db(error)),
        };
        match followed {
            Ok(()) | Err(FeedError::Closed) => return,
            Err(FeedError::Reset { .. }) => {}
            Err(error) => {
                tracing::warn!(
                    instrument = &*instrument.symbol,
                    error = &error as &dyn std::error::Error,
                    "a book's view is loaded again"
                );
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

impl State {
    async fn keep_up(&self, dp: &DataPath, instrument: &Instrument) -> Result<(), FeedError> {
        let from = self.snapshot.borrow().as_ref().map_or(0, |book| book.seq);
        let mut events = dp.feeds.subscribe(instrument_stream(instrument.id), from);
        loop {
            match events.next().await {
                Ok(events) => {
                    for event in events {
                        self.apply(&event).map_err(|error| DbError::row(LIST_EVENTS.0.name, error))?;
                    }
                }
                Err(FeedError::Db(error)) => {
                    tracing::debug!(%error, "a book's events can't be read now");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn apply(&self, event: &Event) -> Result<(), serde_json::Error> {
        let Some(before) = self.snapshot.borrow().clone() else { return Ok(()) };
        let matched = if event.kind == MATCHED {
            Matched::deserialize(&event.body)?
        } else {
            Matched { checksum: before.checksum, ..Matched::default() }
        };
        let after = Snapshot {
            seq: event.seq,
            bids: merge(&before.bids, &matched.bids, |a, b| a > b),
            asks: merge(&before.asks, &matched.asks, |a, b| a < b),
            checksum: matched.checksum,
            json: OnceLock::new(),
        };
        debug_assert_eq!(after.checksum, Snapshot::sum(&after.bids, &after.asks));
        let delta = Delta {
            first: event.seq,
            seq: event.seq,
            bids: matched.bids,
            asks: matched.asks,
            checksum: matched.checksum,
            json: OnceLock::new(),
        };
        {
            let mut recent = self.recent.lock();
            recent.push_back(Arc::new(delta));
            if recent.len() > RECENT_MAX {
                recent.pop_front();
            }
        }
        self.snapshot.send_replace(Some(Arc::new(after)));
        Ok(())
    }

    fn restart(&self, snapshot: Snapshot) {
        self.recent.lock().clear();
        self.snapshot.send_replace(Some(Arc::new(snapshot)));
    }

    fn reaches_back_to(&self, seq: i64) -> bool {
        let at = self.snapshot.borrow().as_ref().map(|book| book.seq);
        at == Some(seq)
            || self.recent.lock().front().is_some_and(|delta| delta.first <= seq + 1 && Some(seq) < at)
    }

    /// What changed after `seq`, as one; `None` when that is no longer at hand.
    fn since(&self, seq: i64) -> Option<Arc<Delta>> {
        let recent = self.recent.lock();
        let front = recent.front().filter(|delta| delta.first <= seq + 1)?;
        let skip = usize::try_from(seq + 1 - front.first).ok()?;
        let mut missed = recent.iter().skip(skip);
        let first = missed.next()?;
        let last = missed.clone().last();
        let Some(last) = last else { return Some(first.clone()) };
        let (mut bids, mut asks) = (BTreeMap::new(), BTreeMap::new());
        for delta in std::iter::once(first).chain(missed) {
            bids.extend(delta.bids.iter().copied());
            asks.extend(delta.asks.iter().copied());
        }
        Some(Arc::new(Delta {
            first: first.first,
            seq: last.seq,
            bids: bids.into_iter().rev().collect(),
            asks: asks.into_iter().collect(),
            checksum: last.checksum,
            json: OnceLock::new(),
        }))
    }
}

impl BookFeed {
    /// The number that the reader is at; `None` before its first snapshot.
    pub fn position(&self) -> Option<i64> {
        self.at
    }

    /// What the reader is told next; waits until there is something. What came while it did not ask is one change, or a
    /// snapshot. `None` when the program ends.
    pub async fn next(&mut self) -> Option<Told> {
        loop {
            let book = self.snapshot.borrow_and_update().clone();
            match (book, self.at) {
                (Some(book), Some(at)) if book.seq > at => {
                    let told = match self.state.since(at) {
                        Some(delta) => Told::Delta(delta),
                        None => Told::Snapshot(book),
                    };
                    self.at = Some(told.seq());
                    return Some(told);
                }
                (Some(book), None) => {
                    self.at = Some(book.seq);
                    return Some(Told::Snapshot(book));
                }
                _ => self.snapshot.changed().await.ok()?,
            }
        }
    }
}

impl Told {
    /// The number that it leads to.
    pub fn seq(&self) -> i64 {
        match self {
            Self::Snapshot(book) => book.seq,
            Self::Delta(delta) => delta.seq,
        }
    }

    /// Its wire form, made once for all who are told the same.
    pub fn json(&self, on: &Instrument) -> Result<Arc<RawValue>, serde_json::Error> {
        let (cell, first, bids, asks, checksum) = match self {
            Self::Snapshot(it) => (&it.json, None, &it.bids, &it.asks, it.checksum),
            Self::Delta(it) => (&it.json, Some(it.first), &it.bids, &it.asks, it.checksum),
        };
        if let Some(json) = cell.get() {
            return Ok(json.clone());
        }
        let update = wire::BookUpdate {
            instrument: on.symbol.to_string(),
            first,
            bids: wire::levels(on, bids),
            asks: wire::levels(on, asks),
            checksum,
        };
        let json: Arc<RawValue> = serde_json::value::to_raw_value(&update)?.into();
        Ok(cell.get_or_init(|| json).clone())
    }
}

impl Snapshot {
    fn of(levels: LevelRows) -> Self {
        let checksum = Self::sum(&levels.bids, &levels.asks);
        Self { seq: levels.head, bids: levels.bids, asks: levels.asks, checksum, json: OnceLock::new() }
    }

    fn sum(bids: &Levels, asks: &Levels) -> u32 {
        checksum(bids.iter().copied(), asks.iter().copied())
    }
}

/// Both lists are best first, as `better` says; a changed quantity replaces the old one, and 0 takes the level out.
fn merge(levels: &Levels, changes: &Levels, better: fn(i64, i64) -> bool) -> Levels {
    let mut merged = Vec::with_capacity(levels.len() + changes.len());
    let mut old = levels.iter().copied().peekable();
    for (price, quantity) in changes.iter().copied() {
        merged.extend(std::iter::from_fn(|| old.next_if(|(level, _)| better(*level, price))));
        old.next_if(|(level, _)| *level == price);
        if quantity > 0 {
            merged.push((price, quantity));
        }
    }
    merged.extend(old);
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: i64, bids: Levels, checksum: u32) -> Event {
        let body = serde_json::to_value(Matched { bids, checksum, ..Matched::default() }).unwrap();
        Event {
            stream_kind: "instrument".into(),
            stream: uuid::Uuid::nil(),
            seq,
            at: chrono::DateTime::UNIX_EPOCH,
            actor: String::new(),
            subject: String::new(),
            kind: MATCHED.into(),
            schema: 1,
            body,
        }
    }

    fn feed(state: &Arc<State>, at: Option<i64>) -> BookFeed {
        BookFeed { state: state.clone(), snapshot: state.snapshot.subscribe(), at }
    }

    fn state() -> Arc<State> {
        let state = Arc::new(State { snapshot: watch::Sender::new(None), recent: Mutex::default() });
        state.restart(Snapshot::of(LevelRows { head: 4, bids: vec![(10, 1), (9, 1)], asks: vec![(12, 3)] }));
        state
    }

    #[test]
    fn changes_are_merged_in_order() {
        let bids = vec![(10, 1), (9, 1), (7, 1)];
        assert_eq!(
            merge(&bids, &vec![(11, 5), (9, 0), (8, 2)], |a, b| a > b),
            [(11, 5), (10, 1), (8, 2), (7, 1)]
        );
        assert_eq!(merge(&vec![(1, 1)], &vec![(0, 0), (1, 2), (5, 0)], |a, b| a < b), [(1, 2)]);
    }

    #[tokio::test]
    async fn a_reader_that_was_away_is_told_the_sum_of_what_it_missed() {
        let state = state();
        let mut reader = feed(&state, None);
        assert!(matches!(reader.next().await, Some(Told::Snapshot(book)) if book.seq == 4));
        let asks = vec![(12, 3)];
        for (seq, bids, after) in
            [(5, vec![(10, 4)], vec![(10, 4), (9, 1)]), (6, vec![(10, 0), (9, 2)], vec![(9, 2)])]
        {
            state.apply(&event(seq, bids, Snapshot::sum(&after, &asks))).unwrap();
        }
        let Some(Told::Delta(delta)) = reader.next().await else { panic!("a delta was expected") };
        assert_eq!((delta.first, delta.seq), (5, 6));
        assert_eq!(delta.bids, [(10, 0), (9, 2)]);
        assert_eq!(reader.position(), Some(6));
        let mut resumed = feed(&state, Some(5));
        assert!(matches!(resumed.next().await, Some(Told::Delta(delta)) if delta.first == 6));
    }

    #[tokio::test]
    async fn a_reader_from_before_what_is_kept_gets_a_snapshot() {
        let state = state();
        assert!(!state.reaches_back_to(3) && state.reaches_back_to(4) && !state.reaches_back_to(5));
        let mut reader = feed(&state, Some(2));
        assert!(matches!(reader.next().await, Some(Told::Snapshot(book)) if book.seq == 4));
    }
}
