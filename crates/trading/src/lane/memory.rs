//! A lane's memory: the book as of the instrument's last event. It is the book as long as the numbers agree; whatever goes
//! wrong, it is dropped and read again from the rows.

use std::collections::BTreeSet;

use common::db::{DbError, Tx};

use super::command::{Command, Target};
use super::decide::Task;
use crate::matching::{Book, Demand, reach};
use crate::model::{AccountId, Instrument, InstrumentId, OPEN_ORDERS_MAX};
use crate::store::instruments::find_instrument;
use crate::store::lane::list_open_orders;

/// What a lane remembers.
#[derive(Debug)]
pub struct Memory {
    /// The number of the instrument's event that this is after.
    pub version: i64,
    /// The instrument, with its status.
    pub instrument: Instrument,
    /// The open orders.
    pub book: Book,
    /// The number that the next trade gets.
    pub next_trade: i64,
}

impl Memory {
    /// Reads it from the rows, under the instrument's lock.
    pub async fn load(tx: &mut Tx<'_>, id: InstrumentId, version: i64) -> Result<Self, DbError> {
        let instrument = find_instrument(tx, id).await?;
        // One more than may rest, so that a limit that was lowered shows.
        let (orders, last_trade) = list_open_orders(tx, id, OPEN_ORDERS_MAX as i64 + 1).await?;
        metrics::counter!("weir_trading_books_loaded_total").increment(1);
        Ok(Self { version, instrument, book: Book::of(orders), next_trade: last_trade + 1 })
    }

    /// The accounts that the tasks could touch.
    pub fn reach(&self, tasks: &[Task]) -> BTreeSet<AccountId> {
        let mut demand = Demand::default();
        for Task { account, command } in tasks {
            match command {
                Command::Place { request, .. } => {
                    demand.add_order(*account, request.side, request.price, request.quantity);
                }
                Command::Cancel(Target::Order(id)) => demand.add_cancel(*account, Some(*id)),
                Command::Cancel(Target::Client(client_id)) => {
                    let found = self.book.find_by_client_id(*account, client_id);
                    demand.add_cancel(*account, found.map(|order| order.id));
                }
            }
        }
        reach(&self.book, &demand)
    }
}
