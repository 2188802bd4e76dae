//! P6: reads with a bound on their staleness, while replay is paused and resumed at random and while nothing happens at all.
//! How stale an answer is says a heartbeat: a row that counts up, and when each count was committed. Beside it what the
//! usual formula would have said, `now() - pg_last_xact_replay_timestamp()`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use common::context::{Clock, Context, Priority};
use common::db::{Budget, DbOptions, Freshness, ReadStatement, Statement};
use common::jobs::Jobs;
use common::{DataPath, DataPathOptions};
use embedded::{Cluster, ClusterOptions, Place};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::process::Command;
use tokio::task::block_in_place;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use super::report::{Row, Target};

const DATABASE: &str = "weir";
/// A module whose role may be borrowed.
const MODULE: &str = "household";
const STANDBYS: usize = 2;
const BOUNDS_MS: [u64; 4] = [50, 250, 1_000, 5_000];
/// Readers at a time.
const LANES: usize = 4;
/// Each reads so often.
const READ_EVERY: Duration = Duration::from_millis(2);
/// The heart beats so often.
const BEAT_EVERY: Duration = Duration::from_millis(3);
/// A phase is so long, or so many times its bound.
const PHASE: Duration = Duration::from_secs(4);
const PHASE_BOUNDS: u32 = 3;
/// Replay stands still for up to so many times the bound, and goes on for as long.
const PAUSE_BOUNDS: f64 = 1.5;
/// The writer is asked more often once somebody reads with a bound, and from the next look at the latest.
const SETTLES_WITHIN: Duration = Duration::from_millis(500);
const PEER: &str = "now() - pg_last_xact_replay_timestamp()";

const FIND_HEARTBEAT: ReadStatement = ReadStatement(Statement {
    name: "bench::FIND_HEARTBEAT",
    sql: "SELECT n, pg_is_in_recovery() FROM heartbeat",
    reads_only: true,
});

/// When each heartbeat was committed.
type Beats = Arc<Mutex<Vec<Instant>>>;

/// Reads of one way to choose.
#[derive(Clone, Copy, Default)]
struct Tally {
    reads: u64,
    by_standby: u64,
    violations: u64,
    stalest: Duration,
}

/// Runs every bound on a primary that is busy, and on one that does nothing.
pub async fn measure(program: &Path) -> anyhow::Result<Vec<Row>> {
    let (place, cluster) = block_in_place(|| {
        let place = Place::temporary("staleness")?;
        let options = ClusterOptions { standbys: STANDBYS, ..ClusterOptions::default() };
        let cluster = Cluster::start(&place, &options)?;
        Ok::<_, embedded::Error>((place, cluster))
    })?;
    let migrated =
        Command::new(program).arg("migrate").env("DATABASE_URL", cluster.writer_url(DATABASE)).status();
    ensure!(migrated.await?.success(), "weir migrate failed");
    let bench = Bench::open(&cluster).await?;
    let mut rows = Vec::new();
    for is_busy in [true, false] {
        for bound_ms in BOUNDS_MS {
            let bound = Duration::from_millis(bound_ms);
            let (ours, theirs) = bench.phase(bound, is_busy).await?;
            let state = if is_busy { "busy, replay paused and resumed at random" } else { "idle" };
            eprintln!("{bound_ms} ms, {state}: {} reads", ours.reads);
            let share = |tally: &Tally| tally.by_standby as f64 / tally.reads.max(1) as f64;
            rows.push(Row {
                id: "P6",
                what: format!("reads staler than their bound of {bound_ms} ms, primary {state}"),
                value: ours.violations as f64,
                peer: PEER,
                target: Target::AtMost(0.0),
                figures: format!(
                    "{} reads, the stalest {:.0} ms; the peer: {} of {}, the stalest {:.0} ms",
                    ours.reads,
                    ours.stalest.as_secs_f64() * 1_000.0,
                    theirs.violations,
                    theirs.reads,
                    theirs.stalest.as_secs_f64() * 1_000.0,
                ),
            });
            rows.push(Row {
                id: "P6",
                what: format!(
                    "share that standbys answered within a bound of {bound_ms} ms, primary {state}"
                ),
                value: share(&ours),
                peer: PEER,
                target: Target::AtLeast(if is_busy { 0.0 } else { 1.0 }),
                figures: format!("{:.3}; the peer {:.3}", share(&ours), share(&theirs)),
            });
        }
    }
    bench.close().await;
    block_in_place(|| cluster.stop())?;
    drop(place);
    Ok(rows)
}

struct Bench {
    path: DataPath,
    beats: Beats,
    writer: Client,
    /// Beside the data path, for replay's pauses and for the peer.
    standbys: Vec<Client>,
}

impl Bench {
    async fn open(cluster: &Cluster) -> anyhow::Result<Self> {
        let writer = connect(&cluster.writer_url(DATABASE)).await?;
        let table = format!(
            "CREATE TABLE {MODULE}.heartbeat (n bigint NOT NULL) WITH (fillfactor = 10);
             INSERT INTO {MODULE}.heartbeat VALUES (0);
             GRANT SELECT ON {MODULE}.heartbeat TO weir_{MODULE}"
        );
        writer.batch_execute(&table).await?;
        let standbys = cluster.standbys().iter().map(|standby| standby.superuser_url(DATABASE));
        let standbys: Vec<String> = standbys.collect();
        let standbys = try_join_all(standbys.iter().map(|url| connect(url))).await?;
        let readers = cluster.reader_urls(DATABASE);
        let options = DataPathOptions {
            db: DbOptions {
                module: MODULE,
                writer: cluster.writer_url(DATABASE).parse()?,
                readers: readers.iter().map(|url| url.parse()).collect::<Result<_, _>>()?,
                writer_connections: LANES,
                reader_connections: LANES,
            },
            redis: None,
            epoch: String::new(),
            clock: Clock::default(),
            jobs: Jobs::new(Clock::default()),
            work: false,
            shutdown: CancellationToken::new(),
        };
        let budget = Budget::new(LANES * (1 + STANDBYS) * 2);
        let path = DataPath::open(options, &budget).await?;
        Ok(Self { path, beats: Beats::default(), writer, standbys })
    }

    async fn close(self) {
        self.path.shutdown.cancel();
        self.path.tasks.close();
        self.path.tasks.wait().await;
        self.path.db.close();
    }

    /// Reads with this bound for a while: ours, and what the peer would have answered.
    async fn phase(&self, bound: Duration, is_busy: bool) -> anyhow::Result<(Tally, Tally)> {
        let _ = self.read(bound).await?;
        tokio::time::sleep(SETTLES_WITHIN).await;
        let until = Instant::now() + PHASE.max(bound * PHASE_BOUNDS);
        let ours = try_join_all((0..LANES).map(|_| self.read_until(until, bound)));
        let theirs = try_join_all(self.standbys.iter().map(|standby| self.peer(standby, until, bound)));
        let disturbed = async {
            if is_busy {
                let pausing = self.standbys.iter().map(|standby| pause(standby, until, bound));
                tokio::try_join!(self.beat(until), try_join_all(pausing))?;
            }
            anyhow::Ok(())
        };
        let (ours, theirs, ()) = tokio::try_join!(ours, theirs, disturbed)?;
        Ok((Tally::sum(&ours), Tally::sum(&theirs)))
    }

    async fn beat(&self, until: Instant) -> anyhow::Result<()> {
        let beat = format!("UPDATE {MODULE}.heartbeat SET n = n + 1");
        while Instant::now() < until {
            self.writer.execute(&beat, &[]).await?;
            self.beats.lock().push(Instant::now());
            tokio::time::sleep(BEAT_EVERY).await;
        }
        Ok(())
    }

    /// How many heartbeats the answer knows of, and whether a standby gave it.
    async fn read(&self, bound: Duration) -> anyhow::Result<(usize, bool)> {
        let ctx = Context::background(self.path.clock.clone()).with_priority(Priority::Critical);
        let read =
            self.path.db.read_opt(&ctx, Freshness::BoundedStaleness(bound), &FIND_HEARTBEAT, &[]).await?;
        let row = read.context("there is a heartbeat")?;
        Ok((row.try_get::<_, i64>(0)? as usize, row.try_get(1)?))
    }

    async fn read_until(&self, until: Instant, bound: Duration) -> anyhow::Result<Tally> {
        let mut tally = Tally::default();
        while Instant::now() < until {
            let asked = Instant::now();
            let (known, by_standby) = self.read(bound).await?;
            tally.count(by_standby, self.staleness(asked, known), bound);
            tokio::time::sleep(READ_EVERY).await;
        }
        Ok(tally)
    }

    /// What a read misses that knows of so many heartbeats: since when the next one was there.
    fn staleness(&self, asked: Instant, known: usize) -> Duration {
        let beats = self.beats.lock();
        beats.get(known).map_or(Duration::ZERO, |missed| asked.saturating_duration_since(*missed))
    }

    /// Takes a standby's answer whenever its clock says that it is young enough.
    async fn peer(&self, standby: &Client, until: Instant, bound: Duration) -> anyhow::Result<Tally> {
        let lag = "SELECT extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8";
        let read = format!("SELECT n FROM {MODULE}.heartbeat");
        let mut tally = Tally::default();
        while Instant::now() < until {
            let asked = Instant::now();
            let lag: Option<f64> = standby.query_one(lag, &[]).await?.try_get(0)?;
            let known: i64 = standby.query_one(&read, &[]).await?.try_get(0)?;
            let is_taken = lag.is_some_and(|lag| lag <= bound.as_secs_f64());
            let staleness = if is_taken { self.staleness(asked, known as usize) } else { Duration::ZERO };
            tally.count(is_taken, staleness, bound);
            tokio::time::sleep(READ_EVERY).await;
        }
        Ok(tally)
    }
}

impl Tally {
    fn count(&mut self, by_standby: bool, staleness: Duration, bound: Duration) {
        self.reads += 1;
        self.by_standby += u64::from(by_standby);
        self.violations += u64::from(staleness > bound);
        self.stalest = self.stalest.max(staleness);
    }

    fn sum(tallies: &[Self]) -> Self {
        tallies.iter().fold(Self::default(), |sum, one| Self {
            reads: sum.reads + one.reads,
            by_standby: sum.by_standby + one.by_standby,
            violations: sum.violations + one.violations,
            stalest: sum.stalest.max(one.stalest),
        })
    }
}

/// Pauses replay and lets it go on, each for a random while.
async fn pause(standby: &Client, until: Instant, bound: Duration) -> anyhow::Result<()> {
    let longest = bound.mul_f64(PAUSE_BOUNDS);
    while Instant::now() < until {
        let random = uuid::Uuid::new_v4().as_u128();
        let share = |bits: u128| (bits % 1_000) as f64 / 1_000.0;
        standby.batch_execute("SELECT pg_wal_replay_pause()").await?;
        tokio::time::sleep(longest.mul_f64(share(random))).await;
        standby.batch_execute("SELECT pg_wal_replay_resume()").await?;
        tokio::time::sleep(longest.mul_f64(share(random >> 64))).await;
    }
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("a server of the bench")?;
    tokio::spawn(connection);
    Ok(client)
}
