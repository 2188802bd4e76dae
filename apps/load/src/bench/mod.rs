//! Figures and what they are held against, one file per subject and one per peer. Both sides run interleaved in one
//! process, and the ratio of the medians is what counts.

mod one_transaction;
mod report;
mod trading;

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
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    Trading,
    All,
}

/// Measures, and prints a table or lines.
pub async fn run(weir: &Weir, arguments: &Arguments) -> anyhow::Result<()> {
    let Arguments { name, json, database_url } = arguments;
    let rows = match name {
        Name::Trading | Name::All => trading::measure(weir, database_url.as_deref()).await?,
    };
    for row in rows {
        println!("{}", if *json { row.to_json() } else { row.to_string() });
    }
    Ok(())
}
