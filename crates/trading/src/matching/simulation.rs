//! A seeded crowd of traders that plays the same commands to the fast matcher, in rounds, and to the slow one, command by
//! command. Every answer, trade, balance and level must agree, and every list of effects must add up.

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use fastrand::Rng;
use uuid::Uuid;

use super::reference::{Met, Reference};
use super::{
    Balance, Book, Demand, Effects, Funds, Holding, Kind, NewOrder, Refusal, Rejection, Round, Transfer,
    reach,
};
use crate::model::{AccountId, CancelReason, Instrument, Order, OrderId, OrderStatus, Side, TimeInForce};

/// Commands per run unless `WEIR_SIMULATION_COMMANDS` says another number.
const COMMANDS: u64 = 100_000;
const ACCOUNTS: u128 = 12;

#[derive(Clone, Debug)]
enum Command {
    Place(NewOrder),
    Cancel(AccountId, OrderId),
}

struct Crowd {
    rng: Rng,
    placed: Vec<(AccountId, OrderId)>,
    next_id: u128,
}

impl Crowd {
    fn command(&mut self) -> Command {
        let rng = &mut self.rng;
        if rng.u8(..100) < 30 && !self.placed.is_empty() {
            let recent = self.placed.len().saturating_sub(60);
            let (mut account, id) = self.placed[rng.usize(recent..self.placed.len())];
            if rng.u8(..100) < 3 {
                account = AccountId(Uuid::from_u128(rng.u128(1..=ACCOUNTS)));
            }
            return Command::Cancel(account, id);
        }
        self.next_id += 1;
        let side = if rng.bool() { Side::Buy } else { Side::Sell };
        let away = rng.i64(-6..=14);
        let quantity_max = if rng.u8(..100) < 5 { 4_000 } else { 60 };
        let new = NewOrder {
            id: OrderId(Uuid::from_u128(self.next_id)),
            account: AccountId(Uuid::from_u128(rng.u128(1..=ACCOUNTS))),
            client_id: self.next_id.to_string().into(),
            side,
            time_in_force: if rng.u8(..100) < 25 { TimeInForce::Ioc } else { TimeInForce::Gtc },
            price: if side == Side::Buy { 1_000 - away } else { 1_000 + away },
            quantity: rng.i64(1..=quantity_max),
        };
        self.placed.push((new.account, new.id));
        Command::Place(new)
    }
}

struct Market {
    instrument: Instrument,
    book: Book,
    funds: BTreeMap<AccountId, Holding>,
    rows: BTreeMap<OrderId, Order>,
    seq: i64,
    trades: i64,
    fees: i64,
    /// Most accounts that a round had to lock.
    reached: usize,
}

impl Market {
    /// One round, with exactly the accounts that `reach` names.
    fn round(&mut self, commands: &[Command]) -> (Vec<Result<Order, Refusal>>, Effects) {
        let mut demand = Demand::default();
        for command in commands {
            match command {
                Command::Place(new) => demand.add_order(new.account, new.side, new.price, new.quantity),
                Command::Cancel(account, id) => demand.add_cancel(*account, Some(*id)),
            }
        }
        let locked = reach(&self.book, &demand);
        self.reached = self.reached.max(locked.len());
        let mut funds = Funds::of(locked.iter().map(|account| (*account, self.funds[account])));
        self.seq += 1;
        let at = DateTime::UNIX_EPOCH;
        let mut round =
            Round::new(&self.instrument, &mut self.book, &mut funds, self.seq, at, self.trades + 1);
        let answers = commands.iter().map(|command| match command.clone() {
            Command::Place(new) => round.place(new),
            Command::Cancel(account, id) => round.cancel(account, id, CancelReason::Requested),
        });
        let answers = answers.collect();
        let effects = round.finish();
        self.check_transfers(&effects.transfers, &funds, &locked);
        for account in locked {
            self.funds.insert(account, *funds.get(account).unwrap());
        }
        for changed in &effects.orders {
            let before = self.rows.insert(changed.order.id, changed.order.clone());
            assert_eq!(before.is_none(), changed.is_new);
        }
        self.trades += effects.trades.len() as i64;
        self.fees += effects.fees;
        (answers, effects)
    }

    /// The ledger's lines lead from the balances before to those after.
    fn check_transfers(&self, transfers: &[Transfer], after: &Funds, locked: &BTreeSet<AccountId>) {
        let mut moved: BTreeMap<(AccountId, bool, Kind), i64> = BTreeMap::new();
        for line in transfers {
            assert!(line.amount > 0);
            *moved.entry((line.from.0, line.is_base, line.from.1)).or_default() -= line.amount;
            *moved.entry((line.to.0, line.is_base, line.to.1)).or_default() += line.amount;
        }
        for account in locked {
            for is_base in [true, false] {
                let of = |holding: &Holding| if is_base { holding.base } else { holding.quote };
                let plus = |kind| moved.get(&(*account, is_base, kind)).copied().unwrap_or(0);
                let before = of(&self.funds[account]);
                let expected = Balance {
                    available: before.available + plus(Kind::Available),
                    held: before.held + plus(Kind::Held),
                };
                assert_eq!(of(after.get(*account).unwrap()), expected);
                assert!(expected.available >= 0 && expected.held >= 0);
            }
        }
    }
}

fn run(seed: u64, commands: u64, maker_fee_ppm: i32, taker_fee_ppm: i32) {
    let instrument = crate::model::tests::shares(maker_fee_ppm, taker_fee_ppm);
    let accounts: Vec<_> = (1..=ACCOUNTS).map(|n| AccountId(Uuid::from_u128(n))).collect();
    let (shares, cash) = (3_000, 3_000_000);
    let mut slow = Reference::default();
    let mut fast = Market {
        instrument: instrument.clone(),
        book: Book::default(),
        funds: BTreeMap::new(),
        rows: BTreeMap::new(),
        seq: 0,
        trades: 0,
        fees: 0,
        reached: 0,
    };
    for account in &accounts {
        let balance = |available| Balance { available, held: 0 };
        fast.funds.insert(*account, Holding { base: balance(shares), quote: balance(cash) });
        slow.base.insert(*account, shares.into());
        slow.quote.insert(*account, cash.into());
    }
    let mut crowd = Crowd { rng: Rng::with_seed(seed), placed: Vec::new(), next_id: 0 };
    let mut levels = [BTreeMap::new(), BTreeMap::new()];
    let (mut done, mut rejected) = (0, 0);
    while done < commands {
        let size = if crowd.rng.bool() { 1 } else { crowd.rng.usize(1..=64) };
        let batch: Vec<Command> = (0..size).map(|_| crowd.command()).collect();
        done += batch.len() as u64;
        let (answers, effects) = fast.round(&batch);
        let first_trade = slow.trades.len();
        for (command, answer) in batch.into_iter().zip(answers) {
            let place = format!("seed {seed}, after {done} commands, {command:?}");
            match (command, answer) {
                (Command::Place(new), answer) => match (slow.place(&instrument, new), answer) {
                    (Ok(listed), Ok(order)) => {
                        assert_eq!(order.leaves(), listed.left, "{place}");
                        assert_eq!(order.status, listed.status, "{place}");
                        assert_eq!(order.notional, listed.paid, "{place}");
                        assert_eq!(i128::from(order.fee), listed.fee(), "{place}");
                    }
                    (Err(slow), Err(Refusal::Rejected(fast))) => {
                        assert_eq!(slow, fast, "{place}");
                        assert_eq!(slow, Rejection::InsufficientFunds);
                        rejected += 1;
                    }
                    (slow, fast) => panic!("{place}: {slow:?} against {fast:?}"),
                },
                (Command::Cancel(account, id), answer) => {
                    assert_eq!(slow.cancel(account, id), answer.is_ok(), "{place}: {answer:?}");
                }
            }
        }
        let met = effects.trades.iter().map(|t| {
            assert_ne!(t.buyer.account, t.seller.account);
            let (taker, maker) = (t.party(t.taker_side), t.party(t.taker_side.opposite()));
            Met { maker: maker.order, taker: taker.order, price: t.price, quantity: t.quantity }
        });
        assert_eq!(met.collect::<Vec<_>>(), slow.trades[first_trade..], "seed {seed}, after {done} commands");
        // A copy that follows the levels told is the book.
        for ((copy, told), side) in
            levels.iter_mut().zip([&effects.bids, &effects.asks]).zip([Side::Buy, Side::Sell])
        {
            for (price, quantity) in told {
                if *quantity == 0 {
                    copy.remove(price)
                } else {
                    copy.insert(*price, *quantity)
                };
            }
            let up = copy.iter().map(|(p, q)| (*p, *q));
            let copy: Vec<_> = if side == Side::Buy { up.rev().collect() } else { up.collect() };
            assert_eq!(copy, fast.book.levels(side).collect::<Vec<_>>());
            assert_eq!(copy, slow.levels(side), "seed {seed}, after {done} commands");
        }
        if let (Some(bid), Some(ask)) = (fast.book.best(Side::Buy), fast.book.best(Side::Sell)) {
            assert!(bid.price < ask.price);
        }
    }
    for account in &accounts {
        let holding = fast.funds[account];
        assert_eq!(i128::from(holding.base.held), slow.held(&instrument, *account, Side::Sell));
        assert_eq!(i128::from(holding.quote.held), slow.held(&instrument, *account, Side::Buy));
        assert_eq!(i128::from(holding.base.available + holding.base.held), slow.base[account]);
        assert_eq!(i128::from(holding.quote.available + holding.quote.held), slow.quote[account]);
    }
    assert_eq!(slow.base.values().sum::<i128>(), i128::from(shares) * ACCOUNTS as i128);
    assert_eq!(slow.quote.values().sum::<i128>(), i128::from(cash) * ACCOUNTS as i128);
    assert_eq!(i128::from(fast.fees), slow.quote.get(&instrument.fee_account).copied().unwrap_or(0));
    // The rows rebuild the same book, each order in its place.
    let mut open: Vec<Order> = fast.rows.into_values().filter(|o| o.status == OrderStatus::Open).collect();
    open.sort_by_key(|o| (o.placed_seq, o.placed_line));
    let rebuilt = Book::of(open);
    for side in [Side::Buy, Side::Sell] {
        assert_eq!(rebuilt.orders(side).collect::<Vec<_>>(), fast.book.orders(side).collect::<Vec<_>>());
    }
    // The crowd did what it is for.
    assert!(
        fast.trades > 0 && rejected > 0 && fast.reached > 1,
        "{} {rejected} {}",
        fast.trades,
        fast.reached
    );
}

fn commands() -> u64 {
    std::env::var("WEIR_SIMULATION_COMMANDS").ok().and_then(|n| n.parse().ok()).unwrap_or(COMMANDS)
}

#[test]
fn the_matcher_agrees_with_the_obvious_one() {
    // The slow one looks at every order ever: many short runs, not one long.
    let each = 2_000;
    for seed in 0..commands().div_ceil(each) {
        let (maker, taker) = [(0, 0), (100, 250), (300, 40), (0, 99_999)][seed as usize % 4];
        run(seed, each, maker, taker);
    }
}
