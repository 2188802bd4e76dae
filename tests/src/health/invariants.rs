//! The rules that always hold: a mixture of everything keeps them, and each check sees the damage that it is for.

use reqwest::Method;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{SOCKET, check, heart_rate, make_device, make_person, send, send_over};
use crate::harness::{Program, Socket, User, start};

/// Two people with all that there can be: late, doubled, conflicting, quarantined, keyed by a source, given up, of two
/// numberings, moved.
async fn mixture(program: &Program) -> (User, String) {
    let user = program.user("alice").await;
    let other = make_person(&user, "America/Toronto").await;
    let device = make_device(&user, &other).await;
    send(&user, &device, &json!({"samples": [heart_rate(1, 480, "60")]})).await.expect(200);
    let person = make_person(&user, "Europe/Berlin").await;
    let device = make_device(&user, &person).await;
    let mut socket = Socket::open(program, SOCKET, &user).await;
    for body in [
        json!({"samples": [heart_rate(1, 480, "60"), heart_rate(2, 481, "62"), heart_rate(9, 500, "70")]}),
        json!({"samples": [heart_rate(2, 481, "62"), heart_rate(2, 481, "99"), heart_rate(5, 100, "55")]}),
        json!({"gone": [[3, 4]], "samples": [{"seq": 6, "metric": "karma"}, heart_rate(7, 1_439, "61")]}),
        json!({"samples": [{"source_id": "x", "metric": "body_weight", "value": "70", "start": "2026-11-20T08:00:00Z"},
            {"source_id": "y", "metric": "karma"}, "noise",
            {"source_id": "z", "metric": "sleep_duration", "value": "400", "start": "2026-11-19T22:00:00Z", "end": "2026-11-20T05:00:00Z"},
            {"source_id": "a", "metric": "heart_rate", "value": "64", "statistic": "average", "start": "2026-11-20T08:00:00Z"}]}),
        json!({"epoch": 2, "samples": [heart_rate(1, 600, "80"), heart_rate(1, 600, "80")]}),
        json!({"epoch": 1, "samples": [heart_rate(4, 90, "58"), {"source_id": "x", "metric": "body_weight", "value": "71", "start": "2026-11-20T08:00:00Z"}]}),
    ] {
        let answer = send_over(&mut socket, &device, &body).await;
        assert_eq!(answer["type"], "reply", "{answer:#}");
    }
    user.patch(&person, 1, &json!({"zone": "Asia/Kathmandu"})).await.expect(200);
    send(&user, &device, &json!({"epoch": 2, "samples": [heart_rate(2, 1_120, "66")]})).await.expect(200);
    let points = json!({"header": {"id": "p-1", "creation_date_time": "2026-11-20T08:00:00Z",
        "schema_id": {"namespace": "omh", "name": "heart-rate", "version": "2.0"}},
        "body": {"heart_rate": {"value": 61, "unit": "beats/min"},
            "effective_time_frame": {"date_time": "2026-11-20T08:00:00Z"}}});
    let stored =
        user.call(Method::POST, &format!("{person}/openmhealth"), &[], Some(&points)).await.expect(200);
    assert_eq!(stored.body["results"][0]["status"], "stored");
    (user, super::id_of(&person).to_owned())
}

/// The names of the checks that fail.
async fn failing(program: &Program, query: &str) -> Vec<String> {
    let operator = program.user_with("operator", &["operator"]).await;
    let found = operator.get(&format!("/v1/health/invariants{query}")).await.expect(200).body;
    let failing: Vec<&Value> =
        found["checks"].as_array().unwrap().iter().filter(|it| it["ok"] == false).collect();
    assert_eq!(found["ok"], failing.is_empty());
    assert!(
        failing.iter().all(|it| it["broken"].as_i64() > Some(0) && it["example"].is_string()),
        "{found:#}"
    );
    failing.iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
}

async fn run(owner: &Client, sql: &str) {
    let changed = owner.execute(sql, &[]).await.unwrap();
    assert!(changed > 0, "it damages nothing: {sql}");
}

#[tokio::test]
async fn the_checks_say_whom_they_covered_page_by_page() {
    let (_database, program) = start().await;
    let (user, person) = mixture(&program).await;
    let found = check(&program).await;
    assert_eq!(found["covered"]["people"], 2);
    assert!(found["checks"].as_array().unwrap().len() >= 9);
    let operator = program.user_with("operator", &["operator"]).await;
    let page = operator.get("/v1/health/invariants?limit=1").await.expect(200).body;
    assert_eq!(
        (&page["covered"]["people"], &page["covered"]["first"]),
        (&json!(1), &found["covered"]["first"])
    );
    let next = format!("/v1/health/invariants?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let page = operator.get(&next).await.expect(200).body;
    assert_eq!((&page["covered"]["last"], &page["next_cursor"]), (&found["covered"]["last"], &Value::Null));
    let one = operator.get(&format!("/v1/health/invariants?person={person}")).await.expect(200).body;
    assert_eq!((&one["covered"]["first"], &one["ok"]), (&json!(person), &json!(true)));
    operator.get(&format!("/v1/health/invariants?person={}", uuid::Uuid::new_v4())).await.expect(404);
    user.get("/v1/health/invariants").await.expect(403);
}

#[tokio::test]
async fn each_check_sees_the_damage_that_it_is_for() {
    let (database, program) = start().await;
    let (_, person) = mixture(&program).await;
    assert_eq!(failing(&program, "?limit=100").await, [""; 0]);
    let owner = database.owner().await;
    let its = |text: &str| text.replace("$P", &format!("'{person}'::uuid"));
    // Each is undone before the next.
    for (damage, check) in [
        (
            "DELETE FROM health.sample WHERE person = $P AND epoch = 1 AND seq = 5",
            "received_is_stored_or_quarantined",
        ),
        ("DELETE FROM health.quarantine WHERE person = $P AND seq = 6", "received_is_stored_or_quarantined"),
        (
            "UPDATE health.receipt SET received = received - '{[9,10)}' WHERE person = $P AND epoch = 1",
            "received_is_stored_or_quarantined",
        ),
        (
            "INSERT INTO health.sample SELECT * FROM health.sample WHERE person = $P AND epoch = 1 AND seq = 7",
            "no_key_is_there_twice",
        ),
        (
            "UPDATE health.sample SET change = change + 1 WHERE person = $P AND source_id = 'p-1'",
            "changes_are_events",
        ),
        ("DELETE FROM health.source_key WHERE person = $P AND source_id = 'x'", "source_keys_are_rows"),
        (
            "UPDATE health.source_key SET hash = gen_random_uuid() WHERE person = $P AND source_id = 'y'",
            "source_keys_are_rows",
        ),
        (
            "UPDATE health.rollup_15m SET count = count + 1 WHERE person = $P AND metric = 1",
            "quarters_are_their_samples",
        ),
        (
            "UPDATE health.sample SET value = value + 1 WHERE person = $P AND epoch = 2 AND seq = 1",
            "quarters_are_their_samples",
        ),
        (
            "UPDATE health.rollup_1d SET last = last + 1 WHERE person = $P AND metric = 1",
            "days_are_their_samples",
        ),
        (
            "UPDATE health.rollup_1d SET zone = 'Europe/Berlin' WHERE person = $P AND metric = 1",
            "days_are_their_samples",
        ),
        ("DELETE FROM health.event WHERE stream = $P AND seq = 5", "streams_are_gapless"),
        ("UPDATE health.stream SET head = head + 1 WHERE id = $P", "streams_are_gapless"),
        (
            "UPDATE health.event SET body = jsonb_set(body, '{stored}', '7') WHERE stream = $P AND seq = 3",
            "changes_are_events",
        ),
        (
            "UPDATE health.sample SET change = change + 1 WHERE person = $P AND epoch = 1 AND seq = 1",
            "numbers_came_in_order",
        ),
        (
            "UPDATE health.event SET body = jsonb_set(body, '{numberings,0,received}', '[[1,1]]') WHERE stream = $P AND seq = 4",
            "numbers_came_in_order",
        ),
        (
            "UPDATE health.receipt SET received = received + '{[40,41)}' WHERE person = $P AND epoch = 2",
            "receipts_are_their_last_events",
        ),
        ("UPDATE health.device SET epoch = 1 WHERE person = $P", "receipts_are_their_last_events"),
    ] {
        let tables = [
            "sample",
            "quarantine",
            "receipt",
            "source_key",
            "rollup_15m",
            "rollup_1d",
            "event",
            "stream",
            "device",
        ];
        for table in tables {
            owner
                .batch_execute(&format!("CREATE TEMP TABLE kept_{table} AS SELECT * FROM health.{table}"))
                .await
                .unwrap();
        }
        run(&owner, &its(damage)).await;
        let seen = failing(&program, &format!("?person={person}")).await;
        assert!(seen.iter().any(|name| name == check), "{damage} is seen by {seen:?} and not by {check}");
        owner.batch_execute("SET session_replication_role = replica").await.unwrap();
        for table in tables {
            let undo = format!(
                "DELETE FROM health.{table}; INSERT INTO health.{table} SELECT * FROM kept_{table}; DROP TABLE kept_{table}"
            );
            owner.batch_execute(&undo).await.unwrap();
        }
        owner.batch_execute("SET session_replication_role = origin").await.unwrap();
        assert_eq!(failing(&program, &format!("?person={person}")).await, [""; 0], "{damage} is undone");
    }
    // Of whom nothing is damaged, nothing is said.
    run(&owner, &its("DELETE FROM health.sample WHERE person = $P AND epoch = 1 AND seq = 5")).await;
    assert!(!failing(&program, "?limit=100").await.is_empty());
    let others =
        owner.query("SELECT id::text FROM health.person WHERE id::text <> $1", &[&person]).await.unwrap();
    assert_eq!(failing(&program, &format!("?person={}", others[0].get::<_, &str>(0))).await, [""; 0]);
}
