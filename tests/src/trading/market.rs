//! An instrument and people who trade it.

use serde_json::{Value, json};

use crate::harness::{Answer, Program, User};

/// The symbol of every test's instrument: each test has a database of its own.
pub const SYMBOL: &str = "AAPL-USD";

/// Someone with an account.
#[derive(Clone)]
pub struct Trader {
    /// Who calls.
    pub user: User,
    /// The account's id.
    pub account: String,
}

/// Lists shares in cents, with these fees in millionths.
pub async fn list_shares(program: &Program, maker_fee_ppm: i32, taker_fee_ppm: i32) {
    list(program, "AAPL", maker_fee_ppm, taker_fee_ppm).await;
}

/// The same of any shares, against dollars.
pub async fn list(program: &Program, base: &str, maker_fee_ppm: i32, taker_fee_ppm: i32) {
    let operator = program.user_with("operator", &["operator"]).await;
    let body = json!({
        "symbol": format!("{base}-USD"), "base": {"code": base, "scale": 0}, "quote": {"code": "USD", "scale": 2},
        "price_scale": 2, "tick": "0.01", "lot": "1",
        "maker_fee_ppm": maker_fee_ppm, "taker_fee_ppm": taker_fee_ppm,
    });
    operator.post("/v1/trading/instruments", &body).await.expect(201);
}

/// Checks every invariant.
pub async fn check(program: &Program) {
    let operator = program.user_with("operator", &["operator"]).await;
    let found = operator.get("/v1/trading/invariants").await.expect(200);
    assert_eq!(found.body["ok"], true, "{:#}", found.body);
}

impl Trader {
    /// A person with an account that has this much.
    pub async fn with(program: &Program, name: &str, dollars: &str, shares: &str) -> Self {
        // With the quota of those who place thousands.
        let user = User::sign_in(&program.base, json!({"sub": name, "plan": "market-maker"})).await;
        let account = user.post("/v1/trading/accounts", &json!({"name": name})).await.expect(201);
        let trader = Self { user, account: account.text("/id").to_owned() };
        for (asset, amount) in [("USD", dollars), ("AAPL", shares)] {
            if amount != "0" {
                let path = trader.path("/deposits");
                trader.user.post(&path, &json!({"asset": asset, "amount": amount})).await.expect(201);
            }
        }
        trader
    }

    /// The same person at another process.
    pub fn at(&self, program: &Program) -> Self {
        Self { user: self.user.at(&program.base), account: self.account.clone() }
    }

    /// A path below the account.
    pub fn path(&self, rest: &str) -> String {
        format!("/v1/trading/accounts/{}{rest}", self.account)
    }

    /// Places an order, whatever comes of it.
    pub async fn try_place(&self, order: &Value) -> Answer {
        self.user.call(reqwest::Method::POST, &self.path("/orders"), &[], Some(order)).await
    }

    /// Places an order that is accepted.
    pub async fn place(&self, id: &str, side: &str, price: &str, quantity: &str) -> Answer {
        self.try_place(&order(id, side, price, quantity)).await.expect(201)
    }

    /// Cancels an order, whatever comes of it.
    pub async fn try_cancel(&self, order_id: &str) -> Answer {
        let path = self.path(&format!("/orders/{order_id}:cancel"));
        self.user.call(reqwest::Method::POST, &path, &[], None).await
    }

    /// An order as it is now. What the last command wrote is seen by its token.
    pub async fn order(&self, after: &Answer, order_id: &str) -> Value {
        let token = [("Consistency-Token", after.header("consistency-token"))];
        let path = self.path(&format!("/orders/{order_id}"));
        self.user.call(reqwest::Method::GET, &path, &token, None).await.expect(200).body
    }

    /// `available held` of an asset, as strings; what `after` wrote is seen.
    pub async fn balance(&self, after: &Answer, asset: &str) -> (String, String) {
        let token = [("Consistency-Token", after.header("consistency-token"))];
        let account = self.user.call(reqwest::Method::GET, &self.path(""), &token, None).await.expect(200);
        let balances = account.body["balances"].as_array().unwrap();
        let text = |balance: &Value, name: &str| balance[name].as_str().unwrap().to_owned();
        let found = balances.iter().find(|balance| balance["asset"] == asset);
        found.map_or_else(
            || ("0".to_owned(), "0".to_owned()),
            |balance| (text(balance, "available"), text(balance, "held")),
        )
    }
}

/// A limit order that stays until it is filled or cancelled.
pub fn order(id: &str, side: &str, price: &str, quantity: &str) -> Value {
    json!({"client_order_id": id, "instrument": SYMBOL, "side": side, "price": price, "quantity": quantity})
}

/// The same with some members replaced.
pub fn with(order: Value, members: Value) -> Value {
    let (Value::Object(mut order), Value::Object(members)) = (order, members) else { panic!("two objects") };
    order.extend(members);
    Value::Object(order)
}
