//! Ctrl-C, SIGTERM and a closed terminal: each asks to stop in order. Nothing else ends this program early.

use std::cell::Cell;
use std::fmt;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use embedded::{Account, Place, Process, Stop};

/// How often a running child is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long cargo or the load program may take to stop.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// Someone who asks so often doesn't want to wait; the servers' guards then stop them.
const IMPATIENT: u32 = 3;

/// The exit code of a program that ended by Ctrl-C.
pub const INTERRUPTED_CODE: i32 = 130;

/// Requests to stop.
pub struct Signals {
    received: Receiver<()>,
    stopping: Cell<bool>,
}

/// Somebody asked to stop.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped on request")
    }
}

impl std::error::Error for Interrupted {}

impl Signals {
    /// From here on, a request to stop is noted instead of ending this program.
    pub fn listen() -> Result<Signals, ctrlc::Error> {
        let (sender, received) = channel();
        let count = AtomicU32::new(0);
        ctrlc::set_handler(move || {
            if count.fetch_add(1, Ordering::Relaxed) + 1 >= IMPATIENT {
                std::process::exit(INTERRUPTED_CODE);
            }
            // The receiver lives as long as this program.
            let _ = sender.send(());
        })?;
        Ok(Signals { received, stopping: Cell::new(false) })
    }

    /// Lets time pass, or says at once that somebody asked to stop.
    pub fn pause(&self, time: Duration) -> Result<(), Interrupted> {
        if !self.stopping.get() {
            match self.received.recv_timeout(time) {
                Err(RecvTimeoutError::Timeout) => return Ok(()),
                Ok(()) | Err(RecvTimeoutError::Disconnected) => self.stopping.set(true),
            }
        }
        Err(Interrupted)
    }

    /// Has somebody asked to stop?
    pub fn check(&self) -> Result<(), Interrupted> {
        self.pause(Duration::ZERO)
    }

    /// Runs a program to its end and gives its exit code. On a request to stop it is stopped first, with all that it
    /// started.
    pub fn run(
        &self,
        command: Command,
        place: &Place,
        name: &str,
    ) -> Result<i32, Box<dyn std::error::Error>> {
        self.check()?;
        let mut process = Process::spawn(command, &Account::own(), place.folder(), name, Stop::Group)?;
        loop {
            if let Some(status) = process.exited()? {
                return Ok(exit_code(status));
            }
            if let Err(interrupted) = self.pause(LOOK_AGAIN) {
                process.stop(STOP_PATIENCE)?;
                return Err(interrupted.into());
            }
        }
    }
}

/// As a shell says it: a signal's number is added to 128.
pub fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}
