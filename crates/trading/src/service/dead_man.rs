//! Timers that take an account's orders off unless its owner is heard of: one that the owner sets anew, and one that its
//! connection keeps. Each is a row, so that no crash loses it; whichever process works finds that it has run out, and turns
//! it into a sweep that is seen through.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::context::{Caller, Context, Priority};
use common::db::DbError;
use futures_util::StreamExt;
use futures_util::stream;
use parking_lot::Mutex;
use tokio::sync::RwLock;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Trading;
use crate::error::Error;
use crate::model::AccountId;
use crate::store::sweeps::{self, DeadMan, DeadManKind, SweepRow};

/// How often it is looked for timers that have run out.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the timers of open sockets are moved on.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// How long after the last renewal a process is taken for dead, and its sockets for closed.
const LEASE: Duration = Duration::from_secs(15);
/// Timers, and sweeps, that one look takes.
const DUE_MAX: i64 = 100;
/// Those of them that are carried out at once: a slow one holds up few others.
const AT_ONCE: usize = 16;
/// How long one of them may take before it is tried again.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);
/// How long a closed socket's last commands may take before its orders are let go.
const LAST_COMMANDS_WITHIN: Duration = Duration::from_secs(20);

/// The accounts of this process's open sockets whose orders depend on them: one hold for each account of each socket.
#[derive(Clone, Default)]
pub struct Attached {
    holds: Arc<Mutex<HashMap<Uuid, Hold>>>,
    /// Held while the timers are moved on, so that the last move of a closed socket comes last.
    renewing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Copy)]
struct Hold {
    timer: DeadMan,
    grace: Duration,
}

/// A socket's hold on an account's orders. Dropped, it lets them go, once the socket's last commands are decided.
pub struct Attachment {
    trading: Trading,
    id: Uuid,
    flights: Arc<RwLock<()>>,
}

impl Trading {
    /// Sets the account's dead-man timer, or stops it. When it will have run out.
    pub async fn set_dead_man(
        &self,
        ctx: &Context,
        account: AccountId,
        after: Option<Duration>,
    ) -> Result<Option<DateTime<Utc>>, Error> {
        self.owners.check(ctx, account).await?;
        let Some(after) = after else {
            sweeps::disarm(&self.dp.db, ctx, account, DeadManKind::Timer).await?;
            return Ok(None);
        };
        let fires_at = ctx.now() + after;
        let timer = DeadMan { account, kind: DeadManKind::Timer, arm: Uuid::now_v7() };
        sweeps::arm(&self.dp.db, ctx, timer, fires_at).await?;
        Ok(Some(fires_at))
    }

    /// Ties the account's orders to what is given back: `grace` after that is dropped, or its process has died, they are
    /// taken off. The newest hold on an account counts. `flights` are the socket's commands that are under way.
    pub async fn attach(
        &self,
        ctx: &Context,
        account: AccountId,
        grace: Duration,
        flights: &Arc<RwLock<()>>,
    ) -> Result<Attachment, Error> {
        self.owners.check(ctx, account).await?;
        let timer = DeadMan { account, kind: DeadManKind::Socket, arm: Uuid::now_v7() };
        // First here, then in its row: whatever becomes of this call, somebody knows of the row.
        let attachment = Attachment { trading: self.clone(), id: Uuid::now_v7(), flights: flights.clone() };
        self.attached.holds.lock().insert(attachment.id, Hold { timer, grace });
        loop {
            match sweeps::arm(&self.dp.db, ctx, timer, ctx.now() + LEASE + grace).await {
                Ok(()) => return Ok(attachment),
                // Setting it once more is the same.
                Err(DbError::Unknown) if !ctx.remaining().is_zero() => {}
                Err(error) => {
                    self.attached.holds.lock().remove(&attachment.id);
                    return Err(error.into());
                }
            }
        }
    }

    /// Unties the account's orders from whatever connection holds them.
    pub async fn detach(&self, ctx: &Context, account: AccountId) -> Result<(), Error> {
        self.owners.check(ctx, account).await?;
        self.attached.holds.lock().retain(|_, hold| hold.timer.account != account);
        Ok(sweeps::disarm(&self.dp.db, ctx, account, DeadManKind::Socket).await?)
    }

    /// Moves the timers of this process's sockets on, and has those that have run out do their work if this process works.
    pub(crate) fn start_dead_men(&self) {
        let (trading, until) = (self.clone(), self.dp.shutdown.clone());
        self.dp.tasks.spawn(async move {
            let mut every = RENEW_EVERY;
            while until.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
                // A lease runs on while the database is away; it is renewed as soon as that is back.
                every = if trading.renew().await { RENEW_EVERY } else { LOOK_EVERY };
            }
        });
        if !self.dp.works() {
            return;
        }
        let (trading, until) = (self.clone(), self.dp.shutdown.clone());
        self.dp.tasks.spawn(async move {
            // After an outage sockets have their time to renew.
            let mut sockets_from = Instant::now();
            while until.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
                if let Err(error) = trading.see_through(Instant::now() >= sockets_from).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "dead-man timers wait for the next look");
                    sockets_from = Instant::now() + LEASE;
                }
            }
        });
    }

    /// Whether all timers of this process's sockets are set as they should be.
    async fn renew(&self) -> bool {
        let _renewing = self.attached.renewing.lock().await;
        let holds: Vec<(Uuid, Hold)> =
            self.attached.holds.lock().iter().map(|(id, hold)| (*id, *hold)).collect();
        if holds.is_empty() {
            return true;
        }
        let renewed = self.renew_holds(&self.background(), holds).await;
        if let Err(error) = &renewed {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "the timers of open sockets could not be moved on");
        }
        renewed.is_ok()
    }

    async fn renew_holds(&self, ctx: &Context, holds: Vec<(Uuid, Hold)>) -> Result<(), DbError> {
        let until = |grace: Duration| ctx.now() + LEASE + grace;
        let timers: Vec<_> =
            holds.iter().map(|(_, hold)| (hold.timer.account, hold.timer.arm, until(hold.grace))).collect();
        let set = sweeps::move_sockets(&self.dp.db, ctx, &timers).await?;
        for (id, Hold { timer, grace }) in holds {
            match set.get(&timer.account) {
                Some(arm) if *arm == timer.arm => {}
                // Another connection holds the account by now.
                Some(_) => drop(self.attached.holds.lock().remove(&id)),
                // It has run out although the socket is open. What is placed from now on depends on it as before.
                None => {
                    let timer = DeadMan { arm: Uuid::now_v7(), ..timer };
                    if let Some(hold) = self.attached.holds.lock().get_mut(&id) {
                        hold.timer = timer;
                    }
                    sweeps::rearm(&self.dp.db, ctx, timer, until(grace)).await?;
                }
            }
        }
        Ok(())
    }

    /// Turns timers that have run out into sweeps, and carries out the sweeps that are open. One that fails is tried again
    /// at the next look and holds nobody else up.
    async fn see_through(&self, also_sockets: bool) -> Result<(), DbError> {
        let ctx = self.background();
        let due = sweeps::list_due(&self.dp.db, &ctx, also_sockets, DUE_MAX).await?;
        let begun = stream::iter(due).for_each_concurrent(AT_ONCE, async |timer| {
            said("a dead-man timer", self.begin_timed_sweep(&self.background(), timer).await);
        });
        begun.await;
        let open = sweeps::list_open_sweeps(&self.dp.db, &ctx, DUE_MAX).await?;
        let done = stream::iter(open).for_each_concurrent(AT_ONCE, async |(account, id, sweep)| {
            said("a sweep", self.finish_for_owner(account, &id, sweep).await);
        });
        done.await;
        Ok(())
    }

    /// In its owner's name, as if the owner had asked.
    async fn finish_for_owner(
        &self,
        account: AccountId,
        id: &Arc<str>,
        sweep: SweepRow,
    ) -> Result<(), Error> {
        let ctx = self.background();
        self.owners.load(&ctx, std::iter::once(account)).await?;
        let owner = self.owners.known(account).flatten().ok_or(Error::NotFound)?;
        let ctx = ctx.with_caller(Caller { subject: owner, ..Caller::system() });
        self.finish_sweep(&ctx, account, id, sweep).await
    }

    fn background(&self) -> Context {
        Context::background(self.dp.clock.clone())
            .with_priority(Priority::Critical)
            .with_deadline(SWEEP_WITHIN)
    }
}

fn said(what: &'static str, result: Result<(), Error>) {
    if let Err(error) = result {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, "{what} waits for the next look");
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let (trading, id, flights) = (self.trading.clone(), self.id, self.flights.clone());
        self.trading.dp.tasks.spawn(async move {
            // What the socket sent last may still be on its way into the book.
            drop(timeout(LAST_COMMANDS_WITHIN, flights.write()).await);
            let _renewing = trading.attached.renewing.lock().await;
            // Gone: another hold has taken its place, or its owner has untied the orders.
            let Some(Hold { timer, grace }) = trading.attached.holds.lock().remove(&id) else { return };
            let ctx = trading.background();
            let moved = [(timer.account, timer.arm, ctx.now() + grace)];
            // Where this fails, the lease ends by itself.
            if let Err(error) = sweeps::move_sockets(&trading.dp.db, &ctx, &moved).await {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a closed socket's orders stay until its lease ends");
            }
        });
    }
}
