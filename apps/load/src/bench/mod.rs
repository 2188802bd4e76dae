//! Figures and what they are held against, one file per subject.

use crate::client::Weir;

/// What to measure.
#[derive(clap::Args, Debug)]
pub struct Arguments {
    /// Whose figures.
    name: Name,
    /// One JSON object per row on standard output, and nothing else there.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Name {
    Trading,
}

/// Measures.
pub async fn run(_weir: &Weir, _arguments: &Arguments) -> anyhow::Result<()> {
    Ok(())
}
