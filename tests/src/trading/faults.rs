//! Connections that break at any moment, the one of a COMMIT included: what was acknowledged is there once, and what got no
//! answer is found out by asking again.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::client::Socket;
use super::market::{SYMBOL, Trader, check, list_shares, with};
use crate::harness::start;

/// Ends every session of the module's on the writer, whatever it is doing.
const CUT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'weir trading writer'";

#[tokio::test]
async fn orders_survive_connections_that_are_cut_while_they_commit() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100000").await;
    let buyer = Trader::with(&program, "buyer", "10000000.00", "0").await;
    let owner = database.owner().await;
    let mut sockets = [Socket::open(&program, &seller.user).await, Socket::open(&program, &buyer.user).await];
    let traders = [&seller, &buyer];
    let mut acks: HashMap<String, Value> = HashMap::new();
    let (mut cuts, mut repeats) = (0, 0);
    for round in 0..30 {
        let mut sent = Vec::new();
        for n in 0..40 {
            let at = n % 2;
            let order = json!({
                "account": traders[at].account, "client_order_id": format!("{round}-{n}"), "instrument": SYMBOL,
                "side": (["sell", "buy"][at]), "price": format!("10.{:02}", (n * 7) % 20), "quantity": "3",
            });
            sent.push((at, sockets[at].send("order.place", order.clone()).await, order));
        }
        cuts += owner.query_one(CUT, &[]).await.unwrap().get::<_, i64>(0);
        for (at, mut id, order) in sent {
            let ack = loop {
                let answer = sockets[at].answer(id).await;
                if answer["type"] == "reply" {
                    break answer["data"].clone();
                }
                let class = answer["data"]["class"].as_str().unwrap();
                assert!(["unavailable", "unknown", "throttled"].contains(&class), "{answer:#}");
                repeats += 1;
                id = sockets[at].send("order.place", order.clone()).await;
            };
            acks.insert(format!("{at} {}", order["client_order_id"].as_str().unwrap()), ack);
        }
    }
    assert!(cuts > 0 && repeats > 0, "{cuts} sessions were cut, {repeats} orders repeated");
    for (at, trader) in traders.iter().enumerate() {
        let of_account = acks.iter().filter(|(key, _)| key.starts_with(&format!("{at} ")));
        for (key, ack) in of_account {
            let id = key.split_once(' ').unwrap().1;
            let decided = trader.user.get(&trader.path(&format!("/commands/{id}"))).await.expect(200);
            let original = with(ack.clone(), json!({"duplicate": false}));
            assert_eq!(decided.body["result"], original, "{key}");
        }
    }
    check(&program).await;
}
