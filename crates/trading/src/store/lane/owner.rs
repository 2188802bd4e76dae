//! Which process carries a lane.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, TxOptions};

use crate::model::InstrumentId;

common::statements! {
    /// The owner of a lane.
    read FIND_LANE = "SELECT owner, epoch FROM lane WHERE instrument = $1";
    /// Takes a lane over, unless somebody else did since epoch `$3`.
    write TAKE_LANE = "INSERT INTO lane (instrument, owner, epoch, at) VALUES ($1, $2, $3::bigint + 1, $4)
        ON CONFLICT (instrument) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, at = excluded.at
            WHERE lane.epoch = $3
        RETURNING owner, epoch";
}

/// Who carries a lane, and since which epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneOwner {
    /// `host:port` of its internal port.
    pub address: Arc<str>,
    /// Counts the owners.
    pub epoch: i64,
}

/// The owner of an instrument's lane, if it ever had one.
pub async fn find_lane(
    db: &Db,
    ctx: &Context,
    instrument: InstrumentId,
) -> Result<Option<LaneOwner>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_LANE, &[&instrument.0]).await?;
    Ok(row.as_ref().map(owner_of))
}

/// Makes `address` the owner after epoch `after`; `None` when somebody else was faster.
pub async fn take_lane(
    db: &Db,
    ctx: &Context,
    instrument: InstrumentId,
    address: &str,
    after: i64,
    at: DateTime<Utc>,
) -> Result<Option<LaneOwner>, DbError> {
    let (instrument, address, after, at) = (&instrument.0, &address, &after, &at);
    let row = db.write(ctx, TxOptions::default(), |tx| {
        Box::pin(async move { tx.row_opt(&TAKE_LANE, &[instrument, address, after, at]).await })
    });
    Ok(row.await?.as_ref().map(owner_of))
}

fn owner_of(row: &Row) -> LaneOwner {
    LaneOwner { address: row.get::<_, &str>(0).into(), epoch: row.get(1) }
}
