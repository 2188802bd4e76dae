//! Clients that are away for long, and clients that never read.

use reqwest::Method;
use serde_json::json;

use super::client::Socket;
use super::market::{Trader, list_shares, order, with};
use crate::harness::{Database, Program};

const QUOTA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/harness/unlimited.toml");
/// What happens while a client is away.
const EVENTS: usize = 10_000;
/// Sockets that nobody reads.
const SILENT: usize = 40;
/// Orders that all of them are told of.
const ORDERS: usize = 16_000;
/// What a process may grow by meanwhile: each silent socket's queue, what a stream keeps at hand, and room for the
/// allocator. Were what they don't read kept for them, it would be 40 times 6 MB.
const GROWTH_BYTES_MAX: u64 = 96 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_was_away_for_ten_thousand_events_goes_on_without_a_gap_on_another_process() {
    let database = Database::create().await;
    let settings = [("WEIR_POLICIES", QUOTA), ("WEIR_DATABASE_CONNECTIONS", "40")];
    let program = Program::start(&database, &settings).await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1.00", "0").await;
    let channel = format!("account:{}", trader.account);
    let mut socket = Socket::open(&program, &trader.user).await;
    socket.subscribe(&channel, json!({})).await;
    let seen = socket.next(&channel).await["seq"].as_i64().unwrap();
    drop(socket);

    let deposit = json!({"asset": "USD", "amount": "0.01"});
    trader.user.post(&trader.path("/deposits"), &deposit).await.expect(201);
    // The same again and again, as so many commits one after the other would have left it: those would take minutes.
    let again = "WITH last AS (
            SELECT e.* FROM trading.event e JOIN trading.stream s ON s.id = e.stream AND s.head = e.seq
            WHERE e.kind = 'account' AND e.stream = $1::text::uuid
        ), moved AS (UPDATE trading.stream SET head = head + $2 WHERE id = $1::text::uuid)
        INSERT INTO trading.event (kind, stream, seq, at, actor, subject, type, schema, body)
        SELECT kind, stream, seq + n, at, actor, subject, type, schema, body FROM last, generate_series(1, $2) AS n";
    let more = EVENTS as i64 - 1;
    assert_eq!(database.owner().await.execute(again, &[&trader.account, &more]).await.unwrap(), more as u64);
    program.kill().await;

    let other = Program::start(&database, &settings).await;
    let mut socket = Socket::open(&other, &trader.user).await;
    socket.subscribe(&channel, json!({"resume_from": seen})).await;
    let mut told = seen;
    while told < seen + EVENTS as i64 {
        let update = socket.next(&channel).await;
        assert_eq!(
            (&update["type"], &update["prev"], &update["seq"]),
            (&json!("update"), &json!(told), &json!(told + 1))
        );
        told += 1;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn clients_that_never_read_cost_no_memory_and_are_told_so_in_the_end() {
    let database = Database::create().await;
    let program = Program::start(&database, &[("WEIR_POLICIES", QUOTA)]).await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000000.00", "0").await;
    let channel = format!("account:{}", trader.account);
    let place = |id: String| {
        with(order(&id, "buy", "1.00", "1"), json!({"account": trader.account, "time_in_force": "ioc"}))
    };
    // A first thousand, so that what every order needs is there before it is measured.
    let mut sender = Socket::open(&program, &trader.user).await;
    send_all(&mut sender, (0..1_000).map(|n| place(format!("first-{n}")))).await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        let mut socket = Socket::open(&program, &trader.user).await;
        assert_eq!(socket.subscribe(&channel, json!({})).await["type"], "subscribed");
        silent.push(socket);
    }
    let before = program.resident_bytes();
    send_all(&mut sender, (0..ORDERS).map(|n| place(format!("{n}")))).await;
    let growth = program.resident_bytes().saturating_sub(before);
    println!("{} MB more for {SILENT} sockets that nobody reads", growth / 1_000_000);
    assert!(growth < GROWTH_BYTES_MAX, "{growth} bytes");
    // Whoever takes nothing is let go, and everybody else goes on.
    while program.counted("weir_sockets_closed_total", "code=\"4408\"").await < SILENT as u64 {
        trader.user.call(Method::GET, &trader.path(""), &[], None).await.expect(200);
    }
    drop(silent);
}

/// Sends all, as many at once as a socket takes, and waits for the answers.
async fn send_all(socket: &mut Socket, orders: impl Iterator<Item = serde_json::Value>) {
    let mut under_way = std::collections::VecDeque::new();
    for order in orders {
        under_way.push_back(socket.send("order.place", order).await);
        if under_way.len() == 512 {
            let answer = socket.answer(under_way.pop_front().expect("it is full")).await;
            assert_eq!(answer["type"], "reply", "{answer:#}");
        }
    }
    for id in under_way {
        assert_eq!(socket.answer(id).await["type"], "reply");
    }
}
