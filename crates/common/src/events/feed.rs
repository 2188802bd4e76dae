//! Feeds: reading a stream from a number and going on live, gapless and in order, whatever a subscriber's pace.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use uuid::Uuid;

use super::log::{self, StreamKey};
use crate::context::{Clock, Context};
use crate::db::{Db, DbError, Freshness};
use crate::event::Event;

/// The latest events that a watched stream keeps in memory; whoever is further behind reads the table.
const RECENT_MAX: usize = 2_048;
/// Events that a subscriber is given at once.
const PAGE_MAX: usize = 256;
/// How long a feed waits for the table.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a subscription can't go on.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The numbers from there on are no longer kept: take a snapshot and go on after it.
    #[error("events after {after} are no longer kept")]
    Reset {
        /// Where the subscriber was.
        after: i64,
    },
    /// The table can't be read now. The subscription stays valid: ask again.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The process shuts down.
    #[error("the feed is closed")]
    Closed,
}

/// A module's watched streams. Clones share them.
#[derive(Clone)]
pub struct Feeds {
    inner: Arc<Inner>,
}

struct Inner {
    db: Db,
    clock: Clock,
    streams: Mutex<std::collections::HashMap<Uuid, Weak<Watched>>>,
}

/// A stream that somebody in this process follows.
struct Watched {
    key: StreamKey,
    head: watch::Sender<i64>,
    recent: Mutex<VecDeque<Arc<Event>>>,
    feeds: Weak<Inner>,
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(feeds) = self.feeds.upgrade() {
            let mut streams = feeds.streams.lock();
            // A new one may have taken its place since the last subscriber left.
            if streams.get(&self.key.id).is_some_and(|w| w.strong_count() == 0) {
                streams.remove(&self.key.id);
            }
        }
    }
}

/// One reader of one stream.
pub struct Subscription {
    feeds: Feeds,
    watched: Arc<Watched>,
    head: watch::Receiver<i64>,
    after: i64,
    /// Whether the table was read to its end once: what was committed before this process watched is not announced.
    looked: bool,
}

impl Feeds {
    pub(crate) fn new(db: Db, clock: Clock) -> Self {
        Self { inner: Arc::new(Inner { db, clock, streams: Mutex::default() }) }
    }

    /// Follows `stream` from the event after `after`.
    pub fn subscribe(&self, stream: StreamKey, after: i64) -> Subscription {
        let watched = {
            let mut streams = self.inner.streams.lock();
            match streams.get(&stream.id).and_then(Weak::upgrade) {
                Some(watched) => watched,
                None => {
                    let watched = Arc::new(Watched {
                        key: stream,
                        head: watch::Sender::new(0),
                        recent: Mutex::default(),
                        feeds: Arc::downgrade(&self.inner),
                    });
                    streams.insert(stream.id, Arc::downgrade(&watched));
                    watched
                }
            }
        };
        let head = watched.head.subscribe();
        Subscription { feeds: self.clone(), watched, head, after, looked: false }
    }

    /// Streams that are followed here.
    pub(crate) fn watched(&self) -> Vec<Uuid> {
        self.inner.streams.lock().keys().copied().collect()
    }

    /// A stream has moved to `head`.
    pub(crate) fn moved(&self, stream: Uuid, head: i64) {
        let watched = self.inner.streams.lock().get(&stream).and_then(Weak::upgrade);
        if let Some(watched) = watched {
            watched.advance(head);
        }
    }

    /// Events that this process committed: followers get them without reading the table.
    pub(crate) fn offer(&self, events: &[Arc<Event>]) {
        let mut last: Option<Arc<Watched>> = None;
        for event in events {
            if last.as_ref().is_none_or(|w| w.key.id != event.stream) {
                if let Some(done) = last.take() {
                    done.announce();
                }
                last = self.inner.streams.lock().get(&event.stream).and_then(Weak::upgrade);
            }
            if let Some(watched) = &last {
                watched.keep(event);
            }
        }
        if let Some(done) = last {
            done.announce();
        }
    }
}

impl Watched {
    fn keep(&self, event: &Arc<Event>) {
        let mut recent = self.recent.lock();
        match recent.back() {
            // Two commits may be told of in either order; what doesn't follow on is read from the table.
            Some(back) if back.seq + 1 != event.seq => {
                if event.seq > back.seq {
                    recent.clear();
                    recent.push_back(event.clone());
                }
            }
            _ => recent.push_back(event.clone()),
        }
        if recent.len() > RECENT_MAX {
            recent.pop_front();
        }
    }

    fn announce(&self) {
        let head = self.recent.lock().back().map(|e| e.seq);
        if let Some(head) = head {
            self.advance(head);
        }
    }

    fn advance(&self, to: i64) {
        self.head.send_if_modified(|head| {
            let moved = to > *head;
            *head = to.max(*head);
            moved
        });
    }

    fn recent_after(&self, after: i64) -> Vec<Arc<Event>> {
        let recent = self.recent.lock();
        match recent.front() {
            Some(front) if front.seq <= after + 1 => {
                let skip = (after + 1 - front.seq) as usize;
                recent.iter().skip(skip).take(PAGE_MAX).cloned().collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Subscription {
    /// The number of the last event given out.
    pub fn position(&self) -> i64 {
        self.after
    }

    /// The last number that this process knows of; 0 before the first look.
    pub fn head(&self) -> i64 {
        *self.head.borrow()
    }

    /// Goes on after `after` from here: for a reader that took a snapshot at that number.
    pub fn skip_to(&mut self, after: i64) {
        self.after = after;
    }

    /// The next events, in order and without a gap; waits until there are some. Cancel safe.
    pub async fn next(&mut self) -> Result<Vec<Arc<Event>>, FeedError> {
        loop {
            let events = self.watched.recent_after(self.after);
            if !events.is_empty() {
                return Ok(self.give(events));
            }
            let head = *self.head.borrow_and_update();
            if head > self.after || !self.looked {
                let events = self.read().await?;
                // A full page may have another one behind it.
                self.looked = events.len() < PAGE_MAX;
                if !events.is_empty() {
                    return Ok(self.give(events));
                }
                continue;
            }
            self.head.changed().await.map_err(|_| FeedError::Closed)?;
        }
    }

    fn give(&mut self, events: Vec<Arc<Event>>) -> Vec<Arc<Event>> {
        if let Some(last) = events.last() {
            self.after = last.seq;
        }
        events
    }

    async fn read(&self) -> Result<Vec<Arc<Event>>, FeedError> {
        let inner = &self.feeds.inner;
        let ctx = Context::background(inner.clock.clone())
            .with_priority(crate::context::Priority::Normal)
            .with_deadline(READ_TIMEOUT);
        let key = self.watched.key;
        let events = log::read(&inner.db, &ctx, Freshness::Seen, key, self.after, PAGE_MAX as i64).await?;
        if let Some(first) = events.first() {
            if first.seq != self.after + 1 {
                return Err(FeedError::Reset { after: self.after });
            }
            return Ok(events.into_iter().map(Arc::new).collect());
        }
        // None: either all is read, or all that follows was dropped.
        let told = *self.head.borrow();
        let mut head = log::head(&inner.db, &ctx, Freshness::Seen, key.id).await?.unwrap_or(0);
        if head < self.after.max(told) {
            // A standby that is behind, or numbers that a promotion has lost.
            head = log::head(&inner.db, &ctx, Freshness::Strong, key.id).await?.unwrap_or(0);
            self.watched.recent.lock().retain(|event| event.seq <= head);
            if head < self.after {
                return Err(FeedError::Reset { after: self.after });
            }
            self.watched.head.send_if_modified(|known| {
                // Nobody has to be woken to wait for less.
                if *known == told {
                    *known = head;
                }
                false
            });
        }
        self.watched.advance(head);
        if head > self.after {
            // Committed between the two reads, or dropped with its month.
            let again =
                log::read(&inner.db, &ctx, Freshness::Strong, key, self.after, PAGE_MAX as i64).await?;
            return match again.first() {
                Some(first) if first.seq == self.after + 1 => Ok(again.into_iter().map(Arc::new).collect()),
                _ => Err(FeedError::Reset { after: self.after }),
            };
        }
        Ok(Vec::new())
    }
}
