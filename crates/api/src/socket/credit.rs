//! Credit: how much the client of a socket may have under way, so that back-pressure reaches it before it sends.
//!
//! All sockets of a module, and whoever else brings it the same work, borrow from one [`CreditPool`]. A socket's grant is
//! a share of what is free (the dynamic thresholds of Choudhury and Hahne, 1998): however many sockets send all that they
//! may, some stays free for who has nothing yet; and the pool never lends more than it has. The client is told by the
//! `credit` of a frame whenever it changed and with each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::context::Context;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout_at;

use super::error::{Class, SocketError};
use super::problems::NO_CREDIT;

/// A socket is granted this part of what is free.
const SHARE: u32 = 8;
/// A grant that fell rises again when its share is larger than it by this part of it, so that it doesn't go to and fro.
const RISE_MARGIN: u32 = 4;
/// A client is told of a changed grant at most so often, beside its answers.
const TELL_PAUSE: Duration = Duration::from_millis(200);
/// When a client that sent more than it was granted may try again, should it not wait for credit.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What a module can have under way. Clones share it.
#[derive(Clone, Debug)]
pub struct CreditPool(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    room: Arc<Semaphore>,
    total: u32,
    each_max: u32,
    /// What each socket is granted now.
    grant: watch::Sender<u32>,
}

impl CreditPool {
    /// A pool that lends `total`, of which one socket is granted `each_max` while most is free.
    pub fn new(total: u32, each_max: u32) -> Self {
        let room = Arc::new(Semaphore::new(total as usize));
        let grant = watch::Sender::new(graded(each_max, total / SHARE));
        Self(Arc::new(Pool { room, total, each_max, grant }))
    }

    /// The account of one socket.
    pub fn open(&self) -> Credit {
        let grant = self.0.grant.subscribe();
        Credit { pool: self.0.clone(), grant, told: AtomicU32::new(0), under_way: Arc::default() }
    }

    /// Takes `amount` for somebody without an account, waiting for it until the context's deadline. `None` when it did
    /// not come free, or is more than there is.
    pub async fn take(&self, ctx: &Context, amount: u32) -> Option<Taken> {
        let room = self.0.room.clone().acquire_many_owned(amount);
        let permit = match amount <= self.0.total {
            true => timeout_at(ctx.deadline(), room).await.ok()?.ok()?,
            false => return None,
        };
        Some(Taken::new(self.0.clone(), permit, amount, None))
    }
}

impl Pool {
    /// Grants anew after something was taken or given back.
    fn regrant(&self) {
        self.grant.send_if_modified(|grant| {
            // Asked under the lock: of two who give back at once the later one sees what both gave.
            let free = self.room.available_permits() as u32;
            let now = regranted(*grant, self.each_max, free, self.total);
            std::mem::replace(grant, now) != now
        });
    }
}

/// The largest of `each_max`, its half, its quarter, … and 0 that is no more than `share`: few steps, so that clients are
/// not told of every little change.
fn graded(each_max: u32, share: u32) -> u32 {
    let mut grant = each_max;
    while grant > share {
        grant /= 2;
    }
    grant
}

/// What is granted when this much is free: less at once, more with a margin.
fn regranted(grant: u32, each_max: u32, free: u32, total: u32) -> u32 {
    let share = free / SHARE;
    let low = graded(each_max, share);
    if low < grant || free == total {
        return low;
    }
    graded(each_max, share - share / (RISE_MARGIN + 1)).max(grant)
}

/// One socket's account with the pool.
#[derive(Debug)]
pub struct Credit {
    pool: Arc<Pool>,
    grant: watch::Receiver<u32>,
    /// What the client was told last.
    told: AtomicU32,
    under_way: Arc<AtomicU32>,
}

impl Credit {
    /// Takes `amount` for a message. Refused when more would be under way than the client was told of, or when other
    /// sockets have taken the rest meanwhile.
    pub fn take(&self, amount: u32) -> Result<Taken, SocketError> {
        let (granted, under_way) =
            (self.told.load(Ordering::Relaxed), self.under_way.load(Ordering::Acquire));
        let refused = |why: &str| {
            let detail = format!(
                "the message takes {amount}, {under_way} are under way and {granted} are granted; {why}"
            );
            SocketError::of(&NO_CREDIT)
                .class(Class::Throttled)
                .after(RETRY_AFTER)
                .detail(detail)
                .with("needed", amount)
                .with("under_way", under_way)
        };
        if under_way.saturating_add(amount) > granted {
            return Err(refused("send less at once, or wait for answers or for more credit"));
        }
        let permit = self.pool.room.clone().try_acquire_many_owned(amount);
        let permit = permit.map_err(|_| refused("but the service has no room left"))?;
        Ok(Taken::new(self.pool.clone(), permit, amount, Some(self.under_way.clone())))
    }

    /// What the client is told now and may rely on from now on.
    pub(super) fn tell(&self) -> u32 {
        let now = *self.grant.borrow();
        self.told.store(now, Ordering::Relaxed);
        now
    }

    /// An item at once, and one each time when there may be something new to tell.
    pub(super) fn changes(&self) -> BoxStream<'static, ()> {
        let mut grant = self.grant.clone();
        grant.mark_changed();
        unfold((grant, true), |(mut grant, first)| async move {
            grant.changed().await.ok()?;
            if !first {
                tokio::time::sleep(TELL_PAUSE).await;
                grant.borrow_and_update();
            }
            Some(((), (grant, false)))
        })
        .boxed()
    }
}

/// Credit that was taken: given back when this is dropped. It goes where the work goes, for work that was taken is carried
/// out also when the socket has gone.
#[derive(Debug)]
pub struct Taken {
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
    amount: u32,
    account: Option<Arc<AtomicU32>>,
}

impl Taken {
    fn new(
        pool: Arc<Pool>,
        permit: OwnedSemaphorePermit,
        amount: u32,
        account: Option<Arc<AtomicU32>>,
    ) -> Self {
        if let Some(account) = &account {
            account.fetch_add(amount, Ordering::AcqRel);
        }
        pool.regrant();
        Self { pool, permit: Some(permit), amount, account }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.fetch_sub(self.amount, Ordering::AcqRel);
        }
        drop(self.permit.take());
        self.pool.regrant();
    }
}

#[cfg(test)]
mod tests {
    use common::context::Clock;

    use super::*;

    const TOTAL: u32 = 8_000;
    const EACH_MAX: u32 = 500;

    fn told(pool: &CreditPool) -> u32 {
        pool.open().tell()
    }

    #[test]
    fn what_is_granted_shrinks_while_the_pool_empties_and_comes_back() {
        let pool = CreditPool::new(TOTAL, EACH_MAX);
        let sockets: Vec<Credit> = (0..200).map(|_| pool.open()).collect();
        let (mut taken, mut grants) = (Vec::new(), vec![EACH_MAX]);
        for socket in &sockets {
            let granted = socket.tell();
            assert!(granted <= *grants.last().unwrap());
            grants.push(granted);
            if granted > 0 {
                taken.push(socket.take(granted).unwrap());
            }
        }
        let lent: u32 = taken.iter().map(|taken| taken.amount).sum();
        assert!(lent < TOTAL, "some stays free for who comes");
        grants.dedup();
        assert_eq!(grants, [500, 250, 125, 62, 31, 15, 7, 3, 1, 0]);
        while let Some(back) = taken.pop() {
            drop(back);
            assert!(told(&pool) >= *grants.last().unwrap());
        }
        assert_eq!(told(&pool), EACH_MAX);
    }

    #[test]
    fn more_than_was_granted_is_refused_and_takes_nothing() {
        let pool = CreditPool::new(TOTAL, EACH_MAX);
        let socket = pool.open();
        assert!(socket.take(1).is_err(), "before anything was granted");
        socket.tell();
        let first = socket.take(400).unwrap();
        let refused = socket.take(101).unwrap_err();
        assert_eq!((&*refused.code, refused.class), ("no-credit", Class::Throttled));
        assert!(refused.after_ms.is_some());
        let second = socket.take(100).unwrap();
        assert_eq!(socket.take(1).unwrap_err().more["under_way"], 500);
        drop((first, second));
        socket.take(500).unwrap();
    }

    #[test]
    fn what_was_told_holds_until_something_else_is_told_or_nothing_is_left() {
        let pool = CreditPool::new(TOTAL, EACH_MAX);
        let early = pool.open();
        early.tell();
        let others: Vec<Credit> = (0..20).map(|_| pool.open()).collect();
        let lent: Vec<Taken> = others.iter().filter_map(|other| other.take(other.tell()).ok()).collect();
        assert!(told(&pool) <= EACH_MAX / 4);
        let taken = early.take(EACH_MAX).expect("it was told before the others took theirs");
        drop(taken);
        let rest = pool.0.room.clone().try_acquire_many_owned(pool.0.room.available_permits() as u32);
        assert!(early.take(EACH_MAX).unwrap_err().detail.as_ref().unwrap().contains("no room"));
        drop((rest, lent));
    }

    #[test]
    fn a_grant_does_not_go_to_and_fro_at_an_edge() {
        let edge = EACH_MAX * SHARE;
        let fallen = regranted(EACH_MAX, EACH_MAX, edge - 1, TOTAL);
        assert_eq!(fallen, EACH_MAX / 2);
        assert_eq!(regranted(fallen, EACH_MAX, edge + 1, TOTAL), fallen);
        assert_eq!(regranted(fallen, EACH_MAX, edge + edge / 4 + SHARE, TOTAL), EACH_MAX);
    }

    #[tokio::test]
    async fn who_has_no_account_waits_for_room_until_its_deadline() {
        let pool = CreditPool::new(10, 10);
        let ctx = Context::background(Clock::default());
        let all = pool.take(&ctx, 10).await.unwrap();
        assert!(pool.take(&ctx.with_deadline(Duration::from_millis(5)), 1).await.is_none());
        assert!(pool.take(&ctx, 11).await.is_none(), "it will never come free");
        let (next, ()) = tokio::join!(pool.take(&ctx, 10), async { drop(all) });
        assert!(next.is_some());
    }
}
