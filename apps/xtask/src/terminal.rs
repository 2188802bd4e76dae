//! What a person sees while things are under way: a spinner or bar on a terminal, plain lines elsewhere. All of it goes
//! to stderr; stdout is kept for what is asked for.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Prints a line to stderr; a closed terminal is no reason to fail.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a line to stdout.
pub fn print(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// Something that takes a moment.
pub struct Step {
    text: String,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Shows that it begins.
    pub fn begin(text: &str) -> Step {
        let bar = io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
            let bar = ProgressBar::new_spinner().with_message(text.to_owned());
            bar.set_style(style.expect("the template is valid"));
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            say(&format!("... {text}"));
        }
        Step { text: text.to_owned(), since: Instant::now(), bar }
    }

    /// Shows how far it is, in percent, and with what it is busy.
    pub fn progress(&self, percent: u64, busy_with: &str) {
        if let Some(bar) = &self.bar {
            if bar.length().is_none() {
                let style = ProgressStyle::with_template("{spinner} {prefix} {bar:30} {percent}% {wide_msg}");
                bar.set_style(style.expect("the template is valid"));
                bar.set_prefix(self.text.clone());
                bar.set_length(100);
            }
            bar.set_position(percent.min(100));
            bar.set_message(busy_with.to_owned());
        }
    }

    /// Shows that it is done.
    pub fn done(mut self) {
        self.clear();
        say(&format!(" ok {} ({:.1} s)", self.text, self.since.elapsed().as_secs_f32()));
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.clear();
    }
}
