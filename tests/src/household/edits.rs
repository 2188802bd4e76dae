//! Several people edit one thing.

use super::{Home, delete, patch_lenient};
use crate::harness::start;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_stale_edit_names_the_fields_that_both_changed() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let made = home.create_transaction(&home.expense("42.10", "2026-02-28")).await;
    let path = home.transaction(&made);
    let theirs = json!({"payee": "Baker", "notes": "bread", "cleared": true});
    let current = home.alice.patch(&path, made.version(), &theirs).await.expect(200);
    let stale =
        home.alice.patch(&path, made.version(), &json!({"payee": "Butcher", "amount": "40.00"})).await;
    let stale = stale.expect(412);
    assert_eq!(stale.version(), current.version());
    let conflicts = json!([{"pointer": "/payee", "base": "Grocer", "yours": "Butcher", "current": "Baker"}]);
    assert_eq!(stale.body["conflicts"], conflicts);
    let stale = delete(&home.alice, &path, made.version()).await.expect(412);
    assert_eq!(stale.version(), current.version());
    assert_eq!(home.alice.get(&path).await.expect(200).text("/payee"), "Baker");
}

#[tokio::test]
async fn a_split_that_both_changed_is_named_by_its_id() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let body = json!({"kind": "expense", "account_id": home.account, "amount": "10.00", "date": "2026-02-28",
        "splits": [{"amount": "4.00", "category_id": home.groceries}, {"amount": "6.00"}]});
    let made = home.create_transaction(&body).await;
    let (path, id) = (home.transaction(&made), made.text("/splits/0/id"));
    let (other, version) = (made.text("/splits/1/id"), made.version());
    let theirs = json!({"splits": {id: {"amount": "5.00"}, other: {"amount": "5.00"}}});
    home.alice.patch(&path, version, &theirs).await.expect(200);
    let yours = json!({"splits": {id: {"amount": "3.00"}, other: {"amount": "7.00", "note": "a gift"}}});
    let stale = home.alice.patch(&path, version, &yours).await.expect(412);
    let pointers: Vec<String> = stale.body["conflicts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|conflict| conflict["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(pointers, [format!("/splits/{id}/amount"), format!("/splits/{other}/amount")]);
}

#[tokio::test]
async fn a_lenient_edit_merges_what_does_not_touch() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let made = home.create_transaction(&home.expense("42.10", "2026-02-28")).await;
    let path = home.transaction(&made);
    home.alice.patch(&path, made.version(), &json!({"payee": "Baker"})).await.expect(200);
    let merged =
        patch_lenient(&home.alice, &path, made.version(), &json!({"amount": "40.00"})).await.expect(200);
    assert_eq!(merged.header("preference-applied"), "handling=lenient");
    assert_eq!((merged.text("/payee"), merged.text("/amount")), ("Baker", "40.00"));
    assert_eq!(merged.text("/splits/0/amount"), "40.00");
    patch_lenient(&home.alice, &path, made.version(), &json!({"payee": "Butcher"})).await.expect(412);
}

#[tokio::test]
async fn a_merge_whose_splits_no_longer_add_up_is_a_conflict() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let body = json!({"kind": "expense", "account_id": home.account, "amount": "10.00", "date": "2026-02-28",
        "splits": [{"amount": "4.00"}, {"amount": "6.00"}]});
    let made = home.create_transaction(&body).await;
    let (path, version) = (home.transaction(&made), made.version());
    let (one, other) = (made.text("/splits/0/id"), made.text("/splits/1/id"));
    let theirs = json!({"amount": "9.00", "splits": {one: {"amount": "3.00"}}});
    home.alice.patch(&path, version, &theirs).await.expect(200);
    // Alone it would be fine; with theirs the parts would be 3 + 7 of 9.
    let yours = json!({"splits": {other: {"amount": "7.00"}, "0193f000-0000-7000-8000-000000000009": {"amount": "-1.00"}}});
    patch_lenient(&home.alice, &path, version, &yours).await.expect(200);
    let yours = json!({"amount": "11.00", "splits": {other: {"amount": "7.00"}}});
    patch_lenient(&home.alice, &path, version, &yours).await.expect(412);
}

/// actual#8390
#[tokio::test]
async fn a_write_that_changes_nothing_bumps_nothing_and_announces_nothing() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let made = home.create_transaction(&home.expense("42.10", "2026-02-28")).await;
    let (path, head) = (home.transaction(&made), home.head().await);
    let same =
        home.alice.patch(&path, made.version(), &json!({"amount": "42.1", "notes": null})).await.expect(200);
    assert_eq!(same.version(), made.version());
    // What GET gave is sent back whole.
    let shown = home.alice.get(&path).await.expect(200);
    let version = format!("\"v{}\"", made.version());
    let put =
        home.alice.call(Method::PUT, &path, &[("If-Match", &version)], Some(&shown.body)).await.expect(200);
    assert_eq!(put.version(), made.version());
    let account = home.at(&format!("accounts/{}", home.account));
    let shown = home.alice.get(&account).await.expect(200);
    home.alice.patch(&account, shown.version(), &json!({"name": "Chequing"})).await.expect(200);
    assert_eq!(home.head().await, head);
}

#[tokio::test]
async fn an_edit_says_what_it_is_based_on() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let made = home.create_transaction(&home.expense("42.10", "2026-02-28")).await;
    let path = home.transaction(&made);
    for (method, media) in [
        (Method::PUT, "application/json"),
        (Method::PATCH, "application/merge-patch+json"),
        (Method::DELETE, "application/json"),
    ] {
        let answer = home.alice.call(method, &path, &[("Content-Type", media)], Some(&json!({}))).await;
        assert_eq!(answer.expect(428).text("/code"), "precondition-required");
    }
    let weak = format!("W/\"v{}\"", made.version());
    let headers = [("If-Match", &*weak), ("Content-Type", "application/merge-patch+json")];
    home.alice.call(Method::PATCH, &path, &headers, Some(&json!({"notes": "x"}))).await.expect(200);
    let shown = home.alice.get(&path).await.expect(200);
    let seen = format!("\"v{}\"", shown.version());
    home.alice.call(Method::GET, &path, &[("If-None-Match", &seen)], None).await.expect(304);
    let refused = home.alice.patch(&path, shown.version(), &json!({"currency": "EUR"})).await.expect(422);
    assert_eq!(refused.text("/errors/0/code"), "read-only");
}

#[tokio::test]
async fn of_many_edits_at_once_none_is_lost() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let made = home.create_transaction(&home.expense("1.00", "2026-02-28")).await;
    let path = home.transaction(&made);
    let add = |n: usize| {
        let (alice, path) = (home.alice.clone(), path.clone());
        async move {
            loop {
                let shown = alice.get(&path).await.expect(200);
                let notes = format!("{}{n},", shown.text("/notes"));
                let answer = alice.patch(&path, shown.version(), &json!({"notes": notes})).await;
                match answer.status.as_u16() {
                    200 => return,
                    // The reader may have shown what was current before the other's write; then only the tag differs.
                    412 => assert!(answer.body["conflicts"].as_array().unwrap().iter().all(is_about_notes)),
                    other => panic!("{other}: {}", answer.body),
                }
            }
        }
    };
    join_all((0..8).map(add)).await;
    let shown = home.alice.get(&path).await.expect(200);
    let mut notes: Vec<&str> = shown.text("/notes").split_terminator(',').collect();
    notes.sort();
    assert_eq!(notes, ["0", "1", "2", "3", "4", "5", "6", "7"]);
}

fn is_about_notes(conflict: &Value) -> bool {
    conflict["pointer"] == "/notes"
}
