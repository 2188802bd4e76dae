//! Every operation of the document given what no client should send. Each answer is one that the document announces:
//! its status, its problem, the shape of its body.

use serde_json::{Map, Value, json};

use super::conventions::{Operation, operations, operator};
use crate::harness::{Answer, Database, Program};

/// A body above every limit but those of files.
const HUGE_BYTES: usize = 5 * 1024 * 1024;
/// What stands in the place of a parameter.
const ODD_TEXTS: &[&str] = &[
    "",
    "x",
    "-1",
    "1.5",
    "99999999999999999999",
    "%00",
    "%FF",
    "..%2F..",
    "'%20OR%201=1--",
    "null",
    "%F0%9F%8D%8E",
];

/// Holds answers to the document, and counts them.
pub struct Contract {
    document: Value,
    /// Answers that were held to it.
    pub answers: usize,
}

impl Contract {
    /// Of this document.
    pub fn of(document: Value) -> Self {
        Self { document, answers: 0 }
    }

    /// The answer's status is announced, and so is its problem or the shape of its body.
    #[track_caller]
    pub fn hold(&mut self, operation: &Value, answer: &Answer, what: &str) {
        self.answers += 1;
        let id = operation["operationId"].as_str().unwrap();
        let status = answer.status.as_u16().to_string();
        let announced = &operation["responses"][&status];
        assert!(announced.is_object(), "{id} doesn't announce {status} ({what}): {}", answer.body);
        if answer.status == 304 || answer.status == 204 {
            return;
        }
        let media_type = answer.header("content-type").split(';').next().unwrap_or_default().to_owned();
        let content = &announced["content"][&media_type];
        assert!(content.is_object(), "{id} {status} ({what}) came as {media_type:?}");
        if media_type == "application/problem+json" {
            let code = format!("`{}`", answer.body["code"].as_str().unwrap());
            let description = announced["description"].as_str().unwrap();
            assert!(description.contains(&code), "{id} doesn't announce {code} at {status} ({what})");
        }
        let mut schema = content["schema"].clone();
        if schema.is_object() {
            schema["components"] = self.document["components"].clone();
            let validator = jsonschema::draft202012::new(&schema).unwrap();
            let wrong: Vec<_> =
                validator.iter_errors(&answer.body).map(|e| format!("{}: {e}", e.instance_path())).collect();
            assert!(wrong.is_empty(), "{id} {status} ({what}): {wrong:?} in {:#}", answer.body);
        }
    }

    /// The properties of an operation's JSON body, each with its schema.
    fn properties(&self, operation: &Value, media_type: &str) -> Map<String, Value> {
        let schema = &operation["requestBody"]["content"][media_type]["schema"];
        let mut all = Map::new();
        self.collect(schema, &mut all);
        all
    }

    fn collect(&self, schema: &Value, all: &mut Map<String, Value>) {
        let schema = match schema["$ref"].as_str() {
            Some(reference) => self.document.pointer(&reference[1..]).unwrap(),
            None => schema,
        };
        all.extend(schema["properties"].as_object().cloned().unwrap_or_default());
        for part in schema["allOf"].as_array().into_iter().flatten() {
            self.collect(part, all);
        }
    }
}

/// A value of another type than the schema says.
pub fn of_wrong_type(schema: &Value) -> Value {
    let is_text = schema["type"] == "string"
        || schema["type"].as_array().is_some_and(|types| types.contains(&json!("string")));
    if is_text { json!({"a": [1]}) } else { json!("\u{1F34E}") }
}

#[tokio::test]
async fn whatever_is_sent_the_answer_is_one_that_the_document_announces() {
    let database = Database::create().await;
    let quota = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml");
    let program = Program::start(&database, &[("WEIR_POLICIES", quota)]).await;
    let user = operator(&program).await;
    let mut contract = Contract::of(user.get("/openapi.json").await.expect(200).body);
    let huge = format!("{{\"name\":\"{}\"}}", "x".repeat(HUGE_BYTES));
    let deep = "[".repeat(20_000);
    for operation in operations(&user).await {
        let Operation { method, said, .. } = &operation;
        let address = operation.address();
        for (at, odd) in odd_addresses(&operation) {
            let answer = user.call(method.clone(), &odd, &[], None).await;
            assert!(!answer.status.is_server_error(), "{} {at}: {}", operation.name(), answer.body);
            // A path that isn't the operation's any more is nobody's.
            if answer.body["code"] != "not-found" && answer.status != 405 {
                contract.hold(said, &answer, &at);
            }
        }
        let Some(media_type) = operation.body_type() else { continue };
        let headers = [("Content-Type", media_type), ("Idempotency-Key", "odd"), ("If-Match", "\"v1\"")];
        let mut bodies: Vec<String> =
            ["", " ", "null", "[]", "\"x\"", "1e999", "{\"a\":", "\u{feff}{}", "{}{}", &deep, &huge]
                .map(str::to_owned)
                .into();
        bodies.push(json!({"there_is_no_such_field": 1}).to_string());
        for (name, schema) in contract.properties(said, media_type) {
            for value in [
                of_wrong_type(&schema),
                json!(null),
                json!(""),
                json!(-1),
                json!("\0"),
                json!("x".repeat(100_000)),
            ] {
                bodies.push(json!({ name.as_str(): value }).to_string());
            }
        }
        for body in bodies {
            let answer = user.call_with_text(method.clone(), &address, &headers, &body).await;
            let what = body.chars().take(60).collect::<String>();
            assert!(!answer.status.is_server_error(), "{} {what}: {}", operation.name(), answer.body);
            contract.hold(said, &answer, &what);
        }
    }
    println!("{} answers were held to the document", contract.answers);
    assert!(contract.answers > 1_000, "{}", contract.answers);
}

/// The operation's address with something odd in the place of each parameter, one at a time.
fn odd_addresses(operation: &Operation) -> Vec<(String, String)> {
    let mut addresses = Vec::new();
    for parameter in operation.said["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        for odd in ODD_TEXTS {
            let address = match parameter["in"].as_str().unwrap() {
                "query" => {
                    let address = operation.address();
                    let (path, query) = address.split_once('?').unwrap();
                    let others = query
                        .split('&')
                        .filter(|pair| !pair.starts_with(&format!("{name}=")) && !pair.is_empty());
                    let query: Vec<String> =
                        others.map(str::to_owned).chain([format!("{name}={odd}")]).collect();
                    format!("{path}?{}", query.join("&"))
                }
                "path" if !odd.is_empty() => {
                    let path = operation.path.replace(&format!("{{{name}}}"), odd);
                    Operation { path, method: operation.method.clone(), said: operation.said.clone() }
                        .address()
                }
                _ => continue,
            };
            addresses.push((format!("{name}={odd}"), address));
        }
    }
    addresses
}
