//! Rounds of faults: while orders, edits, imports and samples stream in through fault proxies, something is killed,
//! promoted or cut. At the end all that was acknowledged must be there once, no stream may have a gap, and everything
//! must agree with a model that does one thing after another.

mod health;
mod household;
mod insist;
mod model;
mod tally;
mod trading;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use embedded::Fault;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{self, World};
pub use tally::Tally;

/// A fault comes within so much of a round's start, at a moment of its own.
const FAULT_WITHIN_MS: u64 = 400;
/// Clients' connections suffer for so long behind the fault.
const DISTURBED_FOR: Duration = Duration::from_millis(300);
/// Redis says nothing for so long.
const SILENT_FOR: Duration = Duration::from_secs(2);
/// After each fault every flow gets this many acknowledgements before the next one.
const ACKNOWLEDGED_BETWEEN: u64 = 20;
/// A flow that gets nothing acknowledged for so long has not come back.
const RECOVERY_WITHIN: Duration = Duration::from_secs(90);

/// What to run.
#[derive(Args, Debug, Clone)]
pub struct Arguments {
    /// Rounds, each with one fault.
    #[arg(long, default_value_t = 10)]
    pub rounds: usize,
    /// The table as one line of JSON on standard output.
    #[arg(long)]
    pub json: bool,
    /// The program to be broken.
    #[arg(long, env = "WEIR_BIN")]
    pub program: PathBuf,
}

/// What a round breaks. In turn, so that ten rounds have each twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Break {
    Program,
    Database,
    Promotion,
    Redis,
    Commit,
}

const BREAKS: [Break; 5] = [Break::Program, Break::Database, Break::Promotion, Break::Redis, Break::Commit];

/// What clients' connections suffer meanwhile, in turn.
fn disturbance(round: usize) -> Fault {
    match round % 6 {
        0 => Fault::CutAnswer(Vec::new()),
        1 => Fault::CutBefore(Vec::new()),
        2 => Fault::Duplicate(Vec::new()),
        3 => Fault::Delay(Duration::from_millis(15)),
        4 => Fault::Silence,
        _ => Fault::Refuse,
    }
}

/// Runs the rounds, prints the table, and says whether nothing was lost, doubled, or left open.
pub async fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let started = Instant::now();
    let tally = rounds(arguments).await?;
    if arguments.json {
        let row = json!({"id": "T5", "what": "acknowledged lost, doubled, gaps, and what else must be 0",
            "value": tally.wrong(), "peer": "-", "target": "0", "met": tally.is_clean(), "rounds": arguments.rounds,
            "counts": tally.counts(), "seconds": started.elapsed().as_secs()});
        println!("{row}");
    } else {
        println!("{} rounds in {} s\n{tally}", arguments.rounds, started.elapsed().as_secs());
    }
    Ok(tally.is_clean())
}

/// Runs the rounds and gives what was counted.
pub async fn rounds(arguments: &Arguments) -> anyhow::Result<Arc<Tally>> {
    let tally = Arc::new(Tally::default());
    let mut world = World::start(&arguments.program).await?;
    let stop = CancellationToken::new();
    let trading = trading::Flow::start(world.gates(), tally.clone(), stop.clone()).await?;
    let household = household::Flow::start(world.gates(), tally.clone(), stop.clone()).await?;
    let health = health::Flow::start(world.gates(), tally.clone(), stop.clone()).await?;

    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} rounds, {elapsed}  {msg}")?;
    let bar = ProgressBar::new(arguments.rounds as u64).with_style(style);
    for round in 0..arguments.rounds {
        let what = BREAKS[round % BREAKS.len()];
        bar.set_message(format!("{what:?}: {}", tally.acknowledged()));
        let moment = uuid::Uuid::new_v4().as_u128() as u64 % FAULT_WITHIN_MS;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        world.disturb_clients(&disturbance(round));
        inject(&mut world, what, round, &tally).await?;
        tokio::time::sleep(DISTURBED_FOR).await;
        world.disturb_clients(&Fault::None);
        world.disturb_redis(Fault::None);
        recovered(&tally).await.map_err(|flow| anyhow::anyhow!("round {round} ({what:?}): {flow}"))?;
        world.check()?;
        bar.inc(1);
    }
    bar.set_message("checking all that was acknowledged");
    stop.cancel();
    tokio::try_join!(trading.end(&world), household.end(&world), health.end(&world))?;
    tally::check_streams(&world.direct_url(), &tally).await?;
    bar.finish_and_clear();
    Ok(tally)
}

async fn inject(world: &mut World, what: Break, round: usize, tally: &Tally) -> anyhow::Result<()> {
    match what {
        Break::Program => world.kill_process(round / BREAKS.len() % world::PROCESSES).await?,
        Break::Database => world.kill_primary()?,
        Break::Promotion => world.promote()?,
        Break::Redis => {
            // Half the time it is there and says nothing, which is worse.
            if (round / BREAKS.len()).is_multiple_of(2) {
                world.kill_redis()?;
            } else {
                world.disturb_redis(Fault::Silence);
                tokio::time::sleep(SILENT_FOR).await;
            }
        }
        Break::Commit => {
            for _ in 0..5 {
                tally.commits_cut.add(u64::from(world.cut_a_commit().await));
            }
        }
    }
    Ok(())
}

/// Waits until every flow goes on.
async fn recovered(tally: &Tally) -> Result<(), String> {
    let goals: Vec<_> = tally
        .flows()
        .iter()
        .map(|(name, count)| (*name, *count, count.get() + ACKNOWLEDGED_BETWEEN))
        .collect();
    let until = tokio::time::Instant::now() + RECOVERY_WITHIN;
    for (name, count, goal) in goals {
        while count.get() < goal {
            if tokio::time::Instant::now() > until {
                return Err(format!("{name} has not come back within {} s", RECOVERY_WITHIN.as_secs()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    Ok(())
}
