//! A private cluster: made on the first start, recovered after a crash, its standbys made anew when they can't follow.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::binaries::Postgres;
use crate::configuration::ACCESS;
use crate::error::{Doing, Error};
use crate::place::{Place, is_port_free};
use crate::process::{pause, run};
use crate::server::{Role, SETTINGS_FILE, SUPERUSER, Server, State};

/// Owns the program's database and its roles. Not a superuser, as on a managed PostgreSQL.
const OWNER: &str = "weir";

/// How often another port is tried when a stranger takes the chosen one between the choice and the start.
const PORT_TRIES: usize = 3;

/// A standby that neither streams nor replays anything for so long can't follow.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(10);

/// How a cluster is made up.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// How many streaming standbys there are.
    pub standbys: usize,
    /// How many of them (the first ones) a commit waits for.
    pub synchronous: usize,
    /// The database that the owner gets.
    pub database: String,
    /// Settings for every server, which win over the usual ones.
    pub settings: Vec<(String, String)>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions { standbys: 1, synchronous: 0, database: OWNER.into(), settings: Vec::new() }
    }
}

/// A running primary with its standbys. Dropping it stops them.
pub struct Cluster {
    // In the order of being dropped: the standbys stop before their primary, which would wait for them.
    standbys: Vec<Server>,
    primary: Server,
    /// A primary that was killed and not yet made a standby.
    dead: Option<Server>,
    owner_password: String,
    options: ClusterOptions,
    place: Place,
}

impl Cluster {
    /// Starts the cluster of `place`, and makes what is not there yet.
    pub fn start(place: &Place, options: &ClusterOptions) -> Result<Cluster, Error> {
        let folder = place.folder().join("postgres");
        place.account().own_folder(&folder)?;
        let build = Build { place, options, postgres: Postgres::find_for(&folder.join("primary"))?, folder };
        let owner_password = build.secret("owner")?;
        let primary = build.primary()?;
        build.set_up(&primary, &owner_password)?;
        let mut standbys = Vec::new();
        for number in 1..=options.standbys {
            standbys.push(build.standby(&primary, &format!("standby{number}"))?);
        }
        let (options, place) = (options.clone(), place.clone());
        let cluster = Cluster { standbys, primary, dead: None, owner_password, options, place };
        cluster.wait_for_standbys()?;
        Ok(cluster)
    }

    /// The server that takes writes (until a test promotes another one).
    pub fn primary(&self) -> &Server {
        &self.primary
    }

    /// The standbys, in order.
    pub fn standbys(&self) -> &[Server] {
        &self.standbys
    }

    /// The owner's address of a database on the primary.
    pub fn writer_url(&self, database: &str) -> String {
        self.primary.url(OWNER, &self.owner_password, database)
    }

    /// The owner's addresses of a database on the standbys.
    pub fn reader_urls(&self, database: &str) -> Vec<String> {
        self.standbys.iter().map(|standby| standby.url(OWNER, &self.owner_password, database)).collect()
    }

    /// The folder of PostgreSQL's programs.
    pub fn programs(&self) -> &Path {
        self.primary.postgres.folder()
    }

    /// Kills the primary and promotes the first standby, which is the synchronous one where there is any. The others
    /// follow once the cluster is [healed](Cluster::heal), and until then commits wait for nobody. For a temporary place:
    /// the next start of this one would take the old primary's data for the primary's.
    pub fn fail_over(&mut self) -> Result<(), Error> {
        if self.standbys.is_empty() {
            return Err(Error::Missing("a standby to promote".into()));
        }
        self.primary.kill()?;
        let promoted = self.standbys.remove(0);
        promoted.promote()?;
        self.dead = Some(std::mem::replace(&mut self.primary, promoted));
        Ok(())
    }

    /// Makes the other standbys, and the primary that was killed, follow the new one.
    pub fn heal(&mut self) -> Result<(), Error> {
        let dead = self.dead.take();
        let build = Build {
            place: &self.place,
            options: &self.options,
            postgres: self.primary.postgres.clone(),
            folder: self.place.folder().join("postgres"),
        };
        let mut standbys = Vec::new();
        for standby in std::mem::take(&mut self.standbys) {
            standby.stop()?;
            standbys.push(build.standby(&self.primary, standby.name())?);
        }
        if let Some(dead) = dead {
            // It may have written what nobody else has.
            fs::remove_dir_all(dead.data()).doing(|| format!("remove {}", dead.data().display()))?;
            standbys.push(build.standby(&self.primary, dead.name())?);
        }
        self.standbys = standbys;
        self.wait_for_standbys()
    }

    /// Commits wait for the first standbys from now on, as many as the options say.
    fn wait_for_standbys(&self) -> Result<(), Error> {
        let waited: Vec<&str> =
            self.standbys.iter().take(self.options.synchronous).map(|standby| standby.name()).collect();
        let names = match waited.len() {
            0 => String::new(),
            count => format!("FIRST {count} ({})", waited.join(", ")),
        };
        self.primary.reconfigure(names)
    }

    /// Stops the standbys, then the primary, each in order. The data stays.
    pub fn stop(self) -> Result<(), Error> {
        for standby in &self.standbys {
            standby.stop()?;
        }
        self.primary.stop()
    }
}

struct Build<'a> {
    place: &'a Place,
    options: &'a ClusterOptions,
    postgres: Postgres,
    folder: PathBuf,
}

impl Build<'_> {
    fn primary(&self) -> Result<Server, Error> {
        let data = self.folder.join("primary");
        let password = self.secret("superuser")?;
        if !data.is_dir() {
            self.initialize(&data)?;
        }
        self.server("primary", &password, Role::Primary)
    }

    /// Makes the data in a folder beside it and renames that at last: a start that was killed in the middle leaves
    /// nothing that looks finished.
    fn initialize(&self, data: &Path) -> Result<(), Error> {
        let unfinished = self.unfinished(data)?;
        let with_locale = |locale: &str| {
            let mut command = self.postgres.command("initdb");
            command
                .arg("-D")
                .arg(&unfinished)
                .args([
                    "-U",
                    SUPERUSER,
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--data-checksums",
                    "--no-sync",
                    "--locale",
                    locale,
                ])
                .arg("--pwfile")
                .arg(self.secret_path("superuser"))
                .current_dir(&self.folder);
            command
        };
        let account = self.place.account();
        if run(with_locale("C.UTF-8"), account, &self.folder, "initdb").is_err() {
            // macOS has no C.UTF-8.
            self.unfinished(data)?;
            run(with_locale("C"), account, &self.folder, "initdb")?;
        }
        let main = unfinished.join("postgresql.conf");
        let doing = || format!("write {}", main.display());
        let made = fs::read_to_string(&main).doing(doing)?;
        account.own_file(&main, &format!("{made}\ninclude_if_exists '{SETTINGS_FILE}'\n"))?;
        account.own_file(&unfinished.join("pg_hba.conf"), ACCESS)?;
        self.finish(&unfinished, data)
    }

    /// What every start makes sure of; nothing is written when all is there.
    fn set_up(&self, primary: &Server, owner_password: &str) -> Result<(), Error> {
        let database = &self.options.database;
        let ask = |sql: &str| primary.psql("postgres", sql);
        if ask(&format!("SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'"))?.is_empty() {
            ask(&format!("CREATE ROLE {OWNER} LOGIN CREATEROLE CREATEDB PASSWORD '{owner_password}'"))?;
            ask(&format!("GRANT pg_monitor TO {OWNER} WITH ADMIN OPTION"))?;
        }
        if ask(&format!("SELECT 1 FROM pg_database WHERE datname = '{database}'"))?.is_empty() {
            ask(&format!(r#"CREATE DATABASE "{database}" OWNER {OWNER}"#))?;
        }
        if primary.statistics {
            primary.psql(database, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")?;
        }
        Ok(())
    }

    fn standby(&self, primary: &Server, name: &str) -> Result<Server, Error> {
        let role = Role::Standby { of: primary.port };
        let data = self.folder.join(name);
        if data.is_dir() {
            self.slot(primary, name)?;
            // Whatever it fails with, a fresh copy of the primary is the cure.
            if let Ok(server) = self.server(name, &primary.password, role)
                && self.follows(primary, &server)?
            {
                return Ok(server);
            }
        }
        self.copy(primary, &data, name)?;
        let server = self.server(name, &primary.password, role)?;
        if self.follows(primary, &server)? { Ok(server) } else { Err(server.late("streaming")) }
    }

    fn slot(&self, primary: &Server, name: &str) -> Result<(), Error> {
        let there = primary
            .psql("postgres", &format!("SELECT 1 FROM pg_replication_slots WHERE slot_name = '{name}'"))?;
        if there.is_empty() {
            primary
                .psql("postgres", &format!("SELECT pg_create_physical_replication_slot('{name}', true)"))?;
        }
        Ok(())
    }

    fn copy(&self, primary: &Server, data: &Path, name: &str) -> Result<(), Error> {
        if data.exists() {
            fs::remove_dir_all(data).doing(|| format!("remove {}", data.display()))?;
        }
        let unfinished = self.unfinished(data)?;
        // The old slot may keep too much, or nothing any more.
        let of_slot = format!("FROM pg_replication_slots WHERE slot_name = '{name}'");
        primary.psql("postgres", &format!("SELECT pg_terminate_backend(active_pid) {of_slot} AND active"))?;
        primary.within("freeing a slot", || {
            let drop = format!("SELECT pg_drop_replication_slot(slot_name) {of_slot} AND NOT active");
            primary.psql("postgres", &drop).is_ok()
                && primary
                    .psql("postgres", &format!("SELECT 1 {of_slot}"))
                    .is_ok_and(|answer| answer.is_empty())
        })?;
        self.slot(primary, name)?;
        let mut command = self.postgres.command("pg_basebackup");
        command
            .arg("-D")
            .arg(&unfinished)
            .args([
                "-h",
                "127.0.0.1",
                "-U",
                SUPERUSER,
                "-w",
                "-c",
                "fast",
                "-X",
                "stream",
                "--no-sync",
                "-S",
                name,
            ])
            .args(["-p", &primary.port.to_string()])
            .env("PGPASSWORD", &primary.password)
            .current_dir(&self.folder);
        run(command, self.place.account(), &self.folder, &format!("{name}-copy"))?;
        self.finish(&unfinished, data)
    }

    /// Does this standby stream? One that still has a log to replay is waited for.
    fn follows(&self, primary: &Server, standby: &Server) -> Result<bool, Error> {
        let streams = format!(
            "SELECT 1 FROM pg_stat_replication WHERE application_name = '{}' AND state = 'streaming'",
            standby.name
        );
        let mut replayed = String::new();
        let mut until = Instant::now() + FOLLOW_PATIENCE;
        while Instant::now() < until {
            if !primary.psql("postgres", &streams)?.is_empty() {
                return Ok(true);
            }
            let Ok(now) = standby.psql("postgres", "SELECT pg_last_wal_replay_lsn()") else {
                return Ok(false);
            };
            if now != replayed {
                replayed = now;
                until = Instant::now() + FOLLOW_PATIENCE;
            }
            pause();
        }
        Ok(false)
    }

    /// Starts a server on its port, or on another one when a stranger was faster.
    fn server(&self, name: &str, password: &str, role: Role) -> Result<Server, Error> {
        let mut tries = PORT_TRIES;
        loop {
            let state = State { role, synchronous_standbys: String::new(), process: None };
            let server = Server {
                name: name.into(),
                postgres: self.postgres.clone(),
                account: self.place.account().clone(),
                folder: self.folder.clone(),
                port: self.place.port(name)?,
                password: password.into(),
                settings: self.options.settings.clone(),
                statistics: self.postgres.has_module("pg_stat_statements")?,
                state: Mutex::new(state),
            };
            tries -= 1;
            match server.start() {
                Ok(()) => return Ok(server),
                Err(Error::Failed { .. }) if tries > 0 && !is_port_free(server.port) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn unfinished(&self, data: &Path) -> Result<PathBuf, Error> {
        let path = data.with_extension("unfinished");
        if path.exists() {
            fs::remove_dir_all(&path).doing(|| format!("remove {}", path.display()))?;
        }
        Ok(path)
    }

    /// Gives data that was just made its name, once all of it is on disk: in one go, which takes a second where a
    /// thousand files one by one take ten. What is removed at the end needn't outlast a power failure.
    fn finish(&self, unfinished: &Path, data: &Path) -> Result<(), Error> {
        if !self.place.is_temporary() {
            nix::unistd::sync();
        }
        fs::rename(unfinished, data).doing(|| format!("make {}", data.display()))
    }

    fn secret_path(&self, of: &str) -> PathBuf {
        self.folder.join(format!("{of}.password"))
    }

    /// A password, made on the first start.
    fn secret(&self, of: &str) -> Result<String, Error> {
        secret(self.place, &self.secret_path(of))
    }
}

/// Reads a password from its file, or makes both.
pub(crate) fn secret(place: &Place, path: &Path) -> Result<String, Error> {
    if let Ok(text) = fs::read_to_string(path)
        && !text.is_empty()
    {
        return Ok(text);
    }
    let mut bytes = [0; 24];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .doing(|| "read /dev/urandom".into())?;
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    place.account().own_file(path, &text)?;
    Ok(text)
}
