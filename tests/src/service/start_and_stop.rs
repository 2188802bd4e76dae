//! A module alone, a stop in the middle of work, and settings that can't be used.

use std::process::Stdio;

use futures_util::future::join_all;
use serde_json::json;
use tokio::process::Command;

use crate::harness::{Database, Program, setting, start};
use crate::health::{get_after, heart_rate, make_device, make_person, send};

#[tokio::test]
async fn a_module_runs_alone() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_MODULES", "health")]).await;
    let alice = program.user("alice").await;
    let person = make_person(&alice, "Europe/Berlin").await;
    let device = make_device(&alice, &person).await;
    let sent = send(&alice, &device, &json!({"samples": [heart_rate(1, 60, "61")]})).await;
    let series = format!("{person}/series?metric=heart_rate&resolution=1d");
    assert_eq!(get_after(&alice, &sent, &series).await.expect(200).body["items"][0]["count"], 1);
    assert_eq!(alice.get("/v1/households").await.expect(404).body["code"], "not-found");
    let document = alice.get("/openapi.json").await.expect(200).body;
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.keys().all(|path| !path.contains("trading") && !path.contains("households")));
}

#[tokio::test]
async fn an_api_process_leaves_the_work_to_a_worker() {
    let database = Database::create().await;
    let api = Program::start(&database, &[("WEIR_ROLES", "api"), ("WEIR_DATABASE_CONNECTIONS", "20")]).await;
    let alice = api.user("alice").await;
    let home = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
    let household = alice.post("/v1/households", &home).await.expect(201);
    let path = format!("/v1/households/{}/summaries/2026-02", household.text("/id"));
    let token = household.header("consistency-token");
    let behind =
        alice.call(reqwest::Method::GET, &path, &[("Consistency-Token", token)], None).await.expect(503);
    assert_eq!(behind.body["code"], "projection-behind");
    assert!(!behind.header("retry-after").is_empty());

    let worker =
        Program::start(&database, &[("WEIR_ROLES", "worker"), ("WEIR_DATABASE_CONNECTIONS", "24")]).await;
    let waits = [("Consistency-Token", token), ("Prefer", "wait=9")];
    alice.call(reqwest::Method::GET, &path, &waits, None).await.expect(200);
    alice.at(&worker.base).get("/v1/households").await.expect(404);
}

#[tokio::test]
async fn a_stop_in_the_middle_of_work_loses_nothing_that_was_acknowledged() {
    let (database, program) = start().await;
    let alice = program.user("alice").await;
    let home = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
    let household = alice.post("/v1/households", &home).await.expect(201).text("/id").to_owned();
    let accounts = format!("/v1/households/{household}/accounts");
    let (first, started) = tokio::sync::oneshot::channel();
    let mut first = Some(first);
    let writing = tokio::spawn({
        let (alice, accounts) = (alice.clone(), accounts.clone());
        async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let body = json!({"name": format!("A{n}"), "kind": "cash", "currency": "CAD"});
                let Some(answer) = alice.try_post(&accounts, &body).await else { break };
                if answer.status == 201 {
                    acknowledged.push(answer.text("/id").to_owned());
                }
                if let Some(first) = first.take() {
                    first.send(()).unwrap();
                }
            }
            acknowledged
        }
    });
    started.await.unwrap();
    assert_eq!(program.stop().await, Some(0));
    let acknowledged = writing.await.unwrap();
    assert!(!acknowledged.is_empty());

    let again = Program::start(&database, &[]).await;
    let alice = alice.at(&again.base);
    let found = acknowledged.iter().map(|id| format!("{accounts}/{id}"));
    join_all(found.map(|path| {
        let alice = alice.clone();
        async move { alice.get(&path).await.expect(200) }
    }))
    .await;
}

#[tokio::test]
async fn every_mistake_in_the_settings_is_told_at_once_and_no_secret_with_it() {
    let run = Command::new(setting("WEIR_BIN"))
        .arg("serve")
        .env_clear()
        .envs([("DATABASE_URL", "postgres://weir:hunter2@nowhere:port/weir"), ("WEIR_LISTEN", "here")])
        .envs([("WEIR_MODULES", "trading,poetry"), ("WEIR_DRAIN_S", "soon")])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1));
    for name in ["DATABASE_URL", "WEIR_LISTEN", "WEIR_MODULES", "WEIR_DRAIN_S", "WEIR_JWKS_URL"] {
        assert!(said.contains(name), "{name} is not in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[tokio::test]
async fn a_database_that_was_never_migrated_is_a_clear_error() {
    let url = setting("WEIR_TEST_DATABASE_URL");
    let run = Command::new(setting("WEIR_BIN"))
        .arg("serve")
        .envs([("DATABASE_URL", url.as_str()), ("WEIR_ENV", "development"), ("WEIR_LISTEN", "127.0.0.1:0")])
        .envs([("WEIR_ADMIN_LISTEN", "127.0.0.1:0"), ("WEIR_LOG_FILTER", "off")])
        .env_remove("DATABASE_READER_URLS")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("weir migrate"), "{said}");
}

#[tokio::test]
async fn metrics_stand_on_the_admin_port_alone() {
    let (_database, program) = start().await;
    program.user("alice").await.get("/v1/households").await.expect(200);
    let text = async |url: String| reqwest::get(url).await.unwrap().text().await.unwrap();
    let metrics = text(format!("{}/metrics", program.admin)).await;
    for name in [
        "http_requests_total",
        "http_request_duration_seconds",
        "weir_pool_connections",
        "weir_statement_seconds",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
    assert!(text(format!("{}/metrics", program.base)).await.contains("not-found"));
}
