//! Placing and cancelling: what a client says becomes a command of the instrument's lane. Reading orders, fills and
//! decided commands.

use std::sync::Arc;

use api::PageRequest;
use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{DbError, Freshness, TxOptions};
use common::events::log;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use uuid::Uuid;

use super::{FOR_ONE, Listing, Trading};
use crate::error::{Error, field};
use crate::lane::command::{Ack, Command, Flight, Prior, Reply, Request, Target};
use crate::model::{
    AccountId, DecimalError, Instrument, OrderId, OrderType, PRICE_MAX, QUANTITY_MAX, SelfTrade, Side,
    TimeInForce, parse_decimal,
};
use crate::store::orders::{self, CommandRow, FillRow, OrderRow};

/// An order as a client writes it.
#[derive(Clone, Debug)]
pub struct OrderContent {
    /// The client's own id.
    pub client_order_id: String,
    /// The instrument's symbol.
    pub instrument: String,
    /// Which way.
    pub side: Side,
    /// How it is priced.
    pub r#type: OrderType,
    /// How long it stays.
    pub time_in_force: TimeInForce,
    /// What happens when it would meet an order of its own account.
    pub self_trade: SelfTrade,
    /// A decimal.
    pub price: String,
    /// A decimal.
    pub quantity: String,
}

/// An order as a client names it.
#[derive(Clone, Debug)]
pub enum WhichOrder {
    /// By the id that it was given here.
    Id(OrderId),
    /// By the id that its owner gave it.
    ClientId(Arc<str>),
}

/// What is known of a client order id.
pub struct CommandFound {
    /// On which instrument; `None` when it is void.
    pub listing: Option<Arc<Listing>>,
    /// What was decided.
    pub prior: Prior,
    /// When.
    pub at: DateTime<Utc>,
}

/// A command that is queued and will be answered.
pub type Commanded = BoxFuture<'static, Result<(Arc<Listing>, Ack), Error>>;

impl Listing {
    /// Places an order, once for its client id. It is queued before this returns.
    pub fn place(
        self: &Arc<Self>,
        ctx: &Context,
        account: AccountId,
        content: &OrderContent,
        flight: Option<Flight>,
    ) -> Commanded {
        let request = match read_content(&self.instrument, content) {
            Ok(request) => request,
            Err(error) => return ready(Err(error)).boxed(),
        };
        self.command(
            ctx,
            account,
            Command::Place { client_id: content.client_order_id.as_str().into(), request },
            flight,
        )
    }

    /// Takes an open order off. It is queued before this returns.
    pub fn cancel(
        self: &Arc<Self>,
        ctx: &Context,
        account: AccountId,
        which: WhichOrder,
        flight: Option<Flight>,
    ) -> Commanded {
        let target = match which {
            WhichOrder::Id(id) => Target::Order(id),
            WhichOrder::ClientId(client_id) => Target::Client(client_id),
        };
        self.command(ctx, account, Command::Cancel(target), flight)
    }

    fn command(
        self: &Arc<Self>,
        ctx: &Context,
        account: AccountId,
        command: Command,
        flight: Option<Flight>,
    ) -> Commanded {
        let listing = self.clone();
        let done = self.lane.submit(ctx, account, command, flight);
        done.map(|reply| match reply? {
            Reply::Order(ack) => Ok((listing, ack)),
            Reply::Swept(_) => Err(Error::Broken("an order's command was answered as a sweep".to_owned())),
        })
        .boxed()
    }
}

impl Trading {
    /// Places an order, once for its client id.
    pub async fn place_order(
        &self,
        ctx: &Context,
        account: AccountId,
        content: &OrderContent,
    ) -> Result<(Arc<Listing>, Ack), Error> {
        self.find_for_order(ctx, &content.instrument).await?.place(ctx, account, content, None).await
    }

    /// Takes an open order off.
    pub async fn cancel_order(
        &self,
        ctx: &Context,
        account: AccountId,
        which: WhichOrder,
    ) -> Result<(Arc<Listing>, Ack), Error> {
        self.find_for_cancel(ctx, account, &which, None).await?.cancel(ctx, account, which, None).await
    }

    /// The instrument of an order that is to be placed.
    pub async fn find_for_order(&self, ctx: &Context, symbol: &str) -> Result<Arc<Listing>, Error> {
        self.directory.find(ctx, symbol).await.map_err(|error| match error {
            Error::NotFound => Error::invalid("/instrument", "is not listed"),
            error => error,
        })
    }

    /// The instrument of an order that is to be taken off: the one that is named, or else where the order is.
    pub async fn find_for_cancel(
        &self,
        ctx: &Context,
        account: AccountId,
        which: &WhichOrder,
        named: Option<&str>,
    ) -> Result<Arc<Listing>, Error> {
        let symbol = match named {
            Some(symbol) => symbol.into(),
            None => self.find_symbol(ctx, account, which).await?,
        };
        self.directory.find(ctx, &symbol).await
    }

    /// The instrument that an order of the account is on.
    async fn find_symbol(
        &self,
        ctx: &Context,
        account: AccountId,
        which: &WhichOrder,
    ) -> Result<Arc<str>, Error> {
        self.owners.check(ctx, account).await?;
        let db = &self.dp.db;
        let symbol = match which {
            WhichOrder::Id(id) => {
                orders::find_orders_instrument(db, ctx, account, *id).await?.map(Into::into)
            }
            WhichOrder::ClientId(client_id) => {
                orders::find_command(db, ctx, account, client_id).await?.and_then(|row| row.symbol)
            }
        };
        symbol.ok_or(Error::NotFound)
    }

    /// What was decided under a client order id; `NotFound` when it was never seen.
    pub async fn get_command(
        &self,
        ctx: &Context,
        account: AccountId,
        client_id: &str,
    ) -> Result<CommandFound, Error> {
        self.owners.check(ctx, account).await?;
        // Whoever asks wants to know whether it has happened: only the writer can say that it has not, and what it has must
        // be where no failover loses it.
        let found = self.dp.db.write(ctx, TxOptions::default(), |tx| {
            Box::pin(async move {
                tx.vouch_for_reads().await?;
                orders::find_command_in(tx, account, client_id).await
            })
        });
        self.command_found(ctx, client_id, &found.await?.ok_or(Error::NotFound)?).await
    }

    /// Seals a client order id that was never used: no order will ever be placed under it. What was decided under it
    /// before stays, and is the answer.
    pub async fn void_command(
        &self,
        ctx: &Context,
        account: AccountId,
        client_id: &str,
    ) -> Result<CommandFound, Error> {
        self.owners.check(ctx, account).await?;
        let at = ctx.now();
        let mut may_be_done = false;
        loop {
            let voided = self.dp.db.write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    // Whoever decides about an id holds its account's lock; so does one whose COMMIT was lost and goes on.
                    log::lock(tx, &[account.0]).await?;
                    orders::void_command(tx, account, client_id, at).await?;
                    orders::find_command_in(tx, account, client_id).await
                })
            });
            match voided.await {
                Ok(row) => return self.command_found(ctx, client_id, &row.ok_or(Error::NotFound)?).await,
                Err(DbError::Unknown) if !ctx.remaining().is_zero() => may_be_done = true,
                Err(_) if may_be_done => return Err(Error::Unknown),
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn command_found(
        &self,
        ctx: &Context,
        client_id: &str,
        row: &CommandRow,
    ) -> Result<CommandFound, Error> {
        let listing = match &row.symbol {
            Some(symbol) => Some(self.directory.find(ctx, symbol).await?),
            None => None,
        };
        Ok(CommandFound { listing, prior: Prior::read(&client_id.into(), &row.decided)?, at: row.at })
    }

    /// An order of the account.
    pub async fn get_order(&self, ctx: &Context, account: AccountId, id: OrderId) -> Result<OrderRow, Error> {
        self.owners.check(ctx, account).await?;
        for freshness in FOR_ONE {
            if let Some(order) = orders::find_order(&self.dp.db, ctx, freshness, account, id).await? {
                return Ok(order);
            }
        }
        Err(Error::NotFound)
    }

    /// The account's orders, the newest first.
    pub async fn list_orders(
        &self,
        ctx: &Context,
        account: AccountId,
        only_open: bool,
        page: &PageRequest,
    ) -> Result<Vec<OrderRow>, Error> {
        self.owners.check(ctx, account).await?;
        let before = page.after::<Uuid>()?.unwrap_or(Uuid::max());
        let db = &self.dp.db;
        Ok(orders::list_orders(db, ctx, Freshness::ReadYourWrites, account, only_open, before, page.rows())
            .await?)
    }

    /// The account's fills, the newest first.
    pub async fn list_fills(
        &self,
        ctx: &Context,
        account: AccountId,
        page: &PageRequest,
    ) -> Result<Vec<FillRow>, Error> {
        self.owners.check(ctx, account).await?;
        let before = page.after::<(i64, i64)>()?.unwrap_or((i64::MAX, i64::MAX));
        Ok(orders::list_fills(&self.dp.db, ctx, Freshness::ReadYourWrites, account, before, page.rows())
            .await?)
    }
}

/// Puts price and quantity on the instrument's grid, or says what is wrong with each.
fn read_content(on: &Instrument, content: &OrderContent) -> Result<Request, Error> {
    let mut errors = Vec::new();
    let mut read = |pointer: &str, text: &str, scale: u8, step: i64, max: i64| {
        let wrong = match parse_decimal(text, scale) {
            Ok(units) if units <= 0 => "must be above zero".to_owned(),
            Ok(units) if units > max => DecimalError::TooLarge.to_string(),
            Ok(units) if units % step != 0 => {
                format!("is not a multiple of {}", crate::model::Decimal { units: step, scale })
            }
            Ok(units) => return Some(units),
            Err(error) => error.to_string(),
        };
        errors.push(field(pointer, wrong, "invalid"));
        None
    };
    let price = read("/price", &content.price, on.price_scale, on.tick, PRICE_MAX);
    let quantity = read("/quantity", &content.quantity, on.base.scale, on.lot, QUANTITY_MAX);
    let (Some(price), Some(quantity)) = (price, quantity) else { return Err(Error::Invalid(errors)) };
    if on.notional(price, quantity).is_none() {
        return Err(Error::invalid("/quantity", "is worth more at this price than one order may be"));
    }
    Ok(Request {
        side: content.side,
        r#type: content.r#type,
        time_in_force: content.time_in_force,
        self_trade: content.self_trade,
        price,
        quantity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(price: &str, quantity: &str) -> OrderContent {
        OrderContent {
            client_order_id: "a".into(),
            instrument: "AAPL-USD".into(),
            side: Side::Buy,
            r#type: OrderType::Limit,
            time_in_force: TimeInForce::Gtc,
            self_trade: SelfTrade::CancelTaker,
            price: price.into(),
            quantity: quantity.into(),
        }
    }

    fn wrong(content: &OrderContent) -> Vec<String> {
        let on = Instrument { tick: 5, lot: 10, ..crate::model::tests::shares(0, 0) };
        match read_content(&on, content) {
            Err(Error::Invalid(errors)) => errors.into_iter().map(|error| error.pointer).collect(),
            Err(error) => panic!("{error}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn every_wrong_field_of_an_order_is_named() {
        assert!(wrong(&content("585.95", "20")).is_empty());
        assert_eq!(wrong(&content("585.94", "20")), ["/price"]);
        assert_eq!(wrong(&content("585.955", "25")), ["/price", "/quantity"]);
        assert_eq!(wrong(&content("0", "-10")), ["/price", "/quantity"]);
        assert_eq!(wrong(&content("99999999999.95", "9999999999990")), ["/quantity"]);
    }
}
