//! Who came first goes first, whoever is ready first.

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A line in the order of joining.
#[derive(Default)]
pub(super) struct Turns(Mutex<Option<oneshot::Receiver<()>>>);

/// A place in it.
pub(super) struct Place {
    /// Closed when the one before has gone.
    before: Option<oneshot::Receiver<()>>,
    turn: Turn,
}

/// The turn: the next one's comes when it is dropped.
pub(super) struct Turn(#[expect(dead_code, reason = "it tells by being dropped")] oneshot::Sender<()>);

impl Turns {
    /// Takes the place behind all others.
    pub(super) fn join(&self) -> Place {
        let (gone, behind) = oneshot::channel();
        Place { before: self.0.lock().replace(behind), turn: Turn(gone) }
    }
}

impl Place {
    /// Waits until all before have gone.
    pub(super) async fn come(self) -> Turn {
        if let Some(before) = self.before {
            // An error is what it is told by.
            let _ = before.await;
        }
        self.turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn turns_come_in_the_order_of_joining_whoever_asks_first() {
        let turns = Turns::default();
        let (first, second, third) = (turns.join(), turns.join(), turns.join());
        let mut third = Box::pin(third.come());
        assert!(third.as_mut().now_or_never().is_none());
        let mut second = Box::pin(second.come());
        assert!(second.as_mut().now_or_never().is_none());
        let turn = first.come().await;
        assert!(second.as_mut().now_or_never().is_none());
        drop(turn);
        let turn = second.await;
        assert!(third.as_mut().now_or_never().is_none());
        drop(turn);
        third.await;
    }
}
