//! Truth on demand: a household checked against itself.

use super::{Home, create_account, delete};
use crate::harness::{Answer, start};
use serde_json::{Value, json};

const CHECKS: [&str; 8] = [
    "splits_sum_to_amounts",
    "postings_sum_to_zero",
    "transfers_have_both_sides",
    "postings_are_the_transactions",
    "balances_are_the_transactions",
    "months_are_the_postings",
    "changes_have_no_gap",
    "versions_are_the_last_changes",
];

/// A household with one of everything, edited and deleted.
async fn lived_in(home: &Home) {
    let euros = create_account(&home.alice, &home.path, "Euros", "EUR").await;
    let savings = create_account(&home.alice, &home.path, "Savings", "CAD").await;
    let income =
        json!({"kind": "income", "account_id": home.account, "amount": "2500.00", "date": "2026-02-01"});
    let opening =
        json!({"kind": "opening", "account_id": home.account, "amount": "10.00", "date": "2026-01-31"});
    let transfer = json!({"kind": "transfer", "account_id": home.account, "to_account_id": savings,
        "amount": "100.00", "date": "2026-02-15"});
    let exchange = json!({"kind": "transfer", "account_id": home.account, "to_account_id": euros, "amount": "15.00",
        "to_amount": "10.00", "date": "2026-02-16"});
    let split = json!({"kind": "expense", "account_id": home.account, "amount": "9.00", "date": "2026-02-17",
        "splits": [{"amount": "11.00", "category_id": home.groceries}, {"amount": "-2.00"}]});
    for body in [&income, &opening, &transfer, &exchange, &split] {
        home.create_transaction(body).await;
    }
    let edited = home.create_transaction(&home.expense("3.00", "2026-02-28")).await;
    let moved = json!({"date": "2026-03-01", "amount": "4.00"});
    home.alice.patch(&home.transaction(&edited), edited.version(), &moved).await.expect(200);
    let gone = home.create_transaction(&home.expense("5.00", "2026-02-28")).await;
    delete(&home.alice, &home.transaction(&gone), gone.version()).await.expect(204);
    let body = json!({"subject": "bob", "role": "viewer"});
    home.alice.post(&home.at("members"), &body).await.expect(201);
}

/// What the checks find. What was done behind the program's back is older than a write that the caller knows of, so
/// whoever answers has it.
async fn checked(home: &Home) -> Answer {
    let body = json!({"name": "Another", "currency": "CAD", "zone": "America/Toronto"});
    home.alice.post("/v1/households", &body).await.expect(201);
    home.alice.get(&home.at("integrity")).await.expect(200)
}

fn check<'a>(found: &'a Answer, name: &str) -> &'a Value {
    found.body["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

#[tokio::test]
async fn a_household_that_was_used_is_whole_whether_or_not_the_projection_has_caught_up() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    lived_in(&home).await;
    let found = home.alice.get(&home.at("integrity")).await.expect(200);
    assert_eq!(found.body["ok"], true, "{:#}", found.body);
    assert_eq!(found.body["head"], home.head().await);
    let names: Vec<_> =
        found.body["checks"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    assert_eq!(json!(names), json!(CHECKS));
    for name in CHECKS {
        let check = check(&found, name);
        assert!(check["checked"].as_i64().unwrap() > 0, "{name} looked at nothing");
        assert_eq!((&check["broken"], &check["examples"]), (&json!(0), &json!([])));
    }
    // A second household is none of this one's business.
    let other = Home::create(&program).await;
    let found = other.alice.get(&other.at("integrity")).await.expect(200);
    assert_eq!((&found.body["ok"], &found.body["head"]), (&json!(true), &json!(4)));
    assert_eq!(check(&found, "postings_sum_to_zero")["checked"], 0);
    home.alice.with_token("").get(&home.at("integrity")).await.expect(401);
    program.user("mallory").await.get(&home.at("integrity")).await.expect(404);
    program.user("bob").await.get(&home.at("integrity")).await.expect(200);
}

#[tokio::test]
async fn what_is_corrupted_is_found_by_name() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    lived_in(&home).await;
    // The month totals that are corrupted are there.
    let last = home.create_transaction(&home.expense("1.00", "2026-02-28")).await;
    home.balance(&home.account, &last).await;
    let owner = database.owner().await;
    let one_split = "UPDATE household.transaction SET splits = jsonb_set(splits, '{0,amount}',
        to_jsonb((splits->0->>'amount')::bigint + $1)) WHERE jsonb_array_length(splits) = 2";
    for (name, corrupt) in [
        ("splits_sum_to_amounts", one_split),
        (
            "postings_sum_to_zero",
            "UPDATE household.posting SET amount = amount + $1 WHERE ledger = 'opening'",
        ),
        (
            "transfers_have_both_sides",
            "UPDATE household.transaction SET to_amount = to_amount + $1 WHERE currency = to_currency",
        ),
        (
            "postings_are_the_transactions",
            "UPDATE household.posting SET date = date + $1::bigint::int WHERE ledger = 'opening'",
        ),
        (
            "balances_are_the_transactions",
            "UPDATE household.month_total SET amount = amount + $1 WHERE month = '2026-03-01' AND ledger = 'account'",
        ),
        (
            "months_are_the_postings",
            "UPDATE household.month_total SET entries = entries + $1 WHERE month = '2026-03-01' AND ledger = 'account'",
        ),
        (
            "versions_are_the_last_changes",
            "UPDATE household.account SET version = version + $1 WHERE name = 'Savings'",
        ),
        ("changes_have_no_gap", "UPDATE household.stream SET head = head + $1 WHERE head > 2"),
    ] {
        assert_eq!(owner.execute(corrupt, &[&1_i64]).await.unwrap(), 1, "{name}");
        let found = checked(&home).await;
        let wrong = check(&found, name);
        assert_eq!(
            (&found.body["ok"], &wrong["broken"]),
            (&json!(false), &json!(1)),
            "{name}: {:#}",
            found.body
        );
        assert_eq!(wrong["examples"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(owner.execute(corrupt, &[&-1_i64]).await.unwrap(), 1, "{name}");
        let mended = checked(&home).await;
        assert_eq!(mended.body["ok"], true, "{name}: {:#}", mended.body);
    }
    // More than a few are counted, and a few are named.
    owner.execute("DELETE FROM household.event WHERE seq BETWEEN 3 AND 9", &[]).await.unwrap();
    let found = checked(&home).await;
    let wrong = check(&found, "changes_have_no_gap");
    assert_eq!((&wrong["broken"], wrong["examples"].as_array().unwrap().len()), (&json!(7), 5));
}
