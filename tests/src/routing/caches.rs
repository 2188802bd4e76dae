//! Caches across a crash and a promotion: transaction ids that left nothing behind are handed out again, so that what is
//! written then looks like something told long ago.

use std::time::Duration;

use serde_json::json;
use tokio::task::yield_now;
use tokio_postgres::Client;

use super::cluster::Servers;
use crate::harness::User;

const HOUSEHOLDS: usize = 30;
/// Transactions that leave nothing behind: more than the changes that follow, and too few to fill a page of the log, which
/// would be written.
const IDS_LOST: usize = 60;
/// What was rolled back stays in memory for a while.
const LAZY: &[(&str, &str)] = &[("wal_writer_delay", "10s")];
/// Nothing else commits: that would write the log.
const API_ONLY: &[(&str, &str)] = &[("WEIR_ROLES", "api")];
/// The promise of an eventual cache, from when the tail is back.
const STALE_MAX: Duration = Duration::from_secs(1);
/// Statements of one look at most: after so many that began later, one whole look began later.
const STATEMENTS_OF_A_LOOK: usize = 8;

enum Fault {
    Crash,
    Promotion,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_leaves_nothing_stale_in_any_tier() {
    nothing_stale_is_left_by(Fault::Crash).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_leaves_nothing_stale_in_any_tier() {
    nothing_stale_is_left_by(Fault::Promotion).await;
}

async fn nothing_stale_is_left_by(fault: Fault) {
    let servers = Servers::start_with(1, 1, LAZY).await;
    let (one, two) = (servers.serve(API_ONLY).await, servers.serve(API_ONLY).await);
    let alice = one.user("alice").await.forgetful();
    let mut homes = Vec::new();
    for _ in 0..HOUSEHOLDS {
        let body = json!({"name": "Before", "currency": "CAD", "zone": "America/Toronto"});
        let made = alice.post("/v1/households", &body).await.expect(201);
        homes.push((format!("/v1/households/{}", made.text("/id")), made.version()));
    }
    let caching = alice.at(&two.base);
    // The other process takes from Redis what the first one has put there.
    while two.counted("weir_cache_reads_total{cache=\"household\"", "served_by=\"l2\"").await == 0 {
        read_all(&alice, &homes).await;
        read_all(&caching, &homes).await;
    }
    // Half of them are held by one process, and the rest by none: a process that is new knows them from Redis alone.
    let (held, _) = homes.split_at(HOUSEHOLDS / 2);
    two.kill().await;
    one.kill().await;
    let (one, two) = (servers.serve(API_ONLY).await, servers.serve(API_ONLY).await);
    let users = [alice.at(&one.base), alice.at(&two.base)];
    read_all(&users[0], held).await;

    let primary = servers.on_primary().await;
    let lost = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK;".repeat(IDS_LOST);
    let in_memory = "SELECT pg_current_wal_flush_lsn() < pg_current_wal_insert_lsn()";
    loop {
        primary.batch_execute(&lost).await.unwrap();
        tails_look(&primary).await;
        if primary.query_one(in_memory, &[]).await.unwrap().get(0) {
            break;
        }
    }
    // One process stands still and can't tell anything. The other one takes changes as soon as there is a database, which may
    // be before its tail is back.
    one.stand_still().await;
    servers.cluster.primary().kill().unwrap();
    let changes = homes.iter().enumerate().map(|(n, (home, version))| {
        let (user, home, version) = (users[1].clone(), home.clone(), *version);
        let name = json!({"name": format!("After {n}")});
        tokio::spawn(async move {
            // 412: an attempt whose outcome was not known did it.
            while !matches!(user.patch(&home, version, &name).await.status.as_u16(), 200 | 412) {}
        })
    });
    let changes: Vec<_> = changes.collect();
    let primary = match fault {
        Fault::Crash => {
            servers.cluster.primary().start().unwrap();
            servers.on_primary().await
        }
        Fault::Promotion => {
            servers.cluster.standbys()[0].promote().unwrap();
            servers.on_standby(0).await
        }
    };
    for change in changes {
        change.await.unwrap();
    }
    one.go_on().await;
    tails_look(&primary).await;
    tokio::time::sleep(STALE_MAX).await;
    for user in &users {
        let names = read_all(user, &homes).await;
        let expected: Vec<String> = (0..HOUSEHOLDS).map(|n| format!("After {n}")).collect();
        assert_eq!(names, expected);
    }
}

async fn read_all(user: &User, homes: &[(String, i64)]) -> Vec<String> {
    let mut names = Vec::new();
    for (home, _) in homes {
        names.push(user.get(home).await.expect(200).text("/name").to_owned());
    }
    names
}

/// Waits until both processes' tails have begun and ended a look.
async fn tails_look(primary: &Client) {
    for _ in 0..STATEMENTS_OF_A_LOOK {
        let now: String = primary.query_one("SELECT clock_timestamp()::text", &[]).await.unwrap().get(0);
        let looking = "SELECT count(*) FROM pg_stat_activity
            WHERE application_name = 'weir household tail' AND query_start > $1::text::timestamptz";
        while primary.query_one(looking, &[&now]).await.unwrap().get::<_, i64>(0) < 2 {
            yield_now().await;
        }
    }
}
