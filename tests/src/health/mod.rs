//! What devices measured, through the public API.

mod access;
mod ingestion;
mod openmhealth;
mod people;
mod series;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, User};

/// A person of the user's, in a zone, and the path of it.
pub async fn make_person(user: &User, zone: &str) -> String {
    let person = user.post("/v1/health/people", &json!({"name": "Ada", "zone": zone})).await.expect(201);
    person.header("location").to_owned()
}

/// A device of a person, and the path of it.
pub async fn make_device(user: &User, person: &str) -> String {
    let device =
        user.post(&format!("{person}/devices"), &json!({"model": "H10", "serial": "0A1B"})).await.expect(201);
    device.header("location").to_owned()
}

/// Sends without an `Idempotency-Key`: samples are their own keys.
pub async fn send(user: &User, device: &str, body: &Value) -> Answer {
    user.call(Method::POST, &format!("{device}/samples"), &[], Some(body)).await
}

/// Reads at least what an earlier answer has written.
pub async fn get_after(user: &User, written: &Answer, path: &str) -> Answer {
    let token = [("Consistency-Token", written.header("consistency-token"))];
    user.call(Method::GET, path, &token, None).await
}

/// A heart rate at a minute of the day.
pub fn heart_rate(seq: i64, minute: i64, value: &str) -> Value {
    let start = format!("2026-11-20T{:02}:{:02}:00Z", minute / 60, minute % 60);
    json!({"seq": seq, "metric": "heart_rate", "value": value, "unit": "/min", "start": start})
}

/// Each result's status.
pub fn statuses(answer: &Answer) -> Vec<&str> {
    let results =
        answer.body["results"].as_array().unwrap_or_else(|| panic!("no results: {:#}", answer.body));
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}
