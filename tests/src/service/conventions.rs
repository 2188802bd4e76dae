//! Every operation of the document held to the conventions that it says apply to it.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::{Answer, Program, User, setting, start};

/// One operation of the document.
pub struct Operation {
    pub method: Method,
    pub path: String,
    pub said: Value,
}

impl Operation {
    fn says(&self, name: &str) -> &str {
        self.said[name].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    /// The media type of its JSON body, if it takes one.
    pub fn body_type(&self) -> Option<&'static str> {
        let content = &self.said["requestBody"]["content"];
        ["application/json", "application/merge-patch+json"].into_iter().find(|it| content.get(it).is_some())
    }

    /// The address with something well-formed in the place of each parameter that it needs.
    pub fn address(&self) -> String {
        let (mut path, mut query) = (self.path.clone(), Vec::new());
        for parameter in self.said["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap();
            let value = match (name, parameter["schema"]["format"].as_str()) {
                (_, Some("uuid")) => "01a20cd7-d58c-76fa-8057-1850bd36b092",
                (_, Some("date-time")) => "2026-02-01T00:00:00Z",
                ("month", _) => "2026-02",
                _ => "AAPL-USD",
            };
            path = path.replace(&format!("{{{name}}}"), value);
            if parameter["in"] == "query" && parameter["required"] == true {
                query.push(format!("{name}={value}"));
            }
        }
        format!("{path}?{}", query.join("&"))
    }
}

pub async fn operations(user: &User) -> Vec<Operation> {
    let document = user.get("/openapi.json").await.expect(200).body;
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, said) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            operations.push(Operation { method, path: path.clone(), said: said.clone() });
        }
    }
    assert!(operations.len() > 40);
    operations
}

/// A caller who may do everything, an operator's work too.
pub async fn operator(program: &Program) -> User {
    let scopes = ["trading", "household", "health"]
        .iter()
        .flat_map(|m| ["read", "write"].map(|it| format!("{m}:{it}")));
    let scopes: Vec<_> = scopes.chain(["trading:deposit", "operator"].map(String::from)).collect();
    User::sign_in(&program.base, json!({"sub": "olive", "scopes": scopes})).await
}

/// A problem must have all that a problem has; says its code.
#[track_caller]
fn problem(answer: &Answer, status: u16, of: &str) -> String {
    let body = &answer.body;
    assert_eq!(answer.status, status, "{of}: {body}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{of}: {body}");
    assert_eq!(body["status"], status, "{of}: {body}");
    let code = body["code"].as_str().unwrap_or_else(|| panic!("{of}: no code in {body}"));
    assert_eq!(body["type"], format!("/problems/{code}"), "{of}");
    for member in ["title", "instance", "trace_id"] {
        assert!(body[member].is_string(), "{of}: no {member} in {body}");
    }
    for header in ["cache-control", "vary", "traceparent", "x-request-id", "ratelimit", "ratelimit-policy"] {
        assert!(!answer.header(header).is_empty(), "{of}: no {header}");
    }
    assert!(answer.header("traceparent").contains(answer.body["trace_id"].as_str().unwrap()), "{of}");
    code.to_owned()
}

#[tokio::test]
async fn every_operation_says_what_applies_to_it() {
    let (_database, program) = start().await;
    let mut ids = BTreeSet::new();
    for operation in operations(&program.user("alice").await).await {
        let name = operation.name();
        let id = operation.says("operationId");
        assert!(ids.insert(id.to_owned()), "{name}: a second {id}");
        assert!(id.contains('_') && id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}: {id}");
        assert!(!operation.says("summary").is_empty(), "{name} has no summary");
        assert!(!operation.says("x-scope").is_empty(), "{name} has no x-scope");
        let freshness = operation.says("x-freshness");
        assert!(
            ["strong", "read-your-writes", "eventual"].contains(&freshness),
            "{name}: freshness {freshness:?}"
        );
        let precondition = operation.says("x-precondition");
        assert!(["version", "none"].contains(&precondition), "{name}: precondition {precondition:?}");
        if operation.method == Method::POST {
            let idempotency = operation.says("x-idempotency");
            // A secret is kept nowhere, so no repetition can be given it again.
            let may_be_none = operation.says("operationId").ends_with("_ticket");
            assert!(
                ["key", "command", "content"].contains(&idempotency) || may_be_none && idempotency == "none",
                "{name}: idempotency {idempotency:?}"
            );
        }
        for (status, response) in operation.said["responses"].as_object().unwrap() {
            assert!(response["description"].as_str().is_some_and(|it| !it.is_empty()), "{name}: {status}");
        }
    }
}

#[tokio::test]
async fn the_documents_that_are_served_are_the_ones_that_the_program_prints() {
    let (_database, program) = start().await;
    let user = operator(&program).await;
    for (command, path) in [("openapi", "/openapi.json"), ("asyncapi", "/asyncapi.json")] {
        // Without a setting: whoever generates a client has no database.
        let printed = Command::new(setting("WEIR_BIN")).arg(command).env_clear().output().await.unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        let printed: Value = serde_json::from_slice(&printed.stdout).unwrap();
        assert_eq!(user.get(path).await.expect(200).body, printed, "{path}");
    }
}

#[tokio::test]
async fn every_operation_keeps_what_it_says() {
    let (_database, program) = start().await;
    let user = operator(&program).await;
    let (mut keys, mut versions, mut bodies) = (0, 0, 0);
    for operation in operations(&user).await {
        let (name, address, method) = (operation.name(), operation.address(), &operation.method);
        let answer = user.call(method.clone(), &format!("{address}&nonsense=1"), &[], None).await;
        assert_eq!(problem(&answer, 400, &name), "invalid-parameter");
        assert_eq!(answer.body["errors"][0]["pointer"], "/query/nonsense", "{name}");

        let body_type = operation.body_type();
        let content = ("Content-Type", body_type.unwrap_or("application/json"));
        let (key, version) = (("Idempotency-Key", "k1"), ("If-Match", "\"v1\""));
        let empty = json!({});
        if operation.says("x-idempotency") == "key" {
            let answer = user.call(method.clone(), &address, &[content, version], Some(&empty)).await;
            assert_eq!(problem(&answer, 400, &name), "idempotency-key-missing");
            keys += 1;
        }
        if operation.says("x-precondition") == "version" {
            let answer = user.call(method.clone(), &address, &[content, key], Some(&empty)).await;
            assert_eq!(problem(&answer, 428, &name), "precondition-required");
            let tags = [content, key, ("If-Match", "\"v1\", \"v2\"")];
            let answer = user.call(method.clone(), &address, &tags, Some(&empty)).await;
            assert_eq!(problem(&answer, 400, &name), "invalid-header");
            versions += 1;
        }
        if body_type.is_some() {
            let text = [("Content-Type", "text/plain"), key, version];
            let answer = user.call(method.clone(), &address, &text, Some(&empty)).await;
            assert_eq!(problem(&answer, 415, &name), "unsupported-media-type");
            let answer = user.call_with_text(method.clone(), &address, &[content, key, version], "{").await;
            assert_eq!(problem(&answer, 400, &name), "malformed-json");
            bodies += 1;
        }
    }
    assert!(keys > 5 && versions > 5 && bodies > 15, "{keys} keys, {versions} versions, {bodies} bodies");
}

#[tokio::test]
async fn every_documented_problem_has_a_page() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    let mut codes = BTreeSet::new();
    for operation in operations(&user).await {
        for response in operation.said["responses"].as_object().unwrap().values() {
            if response["content"]["application/problem+json"].is_object() {
                let description = response["description"].as_str().unwrap();
                codes.extend(description.lines().filter_map(|line| Some(line.split('`').nth(1)?.to_owned())));
            }
        }
    }
    assert!(codes.len() > 20);
    for code in codes {
        let page = user.get(&format!("/problems/{code}")).await.expect(200);
        assert_eq!(page.header("content-type"), "text/html; charset=utf-8", "{code}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let (_database, program) = start().await;
    let user = program.user("alice").await;
    assert_eq!(problem(&user.get("/v1/nothing").await, 404, "no route"), "not-found");
    let answer = user.call(Method::DELETE, "/v1/me", &[], None).await;
    assert_eq!(problem(&answer, 405, "no such method"), "method-not-allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
    let answer = user.call(Method::GET, "/v1/me", &[("Consistency-Token", "rubbish")], None).await;
    assert_eq!(answer.status, 400, "{}", answer.body);
}
