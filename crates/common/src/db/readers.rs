//! Which standby answers: power of two choices among those that are fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::pool::Pool;

/// How long a reader that failed is left alone before one read tries it again.
const EJECTED_FOR: Duration = Duration::from_secs(1);

/// One standby.
pub(super) struct Reader {
    pub(super) pool: Pool,
    in_flight: AtomicUsize,
    ejected_until: Mutex<Option<Instant>>,
}

/// All standbys of a set.
#[derive(Clone)]
pub(super) struct Readers(Arc<[Reader]>);

/// A reader that is being asked; counts as in flight until dropped.
pub(super) struct Asked<'a>(&'a Reader);

impl Readers {
    pub(super) fn new(pools: Vec<Pool>) -> Self {
        Self(
            pools
                .into_iter()
                .map(|pool| Reader { pool, in_flight: AtomicUsize::new(0), ejected_until: Mutex::new(None) })
                .collect(),
        )
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Reader> {
        self.0.iter()
    }

    /// The less busy one of two fit readers picked at random; `None` when none is fit.
    pub(super) fn choose(&self, not: Option<&Pool>) -> Option<Asked<'_>> {
        let now = Instant::now();
        let fit: Vec<&Reader> =
            self.iter().filter(|r| r.is_fit(now) && not.is_none_or(|p| p.name() != r.pool.name())).collect();
        let first = fit.get(fastrand::usize(..fit.len().max(1)))?;
        let second = fit[fastrand::usize(..fit.len())];
        let load = |r: &Reader| r.in_flight.load(Ordering::Relaxed);
        let chosen = if load(second) < load(first) { second } else { first };
        chosen.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Asked(chosen))
    }
}

impl Reader {
    /// A reader whose time-out has passed is fit again for the one read that takes it up: the probe.
    fn is_fit(&self, now: Instant) -> bool {
        let mut until = self.ejected_until.lock();
        match *until {
            Some(t) if t > now => false,
            Some(_) => {
                *until = Some(now + EJECTED_FOR);
                true
            }
            None => true,
        }
    }
}

impl Asked<'_> {
    pub(super) fn pool(&self) -> &Pool {
        &self.0.pool
    }

    /// It answered: it is fit.
    pub(super) fn answered(&self) {
        *self.0.ejected_until.lock() = None;
    }

    /// It failed: others are asked for a while.
    pub(super) fn failed(&self) {
        metrics::counter!("weir_readers_ejected_total", "reader" => self.0.pool.name().to_owned())
            .increment(1);
        *self.0.ejected_until.lock() = Some(Instant::now() + EJECTED_FOR);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
