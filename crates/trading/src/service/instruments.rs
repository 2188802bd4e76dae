//! Listing instruments, and reading their trades.

use api::{IdempotencyKey, PageRequest, Reply, idempotency};
use common::context::Context;
use common::db::{Freshness, Tx};
use common::events::{NewEvent, log};
use uuid::Uuid;

use super::accounts::open;
use super::{FOR_ONE, Trading};
use crate::error::{Error, field};
use crate::events::{LISTED, SCHEMA, instrument_stream};
use crate::model::{
    AccountId, Asset, DecimalError, Instrument, InstrumentId, InstrumentRuleError, InstrumentStatus,
    parse_decimal,
};
use crate::store::accounts::AccountRow;
use crate::store::instruments::{
    ensure_asset, find_instrument_by_symbol, insert_instrument, list_instruments,
};
use crate::store::orders::{TradeRow, list_trades};
use crate::wire;

/// An instrument to be listed, as the operator writes it.
#[derive(Clone, Debug)]
pub struct NewInstrument {
    /// `AAPL-USD`
    pub symbol: String,
    /// What is bought and sold.
    pub base: Asset,
    /// What is paid with.
    pub quote: Asset,
    /// Decimals of a price.
    pub price_scale: u8,
    /// A decimal.
    pub tick: String,
    /// A decimal.
    pub lot: String,
    /// Fee of the order that rested.
    pub maker_fee_ppm: i32,
    /// Fee of the order that came.
    pub taker_fee_ppm: i32,
}

impl Trading {
    /// Lists an instrument.
    pub async fn list_instrument(
        &self,
        ctx: &Context,
        key: &IdempotencyKey,
        new: &NewInstrument,
    ) -> Result<Reply, Error> {
        let reply = idempotency::once(ctx, &self.dp.db, key, move |tx| {
            Box::pin(async move {
                let listed = list(tx, ctx, new).await?;
                let location = format!("/v1/trading/instruments/{}", listed.symbol);
                Ok::<_, Error>(Reply::created(location, &wire::Instrument::from(&listed)))
            })
        });
        Ok(reply.await?)
    }

    /// An instrument by its symbol.
    pub async fn get_instrument(&self, ctx: &Context, symbol: &str) -> Result<Instrument, Error> {
        for freshness in FOR_ONE {
            if let Some(found) = find_instrument_by_symbol(&self.dp.db, ctx, freshness, symbol).await? {
                return Ok(found);
            }
        }
        Err(Error::NotFound)
    }

    /// The instruments by their symbols.
    pub async fn list_instruments(
        &self,
        ctx: &Context,
        page: &PageRequest,
    ) -> Result<Vec<Instrument>, Error> {
        let after = page.after::<String>()?.unwrap_or_default();
        Ok(list_instruments(&self.dp.db, ctx, Freshness::ReadYourWrites, &after, page.rows()).await?)
    }

    /// An instrument's trades, the newest first.
    pub async fn list_trades(
        &self,
        ctx: &Context,
        instrument: &Instrument,
        page: &PageRequest,
    ) -> Result<Vec<TradeRow>, Error> {
        let before = page.after::<i64>()?.unwrap_or(i64::MAX);
        let db = &self.dp.db;
        Ok(list_trades(db, ctx, Freshness::ReadYourWrites, instrument.id, before, page.rows()).await?)
    }
}

/// Lists an instrument in `tx`, with an account of its own for its fees.
pub(super) async fn list(tx: &mut Tx<'_>, ctx: &Context, new: &NewInstrument) -> Result<Instrument, Error> {
    let instrument = read(ctx, new)?;
    // Sorted, for two listings may share both assets.
    let mut assets = [&instrument.base, &instrument.quote];
    assets.sort_by_key(|asset| asset.code.clone());
    for asset in assets {
        let scale = ensure_asset(tx, asset).await?;
        if scale != asset.scale {
            return Err(Error::AssetDiffers { code: asset.code.to_string(), scale });
        }
    }
    if !insert_instrument(tx, &instrument).await? {
        return Err(Error::SymbolTaken);
    }
    let fees = AccountRow {
        id: instrument.fee_account,
        name: format!("fees of {}", instrument.symbol),
        created_at: instrument.created_at,
    };
    open(tx, fees, None).await?;
    let stream = instrument_stream(instrument.id);
    log::create(tx, stream).await?;
    let body = serde_json::to_value(wire::Instrument::from(&instrument));
    let listed = NewEvent {
        stream,
        seq: 1,
        actor: &ctx.caller().subject,
        subject: "instrument",
        kind: LISTED,
        schema: SCHEMA,
        body: body.map_err(|error| Error::Broken(format!("an event can't be written: {error}")))?,
    };
    log::append(tx, instrument.created_at, vec![listed]).await?;
    Ok(instrument)
}

fn read(ctx: &Context, new: &NewInstrument) -> Result<Instrument, Error> {
    let wrong = |pointer: &str, error: DecimalError| field(pointer, error.to_string(), "invalid");
    let mut errors = Vec::new();
    let mut decimal = |pointer: &str, text: &str, scale: u8| {
        parse_decimal(text, scale).map_err(|error| errors.push(wrong(pointer, error))).unwrap_or_default()
    };
    let (tick, lot) =
        (decimal("/tick", &new.tick, new.price_scale), decimal("/lot", &new.lot, new.base.scale));
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let instrument = Instrument {
        id: InstrumentId(Uuid::now_v7()),
        symbol: new.symbol.as_str().into(),
        base: new.base.clone(),
        quote: new.quote.clone(),
        price_scale: new.price_scale,
        tick,
        lot,
        status: InstrumentStatus::Trading,
        maker_fee_ppm: new.maker_fee_ppm,
        taker_fee_ppm: new.taker_fee_ppm,
        fee_account: AccountId(Uuid::now_v7()),
        version: 1,
        created_at: ctx.now(),
    };
    instrument.check().map_err(|error| {
        let pointer = match error {
            InstrumentRuleError::SameAsset => "/quote",
            InstrumentRuleError::Scale => "/price_scale",
            InstrumentRuleError::Tick | InstrumentRuleError::Fraction => "/tick",
            InstrumentRuleError::Lot => "/lot",
            InstrumentRuleError::Fee => "/taker_fee_ppm",
        };
        Error::invalid(pointer, error.to_string())
    })?;
    Ok(instrument)
}
