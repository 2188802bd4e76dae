//! The queue's schema and role, made by the owner after the modules' migrations.

use graphile_worker::{Database, WorkerUtils};
use tokio_postgres::{Config, NoTls};

use super::session::{self, SCHEMA};

/// Of two migrations at once the second waits for the first.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('weir.jobs.migrate', 0))";

/// Why the queue's schema isn't as it should be.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database refused or is away.
    #[error("the job queue's role and schema could not be made")]
    Sql(#[from] tokio_postgres::Error),
    /// The queue's own migrations failed.
    #[error("the job queue's own migrations failed: {0}")]
    Queue(String),
}

/// Makes the role `weir_jobs`, the schema `graphile_worker` that it owns, and the function by which modules
/// enqueue; all as the database's owner, and again without harm. The modules' schemas are there already.
pub async fn migrate(owner_url: &str) -> Result<(), MigrateError> {
    let owner: Config = owner_url.parse()?;
    let (client, connection) = owner.connect(NoTls).await?;
    let connection = tokio::spawn(connection);
    client.batch_execute(LOCK).await?;
    client.batch_execute(include_str!("roles.sql")).await?;

    let queue = session::open(&owner, "weir migrate", 1).map_err(|e| MigrateError::Queue(e.to_string()))?;
    let utils = WorkerUtils::new(Database::from(queue.clone()), SCHEMA);
    let migrated = utils.migrate().await;
    queue.pool().close();
    migrated.map_err(|e| MigrateError::Queue(e.to_string()))?;

    client.batch_execute(include_str!("enqueue.sql")).await?;
    // The lock goes with the session.
    drop(client);
    let _ = connection.await;
    Ok(())
}
