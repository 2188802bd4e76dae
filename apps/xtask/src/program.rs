//! The program itself: built by cargo, migrated, served, and asked whether it is ready.

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use embedded::{Account, Place, Process, Stop};

use crate::signals::{Signals, exit_code};
use crate::terminal::say;

/// How long the program may take to get ready, or to finish what it is doing.
const READY_PATIENCE: Duration = Duration::from_secs(120);

const STOP_PATIENCE: Duration = Duration::from_secs(60);

const LOOK_AGAIN: Duration = Duration::from_millis(50);

const ANSWER_PATIENCE: Duration = Duration::from_secs(2);

/// How it is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Quick to build.
    Dev,
    /// Quick to run.
    Release,
}

/// The checkout's root, where this program's sources were when cargo started it.
pub fn root() -> Result<PathBuf, Box<dyn Error>> {
    let mut folder = match env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => env::current_dir()?,
    };
    while !folder.join("Cargo.lock").is_file() {
        if !folder.pop() {
            return Err("run this inside of the checkout, as cargo xtask".into());
        }
    }
    Ok(folder)
}

/// The cargo that runs us.
pub fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Builds programs of the workspace and gives the folder they are in.
pub fn build(
    place: &Place,
    signals: &Signals,
    profile: Profile,
    programs: &[&str],
) -> Result<PathBuf, Box<dyn Error>> {
    say(&format!("... building {}", programs.join(" and ")));
    let mut command = cargo();
    // The whole workspace's features, so that the tests' build and this one share their work.
    command.args(["build", "--workspace"]).current_dir(root()?);
    for program in programs {
        command.args(["--bin", program]);
    }
    if profile == Profile::Release {
        command.arg("--release");
    }
    // Only the rows of a measurement go to stdout.
    command.stdin(Stdio::null()).stdout(std::io::stderr());
    match signals.run(command, place, "build")? {
        0 => Ok(target_folder()?.join(if profile == Profile::Release { "release" } else { "debug" })),
        code => Err(format!("cargo build failed ({code})").into()),
    }
}

/// The folder that holds `debug` and `release`: this program was built into one of them.
fn target_folder() -> Result<PathBuf, Box<dyn Error>> {
    let program = env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).ok_or("this program has no folder")?;
    Ok(folder.to_path_buf())
}

/// The program while it serves. Dropping it stops it.
pub struct Served {
    process: Process,
    port: u16,
}

impl Served {
    /// Starts it. It answers on `port` once it is ready. What runs under the same name in this place is stopped first.
    pub fn start(command: Command, place: &Place, name: &str, port: u16) -> Result<Served, Box<dyn Error>> {
        let process = Process::spawn(command, &Account::own(), place.folder(), name, Stop::Terminate)?;
        Ok(Served { process, port })
    }

    /// Waits until it is ready to serve.
    pub fn wait_until_ready(&mut self, signals: &Signals) -> Result<(), Box<dyn Error>> {
        let until = Instant::now() + READY_PATIENCE;
        while !is_ready(self.port) {
            if let Some(status) = self.process.exited()? {
                return Err(Box::new(Ended(exit_code(status))));
            }
            if Instant::now() > until {
                return Err(format!("weir is not ready after {} s", READY_PATIENCE.as_secs()).into());
            }
            signals.pause(LOOK_AGAIN)?;
        }
        Ok(())
    }

    /// Serves until somebody asks to stop (`None`) or the program ends by itself.
    pub fn wait(&mut self, signals: &Signals) -> Result<Option<ExitStatus>, Box<dyn Error>> {
        loop {
            if let Some(status) = self.process.exited()? {
                return Ok(Some(status));
            }
            if signals.pause(LOOK_AGAIN).is_err() {
                return Ok(None);
            }
        }
    }

    /// Lets it finish what is under way, and stops it.
    pub fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.process.stop(STOP_PATIENCE)?;
        Ok(())
    }
}

/// The program ended before anybody asked it to, with this exit code.
#[derive(Debug)]
pub struct Ended(pub i32);

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "weir ended by itself, with exit code {}", self.0)
    }
}

impl Error for Ended {}

/// Does `GET /readyz` answer 200?
fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<bool> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
        stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")?;
        let mut status_line = [0; 12];
        stream.read_exact(&mut status_line)?;
        Ok(&status_line == b"HTTP/1.1 200")
    };
    ask().unwrap_or(false)
}
