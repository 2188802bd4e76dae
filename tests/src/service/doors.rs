//! Every door of the document tried by someone who must not come in.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use super::contract::Contract;
use crate::harness::{Answer, Events, Program, User, start};
use crate::health::heart_rate;
use crate::trading::market::{SYMBOL, Trader, list_shares, order};

/// What nobody but Alice may ever read.
const SECRET: &str = "only-alice-knows";

/// An operation of the document.
struct Door {
    operation: String,
    said: Value,
    method: Method,
    path: String,
    /// What a token must allow; `None`: the door is open to all, or to everyone with a token.
    scope: Option<String>,
}

impl Door {
    /// Whether its answer is an event stream.
    fn streams(&self) -> bool {
        self.said["responses"]["200"]["content"]["text/event-stream"].is_object()
    }

    /// Where a ticket for it is made.
    fn ticket_maker(&self) -> String {
        self.path.replace("/events?ticket=guessed", "/tickets")
    }
}

/// Every operation, with Alice's ids put into its path.
fn doors(document: &Value, ids: &BTreeMap<(&str, &str), String>) -> Vec<Door> {
    let mut doors = Vec::new();
    for (template, operations) in document["paths"].as_object().unwrap() {
        let module = template.split('/').nth(2).unwrap_or_default();
        let mut path = template.clone();
        for ((of, name), id) in ids {
            if *of == module {
                path = path.replace(&format!("{{{name}}}"), id);
            }
        }
        for (method, operation) in operations.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let scope = operation["x-scope"]
                .as_str()
                .filter(|s| s.contains(':') || *s == "operator")
                .map(str::to_owned);
            let path = format!("{path}{}", required_query(operation, ids));
            let (said, operation) =
                (operation.clone(), operation["operationId"].as_str().unwrap().to_owned());
            doors.push(Door { operation, said, method, path, scope });
        }
    }
    doors
}

/// The parameters without which the question would be refused for its form.
fn required_query(operation: &Value, ids: &BTreeMap<(&str, &str), String>) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let required = parameters.filter(|p| p["in"] == "query" && p["required"] == true);
    let values = required.map(|p| match p["name"].as_str().unwrap() {
        "metric" => "metric=heart_rate".to_owned(),
        "account_id" => format!("account_id={}", ids[&("households", "account_id")]),
        // A ticket of Alice's would open for whoever has it.
        "ticket" => "ticket=guessed".to_owned(),
        other => panic!("what is a good {other}?"),
    });
    let query = values.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}

/// A body that only a stranger's token can be wrong with.
fn body_of(operation: &str, ids: &BTreeMap<(&str, &str), String>) -> Value {
    let account = &ids[&("households", "account_id")];
    match operation {
        "record_samples" => json!({"samples": [heart_rate(1, 60, "61")]}),
        "create_person" | "update_person" => json!({"name": "Eve", "zone": "Europe/Berlin"}),
        "create_device" => json!({"model": "H10"}),
        "record_openmhealth" => json!([{"header": {"id": "p-1"}, "body": {}}]),
        "create_household" | "update_household" => {
            json!({"name": "Mine", "currency": "CAD", "zone": "America/Toronto"})
        }
        "create_account" => json!({"name": "Mine", "kind": "cash", "currency": "CAD"}),
        "replace_account" | "update_account" => {
            json!({"name": "Mine", "kind": "cash", "currency": "CAD", "closed": true})
        }
        "create_category" => json!({"name": "Mine", "kind": "expense"}),
        "replace_category" | "update_category" => {
            json!({"name": "Mine", "kind": "expense", "archived": true})
        }
        "create_transaction" | "replace_transaction" | "update_transaction" => {
            json!({"kind": "expense", "account_id": account, "amount": "9.00", "payee": "me"})
        }
        "add_member" => json!({"subject": "mallory", "role": "owner"}),
        "update_member" => json!({"role": "viewer"}),
        "open_trading_account" => json!({"name": "Mine"}),
        "create_deposit" => json!({"asset": "USD", "amount": "1.00"}),
        "place_order" => order("m-1", "sell", "1.00", "1"),
        "cancel_all_orders" => json!({"sweep_id": "m-1"}),
        "set_dead_man" => json!({"after_ms": 1}),
        _ => json!({}),
    }
}

async fn knock(user: &User, door: &Door, ids: &BTreeMap<(&str, &str), String>) -> Answer {
    let media_type = match door.operation.as_str() {
        "create_import" => return user.post_file(&door.path, "application/x-ofx", b"OFXHEADER:100").await,
        _ if door.method == Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let headers = [("Idempotency-Key", "stranger"), ("If-Match", "\"v1\""), ("Content-Type", media_type)];
    let body = body_of(&door.operation, ids);
    let body = (door.method != Method::GET).then_some(&body);
    user.call(door.method.clone(), &door.path, &headers, body).await
}

/// Something of Alice's in each module, and the ids of all of it.
pub async fn alices(program: &Program) -> (User, BTreeMap<(&'static str, &'static str), String>) {
    let alice = program.user("alice").await;
    let make =
        async |path: String, body: Value| alice.post(&path, &body).await.expect(201).text("/id").to_owned();
    let household =
        make("/v1/households".into(), json!({"name": SECRET, "currency": "CAD", "zone": "America/Toronto"}))
            .await;
    let home = format!("/v1/households/{household}");
    let account =
        make(format!("{home}/accounts"), json!({"name": SECRET, "kind": "cash", "currency": "CAD"})).await;
    let category = make(format!("{home}/categories"), json!({"name": SECRET, "kind": "expense"})).await;
    let expense = json!({"kind": "expense", "account_id": account, "amount": "1.00", "payee": SECRET});
    let transaction = make(format!("{home}/transactions"), expense).await;
    let imports = format!("{home}/imports?account_id={account}");
    let file = alice.post_file(&imports, "application/x-ofx", b"OFXHEADER:100").await.expect(202);
    let person = make("/v1/health/people".into(), json!({"name": SECRET, "zone": "Europe/Berlin"})).await;
    let device = make(format!("/v1/health/people/{person}/devices"), json!({"model": SECRET})).await;
    list_shares(program, 0, 0).await;
    let trader = Trader::with(program, "alice", "1000.00", "0").await;
    let placed = trader.place("a-1", "buy", "1.00", "1").await;
    let ids = BTreeMap::from([
        (("households", "household_id"), household),
        (("households", "account_id"), account),
        (("households", "category_id"), category),
        (("households", "transaction_id"), transaction),
        (("households", "import_id"), file.text("/import_id").to_owned()),
        (("households", "subject"), "alice".into()),
        (("households", "month"), "2026-02".into()),
        (("operations", "id"), file.text("/id").to_owned()),
        (("health", "person"), person),
        (("health", "device"), device),
        (("trading", "account_id"), trader.account),
        (("trading", "order_id"), placed.text("/order_id").to_owned()),
        (("trading", "client_order_id"), "a-1".into()),
        (("trading", "symbol"), SYMBOL.into()),
    ]);
    (alice, ids)
}

#[tokio::test]
async fn a_strangers_token_never_reads_or_changes_what_others_own_on_any_route() {
    let (database, program) = start().await;
    let (alice, ids) = alices(&program).await;
    let document = alice.get("/openapi.json").await.expect(200).body;
    let doors = doors(&document, &ids);
    assert!(doors.iter().all(|door| !door.path.contains('{')), "an id is missing for a path");
    let events = "SELECT (SELECT count(*) FROM household.event) + (SELECT count(*) FROM health.event)
        + (SELECT count(*) FROM trading.event)";
    let owner = database.owner().await;
    let before: i64 = owner.query_one(events, &[]).await.unwrap().get(0);

    let mallory = program.user("mallory").await;
    let is_hers = |door: &&Door| ids.values().any(|id| id.len() == 36 && door.path.contains(id));
    let mut shut = 0;
    for door in doors.iter().filter(|door| door.method == Method::GET || is_hers(door)) {
        let answer = knock(&mallory, door, &ids).await;
        let told = answer.body.to_string();
        assert!(!told.contains(SECRET), "{} tells {told}", door.operation);
        if is_hers(&door) {
            assert_eq!(answer.status, 404, "{}: {told}", door.operation);
            shut += 1;
        }
    }
    assert!(shut > 40, "only {shut} doors were tried");
    let after: i64 = owner.query_one(events, &[]).await.unwrap().get(0);
    assert_eq!(after, before, "a stranger has changed something");
}

#[tokio::test]
async fn each_door_to_a_read_opens_for_its_owner_who_is_sent_nothing_twice() {
    let (_database, program) = start().await;
    let (alice, ids) = alices(&program).await;
    let document = alice.get("/openapi.json").await.expect(200).body;
    let mut contract = Contract::of(document.clone());
    let is_read = |door: &&Door| {
        door.method == Method::GET && door.scope.as_deref() != Some("operator") && !door.path.ends_with("/ws")
    };
    let mut streams = 0;
    for door in doors(&document, &ids).iter().filter(is_read) {
        if door.streams() {
            // It lasts, so it has no whole body and no tag. The other one's ticket is made for it.
            let path = match door.path.contains("ticket=") {
                true => {
                    alice.post(&door.ticket_maker(), &json!({})).await.expect(201).text("/url").to_owned()
                }
                false => door.path.clone(),
            };
            Events::open(&alice, &path, None).await;
            streams += 1;
            continue;
        }
        let answer = knock(&alice, door, &ids).await;
        assert_eq!(answer.status, 200, "{}: {}", door.operation, answer.body);
        contract.hold(&door.said, &answer, "the owner's own");
        let tag = answer.header("etag").to_owned();
        assert!(!tag.is_empty(), "{} has no ETag", door.operation);
        let again = alice.call(Method::GET, &door.path, &[("If-None-Match", &tag)], None).await;
        // What moves on by itself may have a new tag; it is then another body.
        match again.status.as_u16() {
            304 => {
                assert_eq!((again.header("etag"), &again.body), (&*tag, &Value::Null), "{}", door.operation)
            }
            _ => assert_ne!(again.body, answer.body, "{} {tag}", door.operation),
        }
    }
    assert_eq!(streams, 2);
}

#[tokio::test]
async fn no_door_opens_without_a_token_or_with_too_small_a_scope() {
    let (_database, program) = start().await;
    let (alice, ids) = alices(&program).await;
    let document = alice.get("/openapi.json").await.expect(200).body;
    let nobody = alice.with_token("");
    let powerless = program.user_with("alice", &["nothing:read"]).await;
    let mut closed = 0;
    for door in doors(&document, &ids).iter().filter(|door| door.scope.is_some()) {
        let answer = knock(&nobody, door, &ids).await;
        assert_eq!(answer.status, 401, "{} {}: {}", door.method, door.path, answer.body);
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        let answer = knock(&powerless, door, &ids).await;
        assert_eq!(answer.status, 403, "{} {}: {}", door.method, door.path, answer.body);
        closed += 1;
    }
    assert!(closed > 40, "only {closed} doors have a scope");
}
