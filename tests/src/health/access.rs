//! Whose data it is: a stranger finds nothing, on any route.

use reqwest::Method;
use serde_json::json;

use super::{heart_rate, make_device, make_person, send};
use crate::harness::start;

#[tokio::test]
async fn a_stranger_finds_nothing_on_any_route() {
    let (_database, program) = start().await;
    let (alice, mallory) = (program.user("alice").await, program.user("mallory").await);
    let person = make_person(&alice, "Europe/Berlin").await;
    let device = make_device(&alice, &person).await;
    let body = json!({"samples": [heart_rate(1, 1, "60")]});
    send(&alice, &device, &body).await.expect(200);

    let reads = [
        person.clone(),
        format!("{person}/devices"),
        format!("{person}/samples?metric=heart_rate"),
        format!("{person}/series?metric=heart_rate"),
        format!("{person}/quarantine"),
        device.clone(),
    ];
    for path in &reads {
        let answer = mallory.get(path).await.expect(404);
        assert_eq!(answer.body["code"], "not-found", "{path}");
    }
    mallory.patch(&person, 1, &json!({"name": "M"})).await.expect(404);
    mallory.post(&format!("{person}/devices"), &json!({"model": "H10"})).await.expect(404);
    mallory.call(Method::POST, &format!("{person}/openmhealth"), &[], Some(&json!([{}]))).await.expect(404);
    send(&mallory, &device, &body).await.expect(404);
    assert_eq!(mallory.get("/v1/health/people").await.expect(200).body["items"], json!([]));
    let missing = "/v1/health/people/00000000-0000-4000-8000-000000000000";
    assert_eq!(
        mallory.get(missing).await.expect(404).body["title"],
        mallory.get(&person).await.body["title"]
    );
}

#[tokio::test]
async fn a_token_without_the_scope_is_refused() {
    let (_database, program) = start().await;
    let alice = program.user("alice").await;
    let person = make_person(&alice, "Europe/Berlin").await;
    let device = make_device(&alice, &person).await;
    let reader = program.user_with("alice", &["health:read"]).await;
    reader.get(&person).await.expect(200);
    send(&reader, &device, &json!({"samples": []})).await.expect(403);
    let other = program.user_with("alice", &["household:read"]).await;
    other.get(&person).await.expect(403);
}
