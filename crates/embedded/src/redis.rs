//! A private Redis. It holds only what PostgreSQL can tell again (cached values, hints, rate counters, leases), so it
//! keeps nothing on disk; and it never evicts, since a rate counter or a lease that silently goes is a wrong answer.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::binaries::find_redis;
use crate::cluster::secret;
use crate::error::Error;
use crate::place::{Place, is_port_free};
use crate::process::{Process, Stop, logged, pause, tail};

const MEMORY_MAX: &str = "256mb";

const START_PATIENCE: Duration = Duration::from_secs(20);

const STOP_PATIENCE: Duration = Duration::from_secs(10);

const ANSWER_PATIENCE: Duration = Duration::from_secs(1);

/// How often another port is tried when a stranger takes the chosen one between the choice and the start.
const PORT_TRIES: usize = 3;

/// A running Redis on 127.0.0.1. Dropping it stops it.
pub struct Redis {
    port: u16,
    password: String,
    process: Mutex<Option<Process>>,
    place: Place,
}

impl Redis {
    /// Starts the Redis of `place`.
    pub fn start(place: &Place) -> Result<Redis, Error> {
        let folder = place.folder().join("redis");
        place.account().own_folder(&folder)?;
        let password = secret(place, &folder.join("redis.password"))?;
        let mut tries = PORT_TRIES;
        loop {
            let port = place.port("redis")?;
            let redis =
                Redis { port, password: password.clone(), process: Mutex::new(None), place: place.clone() };
            tries -= 1;
            match redis.start_again() {
                Ok(()) => return Ok(redis),
                Err(Error::Failed { .. }) if tries > 0 && !is_port_free(port) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Its address, with the password.
    pub fn url(&self) -> String {
        format!("redis://:{}@127.0.0.1:{}/", self.password, self.port)
    }

    /// Starts it after [`Redis::pause`] or [`Redis::kill`], empty, on the same port.
    pub fn start_again(&self) -> Result<(), Error> {
        let mut running = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = running.as_mut()
            && process.exited()?.is_none()
        {
            return Ok(());
        }
        let folder = self.place.folder().join("redis");
        let account = self.place.account();
        let configuration = folder.join("redis.conf");
        account.own_file(&configuration, &self.configuration())?;
        let log = folder.join("redis.log");
        let mut command = Command::new(find_redis()?);
        command.arg(&configuration).current_dir(&folder);
        let mut process = Process::spawn(logged(command, &log)?, account, &folder, "redis", Stop::Terminate)?;
        let until = Instant::now() + START_PATIENCE;
        loop {
            if let Some(status) = process.exited()? {
                return Err(Error::Failed { program: "Redis".into(), status, output: tail(&log) });
            }
            if self.answers() {
                *running = Some(process);
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Error::Late {
                    what: "start of Redis".into(),
                    waited: START_PATIENCE,
                    log: tail(&log),
                });
            }
            pause();
        }
    }

    /// Stops it for a while, as an outage would; its content is gone.
    pub fn pause(&self) -> Result<(), Error> {
        if let Some(mut process) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            process.stop(STOP_PATIENCE)?;
        }
        Ok(())
    }

    /// Kills it as a crash would.
    pub fn kill(&self) -> Result<(), Error> {
        if let Some(mut process) = self.process.lock().unwrap_or_else(PoisonError::into_inner).take() {
            process.kill()?;
        }
        Ok(())
    }

    /// Stops it.
    pub fn stop(self) -> Result<(), Error> {
        self.pause()
    }

    fn configuration(&self) -> String {
        format!(
            "# Written at each start by Weir (crates/embedded).\n\
             bind 127.0.0.1\n\
             port {}\n\
             requirepass {}\n\
             maxmemory {MEMORY_MAX}\n\
             maxmemory-policy noeviction\n\
             save \"\"\n\
             appendonly no\n\
             daemonize no\n",
            self.port, self.password
        )
    }

    /// Logs in and asks for a PONG.
    fn answers(&self) -> bool {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let ask = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&address, ANSWER_PATIENCE)?;
            stream.set_read_timeout(Some(ANSWER_PATIENCE))?;
            stream.write_all(format!("AUTH {}\r\nPING\r\n", self.password).as_bytes())?;
            let mut lines = BufReader::new(stream).lines();
            let mut next = || lines.next().transpose().map(Option::unwrap_or_default);
            Ok(next()? == "+OK" && next()? == "+PONG")
        };
        ask().unwrap_or(false)
    }
}
