//! `/livez` and `/readyz`. Ready means: started, and not shutting down. What stands behind the service is reported
//! there, but doesn't decide: a failover of the database must not make every task be replaced.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;

use crate::problem::{Problem, kinds};
use crate::reply::Reply;

/// What asks them is answered whatever the limits say.
pub(crate) const PROBES: [&str; 2] = ["/livez", "/readyz"];

/// Whether this process takes requests. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    started: AtomicBool,
    draining: AtomicBool,
    dependencies: Mutex<BTreeMap<&'static str, bool>>,
}

impl Readiness {
    /// Everything is set up: requests are welcome.
    pub fn started(&self) {
        self.0.started.store(true, Ordering::Release);
    }

    /// The process is about to stop: no new requests, please.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Release);
    }

    /// Whether it is about to stop.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Acquire)
    }

    /// Whether requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.0.started.load(Ordering::Acquire) && !self.is_draining()
    }

    /// Says whether something that the service needs answers; only reported.
    pub fn dependency(&self, name: &'static str, answers: bool) {
        self.0.dependencies.lock().insert(name, answers);
    }

    pub(crate) fn router(self) -> Router {
        Router::new()
            .route(PROBES[0], get(|| async { StatusCode::OK }))
            .route(PROBES[1], get(readyz))
            .with_state(self)
    }
}

async fn readyz(State(readiness): State<Readiness>) -> Result<Reply, Problem> {
    let dependencies = json!(*readiness.0.dependencies.lock());
    if readiness.is_ready() {
        return Ok(Reply::ok(&json!({"ready": true, "dependencies": dependencies})));
    }
    Err(Problem::of(&kinds::NOT_READY)
        .detail(if readiness.is_draining() { "it is shutting down" } else { "it is starting" })
        .with("dependencies", dependencies))
}
