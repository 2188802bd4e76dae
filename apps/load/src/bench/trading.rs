//! T1: orders per second on one hot instrument with 10,000 resting orders, from the WebSocket to the durable
//! acknowledgement, against one transaction per order. Every second order rests, and the next one takes it. T2: the same
//! with one order under way, against the commit of one row.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::bare_commit::BareCommit;
use super::one_transaction::OneTransaction;
use super::report::{Row, Target, median};
use crate::client::{Caller, Pending, Socket, Weir};
use crate::trading::{self, Ack, NewOrder, Operations};

/// Orders that lie in the book, out of reach.
pub const RESTING_ORDERS: u32 = 10_000;
/// Levels that they lie on.
const RESTING_LEVELS: u32 = 1_000;
/// Sockets, each with two accounts of its own; the peer has as many connections.
pub const CLIENTS: usize = 16;
/// Orders of one socket that are under way.
const WINDOW: usize = 64;
/// Rounds of each side.
const ROUNDS: usize = 5;
/// How long a round sends.
const ROUND: Duration = Duration::from_secs(3);
/// What is aimed at: times the peer's orders per second.
const TARGET: f64 = 15.0;
/// What is aimed at with one order under way: times the bare commit.
const TARGET_ALONE: f64 = 1.5;
/// More of both assets than a run needs.
const DEPOSIT: &str = "1000000000";

/// Runs both sides in turn. Without a database there is no peer, and so no row.
pub async fn measure(weir: &Weir, database_url: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let url = database_url.context("the peer needs DATABASE_URL, the database that the service writes to")?;
    let mut market = Market::open(weir).await.context("no market can be set up")?;
    let mut peer = OneTransaction::open(url).await.context("the peer can't be set up")?;
    let bare = BareCommit::open(url).await.context("the peer can't be set up")?;
    let (mut alone, mut commits) = (Vec::new(), Vec::new());
    let (mut ours, mut theirs, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (rate, mut waited) = market.run().await?;
        ours.push(rate);
        theirs.push(peer.run(ROUND).await?);
        waits.append(&mut waited);
        alone.append(&mut market.run_alone().await?);
        commits.append(&mut bare.run(ROUND).await?);
        eprintln!("round {round}: {:.0} orders/s, the peer {:.0}", ours[round - 1], theirs[round - 1]);
    }
    peer.close().await?;
    bare.close().await?;
    for waits in [&mut waits, &mut alone, &mut commits] {
        waits.sort_unstable();
    }
    let at = |waits: &[Duration], share: f64| {
        waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0
    };
    let wait_ms = |share: f64| at(&waits, share);
    let (alone_ms, commit_ms) = (at(&alone, 0.5), at(&commits, 0.5));
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let figures = format!(
        "{ours:.0} orders/s, the peer {theirs:.0}; acknowledged after {:.1} ms (p50), {:.1} ms (p99) with {} under way",
        wait_ms(0.5),
        wait_ms(0.99),
        CLIENTS * WINDOW,
    );
    Ok(vec![Row {
        id: "T1",
        what:
            "orders/s on one hot instrument with 10,000 resting orders, WebSocket to durable ack, one process"
                .to_owned(),
        value: ours / theirs,
        peer: "one transaction per order",
        target: Target::AtLeast(TARGET),
        figures,
    }, Row {
        id: "T2",
        what: "one client with one order under way, WebSocket to durable ack, p50".to_owned(),
        value: alone_ms / commit_ms,
        peer: "the commit of one row",
        target: Target::AtMost(TARGET_ALONE),
        figures: format!("{alone_ms:.2} ms (p99 {:.2} ms), the commit {commit_ms:.2} ms", at(&alone, 0.99)),
    }])
}

struct Market {
    clients: Vec<Client>,
}

/// A socket whose sells its own buys (or somebody else's) take.
struct Client {
    socket: Socket,
    operations: Operations,
    symbol: Arc<str>,
    seller: Uuid,
    buyer: Uuid,
    sent: u64,
}

impl Market {
    async fn open(weir: &Weir) -> anyhow::Result<Self> {
        let scopes = ["operator", "trading:read", "trading:write", "trading:deposit"];
        let request = json!({"sub": "bench", "scopes": scopes, "plan": "market-maker"});
        let caller = weir.caller_by(&request).await?;
        let base = trading::fresh_asset("BENCH");
        let symbol: Arc<str> = trading::list_instrument(&caller, &base, "USD").await?.into();
        let clients = (0..CLIENTS).map(|number| Client::open(&caller, &base, &symbol, number));
        let mut market = Self { clients: try_join_all(clients).await? };
        market.fill().await?;
        Ok(market)
    }

    /// Lays the resting orders into the book, far from where the trading goes on.
    async fn fill(&mut self) -> anyhow::Result<()> {
        let client = &mut self.clients[0];
        let mut under_way = VecDeque::new();
        for number in 0..RESTING_ORDERS {
            let price = Decimal::new(20_000 + i64::from(number % RESTING_LEVELS), 2);
            under_way.push_back(client.start(client.seller, "sell", "gtc", price).await?);
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
    async fn run(&mut self) -> anyhow::Result<(f64, Vec<Duration>)> {
        let begin = Instant::now();
        let waits =
            try_join_all(self.clients.iter_mut().map(|client| client.run(begin + ROUND, WINDOW))).await?;
        let elapsed = begin.elapsed().as_secs_f64();
        let waits = waits.concat();
        Ok((waits.len() as f64 / elapsed, waits))
    }

    /// How long each order of one client waited that sends the next one only then.
    async fn run_alone(&mut self) -> anyhow::Result<Vec<Duration>> {
        let client = &mut self.clients[0];
        client.run(Instant::now() + ROUND, 1).await
    }
}

impl Client {
    async fn open(caller: &Caller, base: &str, symbol: &Arc<str>, number: usize) -> anyhow::Result<Self> {
        let seller = trading::open_account(caller, &format!("seller {number}")).await?;
        let buyer = trading::open_account(caller, &format!("buyer {number}")).await?;
        trading::deposit(caller, seller, base, DEPOSIT).await?;
        trading::deposit(caller, buyer, "USD", DEPOSIT).await?;
        let socket = caller.socket(trading::SOCKET).await?;
        let (operations, symbol) = (Operations::default(), symbol.clone());
        Ok(Self { socket, operations, symbol, seller, buyer, sent: 0 })
    }

    async fn start(
        &mut self,
        account: Uuid,
        side: &'static str,
        time_in_force: &'static str,
        price: Decimal,
    ) -> anyhow::Result<Pending> {
        self.sent += 1;
        let order = NewOrder {
            account,
            client_order_id: format!("b{}", self.sent),
            instrument: self.symbol.clone(),
            side,
            time_in_force,
            price,
            quantity: Decimal::ONE,
        };
        Ok(trading::start_place(&self.socket, &self.operations, &order).await?)
    }

    /// Sends until `until` with so many under way, and waits for the last ones.
    async fn run(&mut self, until: Instant, window: usize) -> anyhow::Result<Vec<Duration>> {
        let (mut under_way, mut waits) = (VecDeque::with_capacity(window), Vec::new());
        let price = Decimal::new(10_000, 2);
        let mut sells = true;
        // A pair is always finished, so that nothing is left in reach.
        while Instant::now() < until || !sells {
            let (account, side, time_in_force) =
                if sells { (self.seller, "sell", "gtc") } else { (self.buyer, "buy", "ioc") };
            under_way.push_back((Instant::now(), self.start(account, side, time_in_force, price).await?));
            sells = !sells;
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
