//! Single flight: many callers of one key share one load, which runs in a task of its own.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use uuid::Uuid;

use super::fence::Versioned;
use crate::db::DbError;

type Outcome<V> = Result<Arc<Versioned<V>>, DbError>;
/// The timeline that the load began on, the stream, the name within it.
type Key = (u32, Uuid, Arc<str>);
type Loading<V> = Shared<BoxFuture<'static, Outcome<V>>>;

/// The loads under way of one cache.
pub(super) struct Flight<V> {
    loads: Arc<Mutex<HashMap<Key, Loading<V>>>>,
}

impl<V> Default for Flight<V> {
    fn default() -> Self {
        Self { loads: Arc::default() }
    }
}

impl<V: Send + Sync + 'static> Flight<V> {
    /// Joins the load of `key` that is under way, or starts one. Dropping the answer doesn't stop the load.
    pub(super) fn join<F>(&self, key: Key, load: impl FnOnce() -> F) -> Loading<V>
    where
        F: Future<Output = Outcome<V>> + Send + 'static,
    {
        let mut loads = self.loads.lock();
        if let Some(loading) = loads.get(&key) {
            return loading.clone();
        }
        let (all, this) = (self.loads.clone(), key.clone());
        let load = load();
        let task = tokio::spawn(async move {
            let outcome = std::panic::AssertUnwindSafe(load).catch_unwind().await;
            all.lock().remove(&this);
            outcome.unwrap_or_else(|_| Err(DbError::unavailable("a load panicked")))
        });
        let loading =
            async move { task.await.unwrap_or_else(|e| Err(DbError::unavailable(e))) }.boxed().shared();
        loads.insert(key, loading.clone());
        loading
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_hundred_callers_share_one_load_though_the_first_goes_away() {
        let flight = Arc::new(Flight::<u32>::default());
        let (loads, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let join = || {
            let (loads, gate) = (loads.clone(), gate.clone());
            flight.join((1, Uuid::nil(), "k".into()), || async move {
                loads.fetch_add(1, Ordering::SeqCst);
                let _turn = gate.acquire().await;
                Ok(Arc::new(Versioned { version: 1, value: Some(7) }))
            })
        };
        drop(join());
        let waiting: Vec<_> = (0..100).map(|_| tokio::spawn(join())).collect();
        gate.add_permits(1);
        for waiter in waiting {
            assert_eq!(waiter.await.unwrap().unwrap().value, Some(7));
        }
        assert_eq!(loads.load(Ordering::SeqCst), 1);
        assert_eq!(join().await.unwrap().value, Some(7));
        assert_eq!(loads.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn an_error_is_shared_and_a_panic_is_an_error() {
        let flight = Flight::<u32>::default();
        let failing = flight.join((1, Uuid::nil(), "k".into()), || async { Err(DbError::Timeout) });
        let other = flight.join((1, Uuid::nil(), "k".into()), || async { Err(DbError::Busy) });
        assert!(matches!((failing.await, other.await), (Err(DbError::Timeout), Err(DbError::Timeout))));
        let panics = flight.join((1, Uuid::nil(), "p".into()), || async { panic!("as a test wants it") });
        assert!(matches!(panics.await, Err(DbError::Unavailable(_))));
    }
}
