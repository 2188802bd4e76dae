//! A round: the commands of one transaction, one after the other, over the book and the funds.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::effects::{Changed, Effects, Kind, Party, Reason, Trade, Transfer};
use super::{Book, Funds, checksum};
use crate::model::{
    AccountId, CancelReason, Instrument, InstrumentStatus, OPEN_ORDERS_MAX, Order, OrderId, OrderStatus,
    Side, TimeInForce, fee_within, words,
};

/// A limit order to be placed. Price and quantity are on the instrument's grid and within its bounds.
#[derive(Clone, Debug)]
pub struct NewOrder {
    /// Made here.
    pub id: OrderId,
    /// Whose it is.
    pub account: AccountId,
    /// The client's own id.
    pub client_id: Arc<str>,
    /// Which way.
    pub side: Side,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// The limit.
    pub price: i64,
    /// Minor units of the base asset.
    pub quantity: i64,
}

words! {
    /// Why a valid order was not accepted.
    Rejection {
        /// The account has less than the order could cost.
        InsufficientFunds = "insufficient_funds",
        /// The instrument takes no orders now.
        InstrumentHalted = "instrument_halted",
        /// Too many orders rest.
        BookFull = "book_full",
    }
}

/// Why a command did not do what it asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A rule said no. The order's client id stays rejected.
    Rejected(Rejection),
    /// No such order rests, or it is another account's.
    NotOpen,
    /// An account is needed that isn't locked. The round is void, with its book and its funds.
    Unlocked(AccountId),
}

/// One transaction's commands under way.
pub struct Round<'a> {
    instrument: &'a Instrument,
    book: &'a mut Book,
    funds: &'a mut Funds,
    seq: i64,
    at: DateTime<Utc>,
    next_trade: i64,
    next_line: i32,
    effects: Effects,
    changed: HashMap<OrderId, usize>,
    levels: BTreeSet<(bool, i64)>,
}

impl<'a> Round<'a> {
    /// A round that becomes the instrument's event `seq`. The trades count on from `next_trade`.
    pub fn new(
        instrument: &'a Instrument,
        book: &'a mut Book,
        funds: &'a mut Funds,
        seq: i64,
        at: DateTime<Utc>,
        next_trade: i64,
    ) -> Self {
        Self {
            instrument,
            book,
            funds,
            seq,
            at,
            next_trade,
            next_line: 0,
            effects: Effects::default(),
            changed: HashMap::new(),
            levels: BTreeSet::new(),
        }
    }

    /// Accepts an order, trades what crosses, and lets the rest stand or go. The order's state after that.
    pub fn place(&mut self, new: NewOrder) -> Result<Order, Refusal> {
        if !self.funds.covers(new.account) {
            return Err(Refusal::Unlocked(new.account));
        }
        self.check(&new).map_err(Refusal::Rejected)?;
        let mut order = Order {
            id: new.id,
            account: new.account,
            client_id: new.client_id,
            side: new.side,
            time_in_force: new.time_in_force,
            price: new.price,
            quantity: new.quantity,
            filled: 0,
            notional: 0,
            fee: 0,
            fee_slack: 0,
            status: OrderStatus::Open,
            reason: None,
            placed_seq: self.seq,
            placed_line: self.next_line,
            created_at: self.at,
        };
        self.next_line += 1;
        let stopped = self.take(&mut order)?;
        if order.status == OrderStatus::Open {
            let ioc = (order.time_in_force == TimeInForce::Ioc).then_some(CancelReason::Ioc);
            match stopped.or(ioc) {
                Some(reason) => {
                    order.status = OrderStatus::Canceled;
                    order.reason = Some(reason);
                }
                None => self.rest(&order),
            }
        }
        self.note(&order, true);
        Ok(order)
    }

    /// Takes an open order off and releases what was held for it. Its state after that.
    pub fn cancel(
        &mut self,
        account: AccountId,
        id: OrderId,
        reason: CancelReason,
    ) -> Result<Order, Refusal> {
        if self.book.find(id).is_none_or(|order| order.account != account) {
            return Err(Refusal::NotOpen);
        }
        if !self.funds.covers(account) {
            return Err(Refusal::Unlocked(account));
        }
        let mut order = self.book.remove(id).expect("it was found");
        self.touch_level(order.side, order.price);
        let hold = order.hold(self.instrument);
        order.status = OrderStatus::Canceled;
        order.reason = Some(reason);
        let is_base = order.side == Side::Sell;
        self.balance(account, is_base).release(hold);
        self.transfer(is_base, (account, Kind::Held), (account, Kind::Available), hold, Reason::Release);
        self.note(&order, false);
        Ok(order)
    }

    /// An open order of the account by the id that its owner gave it.
    pub fn find_by_client_id(&self, account: AccountId, client_id: &Arc<str>) -> Option<OrderId> {
        self.book.find_by_client_id(account, client_id).map(|order| order.id)
    }

    /// The account's open orders, the next to trade first on each side.
    pub fn open_orders(&self, account: AccountId) -> Vec<OrderId> {
        let of_account = |side| self.book.orders(side).filter(|order| order.account == account);
        of_account(Side::Buy).chain(of_account(Side::Sell)).map(|order| order.id).collect()
    }

    /// Ends the round.
    pub fn finish(mut self) -> Effects {
        let level = |(is_ask, price): &(bool, i64)| {
            let side = if *is_ask { Side::Sell } else { Side::Buy };
            (*price, self.book.level_quantity(side, *price))
        };
        self.effects.bids = self.levels.iter().rev().filter(|(is_ask, _)| !is_ask).map(level).collect();
        self.effects.asks = self.levels.iter().filter(|(is_ask, _)| *is_ask).map(level).collect();
        self.effects.checksum = checksum(self.book.levels(Side::Buy), self.book.levels(Side::Sell));
        self.effects
    }

    fn check(&self, new: &NewOrder) -> Result<(), Rejection> {
        if self.instrument.status != InstrumentStatus::Trading {
            return Err(Rejection::InstrumentHalted);
        }
        if new.time_in_force == TimeInForce::Gtc && self.book.len() >= OPEN_ORDERS_MAX {
            return Err(Rejection::BookFull);
        }
        let holding = self.funds.get(new.account).expect("`place` asked `covers`");
        let (has, needs) = match new.side {
            Side::Sell => (holding.base.available, new.quantity),
            Side::Buy => {
                let notional = self
                    .instrument
                    .notional(new.price, new.quantity)
                    .expect("bounded when the command was read");
                let fee_ppm = self.instrument.maker_fee_ppm.max(self.instrument.taker_fee_ppm);
                (holding.quote.available, notional + fee_within(notional, fee_ppm, 0).0)
            }
        };
        if has < needs { Err(Rejection::InsufficientFunds) } else { Ok(()) }
    }

    /// Trades with what rests on the other side as far as price and time say. Returns why it had to stop early, if so.
    fn take(&mut self, order: &mut Order) -> Result<Option<CancelReason>, Refusal> {
        while order.leaves() > 0 {
            let Some(maker) = self.book.best(order.side.opposite()) else { break };
            if !order.side.crosses(order.price, maker.price) {
                break;
            }
            if maker.account == order.account {
                return Ok(Some(CancelReason::SelfTrade));
            }
            if !self.funds.covers(maker.account) {
                return Err(Refusal::Unlocked(maker.account));
            }
            let quantity = order.leaves().min(maker.leaves());
            let notional =
                self.instrument.notional(maker.price, quantity).expect("no more than the maker's own");
            let (buyer, seller) = match order.side {
                Side::Buy => (order.account, maker.account),
                Side::Sell => (maker.account, order.account),
            };
            let room = |account, is_base, amount| self.peek(account, is_base).has_room_for(amount);
            if !room(buyer, true, quantity) || !room(seller, false, notional) {
                return Ok(Some(CancelReason::BalanceLimit));
            }
            let (maker, price) = (maker.id, maker.price);
            self.trade(order, maker, price, quantity, notional);
        }
        Ok(None)
    }

    /// One trade. The taker pays from what is available (the worst case was seen to be there), the maker from its hold:
    /// hold and release of what executes at once are one instant, so only the net is entered.
    fn trade(&mut self, taker: &mut Order, maker: OrderId, price: i64, quantity: i64, notional: i64) {
        let (maker_ppm, taker_ppm) = (self.instrument.maker_fee_ppm, self.instrument.taker_fee_ppm);
        let taker_fee = taker.fill(quantity, notional, taker_ppm);
        let change = |order: &mut Order| (order.fill(quantity, notional, maker_ppm), order.clone());
        let (maker_fee, maker) = self.book.change(maker, change).expect("the best order is open");
        if maker.status != OrderStatus::Open {
            self.book.remove(maker.id);
        }
        self.touch_level(maker.side, price);
        let taking = (Party { account: taker.account, order: taker.id, fee: taker_fee }, Kind::Available);
        let making = (Party { account: maker.account, order: maker.id, fee: maker_fee }, Kind::Held);
        let ((buyer, pays_from), (seller, gives_from)) = match taker.side {
            Side::Buy => (taking, making),
            Side::Sell => (making, taking),
        };
        self.settle((buyer, pays_from), (seller, gives_from), quantity, notional);
        self.effects.trades.push(Trade {
            number: self.next_trade,
            taker_side: taker.side,
            price,
            quantity,
            notional,
            buyer,
            seller,
        });
        self.next_trade += 1;
        self.note(&maker, false);
    }

    fn settle(&mut self, buyer: (Party, Kind), seller: (Party, Kind), quantity: i64, notional: i64) {
        let ((buyer, pays_from), (seller, gives_from)) = (buyer, seller);
        self.take_from(buyer.account, false, pays_from, notional + buyer.fee);
        self.take_from(seller.account, true, gives_from, quantity);
        self.balance(buyer.account, true).available += quantity;
        self.balance(seller.account, false).available += notional - seller.fee;
        self.effects.fees += buyer.fee + seller.fee;
        let to_buyer = (buyer.account, Kind::Available);
        let to_seller = (seller.account, Kind::Available);
        let to_fees = (self.instrument.fee_account, Kind::Fees);
        self.transfer(false, (buyer.account, pays_from), to_seller, notional, Reason::Trade);
        self.transfer(true, (seller.account, gives_from), to_buyer, quantity, Reason::Trade);
        self.transfer(false, (buyer.account, pays_from), to_fees, buyer.fee, Reason::Fee);
        self.transfer(false, to_seller, to_fees, seller.fee, Reason::Fee);
    }

    /// Lets what is left stand in the book, and keeps back its worst case.
    fn rest(&mut self, order: &Order) {
        let is_base = order.side == Side::Sell;
        let hold = order.hold(self.instrument);
        self.balance(order.account, is_base).hold(hold);
        let place = |kind| (order.account, kind);
        self.transfer(is_base, place(Kind::Available), place(Kind::Held), hold, Reason::Hold);
        self.touch_level(order.side, order.price);
        self.book.append(order.clone());
    }

    fn take_from(&mut self, account: AccountId, is_base: bool, kind: Kind, amount: i64) {
        let balance = self.balance(account, is_base);
        match kind {
            Kind::Held => balance.held -= amount,
            _ => balance.available -= amount,
        }
    }

    fn balance(&mut self, account: AccountId, is_base: bool) -> &mut super::Balance {
        let holding = self.funds.get_mut(account);
        if is_base { &mut holding.base } else { &mut holding.quote }
    }

    fn peek(&self, account: AccountId, is_base: bool) -> super::Balance {
        let holding = self.funds.get(account).copied().unwrap_or_default();
        if is_base { holding.base } else { holding.quote }
    }

    fn transfer(
        &mut self,
        is_base: bool,
        from: (AccountId, Kind),
        to: (AccountId, Kind),
        amount: i64,
        reason: Reason,
    ) {
        if amount > 0 {
            self.effects.transfers.push(Transfer { is_base, from, to, amount, reason });
        }
    }

    fn touch_level(&mut self, side: Side, price: i64) {
        self.levels.insert((side == Side::Sell, price));
    }

    fn note(&mut self, order: &Order, is_new: bool) {
        let next = self.effects.orders.len();
        match *self.changed.entry(order.id).or_insert(next) {
            at if at == next => self.effects.orders.push(Changed { order: order.clone(), is_new }),
            at => self.effects.orders[at].order = order.clone(),
        }
    }
}
