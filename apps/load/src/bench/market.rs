//! A market to measure: instruments that nobody else uses, and clients whose sells their own buys (or somebody else's)
//! take. Every second order rests, and the next one takes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use fastrand::Rng;
use futures_util::future::try_join_all;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use crate::client::{Caller, Pending, Socket, Weir};
use crate::trading::{self, Ack, NewOrder, Operations};

/// Orders that lie in the first book, out of reach.
pub const RESTING_ORDERS: u32 = 10_000;
/// Levels that they lie on.
const RESTING_LEVELS: u32 = 1_000;
/// Sockets, each with two accounts of its own; the peer has as many connections.
pub const CLIENTS: usize = 16;
/// Orders of one socket that are under way.
pub const WINDOW: usize = 64;
/// How long a round sends.
pub const ROUND: Duration = Duration::from_secs(3);
/// More of each asset than a run needs.
const DEPOSIT: &str = "1000000000";

/// The instruments with their clients.
pub struct Market {
    clients: Vec<Client>,
}

/// How orders are spread over the instruments.
#[derive(Clone, Copy, Debug)]
pub enum Spread {
    /// All alike.
    Even,
    /// This share of them on the first one, the rest evenly on the others.
    Hot(f64),
}

struct Client {
    socket: Socket,
    operations: Operations,
    symbols: Arc<[Arc<str>]>,
    seller: Uuid,
    buyer: Uuid,
    sent: u64,
    random: Rng,
}

impl Market {
    /// With so many instruments. The clients are dealt out to the processes; orders rest on the first instrument.
    pub async fn open(processes: &[Weir], instruments: usize) -> anyhow::Result<Self> {
        let scopes = ["operator", "trading:read", "trading:write", "trading:deposit"];
        let request = json!({"sub": "bench", "scopes": scopes, "plan": "market-maker"});
        let callers = try_join_all(processes.iter().map(|weir| weir.caller_by(&request))).await?;
        let (mut bases, mut symbols) = (Vec::new(), Vec::new());
        for _ in 0..instruments {
            let base = trading::fresh_asset("BENCH");
            symbols.push(Arc::from(trading::list_instrument(&callers[0], &base, "USD").await?));
            bases.push(base);
        }
        let symbols: Arc<[Arc<str>]> = symbols.into();
        let clients = (0..CLIENTS)
            .map(|number| Client::open(&callers[number % callers.len()], &bases, &symbols, number));
        let mut market = Self { clients: try_join_all(clients).await? };
        market.fill().await?;
        Ok(market)
    }

    /// Lays the resting orders into the book, far from where the trading goes on.
    async fn fill(&mut self) -> anyhow::Result<()> {
        let client = &mut self.clients[0];
        let symbol = client.symbols[0].clone();
        let mut under_way = VecDeque::new();
        for number in 0..RESTING_ORDERS {
            let price = Decimal::new(20_000 + i64::from(number % RESTING_LEVELS), 2);
            under_way.push_back(client.start(client.seller, &symbol, "sell", "gtc", price).await?);
            if under_way.len() == WINDOW * 4 {
                acknowledged(under_way.pop_front()).await?;
            }
        }
        while !under_way.is_empty() {
            acknowledged(under_way.pop_front()).await?;
        }
        Ok(())
    }

    /// Orders per second, and how long each waited for its acknowledgement.
    pub async fn run(&mut self, spread: Spread) -> anyhow::Result<(f64, Vec<Duration>)> {
        let begin = Instant::now();
        let clients = self.clients.iter_mut();
        let waits = try_join_all(clients.map(|client| client.run(begin + ROUND, WINDOW, spread))).await?;
        let elapsed = begin.elapsed().as_secs_f64();
        let waits = waits.concat();
        Ok((waits.len() as f64 / elapsed, waits))
    }

    /// How long each order of one client waited that sends the next one only then.
    pub async fn run_alone(&mut self) -> anyhow::Result<Vec<Duration>> {
        let client = &mut self.clients[0];
        client.run(Instant::now() + ROUND, 1, Spread::Even).await
    }
}

impl Client {
    async fn open(
        caller: &Caller,
        bases: &[String],
        symbols: &Arc<[Arc<str>]>,
        number: usize,
    ) -> anyhow::Result<Self> {
        let seller = trading::open_account(caller, &format!("seller {number}")).await?;
        let buyer = trading::open_account(caller, &format!("buyer {number}")).await?;
        for base in bases {
            trading::deposit(caller, seller, base, DEPOSIT).await?;
        }
        trading::deposit(caller, buyer, "USD", DEPOSIT).await?;
        let socket = caller.socket(trading::SOCKET).await?;
        let (operations, symbols) = (Operations::default(), symbols.clone());
        // The same choice of instruments in every run.
        let random = Rng::with_seed(number as u64);
        Ok(Self { socket, operations, symbols, seller, buyer, sent: 0, random })
    }

    async fn start(
        &mut self,
        account: Uuid,
        symbol: &Arc<str>,
        side: &'static str,
        time_in_force: &'static str,
        price: Decimal,
    ) -> anyhow::Result<Pending> {
        self.sent += 1;
        let order = NewOrder {
            account,
            client_order_id: format!("b{}", self.sent),
            instrument: symbol.clone(),
            side,
            time_in_force,
            price,
            quantity: Decimal::ONE,
        };
        Ok(trading::start_place(&self.socket, &self.operations, &order).await?)
    }

    fn choose(&mut self, spread: Spread) -> Arc<str> {
        let count = self.symbols.len();
        let at = match spread {
            Spread::Hot(share) if count == 1 || self.random.f64() < share => 0,
            Spread::Hot(_) => self.random.usize(1..count),
            Spread::Even => self.random.usize(0..count),
        };
        self.symbols[at].clone()
    }

    /// Sends until `until` with so many under way, and waits for the last ones.
    async fn run(&mut self, until: Instant, window: usize, spread: Spread) -> anyhow::Result<Vec<Duration>> {
        let (mut under_way, mut waits) = (VecDeque::with_capacity(window), Vec::new());
        let price = Decimal::new(10_000, 2);
        let mut sells = true;
        let mut symbol = self.choose(spread);
        // A pair is always finished, so that nothing is left in reach.
        while Instant::now() < until || !sells {
            let (account, side, time_in_force) =
                if sells { (self.seller, "sell", "gtc") } else { (self.buyer, "buy", "ioc") };
            let sent = self.start(account, &symbol, side, time_in_force, price).await?;
            under_way.push_back((Instant::now(), sent));
            sells = !sells;
            if sells {
                symbol = self.choose(spread);
            }
            if under_way.len() >= window {
                waits.push(answered(under_way.pop_front()).await?);
            }
        }
        while !under_way.is_empty() {
            waits.push(answered(under_way.pop_front()).await?);
        }
        Ok(waits)
    }
}

async fn answered(oldest: Option<(Instant, Pending)>) -> anyhow::Result<Duration> {
    let (begin, pending) = oldest.context("nothing is under way")?;
    let ack = acknowledged(Some(pending)).await?;
    ensure!(ack.status != "canceled", "order {} found nothing to take", ack.client_order_id);
    Ok(begin.elapsed())
}

async fn acknowledged(pending: Option<Pending>) -> anyhow::Result<Ack> {
    Ok(pending.context("nothing is under way")?.await?.parse()?)
}
