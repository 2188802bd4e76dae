//! Trading's part of the API, typed as far as the programs here and the tests use it.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::book::{Book, Side};
use crate::client::{Caller, Error, Pending, Socket, Subscription};

/// Where the socket is.
pub const SOCKET: &str = "/v1/trading/ws";

/// An order to be placed.
#[derive(Clone, Debug, Serialize)]
pub struct NewOrder {
    /// The account.
    pub account: Uuid,
    /// The client's own id, unique in the account for ever.
    pub client_order_id: String,
    /// The instrument's symbol.
    pub instrument: Arc<str>,
    /// `buy` or `sell`.
    pub side: &'static str,
    /// `gtc` or `ioc`.
    pub time_in_force: &'static str,
    /// The limit.
    pub price: Decimal,
    /// How many.
    pub quantity: Decimal,
}

/// What a committed command did.
#[derive(Clone, Debug, Deserialize)]
pub struct Ack {
    /// The order.
    pub order_id: Uuid,
    /// The client's own id for it.
    pub client_order_id: String,
    /// Where it is in its life.
    pub status: String,
    /// What was traded of it.
    pub filled_quantity: Decimal,
    /// The number of the account's event.
    pub seq: i64,
    /// The number of the instrument's event.
    pub instrument_seq: i64,
    /// Whether an earlier command had done this.
    pub duplicate: bool,
}

/// The operations by name, so that none is allocated per message.
#[derive(Clone, Debug)]
pub struct Operations {
    /// `order.place`
    pub place: Arc<str>,
    /// `order.cancel`
    pub cancel: Arc<str>,
}

impl Default for Operations {
    fn default() -> Self {
        Self { place: "order.place".into(), cancel: "order.cancel".into() }
    }
}

/// Places an order and gives what its answer will be.
pub async fn start_place(
    socket: &Socket,
    operations: &Operations,
    order: &NewOrder,
) -> Result<Pending, Error> {
    socket.start(&operations.place, order).await
}

/// Places an order and waits until it is durable.
pub async fn place(socket: &Socket, order: &NewOrder) -> Result<Ack, Error> {
    socket.call("order.place", order).await?.parse()
}

/// Cancels an order by the client's own id.
pub async fn cancel(
    socket: &Socket,
    account: Uuid,
    instrument: &str,
    client_order_id: &str,
) -> Result<Ack, Error> {
    let args = json!({"account": account, "instrument": instrument, "client_order_id": client_order_id});
    socket.call("order.cancel", &args).await?.parse()
}

/// An instrument to be listed; the base asset is counted in whole pieces, the quote asset and prices in cents.
pub async fn list_instrument(operator: &Caller, base: &str, quote: &str) -> Result<String, Error> {
    let symbol = format!("{base}-{quote}");
    let body = json!({
        "symbol": symbol,
        "base": {"code": base, "scale": 0},
        "quote": {"code": quote, "scale": 2},
        "price_scale": 2,
        "tick": "0.01",
        "lot": "1",
    });
    operator.post("/v1/trading/instruments", &body).await?.ok()?;
    Ok(symbol)
}

/// Opens an account.
pub async fn open_account(caller: &Caller, name: &str) -> Result<Uuid, Error> {
    let answer = caller.post("/v1/trading/accounts", &json!({"name": name})).await?.ok()?;
    answer.text_at("/id")?.parse().map_err(|_| Error::Shape("account id".to_owned()))
}

/// Deposits into an account of the caller's.
pub async fn deposit(caller: &Caller, account: Uuid, asset: &str, amount: &str) -> Result<(), Error> {
    let body = json!({"asset": asset, "amount": amount});
    caller.post(&format!("/v1/trading/accounts/{account}/deposits"), &body).await?.ok().map(|_| ())
}

/// A code for an asset that no earlier run has used: `prefix` and random letters, at most 12 characters.
pub fn fresh_asset(prefix: &str) -> String {
    const LENGTH: usize = 12;
    let random = Uuid::new_v4().simple().to_string().to_uppercase();
    prefix.chars().chain(random.chars()).take(LENGTH).collect()
}

/// An instrument's book, kept up to date by its channel.
pub struct LiveBook {
    book: Book,
    channel: Subscription,
}

impl LiveBook {
    /// Follows the book from its snapshot on.
    pub async fn follow(socket: &Socket, symbol: &str) -> Result<Self, Error> {
        let channel = socket.subscribe(&format!("book:{symbol}"), None).await?;
        let mut live = Self { book: Book::default(), channel };
        live.step().await?;
        Ok(live)
    }

    /// The book once it has seen the instrument's event `seq`.
    pub async fn at(&mut self, seq: i64) -> Result<&Book, Error> {
        while self.book.seq() < seq {
            self.step().await?;
        }
        Ok(&self.book)
    }

    async fn step(&mut self) -> Result<(), Error> {
        let frame = self.channel.next().await?;
        self.book.apply(&frame)
    }
}

/// As the API writes it.
impl Serialize for Side {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
