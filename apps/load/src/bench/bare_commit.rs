//! The peer of T2: one row, one transaction, over one connection.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// The peer, ready to run.
pub struct BareCommit {
    client: Client,
    table: String,
}

impl BareCommit {
    /// Makes its table.
    pub async fn open(url: &str) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
        tokio::spawn(connection);
        let table = format!("bare_commit_{}", Uuid::new_v4().simple());
        client.batch_execute(&format!("CREATE TABLE {table} (id uuid PRIMARY KEY, at timestamptz)")).await?;
        Ok(Self { client, table })
    }

    /// How long each commit took.
    pub async fn run(&self, within: Duration) -> anyhow::Result<Vec<Duration>> {
        let insert = format!("INSERT INTO {} VALUES ($1, now())", self.table);
        let insert = self.client.prepare(&insert).await?;
        let (begin, mut waits) = (Instant::now(), Vec::new());
        while begin.elapsed() < within {
            let started = Instant::now();
            self.client.execute(&insert, &[&Uuid::now_v7()]).await?;
            waits.push(started.elapsed());
        }
        Ok(waits)
    }

    /// Drops its table.
    pub async fn close(self) -> anyhow::Result<()> {
        Ok(self.client.batch_execute(&format!("DROP TABLE {}", self.table)).await?)
    }
}
