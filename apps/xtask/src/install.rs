//! PostgreSQL and Redis, installed where they are missing: by apt, or by a message with the line to type.

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use embedded::{Postgres, find_redis};
use nix::unistd::geteuid;

use crate::servers::folder;
use crate::signals::Signals;
use crate::terminal::{Step, say};

/// Keeps the packages from starting servers, and puts everything back.
const SCRIPT: &str = include_str!("install.sh");

/// How much of a failed installation's log is shown.
const TAIL_LINES: usize = 30;

/// The Debian packages of what is missing.
pub fn missing() -> Result<Vec<&'static str>, Box<dyn Error>> {
    let mut missing = Vec::new();
    match Postgres::find() {
        Ok(_) => {}
        Err(embedded::Error::Missing(_)) => missing.push("postgresql"),
        Err(error) => return Err(format!("{error}. See https://www.postgresql.org/download/").into()),
    }
    if find_redis().is_err() {
        missing.push("redis-server");
    }
    Ok(missing)
}

/// Makes sure that the programs are there. Says what it does before it does it.
pub fn make_sure(signals: &Signals) -> Result<(), Box<dyn Error>> {
    let missing = missing()?;
    if missing.is_empty() {
        return Ok(());
    }
    if !(is_there("apt-get") && is_there("dpkg")) {
        return Err(line_to_type(&missing).into());
    }
    signals.check()?;
    by_apt(&missing)?;
    signals.check()?;
    Postgres::find()?;
    find_redis()?;
    Ok(())
}

fn by_apt(packages: &[&str]) -> Result<(), Box<dyn Error>> {
    let names = packages.join(" and ");
    let is_root = geteuid().is_root();
    if !is_root && !is_there("sudo") {
        return Err(format!(
            "{names} must be installed, by root:\n  apt-get update && apt-get install --no-install-recommends {}",
            packages.join(" ")
        )
        .into());
    }
    let through = if is_root { "apt-get" } else { "sudo apt-get" };
    say(&format!(
        "{names}: not installed. Installing by {through}; the packages' own servers are neither started nor enabled."
    ));
    if !is_root && !Command::new("sudo").arg("-v").status()?.success() {
        return Err("sudo refused".into());
    }
    let log_path = folder()?.join("install.log");
    let step = Step::begin(&format!("installing {names}"));
    let mut command = Command::new(if is_root { "sh" } else { "sudo" });
    if !is_root {
        command.args(["-n", "sh"]);
    }
    let mut child = command
        .args(["-c", SCRIPT, "install"])
        .args(packages)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log_path)?)
        .spawn()?;
    let output = child.stdout.take().expect("it is piped");
    let mut log = File::options().append(true).open(&log_path)?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        match status(&line) {
            Some((percent, busy_with)) => step.progress(percent, busy_with),
            None => writeln!(log, "{line}")?,
        }
    }
    if !child.wait()?.success() {
        return Err(format!("{through} failed:\n{}", tail(&log_path)).into());
    }
    step.done();
    Ok(())
}

/// `pmstatus:redis-server:62.5:Installing redis-server` is how far apt is, and with what.
fn status(line: &str) -> Option<(u64, &str)> {
    let mut fields = line.splitn(4, ':');
    let kind = fields.next()?;
    if !["pmstatus", "dlstatus", "weir"].contains(&kind) {
        return None;
    }
    let percent = fields.nth(1)?.split('.').next()?.parse().ok()?;
    Some((percent, fields.next()?.trim()))
}

fn line_to_type(missing: &[&str]) -> String {
    let postgres = missing.contains(&"postgresql");
    let redis = missing.contains(&"redis-server");
    let line = |command: &str, for_postgres: &str, for_redis: &str| {
        let packages = [(postgres, for_postgres), (redis, for_redis)];
        let wanted: Vec<&str> =
            packages.into_iter().filter_map(|(wanted, name)| wanted.then_some(name)).collect();
        format!(
            "{} must be installed. Type\n  {command} {}\nand try again.",
            missing.join(" and "),
            wanted.join(" ")
        )
    };
    if is_there("brew") || cfg!(target_os = "macos") {
        line("brew install", "postgresql@17", "redis")
    } else if is_there("dnf") {
        line("sudo dnf install -y", "postgresql-server postgresql-contrib", "valkey")
    } else {
        format!(
            "PostgreSQL {} or newer (with its client programs) and Redis 6 or newer must be installed; {} was not found.",
            embedded::OLDEST_POSTGRES_MAJOR,
            missing.join(" and ")
        )
    }
}

/// Is there such a program on the `PATH`?
pub fn is_there(program: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::status;

    #[test]
    fn apts_status_lines_are_told_from_its_other_output() {
        assert_eq!(status("pmstatus:redis-server:62.5:Installing: redis"), Some((62, "Installing: redis")));
        assert_eq!(status("dlstatus:1:20.0:Retrieving file 1 of 9"), Some((20, "Retrieving file 1 of 9")));
        assert_eq!(status("Setting up redis-server (5:7.0.15-1) ..."), None);
    }
}
