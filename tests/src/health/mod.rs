//! What devices measured, through the public API.

mod access;
mod credit;
mod ingestion;
mod invariants;
mod live;
mod openmhealth;
mod people;
mod sending;
mod series;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Program, Socket, User};

/// Where the socket is.
pub const SOCKET: &str = "/v1/health/ws";

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

/// Sends over a socket; its answer, be it a reply or an error.
pub async fn send_over(socket: &mut Socket, device: &str, body: &Value) -> Value {
    let id = socket.send("samples.send", beside_device(device, body)).await;
    socket.answer(id).await
}

/// The arguments of `samples.send`: the body with the device of a path beside it.
pub fn beside_device(device: &str, body: &Value) -> Value {
    let mut args = body.clone();
    args["device"] = id_of(device).into();
    args
}

/// The last part of a path.
pub fn id_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

/// Each result's status, of an answer's `data`.
pub fn statuses_in(data: &Value) -> Vec<&str> {
    let results = data["results"].as_array().unwrap_or_else(|| panic!("no results: {data:#}"));
    results.iter().map(|result| result["status"].as_str().unwrap()).collect()
}

/// Every rule holds for everybody; what the checks said.
pub async fn check(program: &Program) -> Value {
    let operator = program.user_with("operator", &["operator"]).await;
    let found = operator.get("/v1/health/invariants?limit=100").await.expect(200).body;
    assert_eq!((&found["ok"], &found["next_cursor"]), (&json!(true), &Value::Null), "{found:#}");
    found
}
