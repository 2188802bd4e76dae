//! Servers that outlived the program that started them. Each process is noted as number and start time, so that a
//! number handed out again by the operating system is never mistaken for our server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::{Doing, Error};
use crate::process::{Stop, wait_until};

/// The end of a note's file name.
const ENDING: &str = "process";

/// How long a leftover may take over each step of its shutdown, before it is told more firmly.
const PATIENCE: Duration = Duration::from_secs(30);

/// The folder levels that [`stop_all_below`] looks through.
const DEPTH_MAX: usize = 4;

/// Which process is (or was) the server `name` of `folder`.
pub(crate) struct Note {
    path: PathBuf,
}

impl Note {
    pub(crate) fn new(folder: &Path, name: &str) -> Note {
        Note { path: folder.join(format!("{name}.{ENDING}")) }
    }

    pub(crate) fn write(&self, pid: u32, stop: Stop) -> Result<(), Error> {
        let started = start_time(pid).unwrap_or_default();
        fs::write(&self.path, format!("{pid} {} {started}\n", stop.name()))
            .doing(|| format!("write {}", self.path.display()))
    }

    pub(crate) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Stops the noted process if it still runs. True when there was one.
    pub(crate) fn stop(&self) -> Result<bool, Error> {
        let Ok(text) = fs::read_to_string(&self.path) else { return Ok(false) };
        let mut words = text.trim().splitn(3, ' ');
        let (pid, stop, started) = (words.next(), words.next(), words.next().unwrap_or_default());
        let running = match (pid.and_then(|pid| pid.parse().ok()), stop.and_then(Stop::from_name)) {
            (Some(pid), Some(stop)) if start_time(pid).is_some_and(|now| now == started) => {
                end(pid, stop)?;
                true
            }
            _ => false,
        };
        self.remove();
        Ok(running)
    }
}

/// Stops every noted process below `folder`, and says how many there were.
pub(crate) fn stop_all_below(folder: &Path) -> Result<usize, Error> {
    stop_below(folder, DEPTH_MAX)
}

fn stop_below(folder: &Path, depth: usize) -> Result<usize, Error> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(0) };
    let mut stopped = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|ending| ending == ENDING) {
            stopped += usize::from(Note { path }.stop()?);
        } else if depth > 1 && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            stopped += stop_below(&path, depth - 1)?;
        }
    }
    Ok(stopped)
}

/// Ends a process that is not our child: asks, asks more firmly, kills.
pub(crate) fn end(pid: u32, stop: Stop) -> Result<(), Error> {
    let Some(started) = start_time(pid) else { return Ok(()) };
    let gone = || start_time(pid).is_none_or(|now| now != started);
    for signal in stop.escalation() {
        stop.send(pid, *signal)?;
        if wait_until(PATIENCE, gone) {
            return Ok(());
        }
    }
    Err(Error::Late {
        what: format!("stop process {pid}"),
        waited: PATIENCE,
        log: "it doesn't end although it was killed".into(),
    })
}

/// When a running process was started, as text to compare; `None` when there is none (a zombie is none).
fn start_time(pid: u32) -> Option<String> {
    if !Path::new("/proc/self/stat").exists() {
        return ps(pid, "lstart=");
    }
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&stat)
}

/// Field 22 of `/proc/PID/stat`; the name in field 2 may hold blanks and brackets.
fn parse_stat(stat: &str) -> Option<String> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| started.to_owned())
}

/// The command line of a running process.
pub(crate) fn arguments(pid: u32) -> Option<String> {
    if !Path::new("/proc/self/cmdline").exists() {
        return ps(pid, "args=");
    }
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let text = String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

fn ps(pid: u32, column: &str) -> Option<String> {
    let output = Command::new("ps").args(["-ww", "-o", column, "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::parse_stat;

    #[test]
    fn a_process_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200";
        assert_eq!(parse_stat(stat).as_deref(), Some("987654"));
    }

    #[test]
    fn a_zombie_does_not_count_as_running() {
        let stat = "42 (redis) Z 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200";
        assert_eq!(parse_stat(stat), None);
    }
}
