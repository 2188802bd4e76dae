//! What an order does to the book, to the other side and to the balances.

use serde_json::json;

use super::market::{Trader, check, list_shares, order, with};
use crate::harness::start;

fn pair(available: &str, held: &str) -> (String, String) {
    (available.to_owned(), held.to_owned())
}

#[tokio::test]
async fn an_order_rests_until_another_meets_it_at_its_price() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100").await;
    let buyer = Trader::with(&program, "buyer", "10000.00", "0").await;

    let resting = seller.place("s-1", "sell", "100.00", "30").await;
    assert_eq!(resting.body["status"], "open");
    assert_eq!(seller.balance(&resting, "AAPL").await, pair("70", "30"));

    // Would pay up to 101.00, and gets it for 100.00; what is left of it rests at its own limit.
    let taking = buyer.place("b-1", "buy", "101.00", "40").await;
    assert_eq!(taking.body["status"], "open");
    assert_eq!((taking.text("/filled_quantity"), taking.text("/filled_notional")), ("30", "3000.00"));
    assert_eq!(buyer.balance(&taking, "USD").await, pair("5990.00", "1010.00"));
    assert_eq!(buyer.balance(&taking, "AAPL").await, pair("30", "0"));
    assert_eq!(seller.balance(&taking, "USD").await, pair("3000.00", "0.00"));
    assert_eq!(seller.balance(&taking, "AAPL").await, pair("70", "0"));

    let sold = seller.order(&taking, resting.text("/order_id")).await;
    assert_eq!((&sold["status"], &sold["leaves_quantity"]), (&json!("filled"), &json!("0")));
    let fills = seller.user.get(&seller.path("/fills")).await.expect(200);
    let fill = &fills.body["items"][0];
    assert_eq!(
        (&fill["liquidity"], &fill["price"], &fill["number"]),
        (&json!("maker"), &json!("100.00"), &json!(1))
    );
    let token = [("Consistency-Token", taking.header("consistency-token"))];
    let path = "/v1/trading/instruments/AAPL-USD/trades";
    let trades = buyer.user.call(reqwest::Method::GET, path, &token, None).await.expect(200);
    assert_eq!(trades.body["items"][0]["taker_side"], "buy");
    check(&program).await;
}

#[tokio::test]
async fn the_best_price_comes_first_and_at_one_price_the_earliest() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let sellers = [
        Trader::with(&program, "first", "0", "10").await,
        Trader::with(&program, "second", "0", "10").await,
        Trader::with(&program, "cheap", "0", "10").await,
    ];
    let mut ids = Vec::new();
    for (seller, price) in sellers.iter().zip(["50.00", "50.00", "49.00"]) {
        ids.push(seller.place("s", "sell", price, "10").await.text("/order_id").to_owned());
    }
    let buyer = Trader::with(&program, "buyer", "10000.00", "0").await;
    let taking = buyer.place("b", "buy", "50.00", "15").await;
    assert_eq!((taking.text("/status"), taking.text("/filled_notional")), ("filled", "740.00"));
    let mut filled = Vec::new();
    for (seller, id) in sellers.iter().zip(&ids) {
        filled.push(seller.order(&taking, id).await["filled_quantity"].clone());
    }
    assert_eq!(filled, [json!("5"), json!("0"), json!("10")]);
    check(&program).await;
}

#[tokio::test]
async fn an_immediate_order_takes_what_is_there_and_never_rests() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "10").await;
    let buyer = Trader::with(&program, "buyer", "1000.00", "0").await;
    seller.place("s", "sell", "10.00", "4").await;
    let ioc = |id: &str| with(order(id, "buy", "10.00", "10"), json!({"time_in_force": "ioc"}));
    let taken = buyer.try_place(&ioc("b-1")).await.expect(201);
    assert_eq!((taken.text("/status"), taken.text("/reason")), ("canceled", "ioc"));
    assert_eq!(taken.text("/filled_quantity"), "4");
    let nothing = buyer.try_place(&ioc("b-2")).await.expect(201);
    assert_eq!((nothing.text("/status"), nothing.text("/filled_quantity")), ("canceled", "0"));
    assert_eq!(buyer.balance(&nothing, "USD").await, pair("960.00", "0.00"));
    check(&program).await;
}

#[tokio::test]
async fn a_cancelled_order_releases_its_hold() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let placed = trader.place("b", "buy", "9.99", "100").await;
    assert_eq!(trader.balance(&placed, "USD").await, pair("1.00", "999.00"));
    let id = placed.text("/order_id");
    let canceled = trader.try_cancel(id).await.expect(200);
    assert_eq!((canceled.text("/status"), canceled.text("/reason")), ("canceled", "requested"));
    assert_eq!(canceled.body["duplicate"], false);
    assert_eq!(trader.balance(&canceled, "USD").await, pair("1000.00", "0.00"));
    let again = trader.try_cancel(id).await.expect(200);
    assert_eq!((again.text("/status"), &again.body["duplicate"]), ("canceled", &json!(true)));
    assert_eq!(again.body["seq"], canceled.body["seq"]);
    check(&program).await;
}

#[tokio::test]
async fn an_order_never_meets_one_of_its_own_account() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let other = Trader::with(&program, "other", "0", "10").await;
    let own = Trader::with(&program, "own", "1000.00", "10").await;
    other.place("s", "sell", "10.00", "2").await;
    let resting = own.place("s", "sell", "10.01", "5").await;
    let taking = own.try_place(&order("b", "buy", "10.02", "9")).await.expect(201);
    assert_eq!((taking.text("/status"), taking.text("/reason")), ("canceled", "self_trade"));
    assert_eq!(taking.text("/filled_quantity"), "2");
    assert_eq!(own.order(&taking, resting.text("/order_id")).await["status"], "open");
    check(&program).await;
}

#[tokio::test]
async fn fees_are_held_with_the_worst_case_and_charged_once_rounded() {
    let (_database, program) = start().await;
    list_shares(&program, 1_000, 2_500).await;
    let maker = Trader::with(&program, "maker", "100.00", "0").await;
    let taker = Trader::with(&program, "taker", "0", "3").await;
    // 3 x 3.33 = 9.99, and 0.00999 of fee at most, rounded up.
    let bid = maker.place("b", "buy", "3.33", "3").await;
    assert_eq!(maker.balance(&bid, "USD").await, pair("90.00", "10.00"));
    for n in 1..=3 {
        taker.place(&format!("s-{n}"), "sell", "3.33", "1").await;
    }
    let filled = taker.user.get(&taker.path("/orders")).await.expect(200);
    assert_eq!(filled.body["items"].as_array().unwrap().len(), 3);
    let path = maker.path(&format!("/orders/{}", bid.text("/order_id")));
    let bought = loop {
        let order = maker.user.get(&path).await.expect(200);
        if order.body["status"] == "filled" {
            break order;
        }
    };
    assert_eq!(bought.text("/fee"), "0.01", "three fills of 3.33 cost no more than one of 9.99");
    check(&program).await;
}

#[tokio::test]
async fn what_is_not_there_can_not_be_spent() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "100.00", "1").await;
    trader.place("b-1", "buy", "60.00", "1").await;
    for (id, side, price, quantity) in [("b-2", "buy", "40.01", "1"), ("s-1", "sell", "70.00", "2")] {
        let refused = trader.try_place(&order(id, side, price, quantity)).await.expect(422);
        assert_eq!(
            (refused.text("/code"), refused.text("/reason")),
            ("order-rejected", "insufficient_funds")
        );
    }
    trader.place("b-3", "buy", "40.00", "1").await;
    check(&program).await;
}

#[tokio::test]
async fn the_open_orders_are_listed_apart() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let mut last = None;
    for n in 1..=5 {
        let placed = trader.place(&format!("b-{n}"), "buy", "1.00", "1").await;
        last = Some(if n % 2 == 0 {
            trader.try_cancel(placed.text("/order_id")).await.expect(200)
        } else {
            placed
        });
    }
    let last = last.unwrap();
    let token = [("Consistency-Token", last.header("consistency-token"))];
    let ids = async |query: &str| {
        let path = trader.path(&format!("/orders{query}"));
        let page = trader.user.call(reqwest::Method::GET, &path, &token, None).await.expect(200);
        let items = page.body["items"].as_array().unwrap().clone();
        let ids: Vec<String> =
            items.iter().map(|o| o["client_order_id"].as_str().unwrap().to_owned()).collect();
        (ids, page.body["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(ids("?status=open").await.0, ["b-5", "b-3", "b-1"]);
    let (first, cursor) = ids("?limit=3").await;
    assert_eq!(first, ["b-5", "b-4", "b-3"]);
    let (second, end) = ids(&format!("?limit=3&cursor={}", cursor.unwrap())).await;
    assert_eq!((second, end), (vec!["b-2".to_owned(), "b-1".to_owned()], None));
}
