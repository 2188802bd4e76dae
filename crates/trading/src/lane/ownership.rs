//! Who carries a lane: the process whose name is in the lane's row. It is asked once and then remembered until there is
//! reason to doubt it. Two that believe to own a lane do no harm: the instrument's lock decides.

use std::sync::Arc;
use std::time::Duration;

use api::Peers;
use common::context::Context;
use common::db::{Db, DbError};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::model::InstrumentId;
use crate::store::lane::owner::{LaneOwner, find_lane, take_lane};

/// An owner that could not be reached is passed by this long, whoever the row names: two processes that reach the database
/// and not each other would otherwise take the lane from one another with every batch.
const AVOID_FOR: Duration = Duration::from_secs(5);

/// What a process knows of a lane's owner.
pub struct Ownership {
    pub(super) peers: Option<Peers>,
    db: Db,
    instrument: InstrumentId,
    known: Mutex<Option<LaneOwner>>,
    avoided: Mutex<Option<(Arc<str>, Instant)>>,
}

/// Where a batch is carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// In this process.
    This,
    /// In another one.
    Other(LaneOwner),
}

impl Ownership {
    /// Nothing is known yet. Without peers every process carries its own lane.
    pub fn new(peers: Option<Peers>, db: Db, instrument: InstrumentId) -> Self {
        Self { peers, db, instrument, known: Mutex::default(), avoided: Mutex::default() }
    }

    /// Who carries the lane. A lane that nobody carries is taken.
    pub async fn find(&self, ctx: &Context) -> Result<Owner, DbError> {
        let Some(peers) = &self.peers else { return Ok(Owner::This) };
        let known = self.known.lock().clone();
        let owner = match known {
            Some(owner) => owner,
            None => {
                let found = match find_lane(&self.db, ctx, self.instrument).await? {
                    Some(found) => found,
                    None => match self.take(ctx, peers, 0).await? {
                        Some(taken) => taken,
                        None => return Ok(Owner::This),
                    },
                };
                *self.known.lock() = Some(found.clone());
                found
            }
        };
        let is_avoided = || {
            let avoided = self.avoided.lock();
            avoided.as_ref().is_some_and(|(whom, until)| *whom == owner.address && Instant::now() < *until)
        };
        Ok(if owner.address == *peers.address() || is_avoided() { Owner::This } else { Owner::Other(owner) })
    }

    /// Makes this process the owner after one that can't be reached. Somebody else may be faster.
    pub async fn take_over(&self, ctx: &Context, from: &LaneOwner) {
        let Some(peers) = &self.peers else { return };
        *self.avoided.lock() = Some((from.address.clone(), Instant::now() + AVOID_FOR));
        let taken = self.take(ctx, peers, from.epoch).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a lane can't be taken over now");
            None
        });
        metrics::counter!("weir_trading_lanes_taken_over_total").increment(u64::from(taken.is_some()));
        *self.known.lock() = taken;
    }

    /// Somebody else wrote, or the owner says that it isn't: it is looked up again before the next batch.
    pub fn doubt(&self) {
        *self.known.lock() = None;
    }

    async fn take(&self, ctx: &Context, peers: &Peers, after: i64) -> Result<Option<LaneOwner>, DbError> {
        take_lane(&self.db, ctx, self.instrument, peers.address(), after, ctx.now()).await
    }
}
