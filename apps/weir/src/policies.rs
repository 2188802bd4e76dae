//! The rate limits' policy file: read at the start, and again on each SIGHUP while the program runs.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::limit::Limits;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What holds when the operator names no file.
const SHIPPED: &str = include_str!("../policies.toml");

/// The limits as the file says, or the shipped ones.
pub fn load(file: Option<&Path>) -> anyhow::Result<Limits> {
    let policies = match file {
        Some(file) => read(file)?,
        None => SHIPPED.to_owned(),
    };
    Limits::new(&policies).context("WEIR_POLICIES")
}

/// Takes in a changed file on SIGHUP, until the shutdown. A file with mistakes is told and changes nothing.
pub fn follow(limits: Limits, file: PathBuf, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hangups.recv() => {}
            }
            match read(&file).and_then(|policies| Ok(limits.reload(&policies)?)) {
                Ok(()) => tracing::info!(file = %file.display(), "the policies are in force"),
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(file = %file.display(), error, "the policies stay as they were");
                }
            }
        }
    });
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("WEIR_POLICIES {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_policies_have_no_mistake() {
        load(None).unwrap();
    }
}
