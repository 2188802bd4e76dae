//! Who may see a household, and who may change it.

use super::{Home, delete, read_own_write};
use crate::harness::{User, start};
use reqwest::Method;
use serde_json::json;

async fn add(home: &Home, subject: &str, role: &str) -> i64 {
    let body = json!({"subject": subject, "role": role});
    home.alice.post(&home.at("members"), &body).await.expect(201).version()
}

#[tokio::test]
async fn a_stranger_finds_nothing_on_any_route() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let made = home.create_transaction(&home.expense("1.00", "2026-02-28")).await;
    let (mallory, transaction) = (program.user("mallory").await, home.transaction(&made));
    let (account, category) = (&home.account, &home.groceries);
    for path in [
        home.path.clone(),
        home.at("members"),
        home.at("members/alice"),
        home.at("accounts"),
        home.at(&format!("accounts/{account}")),
        home.at(&format!("accounts/{account}/balance")),
        home.at("categories"),
        home.at(&format!("categories/{category}")),
        home.at("transactions"),
        transaction.clone(),
        home.at("changes"),
        home.at("summaries/2026-02"),
    ] {
        assert_eq!(mallory.get(&path).await.expect(404).text("/code"), "not-found", "{path}");
    }
    for path in ["accounts", "categories", "transactions", "members"] {
        let body = match path {
            "transactions" => home.expense("1.00", "2026-02-28"),
            "members" => json!({"subject": "mallory", "role": "owner"}),
            "accounts" => json!({"name": "x", "kind": "cash", "currency": "CAD"}),
            _ => json!({"name": "x", "kind": "expense"}),
        };
        mallory.post(&home.at(path), &body).await.expect(404);
    }
    for path in
        [&home.path, &transaction, &home.at("members/alice"), &home.at(&format!("accounts/{account}"))]
    {
        mallory.patch(path, 1, &json!({})).await.expect(404);
    }
    delete(&mallory, &transaction, made.version()).await.expect(404);
    // The same names below a household of one's own are other things.
    let other = Home { alice: mallory, ..Home::create(&program).await };
    other.alice.get(&other.path).await.expect(404);
    let own = json!({"name": "Mine", "currency": "CAD", "zone": "UTC"});
    let own = other.alice.post("/v1/households", &own).await.expect(201);
    let stolen = format!("/v1/households/{}/transactions/{}", own.text("/id"), made.text("/id"));
    other.alice.get(&stolen).await.expect(404);
    assert_eq!(
        other.alice.get("/v1/households").await.expect(200).body["items"].as_array().unwrap().len(),
        1
    );
}

/// firefly-iii#372
#[tokio::test]
async fn an_editor_writes_a_viewer_reads_and_only_an_owner_manages() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    add(&home, "bob", "editor").await;
    add(&home, "carol", "viewer").await;
    let (bob, carol) = (program.user("bob").await, program.user("carol").await);
    let expense = home.expense("1.00", "2026-02-28");
    let made = bob.post(&home.at("transactions"), &expense).await.expect(201);
    let shown = read_own_write(&carol, &home.at("transactions"), &made).await;
    assert_eq!(shown.body["items"].as_array().unwrap().len(), 1);
    let refused = carol.post(&home.at("transactions"), &expense).await.expect(403);
    assert_eq!((refused.text("/code"), refused.text("/role")), ("role-too-low", "editor"));
    let refused =
        bob.post(&home.at("members"), &json!({"subject": "dave", "role": "viewer"})).await.expect(403);
    assert_eq!(refused.text("/role"), "owner");
    assert_eq!(bob.get(&home.path).await.expect(200).text("/role"), "editor");
    let promoted = home.at("members/carol");
    let version = home.alice.get(&promoted).await.expect(200).version();
    home.alice.patch(&promoted, version, &json!({"role": "editor"})).await.expect(200);
    carol.post(&home.at("transactions"), &expense).await.expect(201);
}

#[tokio::test]
async fn a_member_who_was_removed_reads_nothing_more() {
    let (database, program) = start().await;
    let other = crate::harness::Program::start(&database, &[]).await;
    let home = Home::create(&program).await;
    let version = add(&home, "bob", "editor").await;
    let bob: User = program.user("bob").await;
    let elsewhere = bob.at(&other.base);
    // Warm in both processes.
    bob.get(&home.path).await.expect(200);
    elsewhere.get(&home.path).await.expect(200);
    let removed = delete(&home.alice, &home.at("members/bob"), version).await.expect(204);
    bob.get(&home.path).await.expect(404);
    elsewhere.get(&home.path).await.expect(404);
    bob.post(&home.at("transactions"), &home.expense("1.00", "2026-02-28")).await.expect(404);
    assert_eq!(read_own_write(&bob, "/v1/households", &removed).await.body["items"], json!([]));
    let again = add(&home, "bob", "viewer").await;
    assert!(again > version);
    elsewhere.get(&home.path).await.expect(200);
}

#[tokio::test]
async fn a_household_keeps_an_owner() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let alice = home.at("members/alice");
    let version = home.alice.get(&alice).await.expect(200).version();
    assert_eq!(delete(&home.alice, &alice, version).await.expect(409).text("/code"), "last-owner");
    let refused = home.alice.patch(&alice, version, &json!({"role": "viewer"})).await.expect(409);
    assert_eq!(refused.text("/code"), "last-owner");
    add(&home, "bob", "owner").await;
    delete(&home.alice, &alice, version).await.expect(204);
    home.alice.get(&home.path).await.expect(404);
    program.user("bob").await.get(&home.path).await.expect(200);
}

#[tokio::test]
async fn a_household_is_made_once_per_key_even_when_the_key_is_forgotten() {
    let (database, program) = start().await;
    let alice = program.user("alice").await;
    let body = json!({"name": "Home", "currency": "EUR", "zone": "Europe/Vienna"});
    let call =
        |body| alice.call(Method::POST, "/v1/households", &[("Idempotency-Key", "first-home")], Some(body));
    let first = call(&body).await.expect(201);
    database.owner().await.execute("DELETE FROM household.idempotency", &[]).await.unwrap();
    let again = call(&body).await.expect(200);
    assert_eq!(again.text("/id"), first.text("/id"));
    database.owner().await.execute("DELETE FROM household.idempotency", &[]).await.unwrap();
    let other = json!({"name": "Other", "currency": "EUR", "zone": "Europe/Vienna"});
    assert_eq!(call(&other).await.expect(409).text("/code"), "id-taken");
    let wrong = json!({"name": "", "currency": "EUR", "zone": "Mars/Olympus"});
    let refused = alice.post("/v1/households", &wrong).await.expect(422);
    let pointers = [refused.text("/errors/0/pointer"), refused.text("/errors/1/pointer")];
    assert_eq!(pointers, ["/name", "/zone"]);
}
