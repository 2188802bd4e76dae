//! How the queue is reached: sessions as its own role, in a small pool that nothing else shares. A handler that
//! drained a shared one would stop the worker's sign of life, and its job would run a second time meanwhile.

use std::time::Duration;

use graphile_worker::DbError;
use graphile_worker::tokio_postgres::TokioPostgresDatabase;
use tokio_postgres::Config;

/// The queue's schema, named as the library's other tools expect it.
pub(super) const SCHEMA: &str = "graphile_worker";

/// A statement of the queue that takes longer is ended.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Making a connection takes no longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A pool of `connections`, and beside it (opened by the worker alone) one that listens and comes back by itself.
pub(super) fn open(
    target: &Config,
    application_name: &str,
    connections: usize,
) -> Result<TokioPostgresDatabase, DbError> {
    let mut config = target.clone();
    let timeout_ms = STATEMENT_TIMEOUT.as_millis();
    config.options(format!("-c role=weir_jobs -c search_path={SCHEMA} -c statement_timeout={timeout_ms}"));
    config.application_name(application_name);
    config.connect_timeout(CONNECT_TIMEOUT);
    TokioPostgresDatabase::from_config(config, connections)
}
