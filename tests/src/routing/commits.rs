//! Commits that wait for a synchronous standby which is away, and operators who cut the wait short: the server then answers
//! such a COMMIT with success and a warning, and a failover loses it.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::{JoinHandle, yield_now};
use tokio_postgres::Client;

use super::cluster::Servers;
use crate::harness::{Answer, Program, User};
use crate::trading::market::{Trader, list_shares, order};

/// Sessions of the program whose commit waits for the standby.
const WAITING: &str = "SELECT pid FROM pg_stat_activity
    WHERE application_name LIKE 'weir % writer' AND wait_event = 'SyncRep'";
/// Rows of this name.
const THERE: &str = "SELECT (SELECT count(*) FROM household.account WHERE name = $1)
    + (SELECT count(*) FROM trading.command WHERE client_id = $1)";
/// Nothing but what callers ask for: no projection and no lane's owner commits and waits, too.
const API_ONLY: &[(&str, &str)] = &[("WEIR_ROLES", "api"), ("WEIR_INTERNAL_LISTEN", "")];

/// Ends the wait of a session, as an operator does who sees it hang.
const CUT_SHORT: &str = "SELECT pg_cancel_backend($1)";
const END: &str = "SELECT pg_terminate_backend($1)";

/// Waits until so many sessions wait, and names them. Nobody has been answered by then.
async fn waiting(operator: &Client, asked: &[&JoinHandle<Answer>]) -> Vec<i32> {
    loop {
        let rows = operator.query(WAITING, &[]).await.unwrap();
        for (at, task) in asked.iter().enumerate() {
            assert!(!task.is_finished(), "request {at} was answered too early");
        }
        if rows.len() >= asked.len() {
            return rows.iter().map(|row| row.get(0)).collect();
        }
        yield_now().await;
    }
}

/// Waits until what waited is there to be read: the wait has been cut short.
async fn visible(operator: &Client, name: &str) {
    while operator.query_one(THERE, &[&name]).await.unwrap().get::<_, i64>(0) < 2 {
        yield_now().await;
    }
}

/// Sends an account to a household under this key, again and again until it is told what became of it.
fn create_account(user: &User, household: &str, key: &'static str) -> JoinHandle<Answer> {
    let (user, path) = (user.clone(), format!("{household}/accounts"));
    tokio::spawn(async move {
        let body = json!({"name": key, "kind": "checking", "currency": "CAD"});
        loop {
            let answer = user.call(Method::POST, &path, &[("Idempotency-Key", key)], Some(&body)).await;
            if !matches!(answer.status.as_u16(), 409 | 503 | 504) {
                return answer;
            }
        }
    })
}

fn place(trader: &Trader, id: &'static str) -> JoinHandle<Answer> {
    let trader = trader.clone();
    tokio::spawn(async move {
        loop {
            let answer = trader.try_place(&order(id, "sell", "10.00", "1")).await;
            if !matches!(answer.status.as_u16(), 503 | 504) {
                return answer;
            }
        }
    })
}

async fn household(program: &Program, name: &str) -> (User, String) {
    let user = program.user(name).await;
    let body = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
    let made = user.post("/v1/households", &body).await.expect(201);
    let path = format!("/v1/households/{}", made.text("/id"));
    (user, path)
}

fn names(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_wait_was_cut_short_is_acknowledged_once_it_is_replicated() {
    let servers = Servers::start(1, 1).await;
    let program = servers.serve(API_ONLY).await;
    let (alice, home) = household(&program, "alice").await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100").await;
    let operator = servers.on_primary().await;

    for cut in [CUT_SHORT, END] {
        servers.cluster.standbys()[0].kill().unwrap();
        let name = if cut == END { "ended" } else { "short" };
        let (account, order) = (create_account(&alice, &home, name), place(&seller, name));
        for pid in waiting(&operator, &[&account, &order]).await {
            operator.execute(cut, &[&pid]).await.unwrap();
        }
        // On this server alone. Whoever asks again is told no sooner than who asked first.
        visible(&operator, name).await;
        let again = create_account(&alice, &home, name);
        waiting(&operator, &[&account, &order, &again]).await;

        servers.cluster.standbys()[0].start().unwrap();
        for answer in [account, order, again] {
            let answer = answer.await.unwrap();
            assert!(answer.status.is_success(), "{:#}", answer.body);
        }
    }
    let standby = servers.on_standby(0).await;
    for name in ["short", "ended"] {
        visible(&standby, name).await;
    }
    assert!(program.counted("weir_commits_cut_short_total", "").await >= 2, "no wait was cut short");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_short_and_lost_by_a_failover_was_not_acknowledged() {
    let servers = Servers::start(1, 1).await;
    let program = servers.serve(API_ONLY).await;
    let (alice, home) = household(&program, "alice").await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100").await;
    let operator = servers.on_primary().await;

    servers.cluster.standbys()[0].kill().unwrap();
    let account = create_account(&alice, &home, "lost");
    let placed = place(&seller, "lost");
    for pid in waiting(&operator, &[&account, &placed]).await {
        operator.execute(CUT_SHORT, &[&pid]).await.unwrap();
    }
    visible(&operator, "lost").await;
    waiting(&operator, &[&account, &placed]).await;
    servers.cluster.primary().kill().unwrap();
    servers.cluster.standbys()[0].start().unwrap();
    servers.cluster.standbys()[0].promote().unwrap();

    // The new primary knows nothing of them: what is acknowledged was done there.
    account.await.unwrap().expect(201);
    let acknowledged = placed.await.unwrap();
    assert!(acknowledged.status.is_success(), "{:#}", acknowledged.body);
    let accounts = alice.get(&format!("{home}/accounts")).await.expect(200);
    assert_eq!(names(&accounts.body), ["lost"]);
    assert_eq!(seller.order(&acknowledged, acknowledged.text("/order_id")).await["status"], "open");
}
