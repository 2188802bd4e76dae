//! L1: values by stream, each with the stream's fence beside them, so that both leave together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::fence::Versioned;

/// Values of one stream at most; beyond it they start over.
const VALUES_PER_STREAM_MAX: usize = 1_024;

/// The streams of one cache.
pub(super) struct Local<V> {
    /// By the writer's timeline and the stream.
    streams: moka::sync::Cache<(u32, Uuid), Arc<Slot<V>>>,
}

/// One stream's values and the lowest version that is not known to be stale.
///
/// A load holds the slot that it began with. If the slot is evicted meanwhile, what the load puts there is seen by
/// nobody; if an invalidation came meanwhile, the fence refuses it.
pub(super) struct Slot<V> {
    fence: AtomicI64,
    values: Mutex<HashMap<Arc<str>, Kept<V>>>,
}

struct Kept<V> {
    found: Arc<Versioned<V>>,
    until: Instant,
}

impl<V: Send + Sync + 'static> Local<V> {
    pub(super) fn new(streams_max: u64) -> Self {
        Self { streams: moka::sync::Cache::new(streams_max) }
    }

    pub(super) fn slot(&self, timeline: u32, stream: Uuid) -> Arc<Slot<V>> {
        self.streams.get_with((timeline, stream), || {
            Arc::new(Slot { fence: AtomicI64::new(0), values: Mutex::default() })
        })
    }

    /// Nothing below `version` is given out from here on.
    pub(super) fn invalidate(&self, timeline: u32, stream: Uuid, version: i64) {
        if let Some(slot) = self.streams.get(&(timeline, stream)) {
            slot.raise(version);
        }
    }

    pub(super) fn streams(&self, timeline: u32) -> Vec<Uuid> {
        self.streams.iter().filter(|(key, _)| key.0 == timeline).map(|(key, _)| key.1).collect()
    }

    /// Frees what is there.
    pub(super) fn forget(&self) {
        self.streams.invalidate_all();
    }
}

impl<V> Slot<V> {
    /// A value that is neither expired nor below the fence.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Versioned<V>>> {
        let values = self.values.lock();
        let kept = values.get(key)?;
        let fresh = kept.until > Instant::now() && kept.found.version >= self.fence.load(Ordering::Acquire);
        fresh.then(|| kept.found.clone())
    }

    /// Whether the value was taken; it is not when it was read before an invalidation.
    pub(super) fn put(&self, key: &Arc<str>, found: &Arc<Versioned<V>>, ttl: Duration) -> bool {
        let mut values = self.values.lock();
        if found.version < self.fence.load(Ordering::Acquire) {
            return false;
        }
        if values.get(key).is_some_and(|kept| kept.found.version > found.version) {
            return true;
        }
        if values.len() >= VALUES_PER_STREAM_MAX {
            values.clear();
        }
        values.insert(key.clone(), Kept { found: found.clone(), until: Instant::now() + ttl });
        true
    }

    fn raise(&self, version: i64) {
        let before = self.fence.fetch_max(version, Ordering::AcqRel);
        if before < version {
            self.values.lock().retain(|_, kept| kept.found.version >= version);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(version: i64) -> Arc<Versioned<i64>> {
        Arc::new(Versioned { version, value: Some(version) })
    }

    #[test]
    fn a_value_read_before_an_invalidation_is_refused() {
        let local = Local::<i64>::new(10);
        let (stream, key, ttl) = (Uuid::from_u128(1), Arc::from("k"), Duration::from_secs(60));
        let slot = local.slot(1, stream);
        local.invalidate(1, stream, 5);
        assert!(!slot.put(&key, &found(4), ttl));
        assert!(slot.put(&key, &found(5), ttl));
        assert_eq!(slot.get("k").unwrap().version, 5);
        local.invalidate(1, stream, 6);
        assert!(slot.get("k").is_none());
        local.invalidate(1, stream, 3);
        assert!(!slot.put(&key, &found(5), ttl));
    }

    #[test]
    fn an_older_value_never_takes_a_newer_ones_place() {
        let local = Local::<i64>::new(10);
        let slot = local.slot(1, Uuid::from_u128(1));
        let (key, ttl) = (Arc::from("k"), Duration::from_secs(60));
        assert!(slot.put(&key, &found(7), ttl) && slot.put(&key, &found(6), ttl));
        assert_eq!(slot.get("k").unwrap().version, 7);
    }
}
