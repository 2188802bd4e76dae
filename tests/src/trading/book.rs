//! The book: over HTTP at a number, on the socket as a snapshot and changes that prove themselves.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trading::matching::checksum;
use trading::model::parse_decimal;

use super::client::Socket;
use super::market::{SYMBOL, Trader, check, list_shares, order, with};
use crate::harness::{Program, start};

const CHANNEL: &str = "book:AAPL-USD";

/// A copy of the book, kept by the channel's messages alone.
#[derive(Debug, Default, PartialEq)]
struct Copy {
    seq: i64,
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Copy {
    /// Applies a message: it must follow on, and the checksum must agree after it.
    fn apply(&mut self, frame: &Value) {
        let data = &frame["data"];
        match frame["type"].as_str().unwrap() {
            "snapshot" => *self = Self::default(),
            "delta" => {
                assert_eq!(frame["prev"], self.seq, "{frame:#}");
                assert_eq!(data["first"], self.seq + 1, "{frame:#}");
            }
            other => panic!("{other}"),
        }
        self.seq = frame["seq"].as_i64().unwrap();
        for (side, told) in [(&mut self.bids, &data["bids"]), (&mut self.asks, &data["asks"])] {
            for (price, quantity) in levels(told) {
                if quantity == 0 {
                    side.remove(&price)
                } else {
                    side.insert(price, quantity)
                };
            }
        }
        let bids = self.bids.iter().rev().map(|(p, q)| (*p, *q));
        assert_eq!(data["checksum"], checksum(bids, self.asks.iter().map(|(p, q)| (*p, *q))), "{frame:#}");
    }

    async fn follow(&mut self, socket: &mut Socket, until: i64) {
        while self.seq < until {
            self.apply(&socket.next(CHANNEL).await);
        }
    }
}

fn levels(side: &Value) -> Vec<(i64, i64)> {
    let units = |value: &Value, scale| parse_decimal(value.as_str().unwrap(), scale).unwrap();
    side.as_array().unwrap().iter().map(|level| (units(&level[0], 2), units(&level[1], 0))).collect()
}

async fn book_at(trader: &Trader, seq: i64) -> Copy {
    let path = format!("/v1/trading/instruments/{SYMBOL}/book?depth=1000&min_seq={seq}");
    let book = trader.user.get(&path).await.expect(200).body;
    assert!(book["seq"].as_i64().unwrap() >= seq);
    Copy {
        seq: book["seq"].as_i64().unwrap(),
        bids: levels(&book["bids"]).into_iter().collect(),
        asks: levels(&book["asks"]).into_iter().collect(),
    }
}

#[tokio::test]
async fn a_copy_that_follows_the_channel_is_the_book_after_every_message() {
    let (database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let maker = Trader::with(&program, "maker", "1000000.00", "10000").await;
    let taker = Trader::with(&program, "taker", "1000000.00", "10000").await;
    maker.place("first", "buy", "99.00", "7").await;

    // One socket here, and one on a process whose lane never writes.
    let other = Program::start(&database, &[]).await;
    let mut sockets = Vec::new();
    for program in [&program, &other] {
        let mut socket = Socket::open(program, &taker.user).await;
        assert_eq!(socket.subscribe(CHANNEL, json!({})).await["type"], "subscribed");
        sockets.push((socket, Copy::default()));
    }
    let mut last = 0;
    let mut ids = Vec::new();
    for n in 0..120i64 {
        let (trader, side) = if n % 3 == 0 { (&taker, "sell") } else { (&maker, "buy") };
        let price = format!("{}.{:02}", 98 + (n * 7) % 3, (n * 13) % 40);
        let placed = trader.place(&format!("n-{n}"), side, &price, &(1 + n % 9).to_string()).await;
        last = placed.body["instrument_seq"].as_i64().unwrap();
        if placed.body["status"] == "open" {
            ids.push((trader, placed.text("/order_id").to_owned()));
        }
        if n % 5 == 4 {
            let (trader, id) = ids.swap_remove(ids.len() / 2);
            let canceled = trader.try_cancel(&id).await;
            last = canceled.body["instrument_seq"].as_i64().map_or(last, |seq| last.max(seq));
        }
    }
    let expected = book_at(&maker, last).await;
    assert_eq!(expected.seq, last);
    for (socket, copy) in &mut sockets {
        copy.follow(socket, last).await;
        assert_eq!(*copy, expected);
    }
    assert_eq!(book_at(&maker.at(&other), last).await, expected);
    check(&program).await;
    check(&other).await;
}

#[tokio::test]
async fn a_channel_is_resumed_after_the_number_that_was_seen() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let mut socket = Socket::open(&program, &trader.user).await;
    socket.subscribe(CHANNEL, json!({})).await;
    let mut copy = Copy::default();
    copy.apply(&socket.next(CHANNEL).await);
    let seen = trader.place("a", "buy", "1.00", "1").await.body["instrument_seq"].as_i64().unwrap();
    copy.follow(&mut socket, seen).await;
    drop(socket);

    let last = trader.place("b", "buy", "2.00", "2").await.body["instrument_seq"].as_i64().unwrap();
    let mut socket = Socket::open(&program, &trader.user).await;
    socket.subscribe(CHANNEL, json!({"resume_from": seen})).await;
    let next = socket.next(CHANNEL).await;
    assert_eq!(next["type"], "delta");
    copy.apply(&next);
    assert_eq!(copy, book_at(&trader, last).await);
}

#[tokio::test]
async fn trades_are_told_as_they_happen_and_again_from_a_number() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100").await;
    let buyer = Trader::with(&program, "buyer", "10000.00", "0").await;
    let mut socket = Socket::open(&program, &buyer.user).await;
    socket.subscribe("trades:AAPL-USD", json!({})).await;
    seller.place("s", "sell", "10.00", "5").await;
    for n in 0..2 {
        buyer.place(&format!("b-{n}"), "buy", "10.00", "2").await;
    }
    let (first, second) = (socket.next("trades:AAPL-USD").await, socket.next("trades:AAPL-USD").await);
    assert_eq!(first["data"]["trades"][0]["number"], 1);
    assert_eq!(second["prev"], first["seq"]);
    let mut again = Socket::open(&program, &seller.user).await;
    again.subscribe("trades:AAPL-USD", json!({"resume_from": first["seq"]})).await;
    assert_eq!(again.next("trades:AAPL-USD").await["data"], second["data"]);
}

#[tokio::test]
async fn a_book_is_never_older_than_what_was_asked_for() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "1000.00", "0").await;
    let behind = format!("/v1/trading/instruments/{SYMBOL}/book?min_seq=1000");
    let refused = trader.user.get(&behind).await.expect(503);
    assert_eq!(refused.text("/code"), "projection-behind");
    assert!(!refused.header("retry-after").is_empty());
    // The token of an order is enough to see it.
    for n in 0..20 {
        let placed = trader.place(&format!("b-{n}"), "buy", "1.00", "1").await;
        let token = [("Consistency-Token", placed.header("consistency-token"))];
        let path = format!("/v1/trading/instruments/{SYMBOL}/book");
        let book = trader.user.call(reqwest::Method::GET, &path, &token, None).await.expect(200);
        assert!(book.body["seq"].as_i64() >= placed.body["instrument_seq"].as_i64());
    }
    trader.user.get("/v1/trading/instruments/NO-SUCH/book").await.expect(404);
    trader.user.get(&format!("/v1/trading/instruments/{SYMBOL}/book?depth=0")).await.expect(400);
}

#[tokio::test]
async fn commands_of_one_socket_execute_in_the_order_in_which_they_were_sent() {
    let (_database, program) = start().await;
    list_shares(&program, 0, 0).await;
    let trader = Trader::with(&program, "trader", "100000.00", "0").await;
    let mut socket = Socket::open(&program, &trader.user).await;
    let mut sent = Vec::new();
    for n in 0..200 {
        let id = format!("b-{n}");
        let place = with(order(&id, "buy", "1.00", "1"), json!({"account": trader.account}));
        socket.send("order.place", place).await;
        let cancel = json!({"account": trader.account, "client_order_id": id, "instrument": SYMBOL});
        sent.push(socket.send("order.cancel", cancel).await);
    }
    for id in sent {
        let answer = socket.answer(id).await;
        assert_eq!(answer["data"]["status"], "canceled", "{answer:#}");
        assert_eq!(answer["data"]["duplicate"], false, "{answer:#}");
    }
    check(&program).await;
}
