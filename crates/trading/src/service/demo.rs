//! Demonstration data: an instrument, two accounts of the caller's with money and shares, and a few orders. Loaded once,
//! however often it is asked for.

use common::context::Context;
use common::db::{Freshness, Tx, TxOptions};
use uuid::Uuid;

use super::accounts::{enter_deposit, open};
use super::instruments::list;
use super::{NewInstrument, OrderContent, Trading};
use crate::error::Error;
use crate::model::{AccountId, Asset, OrderType, SelfTrade, Side, TimeInForce};
use crate::store::accounts::{AccountRow, find_account};
use crate::store::instruments::find_instrument_by_symbol;

/// The instrument.
const SYMBOL: &str = "AAPL-USD";
/// What each account begins with.
const DEPOSITS: [(&str, &str); 2] = [("AAPL", "100000"), ("USD", "100000000.00")];
/// What rests in the book: side, price, quantity.
const ORDERS: [(Side, &str, &str); 6] = [
    (Side::Buy, "585.30", "100"),
    (Side::Buy, "585.20", "200"),
    (Side::Buy, "585.00", "400"),
    (Side::Sell, "585.90", "100"),
    (Side::Sell, "586.00", "200"),
    (Side::Sell, "586.20", "400"),
];

impl Trading {
    /// Loads it for the context's caller.
    pub(crate) async fn load_demo(&self, ctx: &Context) -> Result<(), Error> {
        self.ensure_instrument(ctx).await?;
        let maker = self.ensure_account(ctx, "market maker").await?;
        self.ensure_account(ctx, "portfolio").await?;
        for (at, (side, price, quantity)) in ORDERS.into_iter().enumerate() {
            let content = OrderContent {
                client_order_id: format!("demo-{at}"),
                instrument: SYMBOL.to_owned(),
                side,
                r#type: OrderType::Limit,
                time_in_force: TimeInForce::Gtc,
                self_trade: SelfTrade::CancelTaker,
                price: price.to_owned(),
                quantity: quantity.to_owned(),
            };
            match self.place_order(ctx, maker, &content).await {
                // Rejected for ever, when it was loaded into a market that had halted or the money was gone.
                Ok(_) | Err(Error::Rejected { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn ensure_instrument(&self, ctx: &Context) -> Result<(), Error> {
        if find_instrument_by_symbol(&self.dp.db, ctx, Freshness::Strong, SYMBOL).await?.is_some() {
            return Ok(());
        }
        let asset = |code: &str, scale| Asset { code: code.into(), scale };
        let new = &NewInstrument {
            symbol: SYMBOL.to_owned(),
            base: asset("AAPL", 0),
            quote: asset("USD", 2),
            price_scale: 2,
            tick: "0.01".to_owned(),
            lot: "1".to_owned(),
            maker_fee_ppm: 0,
            taker_fee_ppm: 0,
        };
        let listed = self
            .dp
            .db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move { list(tx, ctx, new).await.map(drop) })
            })
            .await;
        match listed {
            // Another process was faster.
            Err(Error::SymbolTaken) => Ok(()),
            listed => listed,
        }
    }

    /// An account whose id follows from its owner and name.
    async fn ensure_account(&self, ctx: &Context, name: &str) -> Result<AccountId, Error> {
        let owner = &*ctx.caller().subject;
        let of = format!("weir:trading:demo:{owner}:{name}");
        let id = AccountId(Uuid::new_v5(&Uuid::NAMESPACE_URL, of.as_bytes()));
        if find_account(&self.dp.db, ctx, Freshness::Strong, id).await?.is_none() {
            self.dp
                .db
                .write(ctx, TxOptions::default(), |tx| Box::pin(open_with_deposits(tx, ctx, id, name)))
                .await?;
        }
        Ok(id)
    }
}

async fn open_with_deposits(tx: &mut Tx<'_>, ctx: &Context, id: AccountId, name: &str) -> Result<(), Error> {
    let row = AccountRow { id, name: name.to_owned(), created_at: ctx.now() };
    open(tx, row, Some(&*ctx.caller().subject)).await?;
    for (asset, amount) in DEPOSITS {
        enter_deposit(tx, ctx, id, asset, amount).await?;
    }
    Ok(())
}
