//! Several processes on one database, and processes that die: nothing acknowledged is lost, nothing is done twice.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::client::Socket;
use super::market::{SYMBOL, Trader, check, list, list_shares, with};
use crate::harness::{Database, Program, start};

/// A process that knows of no other.
const ALONE: &[(&str, &str)] = &[("WEIR_DATABASE_CONNECTIONS", "24"), ("WEIR_INTERNAL_LISTEN", "")];

/// Orders of one trader's stream of commands, always the same for the same seed.
pub(super) fn orders(seed: u64, count: usize, account: &str) -> Vec<Value> {
    let mut state = seed;
    let mut next = |below: u64| {
        // An LCG is random enough for prices.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    (0..count)
        .map(|n| {
            let side = if next(2) == 0 { "buy" } else { "sell" };
            let away = next(60);
            let cents = if side == "buy" { 10_010 - away } else { 9_990 + away };
            json!({
                "account": account, "client_order_id": format!("{seed}-{n}"), "instrument": SYMBOL, "side": side,
                "price": format!("{}.{:02}", cents / 100, cents % 100), "quantity": (1 + next(20)).to_string(),
                "time_in_force": if next(4) == 0 { "ioc" } else { "gtc" },
            })
        })
        .collect()
}

/// Sends all, and gives the acknowledgements by client id; those that never came are missing.
pub(super) async fn send_all(program: &Program, trader: &Trader, orders: &[Value]) -> HashMap<String, Value> {
    let mut socket = Socket::open(program, &trader.user).await;
    let mut sent = Vec::new();
    for order in orders {
        sent.push(socket.send("order.place", order.clone()).await);
    }
    let mut acks = HashMap::new();
    for id in sent {
        let answer = socket.answer(id).await;
        assert_eq!(answer["type"], "reply", "{answer:#}");
        acks.insert(answer["data"]["client_order_id"].as_str().unwrap().to_owned(), answer["data"].clone());
    }
    acks
}

pub(super) async fn traders(program: &Program, count: usize) -> Vec<Trader> {
    let mut traders = Vec::new();
    for n in 0..count {
        traders.push(Trader::with(program, &format!("trader-{n}"), "10000000.00", "100000").await);
    }
    traders
}

#[tokio::test]
async fn three_processes_with_lanes_of_their_own_keep_the_same_books_and_never_deadlock() {
    let database = Database::create().await;
    let first = Program::start(&database, ALONE).await;
    let (second, third) = (Program::start(&database, ALONE).await, Program::start(&database, ALONE).await);
    let programs = [&first, &second, &third];
    list_shares(&first, 200, 500).await;
    list(&first, "MSFT", 200, 500).await;
    let traders = traders(&first, 4).await;
    for trader in &traders {
        let deposit = json!({"asset": "MSFT", "amount": "100000"});
        trader.user.post(&trader.path("/deposits"), &deposit).await.expect(201);
    }
    // Every account trades both instruments at every process at once.
    let sending = traders.iter().enumerate().flat_map(|(n, trader)| {
        programs.iter().enumerate().map(move |(at, program)| {
            let trader = trader.at(program);
            let mut orders = orders((n * 10 + at) as u64 + 1, 120, &trader.account);
            for order in orders.iter_mut().step_by(3) {
                order["instrument"] = json!("MSFT-USD");
            }
            async move { send_all(program, &trader, &orders).await.len() }
        })
    });
    assert_eq!(futures_util::future::join_all(sending).await, [120; 12]);

    for symbol in [SYMBOL, "MSFT-USD"] {
        let book = async |program: &Program, min_seq: i64| {
            let path = format!("/v1/trading/instruments/{symbol}/book?depth=1000&min_seq={min_seq}");
            traders[0].at(program).user.get(&path).await.expect(200).body
        };
        let owner = database.owner().await;
        let head = "SELECT s.head FROM trading.stream s JOIN trading.instrument i ON i.id = s.id WHERE i.symbol = $1";
        let head: i64 = owner.query_one(head, &[&symbol]).await.unwrap().get(0);
        let books = [book(&first, head).await, book(&second, head).await, book(&third, head).await];
        assert!(books[0]["bids"].as_array().unwrap().len() > 3, "{}", books[0]);
        assert!(books.iter().all(|book| *book == books[0]), "{symbol}: {books:#?}");
    }
    let mut caught_up = 0;
    for program in programs {
        check(program).await;
        caught_up += program.counted("weir_trading_books_caught_up_total", "").await;
        // The victim of a deadlock would have been run again.
        assert_eq!(program.counted("weir_transactions_repeated_total", "").await, 0);
    }
    assert!(caught_up > 0, "no lane has taken in what another one wrote");
    let owner = database.owner().await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(owner.query_one(deadlocks, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn what_was_acknowledged_before_a_kill_is_there_and_what_is_repeated_is_not_done_twice() {
    let (database, program) = start().await;
    list_shares(&program, 200, 500).await;
    let traders = traders(&program, 3).await;
    let mut program = Some(program);
    for round in 0..4u64 {
        let running = program.take().expect("put back at the end of each round");
        let mut sockets = Vec::new();
        for (n, trader) in traders.iter().enumerate() {
            let trader = trader.at(&running);
            let batch = orders(100 * (round + 1) + n as u64, 200, &trader.account);
            let mut socket = Socket::open(&running, &trader.user).await;
            for order in &batch {
                socket.send("order.place", order.clone()).await;
            }
            sockets.push((trader, batch, socket));
        }
        // Some answers come, then the process is gone, between whatever it was doing.
        let mut acked = Vec::new();
        for (_, batch, socket) in &mut sockets {
            let mut acks = HashMap::new();
            for _ in 0..=(round as usize * 40) {
                let answer = socket.any_answer().await;
                assert_eq!(answer["type"], "reply", "{answer:#}");
                acks.insert(
                    answer["data"]["client_order_id"].as_str().unwrap().to_owned(),
                    answer["data"].clone(),
                );
            }
            acked.push((batch.clone(), acks));
        }
        running.kill().await;

        let next = Program::start(&database, &[]).await;
        for ((trader, ..), (batch, acks)) in sockets.iter().zip(acked) {
            let again = send_all(&next, &trader.at(&next), &batch).await;
            assert_eq!(again.len(), batch.len());
            for (id, ack) in acks {
                assert_eq!(again[&id], with(ack, json!({"duplicate": true})), "{id}");
            }
        }
        check(&next).await;
        program = Some(next);
    }
}
