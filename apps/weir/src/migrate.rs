//! `weir migrate`: brings the schema to what this program needs, as its owner.

use anyhow::Context as _;
use sqlx::Connection as _;
use sqlx::postgres::PgConnection;

/// Where sqlx notes what was applied. With its schema: a search_path that starts elsewhere would find no such table and
/// apply everything again.
const APPLIED: &str = "public._sqlx_migrations";

/// Applies what is missing. Two that run at once wait for one another.
pub async fn run(database_url: &str) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect(database_url).await.context("the database can't be reached")?;
    let mut migrations = sqlx::migrate!("../../migrations");
    migrations.dangerous_set_table_name(APPLIED);
    migrations.run(&mut owner).await.context("a migration failed")?;
    owner.close().await?;
    common::jobs::migrate(database_url).await.context("the job queue can't be set up")?;
    Ok(())
}
