//! The servers that the program needs, and how it is told of them.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use embedded::{Cluster, ClusterOptions, Place, Redis, is_port_free};

use crate::program::root;
use crate::signals::Signals;
use crate::terminal::{Step, say};

/// The database of `up` and of measurements; tests make one each.
const DATABASE: &str = "weir";

/// Where `up` serves when that port is free and none was named.
const USUAL_PORT: u16 = 8080;

/// The folder of everything that is made while running, in this checkout.
pub fn folder() -> Result<PathBuf, Box<dyn Error>> {
    let folder = root()?.join(".weir");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// The place `name` of this checkout, held until this program ends.
pub fn open_place(name: &str) -> Result<Place, Box<dyn Error>> {
    let place = Place::open(&folder()?, name)?;
    if place.leftovers() > 0 {
        say(&format!("stopped {} processes that a killed run had left here", place.leftovers()));
    }
    if place.is_elsewhere() {
        say(&format!(
            "data is kept in {} (linked as .weir/{name}): the user {} that the servers run as can't reach this checkout",
            place.folder().display(),
            place.account().name().unwrap_or("of this session"),
        ));
    }
    Ok(place)
}

/// The port to serve at: the one that was named, or 8080, or a free one.
pub fn choose_port(place: &Place, named: Option<u16>) -> Result<u16, Box<dyn Error>> {
    match named {
        Some(port) if is_port_free(port) => Ok(port),
        Some(port) => {
            Err(format!("port {port} is taken; name another one, or none to get a free one").into())
        }
        None if is_port_free(USUAL_PORT) => Ok(USUAL_PORT),
        None => {
            let port = place.port("weir")?;
            say(&format!("port {USUAL_PORT} is taken; serving at {port}"));
            Ok(port)
        }
    }
}

/// Refuses a port that was named and is taken.
pub fn check_named_port(named: Option<u16>) -> Result<(), Box<dyn Error>> {
    match named.filter(|port| !is_port_free(*port)) {
        Some(port) => {
            Err(format!("port {port} is taken; name another one, or none to get a free one").into())
        }
        None => Ok(()),
    }
}

/// A running primary, standby and Redis.
pub struct Servers {
    cluster: Cluster,
    redis: Redis,
}

impl Servers {
    /// Starts them, and makes what is not there yet.
    pub fn start(place: &Place, signals: &Signals) -> Result<Servers, Box<dyn Error>> {
        signals.check()?;
        let step = Step::begin("starting PostgreSQL (a primary and a standby)");
        let cluster = Cluster::start(
            place,
            &ClusterOptions { database: DATABASE.into(), ..ClusterOptions::default() },
        )?;
        step.done();
        signals.check()?;
        let step = Step::begin("starting Redis");
        let redis = Redis::start(place)?;
        step.done();
        Ok(Servers { cluster, redis })
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What the program, or any other client, is told.
    pub fn addresses(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.cluster.writer_url(DATABASE)),
            ("DATABASE_READER_URLS", self.cluster.reader_urls(DATABASE).join(",")),
            ("REDIS_URL", self.redis.url()),
        ]
    }

    /// Stops Redis, the standby, the primary, in this order.
    pub fn stop(self) -> Result<(), Box<dyn Error>> {
        let step = Step::begin("stopping Redis and PostgreSQL");
        self.redis.stop()?;
        self.cluster.stop()?;
        step.done();
        Ok(())
    }
}

/// The program with its environment for this machine.
pub fn weir(folder: &Path, subcommand: &str, servers: &Servers, port: u16, admin_port: u16) -> Command {
    let mut command = Command::new(folder.join("weir"));
    command
        .arg(subcommand)
        .envs(servers.addresses())
        .env("WEIR_LISTEN", format!("127.0.0.1:{port}"))
        .env("WEIR_ADMIN_LISTEN", format!("127.0.0.1:{admin_port}"))
        .env("WEIR_ENV", "development")
        .env("WEIR_LOG", "pretty");
    command
}

/// Writes lines for a shell to read (`. FILE`), which nobody else may read: they hold passwords.
pub fn write_exports(path: &Path, variables: &[(&str, String)]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    for line in exports(variables) {
        writeln!(file, "{line}")?;
    }
    Ok(())
}

/// `export NAME='value'` for each.
pub fn exports(variables: &[(&str, String)]) -> Vec<String> {
    variables
        .iter()
        .map(|(name, value)| format!("export {name}='{}'", value.replace('\'', r"'\''")))
        .collect()
}
