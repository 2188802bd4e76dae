//! A lane's memory: the book as of the instrument's last event. It is the book as long as the numbers agree. What another
//! process committed since is taken in by its events; whatever goes wrong, the memory is dropped and read again from the
//! rows.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use common::db::{DbError, Tx};
use common::events::{Event, log};
use serde::Deserialize;

use super::command::{Command, Target};
use super::decide::Task;
use crate::events::{MATCHED, Matched, instrument_stream};
use crate::matching::{Book, Demand, checksum, reach};
use crate::model::{AccountId, Instrument, InstrumentId, OPEN_ORDERS_MAX, OrderId, Side};
use crate::store::instruments::find_instrument;
use crate::store::lane::{list_open_orders, list_still_open};

/// Events of others that are taken in one by one; behind more than that, the whole book is read.
const CATCH_UP_MAX: i64 = 64;

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

/// What a stretch of events was about.
#[derive(Default)]
struct Touched {
    orders: HashMap<OrderId, AccountId>,
    trades: i64,
    /// Of the book after the last of them.
    checksum: u32,
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

    /// Takes in what other processes committed up to `head`, under the instrument's lock: which orders were touched is in
    /// the events, how they are now is in their rows. False when it can't, and then the memory is void.
    pub async fn catch_up(&mut self, tx: &mut Tx<'_>, head: i64) -> Result<bool, DbError> {
        let behind = head - self.version;
        if !(1..=CATCH_UP_MAX).contains(&behind) {
            return Ok(false);
        }
        let stream = instrument_stream(self.instrument.id);
        let events = log::read_in(tx, stream, self.version, behind).await?;
        if events.len() as i64 != behind {
            return Ok(false);
        }
        let Some(touched) = self.touched(&events) else { return Ok(false) };
        let keys: Vec<(AccountId, OrderId)> = touched.orders.iter().map(|(id, of)| (*of, *id)).collect();
        let mut open: HashMap<OrderId, _> =
            list_still_open(tx, &keys).await?.into_iter().map(|order| (order.id, order)).collect();
        let known: Vec<OrderId> =
            keys.iter().map(|(_, id)| *id).filter(|id| self.book.find(*id).is_some()).collect();
        for id in known {
            match open.remove(&id) {
                Some(now) => drop(self.book.change(id, |order| *order = now)),
                None => drop(self.book.remove(id)),
            }
        }
        let mut new: Vec<_> = open.into_values().collect();
        new.sort_unstable_by_key(|order| (order.placed_seq, order.placed_line));
        new.into_iter().for_each(|order| self.book.append(order));
        self.version = head;
        self.next_trade += touched.trades;
        let agrees = checksum(self.book.levels(Side::Buy), self.book.levels(Side::Sell)) == touched.checksum;
        if agrees {
            metrics::counter!("weir_trading_books_caught_up_total").increment(1);
        }
        Ok(agrees)
    }

    /// `None` when an event is no batch of commands, or is about an order that isn't here.
    fn touched(&self, events: &[Event]) -> Option<Touched> {
        let mut touched = Touched::default();
        for event in events {
            if event.kind != MATCHED {
                return None;
            }
            let matched = Matched::deserialize(&event.body).ok()?;
            for added in &matched.added {
                let account = matched.accounts.get(added.1 as usize)?;
                touched.orders.insert(OrderId(added.0), AccountId(*account));
            }
            for (id, _) in &matched.changed {
                let id = OrderId(*id);
                if let Entry::Vacant(first) = touched.orders.entry(id) {
                    first.insert(self.book.find(id)?.account);
                }
            }
            touched.trades += matched.trades.len() as i64;
            touched.checksum = matched.checksum;
        }
        Some(touched)
    }

    /// The accounts that the tasks could touch.
    pub fn reach(&self, tasks: &[Task]) -> BTreeSet<AccountId> {
        let mut demand = Demand::default();
        for Task { account, command } in tasks {
            match command {
                Command::Place { request, .. } => {
                    demand.add_order(*account, request.side, request.price, request.quantity);
                }
                Command::CancelAll { .. } => {
                    demand.add_cancel(*account, None);
                    let own = |side| self.book.orders(side).filter(|order| order.account == *account);
                    for order in own(Side::Buy).chain(own(Side::Sell)) {
                        demand.add_cancel(*account, Some(order.id));
                    }
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
