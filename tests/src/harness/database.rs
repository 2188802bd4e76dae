//! A database of one test's own, copied from a template that was migrated once.

use embedded::Proxy;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use super::setting;

/// The migrated template. Its name carries the process, for two test runs may share a cluster.
static TEMPLATE: OnceCell<String> = OnceCell::const_new();

/// A database on the writer, and the same on its standby.
pub struct Database {
    /// Its name.
    pub name: String,
}

impl Database {
    /// A fresh one, migrated.
    pub async fn create() -> Self {
        let template = TEMPLATE.get_or_init(migrate_template).await;
        let name = format!("weir_test_{}", Uuid::new_v4().simple());
        // Copying a template needs it to have no connection: one at a time.
        let owner = connect(&setting("WEIR_TEST_DATABASE_URL")).await;
        owner.execute("SELECT pg_advisory_lock(7201)", &[]).await.unwrap();
        owner.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.unwrap();
        Self { name }
    }

    /// The writer's address, as the owner.
    pub fn url(&self) -> String {
        with_database(&setting("WEIR_TEST_DATABASE_URL"), &self.name)
    }

    /// A fault proxy in front of the writer, and the address that leads through it.
    pub fn behind_proxy(&self) -> (Proxy, String) {
        let mut url = reqwest::Url::parse(&self.url()).unwrap();
        let server = url.socket_addrs(|| Some(5432)).unwrap()[0];
        let proxy = Proxy::start(server).unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(proxy.port())).unwrap();
        (proxy, url.to_string())
    }

    /// The standby's.
    pub fn reader_url(&self) -> String {
        with_database(&setting("WEIR_TEST_READER_URL"), &self.name)
    }

    /// The owner's connection to the writer.
    pub async fn owner(&self) -> Client {
        connect(&self.url()).await
    }

    /// The owner's connection to the standby, once it has the database.
    pub async fn standby(&self) -> Client {
        let cluster = connect(&setting("WEIR_TEST_READER_URL")).await;
        let here = "SELECT count(*) FROM pg_database WHERE datname = $1";
        while cluster.query_one(here, &[&self.name]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::task::yield_now().await;
        }
        connect(&self.reader_url()).await
    }
}

async fn migrate_template() -> String {
    let url = setting("WEIR_TEST_DATABASE_URL");
    let owner = connect(&url).await;
    // What earlier runs left behind.
    let stale = "SELECT datname FROM pg_database d WHERE datname LIKE 'weir\\_te%'
        AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = d.datname)";
    for row in owner.query(stale, &[]).await.unwrap() {
        let name: &str = row.get(0);
        // Another run may be at the same.
        let _ = owner.batch_execute(&format!("DROP DATABASE IF EXISTS {name}")).await;
    }
    let name = format!("weir_template_{}", std::process::id());
    owner.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    weir::migrate::run(&with_database(&url, &name)).await.unwrap();
    name
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The same server and login, another database.
fn with_database(url: &str, name: &str) -> String {
    let mut url = reqwest::Url::parse(url).unwrap();
    url.set_path(name);
    url.to_string()
}
