//! What is about more than one order: all of an account's orders taken off, by their owner or because it was not heard of,
//! and ids that are sealed.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::client::Socket;
use super::market::{SYMBOL, Trader, check, list, list_shares, order, with};
use crate::harness::{Answer, Database, Program, start};

const FEW: &[(&str, &str)] = &[("WEIR_DATABASE_CONNECTIONS", "24")];

impl Trader {
    async fn sweep(&self, body: &Value) -> Answer {
        self.user.call(reqwest::Method::POST, &self.path("/orders:cancel-all"), &[], Some(body)).await
    }

    async fn void(&self, id: &str) -> Answer {
        let path = self.path(&format!("/commands/{id}:void"));
        self.user.call(reqwest::Method::POST, &path, &[], None).await
    }

    async fn set_dead_man(&self, after_ms: u32) -> Answer {
        let path = format!("/v1/trading/accounts/{}:set-dead-man", self.account);
        self.user.call(reqwest::Method::POST, &path, &[], Some(&json!({"after_ms": after_ms}))).await
    }

    async fn orders(&self) -> Vec<Value> {
        let page = self.user.get(&self.path("/orders")).await.expect(200);
        page.body["items"].as_array().unwrap().clone()
    }

    /// Waits until no order is open, and gives the reasons.
    async fn all_off(&self) -> Vec<String> {
        loop {
            let orders = self.orders().await;
            if orders.iter().all(|order| order["status"] != "open") {
                let reason = |order: &Value| order["reason"].as_str().unwrap_or_default().to_owned();
                return orders.iter().map(reason).collect();
            }
        }
    }
}

/// Makes every timer run out now.
async fn time_passes(database: &Database) {
    let passed = "UPDATE trading.dead_man SET fires_at = now() - interval '1 second'";
    database.owner().await.execute(passed, &[]).await.unwrap();
}

#[tokio::test]
async fn a_sweep_takes_off_what_is_open_on_every_instrument_once_for_its_id() {
    let (database, program) = start().await;
    let other = Program::start(&database, FEW).await;
    list_shares(&program, 100, 200).await;
    list(&program, "MSFT", 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "10").await;
    let neighbour = Trader::with(&program, "neighbour", "1000.00", "0").await;
    let msft = |id: &str| with(order(id, "buy", "2.00", "3"), json!({"instrument": "MSFT-USD"}));
    let mut placed = Vec::new();
    for order in [order("a", "buy", "1.00", "5"), order("b", "sell", "9.00", "5"), msft("c")] {
        placed.push(trader.try_place(&order).await.expect(201).text("/order_id").to_owned());
    }
    neighbour.place("n", "buy", "1.00", "5").await;

    let swept = trader.at(&other).sweep(&json!({"sweep_id": "out"})).await.expect(200);
    let of = |at: usize| swept.body["instruments"][at]["order_ids"].as_array().unwrap().clone();
    assert_eq!(
        (swept.text("/instruments/0/instrument"), of(0)),
        (SYMBOL, vec![json!(placed[0]), json!(placed[1])])
    );
    assert_eq!((swept.text("/instruments/1/instrument"), of(1)), ("MSFT-USD", vec![json!(placed[2])]));
    assert_eq!(trader.balance(&swept, "USD").await, ("1000.00".to_owned(), "0.00".to_owned()));
    assert_eq!(trader.all_off().await, ["requested"; 3]);
    assert_eq!(neighbour.orders().await[0]["status"], "open");

    // What was placed since is not the business of the same id.
    trader.place("d", "buy", "1.00", "1").await;
    let again = trader.sweep(&json!({"sweep_id": "out"})).await.expect(200);
    for at in 0..2 {
        let before = with(swept.body["instruments"][at].clone(), json!({"duplicate": true}));
        assert_eq!(again.body["instruments"][at], before);
    }
    assert_eq!(trader.orders().await[0]["status"], "open");
    let differs = trader.sweep(&json!({"sweep_id": "out", "instrument": SYMBOL})).await.expect(409);
    assert_eq!(differs.text("/errors/0/pointer"), "/instrument");
    let nothing = trader.sweep(&json!({"sweep_id": "msft", "instrument": "MSFT-USD"})).await.expect(200);
    assert_eq!(nothing.body["instruments"][0]["order_ids"], json!([]));
    assert_eq!(trader.orders().await[0]["status"], "open");
    trader.sweep(&json!({"sweep_id": "x", "instrument": "NONE-USD"})).await.expect(422);
    let stranger = Trader { account: neighbour.account.clone(), ..trader.clone() };
    stranger.sweep(&json!({"sweep_id": "x"})).await.expect(404);
    check(&program).await;
}

#[tokio::test]
async fn a_sweep_that_was_cut_off_in_the_middle_is_finished_by_sending_it_again() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    trader.place("a", "buy", "1.00", "5").await;
    // What a process leaves behind that dies after the first commit of two.
    let begun = "INSERT INTO trading.sweep (account, id, reason, instruments, at, is_open)
                 VALUES ($1::text::uuid, $2, $3, ARRAY[$4], now(), $5)";
    let owner = database.owner().await;
    owner.execute(begun, &[&trader.account, &"out", &"requested", &SYMBOL, &false]).await.unwrap();
    let swept = trader.sweep(&json!({"sweep_id": "out"})).await.expect(200);
    assert_eq!(swept.body["instruments"][0]["order_ids"].as_array().unwrap().len(), 1);
    assert_eq!(trader.all_off().await, ["requested"]);

    // One that a timer began is finished without anybody's asking.
    trader.place("b", "buy", "1.00", "5").await;
    owner.execute(begun, &[&trader.account, &"~timer/1", &"dead_man", &SYMBOL, &true]).await.unwrap();
    assert_eq!(trader.all_off().await, ["dead_man", "requested"]);
    let open = "SELECT count(*) FROM trading.sweep WHERE is_open";
    while owner.query_one(open, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    check(&program).await;
}

#[tokio::test]
async fn a_sweep_on_a_socket_takes_off_what_was_sent_before_it_and_nothing_after() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let mut socket = Socket::open(&program, &trader.user).await;
    let place = |id: String| with(order(&id, "buy", "1.00", "1"), json!({"account": trader.account}));
    for round in 0..5 {
        for n in 0..20 {
            socket.send("order.place", place(format!("{round}-{n}"))).await;
        }
        let sweep = json!({"account": trader.account, "sweep_id": format!("out-{round}")});
        let sweep = socket.send("orders.cancel_all", sweep).await;
        let after = socket.send("order.place", place(format!("{round}-after"))).await;
        let swept = socket.answer(sweep).await;
        // The one after the last sweep was still open.
        let open = 20 + usize::from(round > 0);
        assert_eq!(
            swept["data"]["instruments"][0]["order_ids"].as_array().map(Vec::len),
            Some(open),
            "{swept:#}"
        );
        assert_eq!(socket.answer(after).await["data"]["status"], "open");
    }
    check(&program).await;
}

#[tokio::test]
async fn an_id_that_was_voided_never_executes_and_one_that_executed_is_never_voided() {
    let (database, program) = start().await;
    let other = Program::start(&database, FEW).await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    assert_eq!(trader.void("never").await.expect(200).text("/outcome"), "void");
    assert_eq!(trader.void("never").await.expect(200).text("/outcome"), "void");
    let refused = trader.try_place(&order("never", "buy", "1.00", "1")).await.expect(409);
    assert_eq!(refused.text("/code"), "client-order-id-voided");
    let known = trader.user.get(&trader.path("/commands/never")).await.expect(200);
    assert_eq!((known.text("/outcome"), &known.body["request"]), ("void", &Value::Null));
    trader.void("no%20id").await.expect(422);

    // Both at once, at two processes: whichever comes first is true for ever.
    let races = (0..40).map(|n| {
        let (near, far, id) = (trader.clone(), trader.at(&other), format!("race-{n}"));
        async move {
            let order = order(&id, "buy", "1.00", "1");
            let (placed, voided) = if n % 2 == 0 {
                tokio::join!(near.try_place(&order), far.void(&id))
            } else {
                let (voided, placed) = tokio::join!(near.void(&id), far.try_place(&order));
                (placed, voided)
            };
            let is_placed = placed.status.as_u16() == 201;
            let outcome = voided.expect(200).text("/outcome").to_owned();
            assert_eq!(outcome, if is_placed { "accepted" } else { "void" }, "{id}: {:#}", placed.body);
            usize::from(is_placed)
        }
    });
    let placed: usize = join_all(races).await.into_iter().sum();
    assert_eq!(trader.orders().await.len(), placed);
    check(&program).await;
}

#[tokio::test]
async fn a_dead_man_timer_runs_out_unless_it_is_set_anew_and_survives_its_process() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    trader.place("a", "buy", "1.00", "1").await;
    trader.set_dead_man(50).await.expect(200);
    assert_eq!(trader.all_off().await, ["dead_man"]);

    // Set anew while it is about to run out, and stopped: nothing happens.
    trader.place("b", "buy", "1.00", "1").await;
    assert!(trader.set_dead_man(60_000).await.expect(200).body["fires_at"].is_string());
    trader.set_dead_man(0).await.expect(200);
    time_passes(&database).await;
    trader.set_dead_man(3_600_001).await.expect(422);

    // The process that took it is gone.
    trader.set_dead_man(60_000).await.expect(200);
    program.kill().await;
    let next = Program::start(&database, &[]).await;
    let trader = trader.at(&next);
    assert_eq!(trader.orders().await[0]["status"], "open");
    time_passes(&database).await;
    assert_eq!(trader.all_off().await, ["dead_man", "dead_man"]);
    check(&next).await;
}

#[tokio::test]
async fn orders_that_depend_on_a_socket_end_with_it_however_it_ends() {
    let (database, program) = start().await;
    let other = Program::start(&database, FEW).await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let attach = async |program: &Program, enabled: bool, grace_ms: u32| {
        let mut socket = Socket::open(program, &trader.user).await;
        let args = json!({"account": trader.account, "enabled": enabled, "grace_ms": grace_ms});
        let id = socket.send("cancel_on_disconnect.set", args).await;
        assert_eq!(socket.answer(id).await["data"]["enabled"], enabled);
        socket
    };
    let socket = attach(&program, true, 0).await;
    trader.place("a", "buy", "1.00", "1").await;
    drop(socket);
    assert_eq!(trader.all_off().await, ["disconnected"]);

    // Another connection takes them on within the grace, at another process.
    let first = attach(&program, true, 60_000).await;
    trader.place("b", "buy", "1.00", "1").await;
    drop(first);
    let second = attach(&other, true, 0).await;
    assert_eq!(trader.orders().await[0]["status"], "open");
    let rows = "SELECT count(*) FROM trading.dead_man WHERE fires_at > now() + interval '20 seconds'";
    let far_off: i64 = database.owner().await.query_one(rows, &[]).await.unwrap().get(0);
    assert_eq!(far_off, 0, "the first connection's grace still counts");

    // That process dies, and its lease ends.
    other.kill().await;
    drop(second);
    assert_eq!(trader.orders().await[0]["status"], "open");
    time_passes(&database).await;
    assert_eq!(trader.all_off().await, ["disconnected"; 2]);

    // Switched off again, a socket ends alone.
    let third = attach(&program, true, 0).await;
    let fourth = attach(&program, false, 0).await;
    trader.place("c", "buy", "1.00", "1").await;
    drop((third, fourth));
    time_passes(&database).await;
    let held: i64 =
        database.owner().await.query_one("SELECT count(*) FROM trading.dead_man", &[]).await.unwrap().get(0);
    assert_eq!((held, &trader.orders().await[0]["status"]), (0, &json!("open")));
    check(&program).await;
}
