//! Callers that go away in the middle: nothing of theirs stays open, nobody else is hit, and no connection is one too many.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::harness::{Database, Program};
use crate::household::Home;

const CANCELLED: usize = 10_000;
const CALLERS: usize = 32;
const PATIENT: usize = 8;
/// Requests are dropped within this time, which is about as long as one takes.
const DROPPED_WITHIN_US: u64 = 12_000;
const CONNECTIONS: i64 = 24;

/// Sessions of the program, and those of them that are inside a transaction.
const SESSIONS: &str = "SELECT count(*), count(*) FILTER (WHERE state LIKE 'idle in transaction%')
    FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'weir %'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_cancelled_requests_leave_nothing_open_and_hit_nobody_else() {
    let database = Database::create().await;
    let quota = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml");
    let connections = CONNECTIONS.to_string();
    let settings = [("WEIR_POLICIES", quota), ("WEIR_DATABASE_CONNECTIONS", connections.as_str())];
    let program = Program::start(&database, &settings).await;
    let home = Arc::new(Home::create(&program).await);
    let is_over = Arc::new(AtomicBool::new(false));

    // People who wait for every answer meanwhile: each must be the right one, however long the queue.
    let patient = join_all((0..PATIENT).map(|_| {
        let (home, is_over) = (home.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut served = 0;
            while !is_over.load(Ordering::Relaxed) {
                home.create_transaction(&home.expense("1.00", "2026-02-01")).await;
                home.alice.get(&home.at("accounts")).await.expect(200);
                served += 1;
            }
            served
        })
    }));
    let patient = tokio::spawn(patient);
    // Somebody who counts sessions.
    let counting = {
        let (owner, is_over) = (database.owner().await, is_over.clone());
        tokio::spawn(async move {
            let mut most = 0;
            while !is_over.load(Ordering::Relaxed) {
                most = owner.query_one(SESSIONS, &[]).await.unwrap().get::<_, i64>(0).max(most);
            }
            most
        })
    };

    let next = Arc::new(AtomicUsize::new(0));
    let cut = join_all((0..CALLERS).map(|_| tokio::spawn(go_away(home.clone(), next.clone())))).await;
    let cut: usize = cut.into_iter().map(Result::unwrap).sum();
    is_over.store(true, Ordering::Relaxed);
    let served: usize = patient.await.unwrap().into_iter().map(Result::unwrap).sum();
    let most = counting.await.unwrap();

    assert!(cut > CANCELLED / 20, "only {cut} of {CANCELLED} requests were still under way");
    assert!(served >= PATIENT, "{served} pairs of requests were served meanwhile");
    assert!(most <= CONNECTIONS, "{most} sessions, {CONNECTIONS} allowed");
    // Whatever was left to end has ended when as many requests as there are permits come through at once.
    let all: Vec<_> = (0..64).map(|_| home.alice.get("/v1/households")).collect();
    assert!(join_all(all).await.iter().all(|answer| answer.status == 200));
    let owner = database.owner().await;
    while owner.query_one(SESSIONS, &[]).await.unwrap().get::<_, i64>(1) > 0 {
        // A session that stays inside a transaction keeps the test from ending.
        tokio::task::yield_now().await;
    }
}

/// Sends requests of all sorts and drops each at a moment of its own. How many had no answer by then.
async fn go_away(home: Arc<Home>, next: Arc<AtomicUsize>) -> usize {
    let mut cut = 0;
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= CANCELLED {
            return cut;
        }
        let random = uuid::Uuid::new_v4().as_u128() as u64;
        let within = Duration::from_micros(random % DROPPED_WITHIN_US);
        cut += usize::from(tokio::time::timeout(within, request(&home, n)).await.is_err());
    }
}

async fn request(home: &Home, n: usize) {
    match n % 4 {
        0 => drop(home.alice.post(&home.at("transactions"), &home.expense("2.00", "2026-02-02")).await),
        1 => drop(home.alice.get(&home.at("transactions")).await),
        2 => {
            drop(home.alice.post("/v1/health/people", &json!({"name": "Ada", "zone": "Europe/Berlin"})).await)
        }
        _ => drop(home.alice.post("/v1/trading/accounts", &json!({"name": "A"})).await),
    }
}
