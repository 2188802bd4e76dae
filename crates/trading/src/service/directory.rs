//! The instruments at hand in this process, each with its lane and its view. All that are listed at the start are here;
//! one that another process lists later comes in when it is first asked for.

use std::collections::HashMap;
use std::sync::Arc;

use api::Peers;
use common::DataPath;
use common::context::Context;
use common::db::Freshness;
use parking_lot::RwLock;
use tokio::sync::Semaphore;

use super::Owners;
use crate::error::Error;
use crate::lane::Lane;
use crate::model::Instrument;
use crate::store::instruments::{INSTRUMENTS_MAX, find_instrument_by_symbol, list_instruments};
use crate::view::View;

/// Batches that may be open at once, for each core: one computes while others wait for the disk or for a lock.
const TURNS_PER_CORE: usize = 2;

/// An instrument at hand.
pub struct Listing {
    /// As it was when it came in: its status may have changed, nothing else does.
    pub instrument: Instrument,
    /// Its commands.
    pub lane: Lane,
    /// Its book.
    pub view: View,
}

/// The instruments by symbol. Clones share them.
#[derive(Clone)]
pub struct Directory {
    dp: DataPath,
    peers: Option<Peers>,
    owners: Owners,
    turns: Arc<Semaphore>,
    listings: Arc<RwLock<HashMap<Arc<str>, Arc<Listing>>>>,
}

impl Directory {
    /// With all instruments that are listed now.
    pub async fn load(dp: &DataPath, peers: Option<Peers>, owners: &Owners) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let directory = Self {
            dp: dp.clone(),
            peers,
            owners: owners.clone(),
            turns: Arc::new(Semaphore::new(cores * TURNS_PER_CORE)),
            listings: Arc::default(),
        };
        let ctx = Context::background(dp.clock.clone());
        for instrument in list_instruments(&dp.db, &ctx, Freshness::Strong, "", INSTRUMENTS_MAX).await? {
            directory.admit(instrument);
        }
        Ok(directory)
    }

    /// An instrument that is at hand.
    pub fn known(&self, symbol: &str) -> Option<Arc<Listing>> {
        self.listings.read().get(symbol).cloned()
    }

    /// An instrument, read from its row when it isn't at hand.
    pub async fn find(&self, ctx: &Context, symbol: &str) -> Result<Arc<Listing>, Error> {
        if let Some(listing) = self.known(symbol) {
            return Ok(listing);
        }
        match find_instrument_by_symbol(&self.dp.db, ctx, Freshness::Strong, symbol).await? {
            Some(instrument) => Ok(self.admit(instrument)),
            None => Err(Error::NotFound),
        }
    }

    /// All that are at hand.
    pub fn all(&self) -> Vec<Arc<Listing>> {
        self.listings.read().values().cloned().collect()
    }

    fn admit(&self, instrument: Instrument) -> Arc<Listing> {
        let mut listings = self.listings.write();
        if let Some(listing) = listings.get(&instrument.symbol) {
            return listing.clone();
        }
        let listing = Arc::new(Listing {
            lane: Lane::open(
                &self.dp,
                self.peers.clone(),
                instrument.clone(),
                self.owners.clone(),
                self.turns.clone(),
            ),
            view: View::new(&self.dp, instrument.clone()),
            instrument,
        });
        listings.insert(listing.instrument.symbol.clone(), listing.clone());
        listing
    }
}
