//! A process that we started and will stop: it has a group of its own (a Ctrl-C on the terminal doesn't reach it, its
//! starter stops it in order), a guard that ends it with us, and a note for the next start.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::account::Account;
use crate::error::{Doing, Error};
use crate::guard::Guard;
use crate::leftover::Note;

/// How often a condition is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// How long a program may take to stop when it is dropped.
const DROP_PATIENCE: Duration = Duration::from_secs(20);

/// How much of a log's end is shown in an error.
const LOG_TAIL_LINES: usize = 25;

/// How a program is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// SIGTERM, then SIGKILL: most programs.
    Terminate,
    /// SIGINT, then SIGQUIT, then SIGKILL: PostgreSQL's fast shutdown, which loses nothing, then its immediate one.
    Fast,
    /// As `Terminate`, and to all that the program started too: for cargo, which leaves its test programs running.
    Group,
}

impl Stop {
    pub(crate) fn escalation(self) -> &'static [Signal] {
        match self {
            Stop::Terminate | Stop::Group => &[Signal::SIGTERM, Signal::SIGKILL],
            Stop::Fast => &[Signal::SIGINT, Signal::SIGQUIT, Signal::SIGKILL],
        }
    }

    /// Sends a signal to process `pid`, which leads a group of its own. A process that is gone already is fine.
    pub(crate) fn send(self, pid: u32, signal: Signal) -> Result<(), Error> {
        let number = i32::try_from(pid).expect("the kernel's process numbers fit into i32");
        let target = if self == Stop::Group { -number } else { number };
        match kill(Pid::from_raw(target), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).doing(|| format!("send {signal} to process {pid}")),
        }
    }

    /// How a note says it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Stop::Terminate => "terminate",
            Stop::Fast => "fast",
            Stop::Group => "group",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Stop> {
        [Stop::Terminate, Stop::Fast, Stop::Group].into_iter().find(|stop| stop.name() == name)
    }
}

/// A running child. Dropping it stops it.
pub struct Process {
    name: String,
    child: Child,
    guard: Guard,
    note: Note,
    stop: Stop,
    status: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` as `account`, noted as `name` in `folder`. Whatever an earlier program left running under
    /// that name is stopped first.
    pub fn spawn(
        mut command: Command,
        account: &Account,
        folder: &Path,
        name: &str,
        stop: Stop,
    ) -> Result<Process, Error> {
        let note = Note::new(folder, name);
        note.stop()?;
        command.process_group(0);
        account.applies_to(&mut command);
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.spawn().doing(|| format!("start {program}"))?;
        let guarded = note
            .write(child.id(), stop)
            .and_then(|()| Guard::over(child.id(), stop, account))
            .inspect_err(|_| {
                let _ = child.kill();
                let _ = child.wait();
            })?;
        Ok(Process { name: name.to_owned(), child, guard: guarded, note, stop, status: None })
    }

    /// The process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>, Error> {
        if self.status.is_none() {
            self.status = self.child.try_wait().doing(|| format!("look after {}", self.name))?;
            if self.status.is_some() {
                self.guard.release();
                self.note.remove();
            }
        }
        Ok(self.status)
    }

    /// Asks it to stop and waits; after each `patience` it is told more firmly, at last killed.
    pub fn stop(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        for signal in self.stop.escalation() {
            if let Some(status) = self.exited()? {
                return Ok(status);
            }
            self.stop.send(self.child.id(), *signal)?;
            if let Some(status) = self.wait_for(patience)? {
                return Ok(status);
            }
        }
        Err(Error::Late { what: format!("stop {}", self.name), waited: patience, log: String::new() })
    }

    /// Kills it as a crash would (SIGKILL) and waits for its end.
    pub fn kill(&mut self) -> Result<ExitStatus, Error> {
        if self.exited()?.is_none() {
            self.child.kill().doing(|| format!("kill {}", self.name))?;
        }
        match self.wait_for(DROP_PATIENCE)? {
            Some(status) => Ok(status),
            None => Err(Error::Late {
                what: format!("kill {}", self.name),
                waited: DROP_PATIENCE,
                log: String::new(),
            }),
        }
    }

    fn wait_for(&mut self, patience: Duration) -> Result<Option<ExitStatus>, Error> {
        let until = Instant::now() + patience;
        loop {
            match self.exited()? {
                None if Instant::now() < until => pause(),
                ended_or_late => return Ok(ended_or_late),
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop(DROP_PATIENCE);
    }
}

/// Runs a program to its end under the same protection as a server. What it writes is in the error when it fails.
pub fn run(command: Command, account: &Account, folder: &Path, name: &str) -> Result<(), Error> {
    let log = folder.join(format!("{name}.log"));
    let program = command.get_program().to_string_lossy().into_owned();
    let mut process = Process::spawn(logged(command, &log)?, account, folder, name, Stop::Terminate)?;
    loop {
        match process.exited()? {
            None => pause(),
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Error::Failed { program, status, output: tail(&log) }),
        }
    }
}

/// Sends both outputs of a command to a fresh log file; the log of the run before is kept beside it.
pub(crate) fn logged(mut command: Command, log: &Path) -> Result<Command, Error> {
    let doing = || format!("write {}", log.display());
    if log.exists() {
        fs::rename(log, log.with_extension("log.1")).doing(doing)?;
    }
    let file = fs::File::create(log).doing(doing)?;
    command.stdin(Stdio::null()).stdout(file.try_clone().doing(doing)?).stderr(file);
    Ok(command)
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}

/// Looks at a condition until it holds (true) or `patience` is over (false).
pub(crate) fn wait_until(patience: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + patience;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        pause();
    }
}

/// Lets a moment pass before a process is looked at again.
#[expect(
    clippy::disallowed_methods,
    reason = "no async runtime here, and another process's state can only be polled"
)]
pub(crate) fn pause() {
    thread::sleep(LOOK_AGAIN);
}
