//! A line of those who must wait, first come, first served. Joining it takes a place at once, before anything is awaited.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// The line. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Line {
    head: Arc<Mutex<()>>,
    length: Arc<AtomicUsize>,
}

/// Somebody's place in it; given up when dropped.
pub(super) struct Place {
    waiting: Pin<Box<dyn Future<Output = OwnedMutexGuard<()>> + Send>>,
    /// The turn, if nobody was before.
    first: Option<OwnedMutexGuard<()>>,
    counted: Counted,
}

/// The one whose turn it is, until it is dropped.
pub(super) struct Turn {
    _head: OwnedMutexGuard<()>,
    _counted: Counted,
}

struct Counted(Arc<AtomicUsize>);

impl Line {
    /// Whether nobody waits and it is nobody's turn.
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }

    /// Takes the place behind all others.
    pub(super) fn join(&self) -> Place {
        self.length.fetch_add(1, Ordering::AcqRel);
        let mut waiting = Box::pin(self.head.clone().lock_owned());
        // The mutex is fair: its first poll takes the place.
        let first = waiting.as_mut().now_or_never();
        Place { waiting, first, counted: Counted(self.length.clone()) }
    }
}

impl Place {
    /// Waits until all before have had their turn.
    pub(super) async fn turn(self) -> Turn {
        let head = match self.first {
            Some(head) => head,
            None => self.waiting.await,
        };
        Turn { _head: head, _counted: self.counted }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn turns_come_in_the_order_of_joining_whoever_asks_first() {
        let line = Line::default();
        let (first, second, third) = (line.join(), line.join(), line.join());
        let turn = first.turn().await;
        let mut third = Box::pin(third.turn());
        let mut second = Box::pin(second.turn());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(second.as_mut().now_or_never().is_none());
        drop(turn);
        assert!(third.as_mut().now_or_never().is_none());
        assert!(!line.is_empty());
        drop(second.await);
        drop(third.await);
        assert!(line.is_empty());
    }
}
