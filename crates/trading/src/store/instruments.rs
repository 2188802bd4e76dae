//! Assets and instruments.

use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx, WriteStatement};
use uuid::Uuid;

use super::word;
use crate::model::{AccountId, Asset, Instrument, InstrumentId, InstrumentStatus};

/// Instruments that are loaded at the start of a process.
pub const INSTRUMENTS_MAX: i64 = 10_000;

macro_rules! columns {
    () => {
        "id, symbol, base, base_scale, quote, quote_scale, price_scale, tick, lot, status, maker_fee_ppm, \
         taker_fee_ppm, fee_account, version, created_at"
    };
}

common::statements! {
    /// An instrument by its symbol.
    read FIND_INSTRUMENT_BY_SYMBOL = concat!("SELECT ", columns!(), " FROM instrument WHERE symbol = $1");
    /// An instrument by its id.
    read FIND_INSTRUMENT = concat!("SELECT ", columns!(), " FROM instrument WHERE id = $1");
    /// Instruments by their symbols, a page of them.
    read LIST_INSTRUMENTS = concat!("SELECT ", columns!(), " FROM instrument WHERE symbol > $1 ORDER BY symbol LIMIT $2");
    /// An asset that may be known already; its scale then stays.
    write INSERT_ASSET = "INSERT INTO asset (code, scale) VALUES ($1, $2) ON CONFLICT (code) DO NOTHING";
    /// An asset's scale, after `INSERT_ASSET`.
    read FIND_ASSET = "SELECT scale FROM asset WHERE code = $1";
    /// A new instrument; none when the symbol is taken.
    write INSERT_INSTRUMENT = concat!("INSERT INTO instrument (", columns!(), ")
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
        ON CONFLICT (symbol) DO NOTHING RETURNING id");
}

/// An instrument by its symbol.
pub async fn find_instrument_by_symbol(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    symbol: &str,
) -> Result<Option<Instrument>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_INSTRUMENT_BY_SYMBOL, &[&symbol]).await?;
    row.as_ref().map(|row| instrument(row, FIND_INSTRUMENT_BY_SYMBOL.0.name)).transpose()
}

/// The instrument as it is under its lock.
pub async fn find_instrument(tx: &mut Tx<'_>, id: InstrumentId) -> Result<Instrument, DbError> {
    instrument(&tx.row(&FIND_INSTRUMENT, &[&id.0]).await?, FIND_INSTRUMENT.0.name)
}

/// Up to `limit` instruments whose symbols follow `after`.
pub async fn list_instruments(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    after: &str,
    limit: i64,
) -> Result<Vec<Instrument>, DbError> {
    let rows = db.read(ctx, freshness, &LIST_INSTRUMENTS, &[&after, &limit]).await?;
    rows.iter().map(|row| instrument(row, LIST_INSTRUMENTS.0.name)).collect()
}

/// Makes sure that an asset is known, and tells its scale.
pub async fn ensure_asset(tx: &mut Tx<'_>, asset: &Asset) -> Result<u8, DbError> {
    tx.execute(&INSERT_ASSET, &[&&*asset.code, &i16::from(asset.scale)]).await?;
    let row = tx.row(&FIND_ASSET, &[&&*asset.code]).await?;
    Ok(row.get::<_, i16>(0) as u8)
}

/// Inserts the instrument. `false` when its symbol is taken.
pub async fn insert_instrument(tx: &mut Tx<'_>, it: &Instrument) -> Result<bool, DbError> {
    const STATEMENT: &WriteStatement = &INSERT_INSTRUMENT;
    let inserted = tx
        .row_opt(
            STATEMENT,
            &[
                &it.id.0,
                &&*it.symbol,
                &&*it.base.code,
                &i16::from(it.base.scale),
                &&*it.quote.code,
                &i16::from(it.quote.scale),
                &i16::from(it.price_scale),
                &it.tick,
                &it.lot,
                &it.status.as_str(),
                &it.maker_fee_ppm,
                &it.taker_fee_ppm,
                &it.fee_account.0,
                &it.version,
                &it.created_at,
            ],
        )
        .await?;
    Ok(inserted.is_some())
}

fn instrument(row: &Row, statement: &'static str) -> Result<Instrument, DbError> {
    let asset = |code: usize| Asset {
        code: row.get::<_, &str>(code).into(),
        scale: row.get::<_, i16>(code + 1) as u8,
    };
    Ok(Instrument {
        id: InstrumentId(row.get::<_, Uuid>(0)),
        symbol: row.get::<_, &str>(1).into(),
        base: asset(2),
        quote: asset(4),
        price_scale: row.get::<_, i16>(6) as u8,
        tick: row.get(7),
        lot: row.get(8),
        status: word(row, 9, statement, InstrumentStatus::parse)?,
        maker_fee_ppm: row.get(10),
        taker_fee_ppm: row.get(11),
        fee_account: AccountId(row.get(12)),
        version: row.get(13),
        created_at: row.get(14),
    })
}
