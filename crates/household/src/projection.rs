//! The projector behind balances and summaries: adds up what each event says that it moved. Its checkpoint moves in the
//! transaction of the effect, so nothing is counted twice or left out, whatever dies.

use crate::model::Move;
use crate::service::STREAM_KIND;
use crate::store::projection::add_moves;
use common::db::{DbError, Tx};
use common::events::{Event, Projection};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The checkpoint's name. Another name starts again from the beginning.
pub(crate) const PROJECTOR: &str = "month_total";

/// What the data path runs.
pub(crate) fn projection() -> Projection {
    Projection {
        name: PROJECTOR,
        stream_kind: STREAM_KIND,
        apply: Arc::new(|tx, events| Box::pin(apply(tx, events))),
    }
}

async fn apply(tx: &mut Tx<'_>, events: &[Event]) -> Result<(), DbError> {
    let Some(first) = events.first() else { return Ok(()) };
    let moves = summed(events.iter().map(moves_of).collect::<Result<Vec<_>, _>>()?.into_iter().flatten());
    if moves.is_empty() { Ok(()) } else { add_moves(tx, first.stream, &moves).await }
}

fn moves_of(event: &Event) -> Result<Vec<Move>, DbError> {
    match event.body.get("moves") {
        Some(moves) => serde_json::from_value(moves.clone()).map_err(|error| DbError::row(PROJECTOR, error)),
        None => Ok(Vec::new()),
    }
}

/// One line per key, in the order of the keys.
fn summed(moves: impl Iterator<Item = Move>) -> Vec<Move> {
    let mut lines: BTreeMap<_, Move> = BTreeMap::new();
    for one in moves {
        let key = (one.month, one.ledger, one.owner, one.currency);
        match lines.entry(key) {
            std::collections::btree_map::Entry::Occupied(mut line) => {
                let line = line.get_mut();
                line.amount += one.amount;
                line.entries += one.entries;
            }
            std::collections::btree_map::Entry::Vacant(line) => drop(line.insert(one)),
        }
    }
    lines.into_values().collect()
}
