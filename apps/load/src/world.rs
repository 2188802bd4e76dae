//! A place to break things in: a cluster of three, Redis, two processes of the program, and a fault proxy in front of each of them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use embedded::{Cluster, ClusterOptions, Fault, Place, Proxy, Redis};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::block_in_place;

use crate::client::Weir;

const DATABASE: &str = "weir";
/// Processes of the program on the one database.
pub const PROCESSES: usize = 2;
/// Connections of a process. Six pools a module, and four databases each.
const CONNECTIONS: &str = "90";

/// A way to the program that clients know: one process behind a proxy for requests and one for sockets.
#[derive(Clone)]
pub struct Gate {
    /// Requests.
    pub http: Weir,
    /// Sockets, whose messages may also come twice.
    pub sockets: String,
}

struct Process {
    child: Child,
    admin: String,
    http: Proxy,
    sockets: Proxy,
}

/// All of it. Dropping it ends it.
pub struct World {
    processes: Vec<Process>,
    gates: Arc<[Gate]>,
    databases: Vec<Proxy>,
    redis_proxy: Proxy,
    redis: Redis,
    cluster: Cluster,
    program: PathBuf,
    folder: PathBuf,
    _place: Place,
}

impl World {
    /// Starts everything, of this program.
    pub async fn start(program: &Path) -> anyhow::Result<Self> {
        let (place, cluster, redis) = block_in_place(|| {
            let place = Place::temporary("faults")?;
            let options = ClusterOptions { standbys: 2, synchronous: 1, ..ClusterOptions::default() };
            let cluster = Cluster::start(&place, &options)?;
            let redis = Redis::start(&place)?;
            Ok::<_, embedded::Error>((place, cluster, redis))
        })?;
        let servers = [cluster.primary()].into_iter().chain(cluster.standbys());
        let databases = servers.map(|server| Proxy::start(local(server.port()))).collect::<Result<_, _>>()?;
        let redis_url = redis.url().parse::<reqwest::Url>()?;
        let redis_proxy = Proxy::start(local(redis_url.port().context("Redis has a port")?))?;
        // Placeholders, until each process says where it listens.
        let nowhere = local(1);
        let mut proxies = Vec::new();
        let mut gates = Vec::new();
        for _ in 0..PROCESSES {
            let (http, sockets) = (Proxy::start(nowhere)?, Proxy::start(nowhere)?);
            let base = |proxy: &Proxy| format!("http://127.0.0.1:{}", proxy.port());
            gates.push(Gate { http: Weir::connect(&base(&http))?, sockets: base(&sockets) });
            proxies.push((http, sockets));
        }
        let folder = place.folder().to_path_buf();
        let mut world = Self {
            processes: Vec::new(),
            gates: gates.into(),
            databases,
            redis_proxy,
            redis,
            cluster,
            program: program.to_path_buf(),
            folder,
            _place: place,
        };
        let migrated = world.command("migrate")?.env("DATABASE_URL", world.direct_url()).status().await?;
        anyhow::ensure!(migrated.success(), "weir migrate failed: {migrated}");
        for (http, sockets) in proxies {
            let (child, admin) = world.spawn(&http, &sockets).await?;
            world.processes.push(Process { child, admin, http, sockets });
        }
        Ok(world)
    }

    /// The ways in, one for each process.
    pub fn gates(&self) -> Arc<[Gate]> {
        self.gates.clone()
    }

    /// The owner's address of the database that is the primary now, past every proxy: for the verdict.
    pub fn direct_url(&self) -> String {
        self.cluster.writer_url(DATABASE)
    }

    /// The superuser's addresses of the standbys.
    pub fn standby_urls(&self) -> Vec<String> {
        self.cluster.standbys().iter().map(|standby| standby.superuser_url("postgres")).collect()
    }

    /// Reads that standbys and, in their place, the writer have answered so far, in all processes.
    pub async fn reads(&self) -> anyhow::Result<(u64, u64)> {
        let (mut by_standby, mut by_writer) = (0, 0);
        for process in &self.processes {
            let metrics = reqwest::get(format!("http://{}/metrics", process.admin)).await?.text().await?;
            for line in metrics.lines().filter(|line| line.starts_with("weir_reads_total{")) {
                let count: u64 = line.rsplit(' ').next().unwrap_or_default().parse()?;
                if line.contains("standby") {
                    by_standby += count
                } else {
                    by_writer += count
                };
            }
        }
        Ok((by_standby, by_writer))
    }

    /// `kill -9` of a process, and another one in its place.
    pub async fn kill_process(&mut self, which: usize) -> anyhow::Result<()> {
        let process = &mut self.processes[which];
        process.child.kill().await?;
        let (http, sockets) = (&self.processes[which].http, &self.processes[which].sockets);
        let (child, admin) = self.spawn(http, sockets).await?;
        (self.processes[which].child, self.processes[which].admin) = (child, admin);
        Ok(())
    }

    /// `kill -9` of the primary, which then recovers.
    pub fn kill_primary(&self) -> anyhow::Result<()> {
        block_in_place(|| {
            self.cluster.primary().kill()?;
            self.cluster.primary().start()
        })?;
        Ok(())
    }

    /// The primary is killed for good and its synchronous standby promoted; then the others follow.
    pub fn promote(&mut self) -> anyhow::Result<()> {
        block_in_place(|| {
            self.cluster.fail_over()?;
            self.cluster.heal()
        })?;
        Ok(())
    }

    /// `kill -9` of Redis, which starts empty.
    pub fn kill_redis(&self) -> anyhow::Result<()> {
        block_in_place(|| {
            self.redis.kill()?;
            self.redis.start_again()
        })?;
        Ok(())
    }

    /// The next COMMIT of anyone is carried out, and its answer is lost. Says whether that happened within a while.
    pub async fn cut_a_commit(&self) -> bool {
        let struck = || self.databases.iter().map(Proxy::struck).sum::<u64>();
        let before = struck();
        for proxy in &self.databases {
            proxy.set(Fault::CutAnswer(b"COMMIT".to_vec()));
        }
        let until = tokio::time::Instant::now() + Duration::from_secs(5);
        while struck() == before && tokio::time::Instant::now() < until {
            tokio::task::yield_now().await;
        }
        for proxy in &self.databases {
            proxy.set(Fault::None);
        }
        struck() > before
    }

    /// A fault on the way to the program; `None` ends it.
    pub fn disturb_clients(&self, fault: &Fault) {
        for process in &self.processes {
            // A request that comes twice would shift every later answer of its connection.
            if !matches!(fault, Fault::Duplicate(_)) {
                process.http.set(fault.clone());
            }
            process.sockets.set(fault.clone());
        }
    }

    /// A fault on the way to Redis; `None` ends it.
    pub fn disturb_redis(&self, fault: Fault) {
        self.redis_proxy.set(fault);
    }

    /// Whether each process still runs.
    pub fn check(&mut self) -> anyhow::Result<()> {
        for process in &mut self.processes {
            if let Some(status) = process.child.try_wait()? {
                bail!("a process ended by itself: {status}; its log is in {}", self.folder.display());
            }
        }
        Ok(())
    }

    async fn spawn(&self, http: &Proxy, sockets: &Proxy) -> anyhow::Result<(Child, String)> {
        let mut child = self.command("serve")?.stderr(Stdio::piped()).spawn()?;
        let mut log = BufReader::new(child.stderr.take().context("stderr is piped")?).lines();
        let mut said = Vec::new();
        let (address, admin) = loop {
            let Some(line) = log.next_line().await? else {
                bail!("the program ended before it was ready:\n{}", said.join("\n"));
            };
            match serde_json::from_str::<Value>(&line) {
                Ok(line) if line["message"] == "ready" => {
                    let address = |name: &str| line[name].as_str().context("no address");
                    break (address("listen")?.parse::<SocketAddr>()?, address("admin")?.to_owned());
                }
                _ => said.push(line),
            }
        };
        // The pipe must not fill up; errors are worth a look afterwards.
        tokio::spawn(async move {
            while let Ok(Some(line)) = log.next_line().await {
                if line.contains("\"ERROR\"") {
                    eprintln!("{line}");
                }
            }
        });
        http.retarget(address);
        sockets.retarget(address);
        Ok((child, admin))
    }

    fn command(&self, subcommand: &str) -> anyhow::Result<Command> {
        let writer = reqwest::Url::parse(&self.direct_url())?;
        let login = format!("{}:{}", writer.username(), writer.password().unwrap_or_default());
        let hosts: Vec<_> =
            self.databases.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect();
        let readers: Vec<_> =
            hosts.iter().map(|host| format!("postgres://{login}@{host}/{DATABASE}")).collect();
        let writer =
            format!("postgres://{login}@{}/{DATABASE}?target_session_attrs=read-write", hosts.join(","));
        let mut redis = reqwest::Url::parse(&self.redis.url())?;
        redis.set_port(Some(self.redis_proxy.port())).map_err(|()| anyhow::anyhow!("Redis has no port"))?;
        let mut command = Command::new(&self.program);
        command
            .arg(subcommand)
            .env_clear()
            .env("DATABASE_URL", writer)
            .env("DATABASE_READER_URLS", readers.join(","))
            .env("REDIS_URL", redis.to_string())
            .env("WEIR_DATABASE_CONNECTIONS", CONNECTIONS)
            .env("WEIR_ENV", "development")
            .env("WEIR_DEV_KEY_FILE", self.folder.join("dev.key"))
            .env("WEIR_LISTEN", "127.0.0.1:0")
            .env("WEIR_ADMIN_LISTEN", "127.0.0.1:0")
            .env("WEIR_INTERNAL_LISTEN", "127.0.0.1:0")
            .env("WEIR_INTERNAL_SECRET", "what this fleet knows")
            .env("WEIR_LOG", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
