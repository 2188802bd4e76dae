//! A COMMIT whose answer is lost: the lane finds out what became of it before it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::market::{Trader, check, list_shares};
use crate::harness::{Database, Program};

/// Nothing is lost.
const PASS: u8 = 0;
/// The next COMMIT reaches the server, its answer reaches nobody.
const LOSE_ANSWER: u8 = 1;
/// The next COMMIT doesn't even reach the server.
const LOSE_COMMIT: u8 = 2;

/// How the sessions of the module's pool call themselves when they begin.
const POOL: &[u8] = b"weir trading writer";

/// Stands between the program and its database.
struct Proxy {
    url: String,
    mode: Arc<AtomicU8>,
}

impl Proxy {
    async fn start(database: &Database) -> Self {
        let mut url = Url::parse(&database.url()).unwrap();
        let server = (url.host_str().unwrap().to_owned(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (host, port) = ("127.0.0.1", listener.local_addr().unwrap().port());
        url.set_host(Some(host)).unwrap();
        url.set_port(Some(port)).unwrap();
        let mode = Arc::new(AtomicU8::new(PASS));
        let of_proxy = mode.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let server = TcpStream::connect(&server).await.unwrap();
                client.set_nodelay(true).unwrap();
                server.set_nodelay(true).unwrap();
                tokio::spawn(carry(client, server, of_proxy.clone()));
            }
        });
        Self { url: url.to_string(), mode }
    }

    fn set(&self, mode: u8) {
        self.mode.store(mode, Ordering::SeqCst);
    }

    fn has_lost(&self) -> bool {
        self.mode.load(Ordering::SeqCst) == PASS
    }
}

/// Carries bytes both ways until one side ends or a COMMIT is to be lost.
async fn carry(client: TcpStream, server: TcpStream, mode: Arc<AtomicU8>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (lost, is_lost) = tokio::sync::watch::channel(false);
    tokio::select! {
        () = carry_questions(from_client, to_server, &mode, &lost) => {}
        () = carry_answers(from_server, to_client, is_lost) => {}
    }
}

async fn carry_questions(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mode: &AtomicU8,
    lost: &tokio::sync::watch::Sender<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_pool = None;
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        let bytes = &buffer[..count];
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        let is_pool = *is_pool.get_or_insert_with(|| has(POOL));
        if is_pool && has(b"COMMIT") {
            match mode.swap(PASS, Ordering::SeqCst) {
                LOSE_COMMIT => return,
                LOSE_ANSWER => drop(lost.send_replace(true)),
                _ => {}
            }
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

async fn carry_answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    lost: tokio::sync::watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        // The server has answered: it is committed, and nobody will hear of it.
        if *lost.borrow() || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_order_whose_commit_got_no_answer_is_answered_as_it_happened_and_happens_once() {
    let database = Database::create().await;
    let proxy = Proxy::start(&database).await;
    let program = Program::start(&database, &[("DATABASE_URL", &proxy.url)]).await;
    list_shares(&program, 0, 0).await;
    let seller = Trader::with(&program, "seller", "0", "100").await;
    let buyer = Trader::with(&program, "buyer", "1000.00", "0").await;
    for round in 0..6 {
        let id = format!("n-{round}");
        proxy.set(if round % 2 == 0 { LOSE_ANSWER } else { LOSE_COMMIT });
        let asked = seller.place(&id, "sell", "10.00", "3").await;
        assert!(proxy.has_lost());
        assert_eq!(asked.body["duplicate"], false, "it is this command's own effect");
        let again = seller.try_place(&super::market::order(&id, "sell", "10.00", "3")).await.expect(200);
        assert_eq!(again.body["seq"], asked.body["seq"]);

        proxy.set(if round % 2 == 0 { LOSE_COMMIT } else { LOSE_ANSWER });
        let bought = buyer.place(&id, "buy", "10.00", "3").await;
        assert!(proxy.has_lost());
        assert_eq!((bought.text("/status"), bought.text("/filled_quantity")), ("filled", "3"));
    }
    let resting = seller.place("last", "sell", "11.00", "5").await;
    for (mode, is_duplicate) in [(LOSE_ANSWER, false), (LOSE_COMMIT, true)] {
        proxy.set(mode);
        let canceled = seller.try_cancel(resting.text("/order_id")).await.expect(200);
        assert_eq!(canceled.text("/status"), "canceled");
        assert_eq!(canceled.body["duplicate"], is_duplicate);
    }
    let shares = |balance: (String, String)| balance.0;
    assert_eq!(shares(buyer.balance(&resting, "AAPL").await), "18");
    check(&program).await;
    let metrics = reqwest::get(format!("{}/metrics", program.admin)).await.unwrap().text().await.unwrap();
    let counted = metrics.lines().find(|line| line.starts_with("weir_trading_unknown_outcomes_total"));
    assert!(counted.is_some(), "no outcome was ever unknown");
}
