//! A second matcher, slow and obvious, that the fast one must agree with: one list of all orders ever, sums taken anew
//! each time, nothing shared with the fast one but the instrument's arithmetic.

use std::collections::BTreeMap;

use crate::model::{AccountId, Instrument, OrderId, OrderStatus, Side, TimeInForce};

use super::{NewOrder, Rejection};

#[derive(Clone, Debug)]
pub struct Listed {
    pub new: NewOrder,
    pub left: i64,
    pub paid: i64,
    pub fee_millionths: i128,
    pub status: OrderStatus,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    pub maker: OrderId,
    pub taker: OrderId,
    pub price: i64,
    pub quantity: i64,
}

/// Total wealth per account, whatever of it is held.
#[derive(Default)]
pub struct Reference {
    pub orders: Vec<Listed>,
    pub trades: Vec<Met>,
    pub base: BTreeMap<AccountId, i128>,
    pub quote: BTreeMap<AccountId, i128>,
}

fn rounded_up(millionths: i128) -> i128 {
    (millionths + 999_999).div_euclid(1_000_000)
}

impl Listed {
    pub fn fee(&self) -> i128 {
        rounded_up(self.fee_millionths)
    }

    /// What an open order keeps back.
    fn held(&self, instrument: &Instrument) -> i128 {
        if self.status != OrderStatus::Open {
            return 0;
        }
        match self.new.side {
            Side::Sell => self.left.into(),
            Side::Buy => {
                let cost = i128::from(instrument.notional(self.new.price, self.left).unwrap());
                cost + rounded_up(self.fee_millionths + cost * i128::from(instrument.maker_fee_ppm))
                    - self.fee()
            }
        }
    }
}

impl Reference {
    pub fn held(&self, instrument: &Instrument, account: AccountId, side: Side) -> i128 {
        let own = self.orders.iter().filter(|o| o.new.account == account && o.new.side == side);
        own.map(|o| o.held(instrument)).sum()
    }

    /// Summed quantity per price of what is open.
    pub fn levels(&self, side: Side) -> Vec<(i64, i64)> {
        let mut levels = BTreeMap::new();
        for order in self.orders.iter().filter(|o| o.status == OrderStatus::Open && o.new.side == side) {
            *levels.entry(order.new.price).or_insert(0) += order.left;
        }
        let up = levels.into_iter();
        if side == Side::Buy { up.rev().collect() } else { up.collect() }
    }

    pub fn place(&mut self, instrument: &Instrument, new: NewOrder) -> Result<&Listed, Rejection> {
        let most_ppm = i128::from(instrument.maker_fee_ppm.max(instrument.taker_fee_ppm));
        let (owned, needs) = match new.side {
            Side::Sell => (self.base[&new.account], i128::from(new.quantity)),
            Side::Buy => {
                let cost = i128::from(instrument.notional(new.price, new.quantity).unwrap());
                (self.quote[&new.account], cost + rounded_up(cost * most_ppm))
            }
        };
        if owned - self.held(instrument, new.account, new.side) < needs {
            return Err(Rejection::InsufficientFunds);
        }
        let mut taker =
            Listed { left: new.quantity, paid: 0, fee_millionths: 0, status: OrderStatus::Open, new };
        while taker.left > 0 {
            let Some(at) = self.next_maker(&taker.new) else { break };
            if self.orders[at].new.account == taker.new.account {
                taker.status = OrderStatus::Canceled;
                break;
            }
            self.meet(instrument, &mut taker, at);
        }
        if taker.left == 0 {
            taker.status = OrderStatus::Filled;
        } else if taker.new.time_in_force == TimeInForce::Ioc {
            taker.status = OrderStatus::Canceled;
        }
        self.orders.push(taker);
        Ok(self.orders.last().unwrap())
    }

    pub fn cancel(&mut self, account: AccountId, id: OrderId) -> bool {
        let open =
            |o: &&mut Listed| o.new.id == id && o.new.account == account && o.status == OrderStatus::Open;
        let found = self.orders.iter_mut().find(open);
        let is_found = found.is_some();
        if let Some(order) = found {
            order.status = OrderStatus::Canceled;
        }
        is_found
    }

    /// The best price, and the earliest at it: the list is in the order of time.
    fn next_maker(&self, taker: &NewOrder) -> Option<usize> {
        let mut best: Option<usize> = None;
        for (at, order) in self.orders.iter().enumerate() {
            let fits = match taker.side {
                Side::Buy => order.new.side == Side::Sell && order.new.price <= taker.price,
                Side::Sell => order.new.side == Side::Buy && order.new.price >= taker.price,
            };
            if order.status != OrderStatus::Open || !fits {
                continue;
            }
            let better = best.is_none_or(|b| match taker.side {
                Side::Buy => order.new.price < self.orders[b].new.price,
                Side::Sell => order.new.price > self.orders[b].new.price,
            });
            if better {
                best = Some(at);
            }
        }
        best
    }

    fn meet(&mut self, instrument: &Instrument, taker: &mut Listed, at: usize) {
        let maker = &mut self.orders[at];
        let quantity = maker.left.min(taker.left);
        let cost = instrument.notional(maker.new.price, quantity).unwrap();
        for (order, ppm) in [(&mut *taker, instrument.taker_fee_ppm), (&mut *maker, instrument.maker_fee_ppm)]
        {
            let before = order.fee();
            order.left -= quantity;
            order.paid += cost;
            order.fee_millionths += i128::from(cost) * i128::from(ppm);
            let fee = order.fee() - before;
            let account = order.new.account;
            let (gets_base, gets_quote) = match order.new.side {
                Side::Buy => (i128::from(quantity), -i128::from(cost)),
                Side::Sell => (-i128::from(quantity), i128::from(cost)),
            };
            *self.base.get_mut(&account).unwrap() += gets_base;
            *self.quote.get_mut(&account).unwrap() += gets_quote - fee;
            *self.quote.entry(instrument.fee_account).or_insert(0) += fee;
        }
        if maker.left == 0 {
            maker.status = OrderStatus::Filled;
        }
        self.trades.push(Met { maker: maker.new.id, taker: taker.new.id, price: maker.new.price, quantity });
    }
}
