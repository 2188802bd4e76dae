//! Transactions: created once, balanced always, in the month of their date.

use super::{Home, create_account, delete};
use crate::harness::{Program, User, start};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

/// firefly-iii#12862
#[tokio::test]
async fn parallel_transactions_do_not_corrupt_a_balance() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let bodies: Vec<Value> = (1..=40).map(|n| home.expense(&format!("{n}.01"), "2026-02-10")).collect();
    let answers = join_all(bodies.iter().map(|body| home.create_transaction(body))).await;
    let last = answers.iter().max_by_key(|answer| answer.version()).unwrap();
    // 1 + … + 40, and forty times a cent.
    assert_eq!(home.balance(&home.account, last).await, "-820.40");
    let mut versions: Vec<i64> = answers.iter().map(|answer| answer.version()).collect();
    versions.sort();
    assert!(versions.windows(2).all(|pair| pair[1] == pair[0] + 1), "{versions:?}");
}

#[tokio::test]
async fn a_repeated_post_has_one_effect_and_the_original_answer() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let (path, body) = (home.at("transactions"), home.expense("5.00", "2026-02-10"));
    let headers = [("Idempotency-Key", "expense-1")];
    let call = || home.alice.call(Method::POST, &path, &headers, Some(&body));
    let mut ids = Vec::new();
    for answer in join_all((0..16).map(|_| call())).await {
        match answer.status.as_u16() {
            201 => ids.push(answer.text("/id").to_owned()),
            409 => assert_eq!(answer.text("/code"), "idempotency-in-flight"),
            other => panic!("{other}: {}", answer.body),
        }
    }
    let again = call().await.expect(201);
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert!(ids.iter().all(|id| id == again.text("/id")));
    let count = "SELECT count(*) FROM household.transaction";
    assert_eq!(database.owner().await.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn a_post_repeated_at_another_process_and_after_a_restart_has_one_effect() {
    let (database, program) = start().await;
    let other = Program::start(&database, &[]).await;
    let home = Home::create(&program).await;
    let (path, body) = (home.at("transactions"), home.expense("5.00", "2026-02-10"));
    let headers = [("Idempotency-Key", "expense-1")];
    let users = [home.alice.clone(), home.alice.at(&other.base)];
    let call = |user: &User| {
        let (user, path, body) = (user.clone(), path.clone(), body.clone());
        async move { user.call(Method::POST, &path, &headers, Some(&body)).await }
    };
    let answers = join_all((0..32).map(|n| call(&users[n % 2]))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 201 | 409)));
    let made = answers.iter().find(|answer| answer.status.as_u16() == 201).expect("one came first");
    program.kill().await;
    other.stop().await;
    let third = Program::start(&database, &[]).await;
    let again = call(&home.alice.at(&third.base)).await.expect(201);
    assert_eq!((again.text("/id"), again.header("idempotency-replayed")), (made.text("/id"), "true"));
    let count = "SELECT count(*) FROM household.transaction";
    assert_eq!(database.owner().await.query_one(count, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test]
async fn an_id_of_the_clients_own_makes_one_transaction_however_late_it_comes_again() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let mut body = home.expense("5.00", "2026-02-10");
    body["id"] = json!(Uuid::new_v4());
    let first = home.create_transaction(&body).await;
    assert_eq!(first.text("/id"), body["id"].as_str().unwrap());
    // Another key, as after the day for which a key is kept.
    let again = home.alice.post(&home.at("transactions"), &body).await.expect(200);
    assert_eq!(again.version(), first.version());
    body["amount"] = json!("6.00");
    assert_eq!(home.alice.post(&home.at("transactions"), &body).await.expect(409).text("/code"), "id-taken");
    delete(&home.alice, &home.transaction(&first), first.version()).await.expect(204);
    assert_eq!(home.alice.post(&home.at("transactions"), &body).await.expect(409).text("/code"), "id-taken");
}

#[tokio::test]
async fn a_transfer_moves_between_accounts_and_each_currency_balances() {
    let (database, program) = start().await;
    let home = Home::create(&program).await;
    let savings = create_account(&home.alice, &home.path, "Savings", "CAD").await;
    let euros = create_account(&home.alice, &home.path, "Euros", "EUR").await;
    let mut transfer = json!({"kind": "transfer", "account_id": home.account, "to_account_id": savings, "amount": "100",
        "date": "2026-02-10"});
    home.create_transaction(&transfer).await;
    transfer["to_account_id"] = json!(euros);
    let refused = home.alice.post(&home.at("transactions"), &transfer).await.expect(422);
    assert_eq!(refused.text("/errors/0/pointer"), "/to_amount");
    transfer["to_amount"] = json!("66.50");
    let last = home.create_transaction(&transfer).await;
    assert_eq!(home.balance(&home.account, &last).await, "-200.00");
    assert_eq!(home.balance(&savings, &last).await, "100.00");
    assert_eq!(home.balance(&euros, &last).await, "66.50");
    let sums = "SELECT currency, sum(amount)::bigint FROM household.posting GROUP BY transaction, currency";
    for row in database.owner().await.query(sums, &[]).await.unwrap() {
        assert_eq!(row.get::<_, i64>(1), 0);
    }
}

#[tokio::test]
async fn an_account_opens_once() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let opening =
        json!({"kind": "opening", "account_id": home.account, "amount": "-727.61", "date": "2026-01-01"});
    let first = home.create_transaction(&opening).await;
    let again = home.alice.post(&home.at("transactions"), &opening).await.expect(409);
    assert_eq!(again.text("/code"), "opening-exists");
    assert_eq!(home.balance(&home.account, &first).await, "-727.61");
    let gone = delete(&home.alice, &home.transaction(&first), first.version()).await.expect(204);
    assert_eq!(home.balance(&home.account, &gone).await, "0.00");
    home.create_transaction(&opening).await;
}

#[tokio::test]
async fn what_does_not_add_up_is_refused_with_every_reason() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let body = json!({"kind": "expense", "account_id": home.account, "amount": "10.00", "date": "1066-10-14",
        "splits": [{"amount": "4.00", "category_id": home.groceries}, {"amount": "5.00"}]});
    let refused = home.alice.post(&home.at("transactions"), &body).await.expect(422);
    let errors = refused.body["errors"].as_array().unwrap();
    let pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/date", "/splits"]);
    let mut number = home.expense("1", "2026-02-10");
    number["amount"] = json!(1.5);
    let refused = home.alice.post(&home.at("transactions"), &number).await.expect(422);
    assert_eq!(refused.text("/errors/0/pointer"), "/amount");
    assert_eq!(home.head().await, 4, "nothing was written");
}

#[tokio::test]
async fn lists_go_from_the_newest_and_are_narrowed_by_named_fields() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let savings = create_account(&home.alice, &home.path, "Savings", "CAD").await;
    let transfer = json!({"kind": "transfer", "account_id": home.account, "to_account_id": savings, "amount": "100",
        "date": "2026-02-15"});
    home.create_transaction(&transfer).await;
    for day in ["2026-01-31", "2026-02-01", "2026-02-28", "2026-02-28", "2026-03-01"] {
        home.create_transaction(&home.expense("1.00", day)).await;
    }
    let mut dates = Vec::new();
    let mut path = home.at("transactions?from=2026-02-01&to=2026-03-01&sort=-date&limit=2");
    loop {
        let page = home.alice.get(&path).await.expect(200);
        let items = page.body["items"].as_array().unwrap();
        dates.extend(items.iter().map(|item| item["date"].as_str().unwrap().to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = home.at(&format!("transactions?from=2026-02-01&to=2026-03-01&limit=2&cursor={cursor}"));
    }
    assert_eq!(dates, ["2026-02-28", "2026-02-28", "2026-02-15", "2026-02-01"]);
    for (filter, count) in [
        (format!("account={savings}"), 1),
        (format!("account={}", home.account), 6),
        (format!("category={}", home.groceries), 5),
        (format!("category={}&account={savings}", home.groceries), 0),
        (format!("category={}&account={}&from=2026-03-01", home.groceries, home.account), 1),
    ] {
        let page = home.alice.get(&home.at(&format!("transactions?{filter}"))).await.expect(200);
        assert_eq!(page.body["items"].as_array().unwrap().len(), count, "{filter}");
    }
    home.alice.get(&home.at("transactions?payee=Grocer")).await.expect(400);
    home.alice.get(&home.at("transactions?sort=amount")).await.expect(400);
}

#[tokio::test]
async fn what_has_transactions_is_not_deleted() {
    let (_database, program) = start().await;
    let home = Home::create(&program).await;
    let expense = home.create_transaction(&home.expense("1.00", "2026-02-28")).await;
    for (path, code) in [
        (home.at(&format!("accounts/{}", home.account)), "account-in-use"),
        (home.at(&format!("categories/{}", home.groceries)), "category-in-use"),
    ] {
        let version = home.alice.get(&path).await.expect(200).version();
        assert_eq!(delete(&home.alice, &path, version).await.expect(409).text("/code"), code);
    }
    delete(&home.alice, &home.transaction(&expense), expense.version()).await.expect(204);
    for path in
        [home.at(&format!("accounts/{}", home.account)), home.at(&format!("categories/{}", home.groceries))]
    {
        let version = home.alice.get(&path).await.expect(200).version();
        delete(&home.alice, &path, version).await.expect(204);
        home.alice.get(&path).await.expect(404);
    }
}
