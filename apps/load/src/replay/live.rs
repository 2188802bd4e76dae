//! The running service as a venue: an instrument of its own, the replay's own account and one that takes, orders over
//! the WebSocket, and the book from its channel.

use std::sync::Arc;

use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

use super::lobster::{LEVELS, Levels};
use super::player::{Resting, Venue};
use crate::book::Side;
use crate::client::{Error, Socket, Weir};
use crate::trading::{self, Ack, LiveBook, NewOrder};

/// More of both assets than any recording needs.
const DEPOSIT_CASH: &str = "1000000000000.00";
const DEPOSIT_PIECES: &str = "1000000000000";
/// What the asset that is paid with is called.
const QUOTE: &str = "USD";

/// A market of its own in the running service.
pub struct LiveVenue {
    socket: Socket,
    book: LiveBook,
    symbol: Arc<str>,
    /// Whose orders rest.
    account: Uuid,
    /// Another one: an order doesn't meet one of its own account.
    taker: Uuid,
    /// The instrument's last number that a command has told.
    seq: i64,
    takes: u64,
}

impl LiveVenue {
    /// Lists an instrument and opens and fills the accounts.
    pub async fn open(weir: &Weir) -> Result<Self, Error> {
        let scopes = ["operator", "trading:read", "trading:write", "trading:deposit"];
        let caller =
            weir.caller_by(&json!({"sub": "replay", "scopes": scopes, "plan": "market-maker"})).await?;
        let base = trading::fresh_asset("LOB");
        let symbol: Arc<str> = trading::list_instrument(&caller, &base, QUOTE).await?.into();
        let mut opened = [Uuid::nil(); 2];
        for (account, name) in opened.iter_mut().zip(["replay", "taker"]) {
            *account = trading::open_account(&caller, name).await?;
            trading::deposit(&caller, *account, QUOTE, DEPOSIT_CASH).await?;
            trading::deposit(&caller, *account, &base, DEPOSIT_PIECES).await?;
        }
        let [account, taker] = opened;
        let socket = caller.socket(trading::SOCKET).await?;
        let book = LiveBook::follow(&socket, &symbol).await?;
        Ok(Self { socket, book, symbol, account, taker, seq: 0, takes: 0 })
    }

    async fn send(&mut self, order: &NewOrder) -> anyhow::Result<()> {
        let ack = trading::place(&self.socket, order).await?;
        self.saw(&ack);
        Ok(())
    }

    fn saw(&mut self, ack: &Ack) {
        self.seq = self.seq.max(ack.instrument_seq);
    }
}

impl Venue for LiveVenue {
    async fn place(&mut self, order: &Resting) -> anyhow::Result<()> {
        let order = NewOrder {
            account: self.account,
            client_order_id: client_id(order),
            instrument: self.symbol.clone(),
            side: order.side.name(),
            time_in_force: "gtc",
            price: order.price,
            quantity: order.quantity,
        };
        self.send(&order).await
    }

    async fn cancel(&mut self, order: &Resting) -> anyhow::Result<Decimal> {
        let ack = trading::cancel(&self.socket, self.account, &self.symbol, &client_id(order)).await;
        match ack {
            Ok(ack) => {
                self.saw(&ack);
                Ok(if ack.status == "canceled" {
                    order.quantity - ack.filled_quantity
                } else {
                    Decimal::ZERO
                })
            }
            Err(error) if error.code() == Some("order-not-open") => Ok(Decimal::ZERO),
            Err(error) => Err(error.into()),
        }
    }

    async fn take(&mut self, side: Side, price: Decimal, quantity: Decimal) -> anyhow::Result<()> {
        self.takes += 1;
        let order = NewOrder {
            account: self.taker,
            client_order_id: format!("take-{}", self.takes),
            instrument: self.symbol.clone(),
            side: side.opposite().name(),
            time_in_force: "ioc",
            price,
            quantity,
        };
        self.send(&order).await
    }

    async fn book(&mut self) -> anyhow::Result<Levels> {
        let book = self.book.at(self.seq).await?;
        let side = |side| book.best(side, LEVELS).into_iter().map(normal).collect();
        Ok(Levels { bids: side(Side::Buy), asks: side(Side::Sell) })
    }
}

fn client_id(order: &Resting) -> String {
    format!("order-{}", order.number)
}

/// 585.90 and 585.9 are one price.
fn normal((price, quantity): (Decimal, Decimal)) -> (Decimal, Decimal) {
    (price.normalize(), quantity.normalize())
}
