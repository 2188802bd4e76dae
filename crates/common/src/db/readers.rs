//! Which standby answers: power of two choices among those that are fit. One that fails, lags or falls silent leaves, and
//! comes back by a probe that no caller waits for.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pool::Pool;

/// How long a reader that left is left alone before it is probed.
const EJECTED_FOR: Duration = Duration::from_secs(1);
/// A reader that has not answered for so long when it is given up, by the deadline or the caller, has fallen silent.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// One standby.
pub(super) struct Reader {
    pub(super) pool: Pool,
    in_flight: AtomicUsize,
    /// When to probe it next, if it has left.
    ejected_until: Mutex<Option<Instant>>,
    /// When it last answered anybody.
    heard_at: Mutex<Option<Instant>>,
}

/// All standbys of a set.
#[derive(Clone)]
pub(super) struct Readers(Arc<[Arc<Reader>]>);

/// A reader that is being asked; counts as in flight until dropped.
pub(super) struct Asked {
    reader: Arc<Reader>,
    since: OnceLock<Instant>,
    is_judged: bool,
}

impl Readers {
    pub(super) fn new(pools: Vec<Pool>) -> Self {
        let reader = |pool| Reader {
            pool,
            in_flight: AtomicUsize::new(0),
            ejected_until: Mutex::default(),
            heard_at: Mutex::default(),
        };
        Self(pools.into_iter().map(|pool| Arc::new(reader(pool))).collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.0.iter().map(|reader| &**reader)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The less busy one of two fit readers picked at random, but none of `passed`; `None` when none is fit.
    pub(super) fn choose(&self, passed: &[Arc<Reader>]) -> Option<Asked> {
        let is_passed = |reader: &Arc<Reader>| passed.iter().any(|p| Arc::ptr_eq(p, reader));
        let fit: Vec<&Arc<Reader>> =
            self.0.iter().filter(|r| r.ejected_until.lock().is_none() && !is_passed(r)).collect();
        let first = fit.get(fastrand::usize(..fit.len().max(1)))?;
        let second = fit[fastrand::usize(..fit.len())];
        let load = |r: &Reader| r.in_flight.load(Ordering::Relaxed);
        Some(Asked::new(if load(second) < load(first) { second } else { first }))
    }

    /// The readers that have been left alone for long enough. Each is given out once: the probe judges it.
    pub(super) fn due_for_probe(&self) -> Vec<Asked> {
        let now = Instant::now();
        let is_due = |reader: &&Arc<Reader>| {
            let mut until = reader.ejected_until.lock();
            let is_due = until.is_some_and(|t| t <= now);
            if is_due {
                *until = Some(now + EJECTED_FOR);
            }
            is_due
        };
        self.0.iter().filter(is_due).map(Asked::new).collect()
    }
}

impl Asked {
    fn new(reader: &Arc<Reader>) -> Self {
        reader.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { reader: reader.clone(), since: OnceLock::new(), is_judged: false }
    }

    /// The question is on its way; what came before, such as the wait for a connection, is not the standby's fault.
    pub(super) fn sent(&self) {
        let _ = self.since.set(Instant::now());
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.reader.pool
    }

    /// It answered: it is fit.
    pub(super) fn answered(mut self) {
        self.is_judged = true;
        self.reader.hear();
        *self.reader.ejected_until.lock() = None;
    }

    /// What it answered is of no use here, and no reason to leave it alone.
    pub(super) fn passed(mut self) -> Arc<Reader> {
        self.is_judged = true;
        self.reader.hear();
        self.reader.clone()
    }

    /// It failed or lags: others are asked for a while.
    pub(super) fn left(mut self, why: &'static str) -> Arc<Reader> {
        self.is_judged = true;
        self.reader.eject(why);
        self.reader.clone()
    }
}

impl Reader {
    fn hear(&self) {
        *self.heard_at.lock() = Some(Instant::now());
    }

    fn eject(&self, why: &'static str) {
        let name = self.pool.name().to_owned();
        tracing::debug!(reader = name, why, "a standby is left alone");
        metrics::counter!("weir_readers_ejected_total", "reader" => name, "why" => why).increment(1);
        *self.ejected_until.lock() = Some(Instant::now() + EJECTED_FOR);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.reader.in_flight.fetch_sub(1, Ordering::Relaxed);
        // A long read whose caller went away is no silence of a standby that answers others meanwhile.
        let is_silent = |since: &Instant| {
            since.elapsed() >= SILENCE_MAX && self.reader.heard_at.lock().is_none_or(|heard| heard < *since)
        };
        if !self.is_judged && self.since.get().is_some_and(is_silent) {
            self.reader.eject("silent");
        }
    }
}
