//! Who may not, and what is wrong: said at the field, and nothing done.

use reqwest::Method;
use serde_json::{Value, json};

use super::client::Socket;
use super::market::{SYMBOL, Trader, check, list_shares, order, with};
use crate::harness::{Answer, start};

fn pointers(answer: &Answer) -> Vec<&str> {
    answer.body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn another_tenants_account_is_not_there_on_any_route() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let owner = Trader::with(&program, "owner", "1000.00", "0").await;
    let placed = owner.place("b-1", "buy", "1.00", "1").await;
    let order_id = placed.text("/order_id");
    let stranger = Trader { user: program.user("stranger").await, account: owner.account.clone() };

    for path in ["", "/orders", &format!("/orders/{order_id}"), "/commands/b-1", "/fills"] {
        stranger.user.get(&stranger.path(path)).await.expect(404);
    }
    stranger.try_place(&order("x", "buy", "1.00", "1")).await.expect(404);
    stranger.try_cancel(order_id).await.expect(404);
    let deposit = json!({"asset": "USD", "amount": "1"});
    stranger.user.post(&stranger.path("/deposits"), &deposit).await.expect(404);
    assert_eq!(stranger.user.get("/v1/trading/accounts").await.expect(200).body["items"], json!([]));

    let mut socket = Socket::open(&program, &stranger.user).await;
    let account = &owner.account;
    for (op, args) in [
        ("order.place", with(order("x", "buy", "1.00", "1"), json!({"account": account}))),
        ("order.cancel", json!({"account": account, "order_id": order_id, "instrument": SYMBOL})),
        ("order.cancel", json!({"account": account, "client_order_id": "b-1"})),
        ("command.get", json!({"account": account, "client_order_id": "b-1"})),
    ] {
        let id = socket.send(op, args).await;
        let answer = socket.answer(id).await;
        assert_eq!(
            (&answer["type"], &answer["data"]["code"]),
            (&json!("error"), &json!("not-found")),
            "{op}"
        );
    }
    let refused = socket.subscribe(&format!("account:{account}"), json!({})).await;
    assert_eq!(refused["data"]["code"], "not-found");
    assert_eq!(owner.order(&placed, order_id).await["status"], "open");
    // An instrument's fee account is nobody's, whatever the caller is called.
    check(&program).await;
}

#[tokio::test]
async fn each_operation_needs_its_scope() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let owner = Trader::with(&program, "owner", "1000.00", "0").await;
    let with_scopes = async |scopes: &[&str]| Trader {
        user: program.user_with("owner", scopes).await,
        account: owner.account.clone(),
    };
    let reader = with_scopes(&["trading:read"]).await;
    reader.try_place(&order("x", "buy", "1.00", "1")).await.expect(403);
    reader.user.get(&reader.path("")).await.expect(200);
    let writer = with_scopes(&["trading:write"]).await;
    writer.user.post(&writer.path("/deposits"), &json!({"asset": "USD", "amount": "1"})).await.expect(403);
    writer.user.get(&writer.path("")).await.expect(403);
    writer.try_place(&order("x", "buy", "1.00", "1")).await.expect(201);
    writer.user.post("/v1/trading/instruments", &json!({})).await.expect(403);
    writer.user.get("/v1/trading/invariants").await.expect(403);
}

#[tokio::test]
async fn every_wrong_field_of_an_order_is_named() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let good = order("a", "buy", "10.00", "5");
    for (change, expected) in [
        (json!({"price": "10.001"}), &["/price"][..]),
        (json!({"price": "0", "quantity": "1.5"}), &["/price", "/quantity"]),
        (json!({"client_order_id": "a b"}), &["/client_order_id"]),
        (json!({"instrument": "NO-SUCH"}), &["/instrument"]),
        (json!({"type": "market"}), &["/type"]),
        (json!({"time_in_force": "fok"}), &["/time_in_force"]),
        (json!({"post_only": true}), &["/post_only"]),
        (json!({"price": 10}), &["/price"]),
    ] {
        let refused = trader.try_place(&with(good.clone(), change)).await.expect(422);
        assert_eq!(refused.text("/code"), "validation-failed");
        assert_eq!(pointers(&refused), expected);
    }
    // None of that used the id up.
    trader.try_place(&good).await.expect(201);
}

#[tokio::test]
async fn an_instrument_whose_trades_could_be_rounded_is_refused() {
    let (_database, program) = start().await;
    let operator = program.user_with("operator", &["operator"]).await;
    let shares = |change: Value| {
        let base = json!({
            "symbol": "ABC-USD", "base": {"code": "ABC", "scale": 0}, "quote": {"code": "USD", "scale": 2},
            "price_scale": 2, "tick": "0.01", "lot": "1",
        });
        with(base, change)
    };
    let fine = shares(json!({"price_scale": 3, "tick": "0.001"}));
    assert_eq!(pointers(&operator.post("/v1/trading/instruments", &fine).await.expect(422)), ["/tick"]);
    let same = shares(json!({"quote": {"code": "ABC", "scale": 0}}));
    operator.post("/v1/trading/instruments", &same).await.expect(422);

    let key = [("Idempotency-Key", "k-1")];
    let list =
        async |body: &Value| operator.call(Method::POST, "/v1/trading/instruments", &key, Some(body)).await;
    let listed = list(&shares(json!({}))).await.expect(201);
    let again = list(&shares(json!({}))).await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.body), ("true", &listed.body));
    let other = shares(json!({"symbol": "ABC-EUR", "base": {"code": "ABC", "scale": 3}}));
    let taken = operator.post("/v1/trading/instruments", &shares(json!({}))).await.expect(409);
    assert_eq!(taken.text("/code"), "symbol-taken");
    let differs = operator.post("/v1/trading/instruments", &other).await.expect(409);
    assert_eq!(differs.text("/code"), "asset-differs");

    // Public, and for everybody to keep for a while.
    let anyone = reqwest::get(format!("{}/v1/trading/instruments/ABC-USD", program.base)).await.unwrap();
    assert_eq!(anyone.headers()["cache-control"], "public, max-age=60");
    assert_eq!(anyone.json::<Value>().await.unwrap()["tick"], "0.01");
}
