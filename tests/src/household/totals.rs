//! Balances and summaries: projections that say how old they are.

use super::{Home, read_own_write};
use crate::harness::{Database, Program, start};
use reqwest::Method;
use serde_json::json;

/// firefly-iii#11096
#[tokio::test]
async fn the_last_day_of_a_month_belongs_to_it() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let mut last = None;
    for (amount, date) in
        [("1.00", "2026-01-31"), ("2.00", "2026-02-01"), ("4.00", "2026-02-28"), ("8.00", "2026-03-01")]
    {
        last = Some(home.create_transaction(&home.expense(amount, date)).await);
    }
    let last = last.unwrap();
    for (month, to, expense) in [
        ("2026-01", "2026-02-01", "1.00"),
        ("2026-02", "2026-03-01", "6.00"),
        ("2026-03", "2026-04-01", "8.00"),
    ] {
        let summary = read_own_write(&home.alice, &home.at(&format!("summaries/{month}")), &last).await;
        assert_eq!((summary.text("/totals/0/expense"), summary.text("/to")), (expense, to));
        assert_eq!(summary.body["as_of"]["seq"], last.version());
    }
    home.alice.get(&home.at("summaries/2026-13")).await.expect(400);
}

#[tokio::test]
async fn a_summary_sees_the_callers_own_write_and_leaves_transfers_out() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let savings = super::create_account(&home.alice, &home.path, "Savings", "CAD").await;
    let pay = json!({"kind": "income", "account_id": home.account, "amount": "2500", "date": "2026-02-01"});
    home.create_transaction(&pay).await;
    let transfer = json!({"kind": "transfer", "account_id": home.account, "to_account_id": savings, "amount": "100",
        "date": "2026-02-15"});
    home.create_transaction(&transfer).await;
    let mut expense = home.create_transaction(&home.expense("42.10", "2026-02-28")).await;
    for amount in ["40.00", "41.00", "43.25"] {
        expense = home
            .alice
            .patch(&home.transaction(&expense), expense.version(), &json!({"amount": amount}))
            .await;
        let summary = read_own_write(&home.alice, &home.at("summaries/2026-02"), &expense).await;
        assert_eq!(summary.text("/totals/0/expense"), amount);
        assert_eq!(summary.text("/totals/0/income"), "2500.00");
        let groceries = json!({"category_id": home.groceries, "kind": "expense", "currency": "CAD", "amount": amount,
            "transactions": 1});
        assert_eq!(summary.body["categories"][0], groceries);
        assert_eq!(summary.body["accounts"].as_array().unwrap().len(), 2);
    }
    let gone = super::delete(&home.alice, &home.transaction(&expense), expense.version()).await.expect(204);
    let summary = read_own_write(&home.alice, &home.at("summaries/2026-02"), &gone).await;
    assert_eq!(summary.text("/totals/0/expense"), "0.00");
    assert_eq!(home.balance(&home.account, &gone).await, "2400.00");
}

#[tokio::test]
async fn a_projection_that_is_behind_says_so_and_catches_up_when_it_can() {
    let database = Database::create().await;
    let front = Program::start(&database, &[("WEIR_ROLES", "api")]).await;
    let home = Home::create(&front).await;
    let expense = home.create_transaction(&home.expense("42.10", "2026-02-28")).await;
    let path = home.at("summaries/2026-02");
    let token = [("Consistency-Token", expense.header("consistency-token"))];
    let behind = home.alice.call(Method::GET, &path, &token, None).await.expect(503);
    assert_eq!((behind.text("/code"), behind.header("retry-after")), ("projection-behind", "1"));
    // Without a token it is shown as it is, with its age.
    let without = front.user("alice").await.get(&path).await.expect(200);
    assert_eq!(without.body["as_of"]["seq"], 0);
    let _worker = Program::start(&database, &[("WEIR_ROLES", "worker")]).await;
    let summary = read_own_write(&home.alice, &path, &expense).await;
    assert_eq!(summary.text("/totals/0/expense"), "42.10");
}

#[tokio::test]
async fn the_totals_equal_the_postings_whatever_was_edited() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let mut last = None;
    for n in 1..=12 {
        let made =
            home.create_transaction(&home.expense(&format!("{n}.00"), &format!("2026-{n:02}-15"))).await;
        let path = home.transaction(&made);
        last = Some(match n % 3 {
            0 => super::delete(&home.alice, &path, made.version()).await.expect(204),
            1 => home.alice.patch(&path, made.version(), &json!({"date": "2027-01-31"})).await.expect(200),
            _ => made,
        });
    }
    home.balance(&home.account, &last.unwrap()).await;
    let drift = "SELECT count(*) FROM (
            SELECT date_trunc('month', date)::date AS month, ledger, owner, currency, sum(amount)::bigint AS amount
            FROM household.posting GROUP BY 1, 2, 3, 4) p
        FULL JOIN (SELECT * FROM household.month_total WHERE entries <> 0) t USING (month, ledger, owner, currency)
        WHERE p.amount IS DISTINCT FROM t.amount";
    assert_eq!(database.owner().await.query_one(drift, &[]).await.unwrap().get::<_, i64>(0), 0);
}
