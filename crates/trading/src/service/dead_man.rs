//! Timers that take an account's orders off unless its owner is heard of: one that the owner sets anew, and one that its
//! connection keeps. Each is a row, so that no crash loses it; whichever process works finds that it has run out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use common::context::{Caller, Context, Priority};
use parking_lot::Mutex;
use uuid::Uuid;

use super::Trading;
use super::sweeps::SweepRequest;
use crate::error::Error;
use crate::model::{AccountId, CancelReason};
use crate::store::sweeps::{self, DeadMan, DeadManKind};

/// How often it is looked for timers that have run out.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often the timers of open sockets are moved on.
const RENEW_EVERY: Duration = Duration::from_secs(4);
/// How long after the last renewal a process is taken for dead, and its sockets for closed.
const LEASE: Duration = Duration::from_secs(15);
/// Timers that one look takes.
const DUE_MAX: i64 = 100;
/// How long a sweep that a timer set off may take before it is tried again.
const SWEEP_WITHIN: Duration = Duration::from_secs(10);

/// The open sockets of this process that orders depend on.
#[derive(Clone, Default)]
pub struct Attached(Arc<Mutex<HashMap<Uuid, (AccountId, Duration)>>>);

/// A socket's hold on an account's orders. Dropped, it lets them go.
pub struct Attachment {
    trading: Trading,
    timer: DeadMan,
    grace: Duration,
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
    /// taken off. The newest hold on an account counts.
    pub async fn attach(
        &self,
        ctx: &Context,
        account: AccountId,
        grace: Duration,
    ) -> Result<Attachment, Error> {
        self.owners.check(ctx, account).await?;
        let timer = DeadMan { account, kind: DeadManKind::Socket, arm: Uuid::now_v7() };
        sweeps::arm(&self.dp.db, ctx, timer, ctx.now() + LEASE + grace).await?;
        self.attached.0.lock().insert(timer.arm, (account, grace));
        Ok(Attachment { trading: self.clone(), timer, grace })
    }

    /// Unties the account's orders from whatever connection holds them.
    pub async fn detach(&self, ctx: &Context, account: AccountId) -> Result<(), Error> {
        self.owners.check(ctx, account).await?;
        Ok(sweeps::disarm(&self.dp.db, ctx, account, DeadManKind::Socket).await?)
    }

    /// Moves the timers of this process's sockets on, and has those that have run out do their work if this process works.
    pub(crate) fn start_dead_men(&self) {
        let (trading, until) = (self.clone(), self.dp.shutdown.clone());
        self.dp.tasks.spawn(async move {
            while until.run_until_cancelled(tokio::time::sleep(RENEW_EVERY)).await.is_some() {
                trading.renew().await;
            }
        });
        if !self.dp.works() {
            return;
        }
        let (trading, until) = (self.clone(), self.dp.shutdown.clone());
        self.dp.tasks.spawn(async move {
            while until.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
                if let Err(error) = trading.fire_due().await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a dead-man timer waits for the next look");
                }
            }
        });
    }

    async fn renew(&self) {
        let ctx = self.background();
        let next = |grace: Duration| ctx.now() + LEASE + grace;
        let timers: Vec<_> = {
            let attached = self.attached.0.lock();
            attached.iter().map(|(arm, (account, grace))| (*account, *arm, next(*grace))).collect()
        };
        if timers.is_empty() {
            return;
        }
        if let Err(error) = sweeps::move_sockets(&self.dp.db, &ctx, &timers).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "the timers of open sockets could not be moved on");
        }
    }

    async fn fire_due(&self) -> Result<(), Error> {
        let ctx = self.background();
        for timer in sweeps::list_due(&self.dp.db, &ctx, DUE_MAX).await? {
            self.owners.load(&ctx, std::iter::once(timer.account)).await?;
            // In its owner's name, as if the owner had asked.
            if let Some(Some(owner)) = self.owners.known(timer.account) {
                let ctx = self.background().with_caller(Caller { subject: owner, ..Caller::system() });
                let reason = match timer.kind {
                    DeadManKind::Timer => CancelReason::DeadMan,
                    DeadManKind::Socket => CancelReason::Disconnected,
                };
                // No client's id has a tilde.
                let id = format!("~{}/{}", timer.kind.as_str(), timer.arm).into();
                let request = SweepRequest { id, symbol: None, reason, timer: Some(timer) };
                if self.cancel_all(&ctx, timer.account, &request).await?.is_none() {
                    continue;
                }
            }
            sweeps::delete(&self.dp.db, &ctx, timer).await?;
        }
        Ok(())
    }

    fn background(&self) -> Context {
        Context::background(self.dp.clock.clone())
            .with_priority(Priority::Critical)
            .with_deadline(SWEEP_WITHIN)
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let Self { trading, timer: DeadMan { account, arm, .. }, grace } = self;
        let (trading, account, arm, grace) = (trading.clone(), *account, *arm, *grace);
        trading.attached.0.lock().remove(&arm);
        trading.dp.tasks.clone().spawn(async move {
            let ctx = trading.background();
            // Where this fails, the lease ends by itself.
            if let Err(error) =
                sweeps::move_sockets(&trading.dp.db, &ctx, &[(account, arm, ctx.now() + grace)]).await
            {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "a closed socket's orders stay until its lease ends");
            }
        });
    }
}
