//! One connection budget for the process: who may open how many, and who waits when they are in use.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::DbError;
use crate::context::Priority;

/// Of the connections in use, normal work leaves one in this many to critical work.
const CRITICAL_RESERVE_DIVISOR: usize = 8;
/// Background work holds at most one in this many.
const BACKGROUND_SHARE_DIVISOR: usize = 3;

/// The process's connections, all targets and roles together. Clones share it.
///
/// Opening is bounded by [`reserve`](Self::reserve): what pools, tails and workers may open adds up to no more than the
/// total. Use is bounded by classes: background work holds a third at most, normal work leaves an eighth to critical
/// work. Whatever a class doesn't use, the others may: nothing is set aside but those two shares.
#[derive(Clone, Debug)]
pub struct Budget {
    total: usize,
    reserved: Arc<Mutex<usize>>,
    background: Arc<Semaphore>,
    normal: Arc<Semaphore>,
}

/// More connections were asked for than the process may open.
#[derive(Debug, thiserror::Error)]
#[error(
    "{what} needs {wanted} database connections, but only {left} of {total} are left (database.connections)"
)]
pub struct BudgetExceeded {
    what: String,
    wanted: usize,
    left: usize,
    total: usize,
}

/// The right to use a connection for a while. Given back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Permit {
    _normal: Option<OwnedSemaphorePermit>,
    _background: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget of `total` connections.
    pub fn new(total: usize) -> Self {
        let background = (total / BACKGROUND_SHARE_DIVISOR).max(1);
        let normal = (total - total / CRITICAL_RESERVE_DIVISOR).max(1);
        Self {
            total,
            reserved: Arc::default(),
            background: Arc::new(Semaphore::new(background)),
            normal: Arc::new(Semaphore::new(normal)),
        }
    }

    /// Sets `wanted` connections aside for `what`, for as long as the process lives.
    pub fn reserve(&self, what: &str, wanted: usize) -> Result<(), BudgetExceeded> {
        let mut reserved = self.reserved.lock();
        let left = self.total - *reserved;
        if wanted > left {
            return Err(BudgetExceeded { what: what.to_owned(), wanted, left, total: self.total });
        }
        *reserved += wanted;
        Ok(())
    }

    /// Waits for the right to use a connection, until the deadline.
    pub(super) async fn permit(&self, priority: Priority, deadline: Instant) -> Result<Permit, DbError> {
        let take = |semaphore: &Arc<Semaphore>| {
            let semaphore = semaphore.clone();
            async move {
                let permit =
                    timeout_at(deadline, semaphore.acquire_owned()).await.map_err(|_| DbError::Busy)?;
                Ok(permit.expect("the budget's semaphores are never closed"))
            }
        };
        Ok(match priority {
            Priority::Critical => Permit { _normal: None, _background: None },
            Priority::Normal => Permit { _normal: Some(take(&self.normal).await?), _background: None },
            Priority::Background => {
                let background = take(&self.background).await?;
                Permit { _normal: Some(take(&self.normal).await?), _background: Some(background) }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;

    use super::*;

    /// A permit that can be had without waiting.
    fn at_once(budget: &Budget, priority: Priority) -> Option<Permit> {
        budget.permit(priority, Instant::now() + Duration::from_secs(60)).now_or_never()?.ok()
    }

    #[tokio::test]
    async fn background_work_leaves_room_and_gives_it_back() {
        let budget = Budget::new(9);
        let held = [at_once(&budget, Priority::Background), at_once(&budget, Priority::Background)];
        let third = at_once(&budget, Priority::Background);
        assert!(held.iter().all(Option::is_some) && third.is_some());
        assert!(at_once(&budget, Priority::Background).is_none());
        assert!(at_once(&budget, Priority::Normal).is_some());
        drop(third);
        assert!(at_once(&budget, Priority::Background).is_some());
    }

    #[tokio::test]
    async fn critical_work_is_never_kept_waiting_by_the_rest() {
        let budget = Budget::new(8);
        let mut held = Vec::new();
        while let Some(permit) = at_once(&budget, Priority::Normal) {
            held.push(permit);
        }
        assert_eq!(held.len(), 7);
        assert!(at_once(&budget, Priority::Critical).is_some());
    }

    #[test]
    fn no_more_is_reserved_than_there_is() {
        let budget = Budget::new(10);
        budget.reserve("writer", 8).unwrap();
        assert!(budget.reserve("reader", 3).is_err());
        budget.reserve("tail", 2).unwrap();
        assert!(budget.reserve("one more", 1).is_err());
    }
}
