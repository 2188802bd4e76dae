//! Taking all of an account's orders off, over all instruments: a parent that says where there are any, and a child in each
//! of those lanes. An id that comes again goes through the same children and gets the same answer, so whatever fails in the
//! middle is finished by sending it again.

use std::sync::Arc;

use common::context::Context;
use common::db::TxOptions;
use common::events::log;
use futures_util::future::{BoxFuture, try_join_all};
use futures_util::{FutureExt, TryFutureExt};

use super::{Listing, Trading};
use crate::error::{Error, field};
use crate::lane::command::{Command, Reply, Swept};
use crate::model::{AccountId, CancelReason};
use crate::store::instruments::INSTRUMENTS_MAX;
use crate::store::sweeps::{DeadMan, SweepRow, find_sweep, insert_sweep, list_open_symbols, lock_due};

/// What is to be swept.
#[derive(Clone, Debug)]
pub struct SweepRequest {
    /// The client's own id for it, unique among the account's sweeps for ever.
    pub id: Arc<str>,
    /// Only this instrument.
    pub symbol: Option<String>,
    /// Why.
    pub reason: CancelReason,
    /// The timer that sets it off; nothing is done when it was moved on meanwhile.
    pub timer: Option<DeadMan>,
}

/// What came of a sweep, instrument by instrument.
pub struct SweepDone {
    /// Its parent.
    pub sweep: SweepRow,
    /// Its children.
    pub children: Vec<(Arc<Listing>, Swept)>,
}

/// A sweep whose children are queued and will be answered; `None` when its timer was moved on.
pub type Sweeping = BoxFuture<'static, Result<Option<SweepDone>, Error>>;

impl Trading {
    /// Takes the account's open orders off, once for the sweep's id.
    pub async fn cancel_all(
        &self,
        ctx: &Context,
        account: AccountId,
        request: &SweepRequest,
    ) -> Result<Option<SweepDone>, Error> {
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
        let Some(sweep) = self.begin_sweep(ctx, account, request).await? else {
            return Ok(std::future::ready(Ok(None)).boxed());
        };
        let mut listings = Vec::with_capacity(sweep.instruments.len());
        for symbol in &sweep.instruments {
            listings.push(self.directory.find(ctx, symbol).await?);
        }
        let children = listings.into_iter().map(|listing| {
            let command = Command::CancelAll { id: request.id.clone(), reason: sweep.reason };
            listing.lane.submit(ctx, account, command).and_then(async move |reply| match reply {
                Reply::Swept(swept) => Ok((listing, swept)),
                Reply::Order(_) => Err(Error::Broken("a sweep was answered as an order".to_owned())),
            })
        });
        let children = try_join_all(children.collect::<Vec<_>>());
        Ok(children.map_ok(|children| Some(SweepDone { sweep, children })).boxed())
    }

    /// The sweep's parent, written unless it is there. `None` when its timer was moved on.
    async fn begin_sweep(
        &self,
        ctx: &Context,
        account: AccountId,
        request: &SweepRequest,
    ) -> Result<Option<SweepRow>, Error> {
        let begun = self.dp.db.write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move {
                log::lock(tx, &[account.0]).await?;
                if let Some(known) = find_sweep(tx, account, &request.id).await? {
                    return Ok::<_, Error>(Some(known));
                }
                if let Some(timer) = request.timer
                    && !lock_due(tx, timer, ctx.now()).await?
                {
                    return Ok(None);
                }
                let instruments = match &request.symbol {
                    Some(symbol) => vec![symbol.clone()],
                    None => list_open_symbols(tx, account, INSTRUMENTS_MAX).await?,
                };
                let (asked, reason, at) = (request.symbol.clone(), request.reason, ctx.now());
                let sweep = SweepRow { asked, instruments, reason, at };
                insert_sweep(tx, account, &request.id, &sweep).await?;
                Ok(Some(sweep))
            })
        });
        let begun = begun.await?;
        match begun {
            Some(sweep) if sweep.asked != request.symbol => {
                let differs = "was another one with this sweep_id before";
                Err(Error::ClientIdConflict(vec![field("/instrument", differs, "differs")]))
            }
            begun => Ok(begun),
        }
    }
}
