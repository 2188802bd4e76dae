//! A client order id is decided once, for ever, on whatever way it comes.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::client::Socket;
use super::market::{Trader, check, list_shares, order, with};
use crate::harness::{Program, start};

/// The answer without the flag that says that it is a repetition.
fn original(body: &Value) -> Value {
    with(body.clone(), json!({"duplicate": false}))
}

#[tokio::test]
async fn a_repeated_order_has_one_effect_and_the_original_answer() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "10").await;
    let buyer = Trader::with(&program, "buyer", "1000.00", "0").await;
    let first = buyer.place("b-1", "buy", "10.00", "5").await;
    seller.place("s-1", "sell", "10.00", "5").await;

    // The order is filled by now; the answer is the one of its time. On another process, and on the socket, too.
    let other = Program::start(&database, &[]).await;
    let again = [
        buyer.try_place(&order("b-1", "buy", "10.00", "5")).await.expect(200).body,
        buyer.at(&other).try_place(&order("b-1", "buy", "10.0", "5")).await.expect(200).body,
        Socket::open(&other, &buyer.user).await.place(&buyer.account, order("b-1", "buy", "10", "5")).await,
    ];
    for answer in again {
        assert_eq!(answer["duplicate"], true);
        assert_eq!(original(&answer), first.body);
    }
    let decided = buyer.user.get(&buyer.path("/commands/b-1")).await.expect(200);
    assert_eq!(decided.text("/outcome"), "accepted");
    assert_eq!(decided.body["result"], first.body);
    buyer.user.get(&buyer.path("/commands/b-2")).await.expect(404);
    check(&program).await;
}

#[tokio::test]
async fn the_same_id_with_other_content_is_a_conflict_that_names_the_field() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "10").await;
    trader.place("a", "buy", "10.00", "5").await;
    let other = with(order("a", "buy", "10.01", "5"), json!({"time_in_force": "ioc"}));
    let conflict = trader.try_place(&other).await.expect(409);
    assert_eq!(conflict.text("/code"), "client-order-id-conflict");
    let pointers: Vec<&str> =
        conflict.body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, ["/time_in_force", "/price"]);
    // Two accounts may use the same id.
    Trader::with(&program, "stranger", "1000.00", "0").await.place("a", "buy", "1.00", "1").await;
}

#[tokio::test]
async fn an_id_that_was_rejected_stays_rejected() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1.00", "0").await;
    let large = order("b-1", "buy", "10.00", "5");
    let rejected = trader.try_place(&large).await.expect(422);
    assert_eq!(rejected.body["duplicate"], false);
    trader.user.post(&trader.path("/deposits"), &json!({"asset": "USD", "amount": "100"})).await.expect(201);
    let again = trader.try_place(&large).await.expect(422);
    assert_eq!((again.text("/reason"), &again.body["duplicate"]), ("insufficient_funds", &json!(true)));
    let decided = trader.user.get(&trader.path("/commands/b-1")).await.expect(200);
    assert_eq!((decided.text("/outcome"), decided.text("/reason")), ("rejected", "insufficient_funds"));
    trader.try_place(&order("b-2", "buy", "10.00", "5")).await.expect(201);
    check(&program).await;
}

#[tokio::test]
async fn of_many_identical_orders_at_once_over_two_processes_one_executes() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let other = Program::start(&database, &[]).await;
    let trader = Trader::with(&program, "trader", "100.00", "0").await;
    let traders = [trader.clone(), trader.at(&other)];
    let same = order("b-1", "buy", "10.00", "5");
    let answers = join_all((0..32).map(|n| traders[n % 2].try_place(&same))).await;
    let (first, again): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 201);
    assert_eq!((first.len(), again.len()), (1, 31));
    for answer in again {
        assert_eq!(original(&answer.body), first[0].body);
    }
    assert_eq!(trader.balance(first[0], "USD").await, ("50.00".to_owned(), "50.00".to_owned()));
    check(&program).await;
}

#[tokio::test]
async fn repeats_within_one_batch_are_answered_like_any_other() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let mut socket = Socket::open(&program, &trader.user).await;
    let mut sent = Vec::new();
    for n in 0..60 {
        // Each id three times: the third with another price.
        let price = if n % 3 == 2 { "2.00" } else { "1.00" };
        let args =
            with(order(&format!("b-{}", n / 3), "buy", price, "1"), json!({"account": trader.account}));
        sent.push(socket.send("order.place", args).await);
    }
    for (n, id) in sent.into_iter().enumerate() {
        let answer = socket.answer(id).await;
        match n % 3 {
            0 => assert_eq!(answer["data"]["duplicate"], false, "{answer:#}"),
            1 => assert_eq!(answer["data"]["duplicate"], true, "{answer:#}"),
            _ => assert_eq!(answer["data"]["errors"][0]["pointer"], "/price", "{answer:#}"),
        }
    }
    check(&program).await;
}
