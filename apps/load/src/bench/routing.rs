//! P4: what a caller wrote is what it reads, while replay is paused and resumed at random; and how much of that standbys
//! can answer, by the time that the caller took to think.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures_util::future::try_join_all;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

use super::report::{Row, Target};
use crate::client::Caller;
use crate::world::World;

/// Between a write and the read with its token.
const THINK_TIMES_MS: [u64; 3] = [0, 5, 20];
/// Pairs at a time.
const LANES: usize = 8;
/// Replay stands still, and goes on, for up to this long in turn.
const STANDS_STILL_MS: u64 = 60;
const GOES_ON_MS: u64 = 150;

/// What was seen at one think time.
struct Seen {
    pairs: u64,
    stale: u64,
    by_standby: u64,
    by_writer: u64,
}

/// Starts a cluster and two processes of the program, and runs `pairs` pairs at each think time.
pub async fn measure(program: &Path, pairs: usize) -> anyhow::Result<Vec<Row>> {
    anyhow::ensure!(pairs >= LANES, "at least {LANES} pairs are needed");
    let world = World::start(program).await?;
    let stop = CancellationToken::new();
    let pausing = world.standby_urls().into_iter().map(|url| tokio::spawn(pause(url, stop.clone())));
    let pausing: Vec<_> = pausing.collect();
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pairs, {elapsed}  {msg}")?;
    let bar = ProgressBar::new((pairs * THINK_TIMES_MS.len()) as u64).with_style(style);
    let mut rows = Vec::new();
    let (mut stale, mut done) = (0, 0);
    for think_ms in THINK_TIMES_MS {
        bar.set_message(format!("{think_ms} ms to think"));
        let seen = phase(&world, think_ms, pairs, &bar).await?;
        stale += seen.stale;
        done += seen.pairs;
        let share = seen.by_standby as f64 / (seen.by_standby + seen.by_writer).max(1) as f64;
        rows.push(Row {
            id: "P4",
            what: format!(
                "share of reads with a token that standbys answered, {think_ms} ms after the write"
            ),
            value: share,
            peer: "all reads at the writer",
            // Only after human think time most reads are expected there.
            target: Target::AtLeast(if think_ms >= 20 { 0.9 } else { 0.0 }),
            figures: format!("{} pairs, replay paused and resumed at random", seen.pairs),
        });
    }
    bar.finish_and_clear();
    stop.cancel();
    for pausing in pausing {
        pausing.await??;
    }
    rows.push(Row {
        id: "P4",
        what: format!("stale reads of {done} write-then-read pairs"),
        value: stale as f64,
        peer: "-",
        target: Target::AtMost(0.0),
        figures: "two processes, two standbys, the read at the other process".to_owned(),
    });
    Ok(rows)
}

async fn phase(world: &World, think_ms: u64, pairs: usize, bar: &ProgressBar) -> anyhow::Result<Seen> {
    let before = world.reads().await?;
    let (stale, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let lanes = (0..LANES).map(|lane| {
        let (gates, bar) = (world.gates(), bar.clone());
        let (stale, done) = (stale.clone(), done.clone());
        async move {
            let request = json!({"sub": format!("lane-{lane}-{think_ms}"), "plan": "market-maker"});
            let writer = gates[lane % gates.len()].http.caller_by(&request).await?;
            let reader = gates[(lane + 1) % gates.len()].http.caller_with(writer.token());
            let mut account = Account::open(&writer).await?;
            for n in 0..pairs / LANES {
                let token = account.rename(&writer, n).await?;
                tokio::time::sleep(Duration::from_millis(think_ms)).await;
                if !account.is_as_written(&reader, &token).await? {
                    stale.fetch_add(1, Ordering::Relaxed);
                }
                done.fetch_add(1, Ordering::Relaxed);
                bar.inc(1);
            }
            anyhow::Ok(())
        }
    });
    try_join_all(lanes).await?;
    let after = world.reads().await?;
    Ok(Seen {
        pairs: done.load(Ordering::Relaxed),
        stale: stale.load(Ordering::Relaxed),
        by_standby: after.0 - before.0,
        by_writer: after.1 - before.1,
    })
}

/// An account of a household: its reads are answered by a database, not by a cache.
struct Account {
    path: String,
    name: String,
    version: String,
}

impl Account {
    async fn open(caller: &Caller) -> anyhow::Result<Self> {
        let home = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
        let home = caller.post("/v1/households", &home).await?.ok()?.text_at("/id")?;
        let accounts = format!("/v1/households/{home}/accounts");
        let account = json!({"name": "Before", "kind": "checking", "currency": "CAD"});
        let made = caller.post(&accounts, &account).await?.ok()?;
        let path = format!("{accounts}/{}", made.text_at("/id")?);
        Ok(Self { path, name: String::new(), version: made.header("etag").to_owned() })
    }

    /// The token of the write.
    async fn rename(&mut self, caller: &Caller, n: usize) -> anyhow::Result<String> {
        self.name = format!("Name {n}");
        let headers = [("if-match", self.version.as_str()), ("content-type", "application/merge-patch+json")];
        let body = json!({"name": self.name});
        let renamed = caller.send(Method::PATCH, &self.path, &headers, Some(&body)).await?.ok()?;
        self.version = renamed.header("etag").to_owned();
        Ok(renamed.header("consistency-token").to_owned())
    }

    async fn is_as_written(&self, caller: &Caller, token: &str) -> anyhow::Result<bool> {
        let headers = [("consistency-token", token)];
        let read = caller.send(Method::GET, &self.path, &headers, None::<&Value>).await?.ok()?;
        Ok(read.text_at("/name")? == self.name)
    }
}

/// Pauses a standby's replay and lets it go on, until it is to stop.
async fn pause(url: String, stop: CancellationToken) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.context("a standby")?;
    let connection = tokio::spawn(connection);
    while !stop.is_cancelled() {
        let random = uuid::Uuid::new_v4().as_u128() as u64;
        client.batch_execute("SELECT pg_wal_replay_pause()").await?;
        tokio::time::sleep(Duration::from_millis(random % STANDS_STILL_MS)).await;
        client.batch_execute("SELECT pg_wal_replay_resume()").await?;
        tokio::time::sleep(Duration::from_millis((random >> 32) % GOES_ON_MS)).await;
    }
    drop(client);
    connection.await??;
    Ok(())
}
