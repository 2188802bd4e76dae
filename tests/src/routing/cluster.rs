//! A cluster of one test's own, to be broken, and the program on it.

use embedded::{Cluster, ClusterOptions, Place};
use tokio_postgres::{Client, NoTls};

use crate::harness::{Database, Program};

const NAME: &str = "weir";

/// Servers that nobody else uses, and a database on them.
pub struct Servers {
    pub cluster: Cluster,
    database: Database,
    writer: String,
    readers: String,
    epoch: String,
    _place: Place,
}

impl Servers {
    /// So many standbys, and so many of them that commits wait for.
    pub async fn start(standbys: usize, synchronous: usize) -> Self {
        Self::start_with(standbys, synchronous, &[]).await
    }

    /// The same with settings of PostgreSQL's.
    pub async fn start_with(standbys: usize, synchronous: usize, settings: &[(&str, &str)]) -> Self {
        let place = Place::temporary("weir-routing").unwrap();
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let options = ClusterOptions {
            standbys,
            synchronous,
            settings: settings.collect(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&place, &options).unwrap();
        weir::migrate::run(&cluster.writer_url(NAME)).await.unwrap();
        // Whichever takes writes is the writer, and any of them may be read.
        let url = reqwest::Url::parse(&cluster.writer_url(NAME)).unwrap();
        let login = format!("{}:{}", url.username(), url.password().unwrap());
        let servers = std::iter::once(cluster.primary()).chain(cluster.standbys());
        let hosts: Vec<String> = servers.map(|server| format!("127.0.0.1:{}", server.port())).collect();
        let writer = format!("postgres://{login}@{}/{NAME}?target_session_attrs=read-write", hosts.join(","));
        let readers: Vec<String> =
            hosts.iter().skip(1).map(|host| format!("postgres://{login}@{host}/{NAME}")).collect();
        Self {
            cluster,
            database: Database { name: NAME.to_owned() },
            writer,
            readers: readers.join(","),
            epoch: uuid::Uuid::new_v4().simple().to_string(),
            _place: place,
        }
    }

    /// The program on them.
    pub async fn serve(&self, settings: &[(&str, &str)]) -> Program {
        let mut all = vec![
            ("DATABASE_URL", &*self.writer),
            ("DATABASE_READER_URLS", &*self.readers),
            ("WEIR_DATABASE_CONNECTIONS", "60"),
            ("WEIR_EPOCH", &*self.epoch),
            ("WEIR_POLICIES", concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml")),
        ];
        all.extend(settings);
        Program::start(&self.database, &all).await
    }

    /// The superuser's connection to the primary.
    pub async fn on_primary(&self) -> Client {
        connect(&self.cluster.primary().superuser_url(NAME)).await
    }

    /// The superuser's connection to a standby.
    pub async fn on_standby(&self, which: usize) -> Client {
        connect(&self.cluster.standbys()[which].superuser_url(NAME)).await
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
