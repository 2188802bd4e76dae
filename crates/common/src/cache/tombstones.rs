//! Tombstones on their way to Redis. Until one is there, L2 may still give out what it is to bury, so L1's fence is
//! raised once more behind it, and while Redis refuses any, L2 is not read at all.

use std::collections::HashMap;

use futures_util::future::join_all;
use uuid::Uuid;

use super::Caches;
use crate::events::Moved;

/// Scripts that are sent to Redis together.
const SENT_TOGETHER: usize = 64;
/// Streams that may wait for their tombstone while Redis is away. With more, this process reads L2 no more until it
/// starts again, at the cursor in Redis, which has not moved.
const DUE_MAX: usize = 100_000;

/// What is still to be written.
pub(crate) struct Tombstones {
    caches: Caches,
    due: HashMap<Uuid, i64>,
    has_forgotten: bool,
}

impl Tombstones {
    pub(crate) fn new(caches: Caches) -> Self {
        Self { caches, due: HashMap::new(), has_forgotten: false }
    }

    /// Writes those of a look and those that are left over, then where the look got to. The cursor only moves when all
    /// of them are there.
    pub(crate) async fn bury(&mut self, moved: &[Moved], cursor: &str) {
        let Some(shared) = self.caches.inner.shared.clone() else { return };
        if self.has_forgotten || self.caches.inner.opened.read().is_empty() {
            return;
        }
        for it in moved {
            let head = self.due.entry(it.stream).or_default();
            *head = it.head.max(*head);
        }
        let due: Vec<(Uuid, i64)> = self.due.iter().map(|(stream, head)| (*stream, *head)).collect();
        for part in due.chunks(SENT_TOGETHER) {
            let raised = join_all(part.iter().map(|(stream, head)| shared.raise(*stream, *head))).await;
            for ((stream, head), _) in part.iter().zip(&raised).filter(|(_, is_there)| **is_there) {
                self.caches.invalidate(*stream, *head);
                self.due.remove(stream);
            }
            if raised.contains(&false) {
                break;
            }
        }
        if self.due.len() > DUE_MAX {
            tracing::error!(due = self.due.len(), "Redis was away for too long: its values are read no more");
            self.due = HashMap::new();
            self.has_forgotten = true;
        }
        let is_whole = self.due.is_empty() && !self.has_forgotten;
        self.caches.trust_shared(is_whole);
        if is_whole {
            shared.set_cursor(cursor).await;
        }
    }
}
