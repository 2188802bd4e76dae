//! Recorded market data played back as orders: the file is read ([`lobster`]), turned into orders and compared with what
//! the book should be after each event ([`player`]), on a venue that is the running service ([`live`]) or, in
//! tests, a book in memory.

pub mod live;
pub mod lobster;
pub mod player;
#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};

use crate::client::Weir;
use live::LiveVenue;
use lobster::Recording;
use player::{Outcome, Player};

/// Plays the recording in `folder` through the public API of `weir`, with a progress bar on standard error.
pub async fn run(weir: &Weir, folder: &Path) -> anyhow::Result<Outcome> {
    let recording = Recording::read(folder).with_context(|| format!("{} can't be read", folder.display()))?;
    play(weir, &recording).await
}

/// Plays a recording that was read.
pub async fn play(weir: &Weir, recording: &Recording) -> anyhow::Result<Outcome> {
    let venue = LiveVenue::open(weir).await.context("no market can be set up")?;
    let bar = ProgressBar::new(recording.steps.len() as u64);
    bar.set_style(ProgressStyle::with_template("{bar:40} {pos}/{len} events, {per_sec}, {msg}")?);
    let mut player =
        Player::start(venue, &recording.first).await.context("the first book can't be placed")?;
    for (number, step) in recording.steps.iter().enumerate() {
        player.play(step).await.with_context(|| format!("event {} can't be played", number + 2))?;
        let outcome = player.outcome();
        bar.set_message(format!("{} levels compared, {} differ", outcome.compared, outcome.differing));
        bar.inc(1);
    }
    bar.finish();
    Ok(player.into_outcome())
}
