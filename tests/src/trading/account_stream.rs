//! An account's own channel: everything, in order, without a gap, from any number.

use serde_json::{Value, json};

use super::client::Socket;
use super::market::{SYMBOL, Trader, list_shares};
use crate::harness::{Program, start};

fn channel(trader: &Trader) -> String {
    format!("account:{}", trader.account)
}

/// Reads updates until the number, each following on the one before.
async fn read_until(socket: &mut Socket, channel: &str, mut seq: i64, until: i64) -> Vec<Value> {
    let mut read = Vec::new();
    while seq < until {
        let frame = socket.next(channel).await;
        assert_eq!(
            (&frame["type"], &frame["prev"], &frame["seq"]),
            (&json!("update"), &json!(seq), &json!(seq + 1))
        );
        seq += 1;
        read.push(frame["data"].clone());
    }
    read
}

#[tokio::test]
async fn orders_fills_and_balances_come_under_one_number() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "10").await;
    let buyer = Trader::with(&program, "buyer", "1000.00", "0").await;
    let resting = seller.place("s-1", "sell", "10.00", "10").await;

    let mut socket = Socket::open(&program, &seller.user).await;
    let channel = channel(&seller);
    let subscribed = socket.subscribe(&channel, json!({"token": resting.header("consistency-token")})).await;
    assert_eq!(subscribed["type"], "subscribed", "{subscribed:#}");
    let snapshot = socket.next(&channel).await;
    assert_eq!((&snapshot["type"], &snapshot["seq"]), (&json!("snapshot"), &resting.body["seq"]));
    assert_eq!(snapshot["data"]["orders"][0]["client_order_id"], "s-1");
    assert_eq!(snapshot["data"]["balances"][0]["held"], "10");

    buyer.place("b-1", "buy", "10.00", "4").await;
    let update = socket.next(&channel).await;
    assert_eq!(update["prev"], snapshot["seq"]);
    let data = &update["data"];
    assert_eq!(
        (&data["orders"][0]["status"], &data["orders"][0]["leaves_quantity"]),
        (&json!("open"), &json!("6"))
    );
    assert_eq!(
        (&data["fills"][0]["quantity"], &data["fills"][0]["liquidity"]),
        (&json!("4"), &json!("maker"))
    );
    assert_eq!(
        data["balances"][0],
        json!({"asset": "USD", "available": "40.00", "held": "0.00", "total": "40.00"})
    );
}

#[tokio::test]
async fn a_stream_is_resumed_from_any_number_on_another_process() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "100000.00", "0").await;
    let channel = channel(&trader);
    let mut last = 0;
    for n in 0..40 {
        let placed = trader.place(&format!("b-{n}"), "buy", "1.00", "1").await;
        last = placed.body["seq"].as_i64().unwrap();
    }
    let mut here = Socket::open(&program, &trader.user).await;
    here.subscribe(&channel, json!({"resume_from": 0})).await;
    let all = read_until(&mut here, &channel, 0, last).await;
    assert_eq!(all.last().unwrap()["orders"][0]["client_order_id"], "b-39");
    program.kill().await;

    let other = Program::start(&database, &[]).await;
    let mut there = Socket::open(&other, &trader.user).await;
    there.subscribe(&channel, json!({"resume_from": 17})).await;
    assert_eq!(read_until(&mut there, &channel, 17, last).await, all[17..]);
    // And on: what happens from now on follows.
    let args = json!({"account": trader.account, "client_order_id": "b-39", "instrument": SYMBOL});
    let id = there.send("order.cancel", args).await;
    assert_eq!(there.answer(id).await["data"]["status"], "canceled");
    let end = read_until(&mut there, &channel, last, last + 1).await;
    assert_eq!(end[0]["orders"][0]["reason"], "requested");
    let future =
        Socket::open(&other, &trader.user).await.subscribe(&channel, json!({"resume_from": 1000})).await;
    assert_eq!(future["type"], "error");
}
