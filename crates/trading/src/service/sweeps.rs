//! Taking all of an account's orders off, over all instruments: a parent that says where there are any, and a child in each
//! of those lanes. An id that comes again goes through the same children and gets the same answer, so whatever fails in the
//! middle is finished by sending it again.

use std::sync::Arc;

use common::context::Context;
use common::db::{DbError, Tx, TxOptions};
use common::events::log;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};

use super::{Listing, Trading};
use crate::error::{Error, field};
use crate::lane::command::{Command, Reply, Swept};
use crate::model::{AccountId, CancelReason};
use crate::store::instruments::INSTRUMENTS_MAX;
use crate::store::sweeps::{
    DeadMan, DeadManKind, SweepRow, close_sweep, delete_due, find_sweep, insert_sweep, list_open_symbols,
};

/// What is to be swept.
#[derive(Clone, Debug)]
pub struct SweepRequest {
    /// The client's own id for it, unique among the account's sweeps for ever.
    pub id: Arc<str>,
    /// Only this instrument.
    pub symbol: Option<String>,
}

/// What came of a sweep, instrument by instrument.
pub struct SweepDone {
    /// Its parent.
    pub sweep: SweepRow,
    /// Its children.
    pub children: Vec<(Arc<Listing>, Swept)>,
}

/// A sweep whose children are queued and will be answered. Once it has begun, whatever fails leaves it unknown how far it
/// got: the same id again finishes it.
pub type Sweeping = BoxFuture<'static, Result<SweepDone, Error>>;

impl Trading {
    /// Takes the account's open orders off, once for the sweep's id.
    pub async fn cancel_all(
        &self,
        ctx: &Context,
        account: AccountId,
        request: &SweepRequest,
    ) -> Result<SweepDone, Error> {
        self.start_sweep(ctx, account, request).await?.await
    }

    /// The same in two steps: when this returns, every child is queued behind what its lane had before.
    pub async fn start_sweep(
        &self,
        ctx: &Context,
        account: AccountId,
        request: &SweepRequest,
    ) -> Result<Sweeping, Error> {
        self.owners.check(ctx, account).await?;
        if let Some(symbol) = &request.symbol {
            self.find_for_order(ctx, symbol).await?;
        }
        let (id, asked) = (&request.id, &request.symbol);
        let begun = self.dp.db.write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move {
                log::lock(tx, &[account.0]).await?;
                begin(tx, ctx, account, id, asked.as_deref(), (CancelReason::Requested, false)).await
            })
        });
        let sweep = begun.await?;
        if sweep.asked != request.symbol {
            let differs = "was another one with this sweep_id before";
            return Err(Error::ClientIdConflict(vec![field("/instrument", differs, "differs")]));
        }
        self.queue_children(ctx, account, id, sweep).await
    }

    /// Turns a timer that has run out into an open sweep. Nothing is done when it was moved on meanwhile.
    pub(super) async fn begin_timed_sweep(&self, ctx: &Context, timer: DeadMan) -> Result<(), Error> {
        let account = timer.account;
        let reason = match timer.kind {
            DeadManKind::Timer => CancelReason::DeadMan,
            DeadManKind::Socket => CancelReason::Disconnected,
        };
        // No client's id has a tilde.
        let id: &str = &format!("~{}/{}", timer.kind.as_str(), timer.arm);
        let begun = self.dp.db.write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move {
                log::lock(tx, &[account.0]).await?;
                if delete_due(tx, timer, ctx.now()).await? {
                    begin(tx, ctx, account, id, None, (reason, true)).await?;
                }
                Ok::<_, DbError>(())
            })
        });
        Ok(begun.await?)
    }

    /// Carries out the children of an open sweep, as far as they are not yet, and closes it. `ctx` is its owner's.
    pub(super) async fn finish_sweep(
        &self,
        ctx: &Context,
        account: AccountId,
        id: &Arc<str>,
        sweep: SweepRow,
    ) -> Result<(), Error> {
        self.queue_children(ctx, account, id, sweep).await?.await?;
        Ok(close_sweep(&self.dp.db, ctx, account, id).await?)
    }

    /// When this returns, every child is queued.
    async fn queue_children(
        &self,
        ctx: &Context,
        account: AccountId,
        id: &Arc<str>,
        sweep: SweepRow,
    ) -> Result<Sweeping, Error> {
        let mut children = Vec::with_capacity(sweep.instruments.len());
        for symbol in &sweep.instruments {
            let listing = self.directory.find(ctx, symbol).await.map_err(|error| half_done(&error))?;
            let command = Command::CancelAll { id: id.clone(), reason: sweep.reason };
            let child = listing.lane.submit(ctx, account, command, None);
            children.push(child.map(|reply| match reply {
                Ok(Reply::Swept(swept)) => Ok((listing, swept)),
                Ok(Reply::Order(_)) => Err(Error::Broken("a sweep was answered as an order".to_owned())),
                Err(error) => Err(half_done(&error)),
            }));
        }
        let all = async move {
            // Each is waited for, whatever becomes of the others.
            let children = join_all(children).await.into_iter().collect::<Result<_, _>>()?;
            Ok(SweepDone { sweep, children })
        };
        Ok(all.boxed())
    }
}

/// The sweep's parent, written unless it is there. The account is locked.
async fn begin(
    tx: &mut Tx<'_>,
    ctx: &Context,
    account: AccountId,
    id: &str,
    asked: Option<&str>,
    (reason, is_open): (CancelReason, bool),
) -> Result<SweepRow, DbError> {
    if let Some(known) = find_sweep(tx, account, id).await? {
        return Ok(known);
    }
    let instruments = match asked {
        Some(symbol) => vec![symbol.to_owned()],
        None => list_open_symbols(tx, account, INSTRUMENTS_MAX).await?,
    };
    let sweep = SweepRow { asked: asked.map(str::to_owned), instruments, reason, at: ctx.now() };
    insert_sweep(tx, account, id, &sweep, is_open).await?;
    Ok(sweep)
}

/// The parent is there and other children may be carried out.
fn half_done(error: &Error) -> Error {
    tracing::debug!(%error, "a sweep's child is not carried out");
    Error::Unknown
}
