//! The book: who waits at which price, first come first. Orders stand in slots that are linked per price level, so that
//! one is appended, found and taken out in constant time wherever it stands.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::{AccountId, Order, OrderId, Side};

/// No slot.
const NONE: u32 = u32::MAX;

/// All open orders of one instrument.
#[derive(Debug, Default)]
pub struct Book {
    bids: BTreeMap<i64, Level>,
    asks: BTreeMap<i64, Level>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    by_id: HashMap<OrderId, u32>,
    by_client: HashMap<(AccountId, Arc<str>), u32>,
}

#[derive(Debug)]
struct Level {
    quantity: i64,
    first: u32,
    last: u32,
}

#[derive(Debug)]
struct Slot {
    /// `None` while the slot is free.
    order: Option<Order>,
    previous: u32,
    next: u32,
}

impl Book {
    /// A book of these orders. They come in the order of their time.
    pub fn of(orders: impl IntoIterator<Item = Order>) -> Self {
        let mut book = Self::default();
        for order in orders {
            book.append(order);
        }
        book
    }

    /// Open orders on both sides.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no order rests.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// An open order.
    pub fn find(&self, id: OrderId) -> Option<&Order> {
        self.by_id.get(&id).map(|slot| self.order(*slot))
    }

    /// An open order by the id that its owner gave it.
    pub fn find_by_client_id(&self, account: AccountId, client_id: &Arc<str>) -> Option<&Order> {
        self.by_client.get(&(account, client_id.clone())).map(|slot| self.order(*slot))
    }

    /// The order that is next to trade on `side`.
    pub fn best(&self, side: Side) -> Option<&Order> {
        let level = match side {
            Side::Buy => self.bids.last_key_value(),
            Side::Sell => self.asks.first_key_value(),
        };
        level.map(|(_, level)| self.order(level.first))
    }

    /// What rests at a price in all.
    pub fn level_quantity(&self, side: Side, price: i64) -> i64 {
        self.levels_of(side).get(&price).map_or(0, |level| level.quantity)
    }

    /// Price and quantity of each level, the best first.
    pub fn levels(&self, side: Side) -> Box<dyn Iterator<Item = (i64, i64)> + '_> {
        let pair = |(price, level): (&i64, &Level)| (*price, level.quantity);
        match side {
            Side::Buy => Box::new(self.bids.iter().rev().map(pair)),
            Side::Sell => Box::new(self.asks.iter().map(pair)),
        }
    }

    /// The orders of a side as they would trade: by price, then by time.
    pub fn orders(&self, side: Side) -> impl Iterator<Item = &Order> + '_ {
        let levels: Box<dyn Iterator<Item = &Level>> = match side {
            Side::Buy => Box::new(self.bids.values().rev()),
            Side::Sell => Box::new(self.asks.values()),
        };
        levels.flat_map(move |level| {
            let next = move |slot: &u32| Some(self.slots[*slot as usize].next).filter(|next| *next != NONE);
            std::iter::successors(Some(level.first), next).map(|slot| self.order(slot))
        })
    }

    /// Puts an order behind all others at its price.
    pub fn append(&mut self, order: Order) {
        let (side, price, leaves) = (order.side, order.price, order.leaves());
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { order: None, previous: NONE, next: NONE });
            (self.slots.len() - 1) as u32
        });
        self.by_id.insert(order.id, slot);
        self.by_client.insert((order.account, order.client_id.clone()), slot);
        let level = match self.levels_mut(side).get_mut(&price) {
            Some(level) => {
                let last = std::mem::replace(&mut level.last, slot);
                level.quantity += leaves;
                last
            }
            None => {
                self.levels_mut(side).insert(price, Level { quantity: leaves, first: slot, last: slot });
                NONE
            }
        };
        self.slots[slot as usize] = Slot { order: Some(order), previous: level, next: NONE };
        if level != NONE {
            self.slots[level as usize].next = slot;
        }
    }

    /// Changes an order where it stands, which keeps its place; the level follows. `None` when it isn't open.
    pub fn change<T>(&mut self, id: OrderId, change: impl FnOnce(&mut Order) -> T) -> Option<T> {
        let slot = *self.by_id.get(&id)?;
        let order = self.slots[slot as usize].order.as_mut().expect("an indexed slot is taken");
        let before = order.leaves();
        let result = change(order);
        let (side, price, less) = (order.side, order.price, before - order.leaves());
        let level = self.levels_mut(side).get_mut(&price).expect("an open order has a level");
        level.quantity -= less;
        Some(result)
    }

    /// Takes an order out of the book.
    pub fn remove(&mut self, id: OrderId) -> Option<Order> {
        let slot = self.by_id.remove(&id)?;
        let taken = &mut self.slots[slot as usize];
        let (previous, next) = (taken.previous, taken.next);
        let order = taken.order.take().expect("an indexed slot is taken");
        self.free.push(slot);
        self.by_client.remove(&(order.account, order.client_id.clone()));
        if previous != NONE {
            self.slots[previous as usize].next = next;
        }
        if next != NONE {
            self.slots[next as usize].previous = previous;
        }
        let levels = self.levels_mut(order.side);
        if previous == NONE && next == NONE {
            levels.remove(&order.price);
            return Some(order);
        }
        let level = levels.get_mut(&order.price).expect("an open order has a level");
        level.quantity -= order.leaves();
        if previous == NONE {
            level.first = next;
        }
        if next == NONE {
            level.last = previous;
        }
        Some(order)
    }

    fn order(&self, slot: u32) -> &Order {
        self.slots[slot as usize].order.as_ref().expect("an indexed slot is taken")
    }

    fn levels_of(&self, side: Side) -> &BTreeMap<i64, Level> {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }

    fn levels_mut(&mut self, side: Side) -> &mut BTreeMap<i64, Level> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OrderStatus, TimeInForce};
    use chrono::DateTime;
    use uuid::Uuid;

    fn order(id: u128, side: Side, price: i64, quantity: i64) -> Order {
        Order {
            id: OrderId(Uuid::from_u128(id)),
            account: AccountId(Uuid::from_u128(1)),
            client_id: id.to_string().into(),
            side,
            time_in_force: TimeInForce::Gtc,
            price,
            quantity,
            filled: 0,
            notional: 0,
            fee: 0,
            fee_slack: 0,
            status: OrderStatus::Open,
            reason: None,
            placed_seq: 1,
            placed_line: id as i32,
            created_at: DateTime::UNIX_EPOCH,
        }
    }

    fn queue(book: &Book, side: Side) -> Vec<u128> {
        book.orders(side).map(|o| o.id.0.as_u128()).collect()
    }

    #[test]
    fn orders_stand_by_price_then_by_time() {
        let rows = [(1, 10), (2, 11), (3, 10), (4, 9)];
        let asks = Book::of(rows.map(|(id, price)| order(id, Side::Sell, price, 5)));
        assert_eq!(queue(&asks, Side::Sell), [4, 1, 3, 2]);
        let bids = Book::of(rows.map(|(id, price)| order(id, Side::Buy, price, 5)));
        assert_eq!(queue(&bids, Side::Buy), [2, 1, 3, 4]);
        assert_eq!(bids.levels(Side::Buy).collect::<Vec<_>>(), [(11, 5), (10, 10), (9, 5)]);
    }

    #[test]
    fn an_order_is_taken_out_wherever_it_stands() {
        for gone in 1..=3u128 {
            let mut book = Book::of((1..=3).map(|id| order(id, Side::Buy, 10, 5)));
            book.remove(OrderId(Uuid::from_u128(gone))).unwrap();
            book.append(order(9, Side::Buy, 10, 1));
            let mut left: Vec<u128> = (1..=3).filter(|id| *id != gone).collect();
            left.push(9);
            assert_eq!(queue(&book, Side::Buy), left);
            assert_eq!(book.level_quantity(Side::Buy, 10), 11);
            assert!(
                book.find_by_client_id(AccountId(Uuid::from_u128(1)), &gone.to_string().into()).is_none()
            );
        }
    }

    #[test]
    fn a_change_keeps_the_place_and_moves_the_level() {
        let mut book = Book::of((1..=2).map(|id| order(id, Side::Sell, 10, 5)));
        book.change(OrderId(Uuid::from_u128(1)), |o| o.filled = 3).unwrap();
        assert_eq!(queue(&book, Side::Sell), [1, 2]);
        assert_eq!(book.level_quantity(Side::Sell, 10), 7);
    }

    #[test]
    fn an_empty_level_is_gone() {
        let mut book = Book::of([order(1, Side::Sell, 10, 5)]);
        book.remove(OrderId(Uuid::from_u128(1))).unwrap();
        assert!(book.is_empty() && book.best(Side::Sell).is_none());
        assert_eq!(book.levels(Side::Sell).count(), 0);
    }
}
