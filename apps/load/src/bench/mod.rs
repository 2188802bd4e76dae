//! Figures and what they are held against, one file per subject and one per peer. Both sides run interleaved in one
//! process, and the ratio of the medians is what counts.

mod bare_commit;
mod market;
mod one_transaction;
mod report;
mod routing;
mod staleness;
mod trading;

use std::path::PathBuf;

use anyhow::Context;

use crate::client::Weir;

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Whose figures.
    name: Name,
    /// One JSON object per row on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
    /// The database that the service writes to: peers write to tables of the same shape beside its own.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The program, for what is measured on servers of its own.
    #[arg(long, env = "WEIR_BIN")]
    program: Option<PathBuf>,
    /// Further processes of the service on the same database, for what is measured on several.
    #[arg(long, env = "WEIR_OTHERS", value_delimiter = ',')]
    others: Vec<String>,
    /// Pairs of a write and a read at each think time.
    #[arg(long, default_value_t = 4_000)]
    pairs: usize,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    Trading,
    Routing,
    All,
}

/// Measures, and prints a table or lines.
pub async fn run(weir: &Weir, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, json, database_url, program, others, pairs } = arguments;
    let mut rows = Vec::new();
    if matches!(name, Name::Trading | Name::All) {
        let mut fleet = vec![weir.clone()];
        for other in others {
            fleet.push(Weir::connect(other)?);
        }
        rows.extend(trading::measure(&fleet, database_url.as_deref()).await?);
    }
    if matches!(name, Name::Routing | Name::All) {
        let program = program.as_deref().context("the program is needed: WEIR_BIN")?;
        rows.extend(routing::measure(program, *pairs).await?);
        rows.extend(staleness::measure(program).await?);
    }
    for row in rows {
        println!("{}", if *json { row.to_json() } else { row.to_string() });
    }
    Ok(())
}
