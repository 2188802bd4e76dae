//! `load replay PATH | bench NAME`: against the service at `$WEIR`. `load faults`: against one that it starts and breaks.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use load::client::Weir;
use load::{bench, faults, replay};

/// Plays recorded traffic through the public API and measures it.
#[derive(Parser)]
struct Arguments {
    /// The service.
    #[arg(long, env = "WEIR", default_value = "http://127.0.0.1:8080")]
    weir: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Play a LOBSTER recording as orders and compare ten levels a side after every event.
    Replay {
        /// The folder with the two files.
        path: PathBuf,
    },
    /// Measure, and compare with a peer in the same run.
    Bench(bench::Arguments),
    /// Kill, promote and cut while all three flows run, and count what was lost, doubled or left open.
    Faults(faults::Arguments),
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let weir = Weir::connect(&arguments.weir)?;
    match arguments.command {
        Command::Replay { path } => {
            let outcome = replay::run(&weir, &path).await?;
            for detail in &outcome.details {
                println!("{detail}");
            }
            println!(
                "{} level comparisons, {} differ; {} levels that came into sight were placed or cancelled",
                outcome.compared, outcome.differing, outcome.corrected
            );
            Ok(if outcome.differing == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Bench(arguments) => {
            bench::run(&weir, &arguments).await?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Faults(arguments) => {
            Ok(if faults::run(&arguments).await? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}
