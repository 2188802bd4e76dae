//! Tombstones on their way to Redis. Until one is there, L2 may still give out what it is to bury, so L1's fence is
//! raised once more behind it, and while any is missing there, L2 is not read at all.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use uuid::Uuid;

use super::Caches;
use crate::events::Moved;

/// Scripts that are sent to Redis together.
const SENT_TOGETHER: usize = 64;
/// A look's tombstones take this long at most: the next look tells caches and channels of what moved meanwhile, and then
/// the rest goes on.
const SENT_WITHIN: Duration = Duration::from_millis(200);
/// Streams that may wait for their tombstone while Redis is away. With more, this process uses L2 no more until it
/// starts again, at the cursor in Redis, which it has not moved since.
const DUE_MAX: usize = 1_000_000;

/// What is still to be written, on one timeline.
pub(crate) struct Tombstones {
    caches: Caches,
    timeline: u32,
    due: HashMap<Uuid, i64>,
    /// Redis has said how far earlier runs got.
    has_begun: bool,
    has_given_up: bool,
}

impl Tombstones {
    pub(crate) fn new(caches: Caches) -> Self {
        caches.trust_shared(false);
        Self {
            timeline: caches.timeline(),
            caches,
            due: HashMap::new(),
            has_begun: false,
            has_given_up: false,
        }
    }

    /// Asks Redis, until it has answered once, where the tombstones of earlier runs end: what moved since is to be looked
    /// at again. Before the first look there is no timeline to ask for.
    pub(crate) async fn begin(&mut self) -> Option<String> {
        let shared = self.caches.inner.shared.clone().filter(|_| !self.has_begun && self.timeline != 0)?;
        let cursor = shared.cursor(self.timeline).await?;
        self.has_begun = true;
        cursor
    }

    /// Writes those of a look and those that are left over, then where the look got to. The cursor only moves when all
    /// of them are there.
    pub(crate) async fn bury(&mut self, moved: &[Moved], cursor: &str) {
        let Some(shared) = self.caches.inner.shared.clone() else { return };
        if self.has_given_up || self.caches.inner.opened.read().is_empty() {
            return;
        }
        for it in moved {
            let head = self.due.entry(it.stream).or_default();
            *head = it.head.max(*head);
        }
        if self.has_begun {
            self.write(&shared).await;
        }
        let is_whole = self.has_begun && self.due.is_empty();
        self.caches.trust_shared(is_whole);
        if is_whole {
            // From here on whatever is put there is known to whoever comes after this process.
            if shared.set_cursor(self.timeline, cursor).await {
                self.caches.open_shared(self.timeline);
            }
            return;
        }
        // Nothing comes out of L2 any more; what came since the fences were raised goes.
        for (stream, head) in &self.due {
            self.caches.invalidate(*stream, *head);
        }
        if self.due.len() > DUE_MAX {
            tracing::error!(due = self.due.len(), "Redis was away for too long: its cache is used no more");
            self.due = HashMap::new();
            self.has_given_up = true;
            self.caches.give_shared_up();
        }
    }

    async fn write(&mut self, shared: &super::Shared) {
        let until = Instant::now() + SENT_WITHIN;
        let due: Vec<(Uuid, i64)> = self.due.iter().map(|(stream, head)| (*stream, *head)).collect();
        for part in due.chunks(SENT_TOGETHER) {
            let raised =
                join_all(part.iter().map(|(stream, head)| shared.raise(self.timeline, *stream, *head))).await;
            for ((stream, head), _) in part.iter().zip(&raised).filter(|(_, is_there)| **is_there) {
                self.caches.invalidate(*stream, *head);
                self.due.remove(stream);
            }
            if raised.contains(&false) || Instant::now() > until {
                return;
            }
        }
    }
}
