//! One PostgreSQL server of a cluster: started, stopped, killed and asked by tests, in any order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::account::Account;
use crate::binaries::Postgres;
use crate::configuration::{Configuration, Upstream};
use crate::error::{Doing, Error};
use crate::leftover;
use crate::process::{Process, Stop, logged, pause, tail, wait_until};

/// The superuser that initdb makes.
pub(crate) const SUPERUSER: &str = "postgres";

/// Crash recovery of a large log can take a while on a slow disk.
const START_PATIENCE: Duration = Duration::from_secs(120);

const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// How long backends of a killed server may hold its memory before the next start gives up.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(20);

/// What a server is at the time that it is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes writes.
    Primary,
    /// Streams from the primary on this port.
    Standby {
        /// The primary's port on 127.0.0.1.
        of: u16,
    },
}

/// One PostgreSQL server on 127.0.0.1.
pub struct Server {
    pub(crate) name: String,
    pub(crate) postgres: Postgres,
    pub(crate) account: Account,
    /// The cluster's folder: this server's data, log and note are in it.
    pub(crate) folder: PathBuf,
    pub(crate) port: u16,
    pub(crate) password: String,
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) statistics: bool,
    pub(crate) state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) role: Role,
    pub(crate) synchronous_standbys: String,
    pub(crate) process: Option<Process>,
}

impl Server {
    /// Its name in the cluster: `primary`, `standby1`, …
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Its log file.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("{}.log", self.name))
    }

    /// The superuser's address of one of its databases.
    pub fn superuser_url(&self, database: &str) -> String {
        self.url(SUPERUSER, &self.password, database)
    }

    pub(crate) fn url(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// Starts it, and waits until it takes connections. A server that is running already is left alone.
    pub fn start(&self) -> Result<(), Error> {
        let mut state = self.state();
        if is_running(&mut state)? {
            return Ok(());
        }
        self.end_leftover()?;
        self.write_configuration(&state)?;
        let until = Instant::now() + ORPHAN_PATIENCE;
        loop {
            match self.start_once() {
                Ok(process) => {
                    state.process = Some(process);
                    return Ok(());
                }
                // Backends of a postmaster that was killed end as soon as they notice.
                Err(Error::Failed { output, .. })
                    if output.contains("is still in use") && Instant::now() < until =>
                {
                    pause();
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn start_once(&self) -> Result<Process, Error> {
        let data = self.data();
        let mut command = self.postgres.command("postgres");
        command.arg("-D").arg(&data).current_dir(&data);
        let command = logged(command, &self.log())?;
        let mut process = Process::spawn(command, &self.account, &self.folder, &self.name, Stop::Fast)?;
        let pid = process.id().to_string();
        let until = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = process.exited()? {
                let program = format!("PostgreSQL ({})", self.name);
                return Err(Error::Failed { program, status, output: tail(&self.log()) });
            }
            if postmaster_file(&data).is_some_and(|file| file.pid == pid && file.is_ready) {
                return Ok(process);
            }
            if Instant::now() > until {
                let what = format!("start of PostgreSQL ({})", self.name);
                return Err(Error::Late { what, waited: START_PATIENCE, log: tail(&self.log()) });
            }
            pause();
        }
    }

    /// Stops it in order: transactions are rolled back, everything committed is on disk.
    pub fn stop(&self) -> Result<(), Error> {
        if let Some(mut process) = self.state().process.take() {
            process.stop(STOP_PATIENCE)?;
        }
        Ok(())
    }

    /// Kills it as a crash would. Its connections break; [`Server::start`] recovers what was committed.
    pub fn kill(&self) -> Result<(), Error> {
        let mut process = self.state().process.take().ok_or_else(|| Error::NotRunning(self.name.clone()))?;
        process.kill()?;
        Ok(())
    }

    /// Does it run?
    pub fn is_running(&self) -> Result<bool, Error> {
        is_running(&mut self.state())
    }

    /// Runs SQL as the superuser and gives what psql prints, unaligned and without headers.
    pub fn psql(&self, database: &str, sql: &str) -> Result<String, Error> {
        let output = self
            .postgres
            .command("psql")
            .args(["-X", "-A", "-t", "-q", "-w", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", SUPERUSER])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .env("PGPASSWORD", &self.password)
            .env("PGCONNECT_TIMEOUT", "10")
            .stdin(Stdio::null())
            .output()
            .doing(|| "run psql".into())?;
        if !output.status.success() {
            return Err(Error::Failed {
                program: format!("psql ({})", self.name),
                status: output.status,
                output: String::from_utf8_lossy(&output.stderr).into_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    }

    /// Stops replaying: this standby goes on receiving, and its readers see the past.
    pub fn pause_replay(&self) -> Result<(), Error> {
        self.psql("postgres", "SELECT pg_wal_replay_pause()")?;
        let paused = || {
            self.psql("postgres", "SELECT pg_get_wal_replay_pause_state()")
                .is_ok_and(|state| state == "paused")
        };
        self.within("pause of replay", paused)
    }

    /// Goes on replaying.
    pub fn resume_replay(&self) -> Result<(), Error> {
        self.psql("postgres", "SELECT pg_wal_replay_resume()")?;
        Ok(())
    }

    /// Makes this standby the primary of a new timeline, and waits for it.
    pub fn promote(&self) -> Result<(), Error> {
        let answer = self.psql("postgres", "SELECT pg_promote(wait => true)")?;
        self.state().role = Role::Primary;
        match answer.as_str() {
            "t" => Ok(()),
            _ => Err(self.late("promotion")),
        }
    }

    /// Reads its settings again after they were written anew.
    pub(crate) fn reconfigure(&self, synchronous_standbys: String) -> Result<(), Error> {
        let mut state = self.state();
        if state.synchronous_standbys == synchronous_standbys {
            return Ok(());
        }
        state.synchronous_standbys = synchronous_standbys;
        self.write_configuration(&state)?;
        drop(state);
        self.psql("postgres", "SELECT pg_reload_conf()")?;
        Ok(())
    }

    fn write_configuration(&self, state: &State) -> Result<(), Error> {
        let data = self.data();
        let upstream = match state.role {
            Role::Primary => None,
            Role::Standby { of } => {
                Some(Upstream { port: of, user: SUPERUSER, password: &self.password, name: &self.name })
            }
        };
        let signal = data.join("standby.signal");
        if upstream.is_some() {
            self.account.own_file(&signal, "")?;
        } else if signal.exists() {
            fs::remove_file(&signal).doing(|| format!("remove {}", signal.display()))?;
        }
        let configuration = Configuration {
            port: self.port,
            upstream,
            synchronous_standbys: &state.synchronous_standbys,
            statistics: self.statistics,
            extra: &self.settings,
        };
        self.account.own_file(&data.join(SETTINGS_FILE), &configuration.text())
    }

    /// Ends a server of this very data folder whose note is missing, and clears a lock file that names a stranger:
    /// process numbers are handed out again, and PostgreSQL would refuse to start.
    fn end_leftover(&self) -> Result<(), Error> {
        let data = self.data();
        let Some(file) = postmaster_file(&data) else { return Ok(()) };
        let Ok(pid) = file.pid.parse() else { return Ok(()) };
        let Some(arguments) = leftover::arguments(pid) else { return Ok(()) };
        if arguments.contains("postgres") && arguments.contains(&*data.to_string_lossy()) {
            return leftover::end(pid, Stop::Fast);
        }
        let path = data.join(POSTMASTER_FILE);
        fs::remove_file(&path).doing(|| format!("remove {}", path.display()))
    }

    pub(crate) fn within(&self, what: &str, condition: impl FnMut() -> bool) -> Result<(), Error> {
        if wait_until(STOP_PATIENCE, condition) { Ok(()) } else { Err(self.late(what)) }
    }

    pub(crate) fn late(&self, what: &str) -> Error {
        Error::Late { what: format!("{what} ({})", self.name), waited: STOP_PATIENCE, log: tail(&self.log()) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Included at the end of `postgresql.conf`.
pub(crate) const SETTINGS_FILE: &str = "weir.conf";

const POSTMASTER_FILE: &str = "postmaster.pid";

struct PostmasterFile {
    pid: String,
    is_ready: bool,
}

/// The lock file that a running server keeps in its data: the number stands first, what it is up to on line 8.
fn postmaster_file(data: &Path) -> Option<PostmasterFile> {
    let text = fs::read_to_string(data.join(POSTMASTER_FILE)).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().to_owned();
    let is_ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
    Some(PostmasterFile { pid, is_ready })
}

fn is_running(state: &mut State) -> Result<bool, Error> {
    match &mut state.process {
        Some(process) => Ok(process.exited()?.is_none()),
        None => Ok(false),
    }
}
