//! Shared money through the public API.

mod changes;
mod edits;
mod imports;
mod integrity;
mod live;
mod members;
mod tickets;
mod totals;
mod transactions;

use crate::harness::{Answer, Program, User};
use serde_json::{Value, json};

/// A household with an account and a category, as its owner sees it.
pub struct Home {
    pub alice: User,
    /// `/v1/households/{id}`
    pub path: String,
    pub account: String,
    pub groceries: String,
}

impl Home {
    /// A new one of a new owner.
    pub async fn create(program: &Program) -> Home {
        let alice = program.user("alice").await;
        let body = json!({"name": "Home", "currency": "CAD", "zone": "America/Toronto"});
        let household = alice.post("/v1/households", &body).await.expect(201);
        let path = format!("/v1/households/{}", household.text("/id"));
        let account = create_account(&alice, &path, "Chequing", "CAD").await;
        let body = json!({"name": "Groceries", "kind": "expense"});
        let groceries = alice.post(&format!("{path}/categories"), &body).await.expect(201);
        let groceries = groceries.text("/id").to_owned();
        Home { alice, path, account, groceries }
    }

    /// `{path}/{rest}`
    pub fn at(&self, rest: &str) -> String {
        format!("{}/{rest}", self.path)
    }

    /// An expense of the account.
    pub fn expense(&self, amount: &str, date: &str) -> Value {
        json!({"kind": "expense", "account_id": self.account, "amount": amount, "date": date, "payee": "Grocer",
            "category_id": self.groceries})
    }

    /// Creates a transaction.
    pub async fn create_transaction(&self, body: &Value) -> Answer {
        self.alice.post(&self.at("transactions"), body).await.expect(201)
    }

    /// Where a transaction is.
    pub fn transaction(&self, answer: &Answer) -> String {
        self.at(&format!("transactions/{}", answer.text("/id")))
    }

    /// The account's balance, seen at least up to what `answer` wrote.
    pub async fn balance(&self, account: &str, answer: &Answer) -> String {
        let path = self.at(&format!("accounts/{account}/balance"));
        read_own_write(&self.alice, &path, answer).await.text("/balance").to_owned()
    }

    /// The number of the newest change.
    pub async fn head(&self) -> i64 {
        self.head_after(0).await
    }

    /// The same where what is not after a number is no longer kept.
    pub async fn head_after(&self, mut since: i64) -> i64 {
        loop {
            let changes = self.alice.get(&self.at(&format!("changes?since={since}"))).await.expect(200);
            since = changes.body["next_since"].as_i64().unwrap();
            if changes.body["more"] == false {
                return since;
            }
        }
    }
}

/// Creates an account; gives its id.
pub async fn create_account(user: &User, household: &str, name: &str, currency: &str) -> String {
    let body = json!({"name": name, "kind": "checking", "currency": currency});
    user.post(&format!("{household}/accounts"), &body).await.expect(201).text("/id").to_owned()
}

/// Reads with the token of a write, waiting for it.
pub async fn read_own_write(user: &User, path: &str, write: &Answer) -> Answer {
    let headers = [("Consistency-Token", write.header("consistency-token")), ("Prefer", "wait=10")];
    user.call(reqwest::Method::GET, path, &headers, None).await.expect(200)
}

/// What is written with this `If-Match` and preference.
pub async fn patch_lenient(user: &User, path: &str, version: i64, body: &Value) -> Answer {
    let version = format!("\"v{version}\"");
    let headers = [
        ("If-Match", &*version),
        ("Content-Type", "application/merge-patch+json"),
        ("Prefer", "handling=lenient"),
    ];
    user.call(reqwest::Method::PATCH, path, &headers, Some(body)).await
}

/// Deletes what was at `version`.
pub async fn delete(user: &User, path: &str, version: i64) -> Answer {
    user.call(reqwest::Method::DELETE, path, &[("If-Match", &format!("\"v{version}\""))], None).await
}
