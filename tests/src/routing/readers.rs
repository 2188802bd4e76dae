//! Standbys that conflict, lag, die or are promoted while reads go on: nobody who reads notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::json;
use tokio::task::{JoinHandle, yield_now};

use super::cluster::Servers;
use crate::harness::{Program, User};

/// Callers who read without a pause.
const CALLERS: usize = 8;
/// Reads that replay cancels, and how many locks are taken between two looks at them.
const CONFLICTS: i64 = 3;
const LOCKS_AT_ONCE: usize = 20;
/// A lock that replay takes on a standby, from whoever reads there.
const LOCK: &str = "BEGIN; LOCK TABLE household.account IN ACCESS EXCLUSIVE MODE; COMMIT";

/// An account of a household: reads of it are answered by a database, not by a cache.
struct Target {
    alice: User,
    path: String,
}

impl Target {
    async fn create(program: &Program) -> Self {
        let alice = program.user("alice").await;
        let home = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
        let home = alice.post("/v1/households", &home).await.expect(201);
        let accounts = format!("/v1/households/{}/accounts", home.text("/id"));
        let account = json!({"name": "Chequing", "kind": "checking", "currency": "CAD"});
        let account = alice.post(&accounts, &account).await.expect(201);
        Self { path: format!("{accounts}/{}", account.text("/id")), alice: alice.forgetful() }
    }
}

/// Reads that go on until they are stopped; each must be answered.
struct Reading {
    tasks: Vec<JoinHandle<()>>,
    done: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Reading {
    fn start(target: &Target) -> Self {
        let (done, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let tasks = (0..CALLERS).map(|_| {
            let (alice, path) = (target.alice.clone(), target.path.clone());
            let (done, is_over) = (done.clone(), is_over.clone());
            tokio::spawn(async move {
                while !is_over.load(Ordering::Relaxed) {
                    alice.get(&path).await.expect(200);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        Self { tasks: tasks.collect(), done, is_over }
    }

    /// Some more reads come through.
    async fn go_on(&self) {
        let until = self.done.load(Ordering::Relaxed) + 10 * CALLERS;
        while self.done.load(Ordering::Relaxed) < until {
            assert!(self.tasks.iter().all(|task| !task.is_finished()), "a read failed");
            yield_now().await;
        }
    }

    async fn stop(self) {
        self.is_over.store(true, Ordering::Relaxed);
        join_all(self.tasks).await.into_iter().collect::<Result<Vec<_>, _>>().expect("no read failed");
    }
}

/// Reads that standbys, or in their place the writer, have answered so far.
async fn served_by(program: &Program, who: &str) -> u64 {
    program.counted("weir_reads_total{", &format!("served_by=\"{who}\"")).await
}

/// Waits until reads are answered by a standby again.
async fn standbys_answer(program: &Program, reading: &Reading) {
    let before = served_by(program, "standby").await;
    while served_by(program, "standby").await <= before {
        reading.go_on().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_while_standbys_lag_die_come_back_and_are_promoted() {
    let servers = Servers::start(2, 0).await;
    let program = servers.serve(&[]).await;
    let target = Target::create(&program).await;
    let reading = Reading::start(&target);
    standbys_answer(&program, &reading).await;
    let [first, second] = servers.cluster.standbys() else { panic!("two standbys") };
    let left = async |reader: &str, why: &str| {
        let name = format!("reader=\"household.{reader}\",why=\"{why}\"");
        program.counted("weir_readers_ejected_total{", &name).await
    };

    // The first one stands still for longer than anyone may be shown, while the primary goes on.
    first.pause_replay().unwrap();
    let primary = servers.on_primary().await;
    while left("reader-1", "lags").await == 0 {
        primary.batch_execute("SELECT pg_logical_emit_message(true, 'test', '')").await.unwrap();
        reading.go_on().await;
    }
    // The other one answers, until it is gone; then the writer does.
    standbys_answer(&program, &reading).await;
    second.kill().unwrap();
    while left("reader-2", "failed").await == 0 {
        reading.go_on().await;
    }
    let by_writer = served_by(&program, "writer_fallback").await;
    while served_by(&program, "writer_fallback").await == by_writer {
        reading.go_on().await;
    }
    // Both come back by themselves.
    first.resume_replay().unwrap();
    standbys_answer(&program, &reading).await;
    second.start().unwrap();
    reading.go_on().await;

    // One that is promoted by mistake is a primary of its own, and nobody reads there.
    let failures = left("reader-1", "failed").await;
    first.promote().unwrap();
    while left("reader-1", "failed").await == failures {
        reading.go_on().await;
    }
    standbys_answer(&program, &reading).await;
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_replay_cancels_is_answered_elsewhere() {
    let settings = [("hot_standby_feedback", "off"), ("max_standby_streaming_delay", "0")];
    let servers = Servers::start_with(1, 0, &settings).await;
    let program = servers.serve(&[]).await;
    let target = Target::create(&program).await;
    let reading = Reading::start(&target);
    standbys_answer(&program, &reading).await;
    let (primary, standby) = (servers.on_primary().await, servers.on_standby(0).await);
    let conflicts = "SELECT sum(confl_lock + confl_snapshot)::bigint FROM pg_stat_database_conflicts";
    while standby.query_one(conflicts, &[]).await.unwrap().get::<_, i64>(0) < CONFLICTS {
        for _ in 0..LOCKS_AT_ONCE {
            primary.batch_execute(LOCK).await.unwrap();
        }
        assert!(reading.tasks.iter().all(|task| !task.is_finished()), "a read failed");
    }
    reading.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_turned_read_only_is_left_for_the_one_that_was_promoted() {
    let servers = Servers::start(1, 1).await;
    let program = servers.serve(&[]).await;
    let target = Target::create(&program).await;
    let households = async || {
        let body = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
        target.alice.post("/v1/households", &body).await.status.as_u16()
    };
    // Sessions that are open refuse to write from here on, and stay open: nothing but that refusal tells that the role went.
    let primary = servers.on_primary().await;
    primary.batch_execute("ALTER SYSTEM SET default_transaction_read_only = on").await.unwrap();
    primary.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    while households().await != 503 {}
    servers.cluster.standbys()[0].promote().unwrap();
    while households().await != 201 {}
    // Here, and in what follows the log.
    let new = servers.on_standby(0).await;
    let tail = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir household tail'";
    while new.query_one(tail, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert_eq!(households().await, 201);
    }
}
