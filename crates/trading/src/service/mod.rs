//! The use cases of trading: a rule, a transaction, and what is in memory, put together.

mod accounts;
mod dead_man;
mod demo;
mod directory;
mod instruments;
mod invariants;
mod orders;
mod owners;
mod sweeps;

use api::Peers;
use common::DataPath;
use common::db::Freshness;

use self::dead_man::Attached;
pub use self::dead_man::Attachment;
pub use self::directory::{Directory, Listing};
pub use self::instruments::NewInstrument;
pub use self::invariants::{Check, Invariants};
pub use self::orders::{CommandFound, Commanded, OrderContent, WhichOrder};
pub use self::owners::Owners;
pub use self::sweeps::{SweepDone, SweepRequest};
use crate::error::Error;

/// What the routes and the socket are given: the data path, whose accounts are whose, and the instruments at hand.
#[derive(Clone)]
pub struct Trading {
    /// The module's data path.
    pub(crate) dp: DataPath,
    /// Who may touch an account.
    pub(crate) owners: Owners,
    /// Instruments with their lanes and books.
    pub(crate) directory: Directory,
    /// The sockets that orders depend on.
    attached: Attached,
}

/// Where one thing is looked for by its id: a standby may not have it yet, and only the writer can say that there is none.
const FOR_ONE: [Freshness; 2] = [Freshness::ReadYourWrites, Freshness::Strong];

impl Trading {
    /// Over this data path, with all instruments that are listed. Lanes are shared with `peers`, if there are any.
    pub async fn open(dp: &DataPath, peers: Option<Peers>) -> Result<Self, Error> {
        let owners = Owners::new(dp.db.clone());
        let directory = Directory::load(dp, peers, &owners).await?;
        Ok(Self { dp: dp.clone(), owners, directory, attached: Attached::default() })
    }
}
