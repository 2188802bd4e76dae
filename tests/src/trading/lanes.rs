//! A fleet of processes: each instrument's lane is carried by one of them, and the others hand their commands to it.

use futures_util::future::join_all;
use serde_json::json;

use super::client::Socket;
use super::market::{SYMBOL, Trader, check, list_shares, order, with};
use super::processes::{orders, send_all, traders};
use crate::harness::{Database, Program};

/// Room for several processes on one cluster.
const FEW: &[(&str, &str)] = &[("WEIR_DATABASE_CONNECTIONS", "24")];

async fn fleet(database: &Database) -> [Program; 3] {
    [
        Program::start(database, FEW).await,
        Program::start(database, FEW).await,
        Program::start(database, FEW).await,
    ]
}

/// `host:port` of the process that carries the lane, and how many have.
async fn owner(database: &Database) -> (String, i64) {
    let sql = "SELECT owner, epoch FROM trading.lane l JOIN trading.instrument i ON i.id = l.instrument
               WHERE i.symbol = $1";
    let row = database.owner().await.query_one(sql, &[&SYMBOL]).await.unwrap();
    (row.get(0), row.get(1))
}

async fn forwarded(program: &Program) -> u64 {
    program.counted("weir_trading_commands_forwarded_total", "").await
}

#[tokio::test]
async fn the_commands_of_a_fleet_meet_in_one_lane() {
    let database = Database::create().await;
    let programs = fleet(&database).await;
    list_shares(&programs[0], 200, 500).await;
    let traders = traders(&programs[0], 3).await;
    // The first command decides whose lane it is.
    traders[0].at(&programs[1]).place("first", "buy", "1.00", "1").await;
    let sending = traders.iter().enumerate().flat_map(|(n, trader)| {
        programs.iter().enumerate().map(move |(at, program)| {
            let (trader, seed) = (trader.at(program), (n * 10 + at) as u64 + 1);
            async move { send_all(program, &trader, &orders(seed, 100, &trader.account)).await.len() }
        })
    });
    assert_eq!(join_all(sending).await, [100; 9]);
    assert_eq!(owner(&database).await.1, 1);
    let counts =
        [forwarded(&programs[0]).await, forwarded(&programs[1]).await, forwarded(&programs[2]).await];
    assert_eq!(counts, [300, 0, 300]);
    for (program, books) in programs.iter().zip([0, 1, 0]) {
        assert_eq!(program.counted("weir_trading_books_loaded_total", "").await, books);
    }
    check(&programs[0]).await;
}

#[tokio::test]
async fn a_refusal_is_told_by_another_process_as_by_the_lanes_own() {
    let database = Database::create().await;
    let [first, second, _] = fleet(&database).await;
    list_shares(&first, 0, 0).await;
    let trader = Trader::with(&first, "trader", "100.00", "0").await;
    let resting = trader.place("b-1", "buy", "10.00", "5").await;
    let (far, stranger) =
        (trader.at(&second), Trader::with(&first, "stranger", "100.00", "0").await.at(&second));
    for at in [&trader, &far] {
        let refused = at.try_place(&order("b-2", "buy", "10.00", "6")).await.expect(422);
        assert_eq!(
            (refused.text("/code"), refused.text("/reason")),
            ("order-rejected", "insufficient_funds")
        );
        let conflict = at.try_place(&order("b-1", "buy", "10.00", "4")).await.expect(409);
        assert_eq!(conflict.text("/errors/0/pointer"), "/quantity");
        let again = at.try_place(&order("b-1", "buy", "10.00", "5")).await.expect(200);
        assert_eq!(again.body, with(resting.body.clone(), json!({"duplicate": true})));
        let theirs = Trader { account: trader.account.clone(), ..stranger.clone() };
        theirs.try_place(&order("x", "buy", "1.00", "1")).await.expect(404);
        theirs.try_cancel(resting.text("/order_id")).await.expect(404);
    }
    let canceled = far.try_cancel(resting.text("/order_id")).await.expect(200);
    // The token of what was done elsewhere comes back: the next read has seen it.
    assert_eq!(far.order(&canceled, resting.text("/order_id")).await["status"], "canceled");
    trader.try_place(&order("b-3", "buy", "10.00", "10")).await.expect(201);
    assert!(forwarded(&second).await > 0);
}

#[tokio::test]
async fn the_lane_of_a_process_that_dies_is_taken_over_and_nothing_is_done_twice() {
    let database = Database::create().await;
    let [first, second, third] = fleet(&database).await;
    list_shares(&first, 200, 500).await;
    let traders = traders(&first, 2).await;
    traders[0].place("first", "buy", "1.00", "1").await;
    let before = owner(&database).await;
    let mut sent = Vec::new();
    for (trader, program) in [(&traders[0], &second), (&traders[1], &third)] {
        let orders = orders(7, 400, &trader.account);
        let mut socket = Socket::open(program, &trader.user).await;
        for order in &orders {
            socket.send("order.place", order.clone()).await;
        }
        // It dies while commands of others are in its lane.
        let answer = socket.any_answer().await;
        assert_eq!(answer["type"], "reply", "{answer:#}");
        sent.push((trader.at(program), program, orders, socket));
    }
    first.kill().await;
    for (trader, program, orders, mut socket) in sent {
        let mut done = 1;
        while done < orders.len() {
            let answer = socket.any_answer().await;
            assert_eq!(answer["type"], "reply", "{answer:#}");
            done += 1;
        }
        let again = send_all(program, &trader, &orders).await;
        assert!(again.values().all(|ack| ack["duplicate"] == true), "an order was done again");
    }
    let after = owner(&database).await;
    assert!(after.0 != before.0 && after.1 > before.1, "{before:?} {after:?}");
    let taken = "weir_trading_lanes_taken_over_total";
    assert!(second.counted(taken, "").await + third.counted(taken, "").await > 0);
    check(&second).await;
}

#[tokio::test]
async fn an_owner_that_stood_still_finds_its_lane_taken_and_hands_its_commands_over() {
    let database = Database::create().await;
    let [first, second, _third] = fleet(&database).await;
    list_shares(&first, 0, 0).await;
    let traders = traders(&first, 2).await;
    traders[0].place("first", "buy", "1.00", "1").await;
    first.stand_still().await;
    // The answer comes from the second, once it has waited long enough for the first. Where that takes longer than a
    // caller waits, the same again tells.
    let (far, meanwhile) = (traders[1].at(&second), order("meanwhile", "sell", "1.00", "1"));
    while far.try_place(&meanwhile).await.status.is_server_error() {}
    first.go_on().await;
    let (address, epoch) = owner(&database).await;
    assert_eq!(epoch, 2);
    // It still believes to own the lane; the lock says better.
    let late = traders[0].place("late", "buy", "1.01", "1").await;
    traders[0].place("later", "buy", "1.02", "1").await;
    assert!(forwarded(&first).await > 0, "the old owner goes on by itself");
    assert_eq!(owner(&database).await, (address, epoch));
    assert_eq!(traders[0].balance(&late, "AAPL").await.0, "100001");
    check(&first).await;
}

#[tokio::test]
async fn the_internal_port_is_for_the_fleet_alone() {
    let database = Database::create().await;
    let program = Program::start(&database, &[]).await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "100.00", "0").await;
    let resting = trader.place("b-1", "buy", "10.00", "5").await;
    let (address, _) = owner(&database).await;
    let forged = json!({"items": [{
        "subject": "trader", "account": trader.account, "until": "2100-01-01T00:00:00Z", "trace_id": "0",
        "command": {"Cancel": {"Order": resting.text("/order_id")}},
    }]});
    let call = async |secret: &str| {
        let path = format!("http://{address}/internal/trading/lanes/{SYMBOL}");
        let request = reqwest::Client::new().post(path).bearer_auth(secret).json(&forged);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(call(&trader.user.token).await, 401);
    assert_eq!(trader.order(&resting, resting.text("/order_id")).await["status"], "open");
    // The same with the secret is what a peer sends.
    assert_eq!(call("what the tests' fleet knows").await, 200);
    let path = trader.path(&format!("/orders/{}", resting.text("/order_id")));
    while trader.user.get(&path).await.expect(200).body["status"] != "canceled" {}
}
