//! T1: orders per second on one hot instrument with 10,000 resting orders, from the WebSocket to the durable
//! acknowledgement, against one transaction per order; in one process and in three. T2: the same with one order under way,
//! against the commit of one row. T3: nearly all orders on one of several instruments, against the same evenly spread.

use std::time::Duration;

use anyhow::Context;
use tokio_postgres::NoTls;

use super::bare_commit::BareCommit;
use super::market::{CLIENTS, Market, ROUND, Spread, WINDOW};
use super::one_transaction::OneTransaction;
use super::report::{Row, Target, median};
use crate::client::Weir;

/// Rounds of each side.
const ROUNDS: usize = 5;
/// What is aimed at: times the peer's orders per second.
const TARGET: f64 = 15.0;
/// What is aimed at with several processes: times the orders per second of one.
const TARGET_FLEET: f64 = 0.8;
/// What is aimed at with one order under way: times the bare commit.
const TARGET_ALONE: f64 = 1.5;
/// Instruments that orders are spread over.
const INSTRUMENTS: usize = 8;
/// Of the orders, those on the hot one.
const HOT: f64 = 0.95;

/// Times in ascending order.
struct Waits(Vec<Duration>);

/// What is measured on a fleet.
struct Fleet {
    one_instrument: Market,
    many: Market,
    rates: Vec<f64>,
    hot: Vec<f64>,
    even: Vec<f64>,
}

/// Runs all sides in turn. `fleet` are processes of one database, the first of them alone for what is measured in one; with
/// less than two there are no rows of several.
pub async fn measure(fleet: &[Weir], database_url: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let url = database_url.context("the peer needs DATABASE_URL, the database that the service writes to")?;
    let mut market = Market::open(&fleet[..1], 1).await.context("no market can be set up")?;
    let mut several = match fleet.len() {
        0 | 1 => None,
        _ => Some(Fleet::open(fleet).await.context("no market can be set up for the fleet")?),
    };
    let mut peer = OneTransaction::open(url).await.context("the peer can't be set up")?;
    let bare = BareCommit::open(url).await.context("the peer can't be set up")?;
    let deadlocks = count_deadlocks(url).await?;
    let (mut alone, mut commits, mut waits) = (Vec::new(), Vec::new(), Vec::new());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        let (rate, mut waited) = market.run(Spread::Even).await?;
        ours.push(rate);
        theirs.push(peer.run(ROUND).await?);
        waits.append(&mut waited);
        alone.append(&mut market.run_alone().await?);
        commits.append(&mut bare.run(ROUND).await?);
        eprintln!("round {round}: {:.0} orders/s, the peer {:.0}", ours[round - 1], theirs[round - 1]);
        if let Some(several) = &mut several {
            several.run().await?;
        }
    }
    peer.close().await?;
    bare.close().await?;
    let deadlocks = count_deadlocks(url).await? - deadlocks;
    let (waits, alone, commits) = (Waits::of(waits), Waits::of(alone), Waits::of(commits));
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let mut rows = vec![
        Row {
            id: "T1",
            what: "orders/s on one hot instrument with 10,000 resting orders, WebSocket to durable ack, one process"
                .to_owned(),
            value: ours / theirs,
            peer: "one transaction per order",
            target: Target::AtLeast(TARGET),
            figures: format!(
                "{ours:.0} orders/s, the peer {theirs:.0}; acknowledged after {:.1} ms (p50), {:.1} ms (p99) with {} \
                 under way",
                waits.ms(0.5),
                waits.ms(0.99),
                CLIENTS * WINDOW,
            ),
        },
        Row {
            id: "T2",
            what: "one client with one order under way, WebSocket to durable ack, p50".to_owned(),
            value: alone.ms(0.5) / commits.ms(0.5),
            peer: "the commit of one row",
            target: Target::AtMost(TARGET_ALONE),
            figures: format!(
                "{:.2} ms (p99 {:.2} ms), the commit {:.2} ms",
                alone.ms(0.5),
                alone.ms(0.99),
                commits.ms(0.5)
            ),
        },
    ];
    if let Some(several) = several {
        rows.extend(several.rows(ours, theirs, deadlocks, fleet.len()));
    }
    Ok(rows)
}

impl Fleet {
    async fn open(fleet: &[Weir]) -> anyhow::Result<Self> {
        let (one_instrument, many) = (Market::open(fleet, 1).await?, Market::open(fleet, INSTRUMENTS).await?);
        Ok(Self { one_instrument, many, rates: Vec::new(), hot: Vec::new(), even: Vec::new() })
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        self.rates.push(self.one_instrument.run(Spread::Even).await?.0);
        self.hot.push(self.many.run(Spread::Hot(HOT)).await?.0);
        self.even.push(self.many.run(Spread::Even).await?.0);
        Ok(())
    }

    fn rows(mut self, one_process: f64, peer: f64, deadlocks: i64, processes: usize) -> Vec<Row> {
        let (rate, hot, even) = (median(&mut self.rates), median(&mut self.hot), median(&mut self.even));
        let on_one = format!("orders/s on one hot instrument over {processes} processes");
        vec![
            Row {
                id: "T1",
                what: format!("{on_one}, WebSocket to durable ack"),
                value: rate / peer,
                peer: "one transaction per order",
                target: Target::AtLeast(TARGET),
                figures: format!("{rate:.0} orders/s, the peer {peer:.0}"),
            },
            Row {
                id: "T1",
                what: on_one,
                value: rate / one_process,
                peer: "one process",
                target: Target::AtLeast(TARGET_FLEET),
                figures: format!("{rate:.0} orders/s, one process {one_process:.0}"),
            },
            Row {
                id: "T3",
                what: format!(
                    "orders/s with {:.0} % of them on one of {INSTRUMENTS} instruments, {processes} processes",
                    HOT * 100.0
                ),
                value: hot / even,
                peer: "evenly spread",
                target: Target::AtLeast(TARGET_FLEET),
                figures: format!("{hot:.0} orders/s, evenly spread {even:.0}"),
            },
            Row {
                id: "T3",
                what: format!("deadlocks in all of these runs, {processes} processes"),
                value: deadlocks as f64,
                peer: "-",
                target: Target::AtMost(0.0),
                figures: "as pg_stat_database counts them".to_owned(),
            },
        ]
    }
}

impl Waits {
    fn of(mut waits: Vec<Duration>) -> Self {
        waits.sort_unstable();
        Self(waits)
    }

    /// Milliseconds that this share of them did not exceed.
    fn ms(&self, share: f64) -> f64 {
        self.0[((self.0.len() - 1) as f64 * share) as usize].as_secs_f64() * 1_000.0
    }
}

async fn count_deadlocks(url: &str) -> anyhow::Result<i64> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let speaking = tokio::spawn(connection);
    let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadlocks = client.query_one(count, &[]).await?.get(0);
    drop(client);
    speaking.await??;
    Ok(deadlocks)
}
