//! Every statement of the registry can be prepared by its module's role, and by no other module's.

use tokio_postgres::{Config, NoTls};
use weir::modules::ALL;

use crate::harness::Database;

async fn session(database: &Database, module: &str) -> tokio_postgres::Client {
    let mut config: Config = database.url().parse().unwrap();
    config.options(format!("-c role=weir_{module} -c search_path={module}"));
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn each_statement_is_understood_for_its_modules_role() {
    let database = Database::create().await;
    let own: Vec<_> = api::idempotency::STATEMENTS.iter().chain(api::sse::ticket::STATEMENTS).collect();
    let mut count = 0;
    for module in ALL {
        let client = session(&database, module.name()).await;
        for statement in common::statements().chain(own.iter().copied()).chain(module.statements()) {
            if let Err(error) = client.prepare(statement.sql).await {
                panic!("{}: {:?}", statement.name, error.as_db_error());
            }
            count += 1;
        }
    }
    assert!(count > 100, "the registry has only {count} statements");
}

#[tokio::test]
async fn a_role_sees_its_own_schema_alone_and_never_rewrites_the_log() {
    let database = Database::create().await;
    for module in ALL {
        let client = session(&database, module.name()).await;
        for other in ALL.into_iter().filter(|other| *other != module) {
            let peek = client.query(&format!("SELECT * FROM {other}.stream"), &[]).await;
            assert_eq!(peek.unwrap_err().code().unwrap().code(), "42501", "{module} reads {other}");
        }
        for forbidden in
            ["UPDATE event SET seq = 1", "DELETE FROM event", "DELETE FROM stream", "CREATE TABLE t (n int)"]
        {
            let done = client.batch_execute(forbidden).await;
            assert_eq!(done.unwrap_err().code().unwrap().code(), "42501", "{module}: {forbidden}");
        }
    }
}
