//! `/v1/trading/instruments`

use std::sync::Arc;

use api::{Anyone, Ctx, IdempotencyKey, Json, Page, PageRequest, Path, Problem, Public, Reply};
use axum::extract::State;
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::model::{Asset, SCALE_MAX};
use crate::service::{NewInstrument, Trading};
use crate::wire;

/// Instruments change about never; a CDN may keep them this long.
const MAX_AGE_S: u32 = 60;

/// An instrument to be listed.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::NewInstrument)]
pub(super) struct Body {
    /// `AAPL-USD`
    #[garde(pattern(r"^[A-Z][A-Z0-9]{0,11}-[A-Z][A-Z0-9]{0,11}$"))]
    #[schema(pattern = "^[A-Z][A-Z0-9]{0,11}-[A-Z][A-Z0-9]{0,11}$")]
    symbol: String,
    /// What is bought and sold. A new asset is made; a known one keeps its scale.
    #[garde(dive)]
    base: AssetBody,
    /// What is paid with.
    #[garde(dive)]
    quote: AssetBody,
    /// Decimals of a price.
    #[garde(range(max = SCALE_MAX))]
    #[schema(maximum = 12)]
    price_scale: u8,
    /// Prices are multiples of it. Tick times lot is whole in minor units of the quote asset.
    #[garde(length(max = 32))]
    #[schema(example = "0.01")]
    tick: String,
    /// Quantities are multiples of it.
    #[garde(length(max = 32))]
    #[schema(example = "1")]
    lot: String,
    /// Fee of the order that rested, in millionths of the notional.
    #[serde(default)]
    #[garde(range(min = 0, max = 100_000))]
    #[schema(minimum = 0, maximum = 100_000)]
    maker_fee_ppm: i32,
    /// Fee of the order that came.
    #[serde(default)]
    #[garde(range(min = 0, max = 100_000))]
    #[schema(minimum = 0, maximum = 100_000)]
    taker_fee_ppm: i32,
}

/// An asset as it is named in an instrument.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::NewAsset)]
pub(super) struct AssetBody {
    /// `USD`
    #[garde(pattern(r"^[A-Z][A-Z0-9]{0,11}$"))]
    #[schema(pattern = "^[A-Z][A-Z0-9]{0,11}$")]
    code: String,
    /// Decimals of its minor unit.
    #[garde(range(max = SCALE_MAX))]
    #[schema(maximum = 12)]
    scale: u8,
}

impl From<Body> for NewInstrument {
    fn from(body: Body) -> Self {
        let asset = |asset: AssetBody| Asset { code: asset.code.into(), scale: asset.scale };
        Self {
            symbol: body.symbol,
            base: asset(body.base),
            quote: asset(body.quote),
            price_scale: body.price_scale,
            tick: body.tick,
            lot: body.lot,
            maker_fee_ppm: body.maker_fee_ppm,
            taker_fee_ppm: body.taker_fee_ppm,
        }
    }
}

/// List the instruments by their symbols.
#[utoipa::path(
    get, path = "/v1/trading/instruments", operation_id = "list_instruments", tag = "trading",
    params(PageRequest),
    responses((status = 200, description = "A page of instruments", body = Page<wire::Instrument>)),
    extensions(
        ("x-scope" = json!("public")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_instruments(
    State(trading): State<Arc<Trading>>,
    ctx: Anyone,
    page: PageRequest,
) -> Result<Public<Page<wire::Instrument>>, Problem> {
    let found = trading.list_instruments(&ctx, &page).await?;
    let page = Page::of(found, &page, |last| last.symbol.to_string());
    Ok(Public(MAX_AGE_S, page.map(|it| wire::Instrument::from(&it))))
}

/// List a new instrument.
#[utoipa::path(
    post, path = "/v1/trading/instruments", operation_id = "list_instrument", tag = "trading",
    request_body = Body,
    responses((status = 201, description = "The instrument", body = wire::Instrument)),
    extensions(
        ("x-scope" = json!("operator")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["symbol-taken", "asset-differs"])),
    ),
)]
pub(super) async fn list_instrument(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    key: IdempotencyKey,
    Json(body): Json<Body>,
) -> Result<Reply, Problem> {
    Ok(trading.list_instrument(&ctx, &key, &body.into()).await?)
}

/// Get an instrument by its symbol.
#[utoipa::path(
    get, path = "/v1/trading/instruments/{symbol}", operation_id = "get_instrument", tag = "trading",
    params(("symbol" = String, Path, description = "Such as `AAPL-USD`")),
    responses((status = 200, description = "The instrument", body = wire::Instrument)),
    extensions(
        ("x-scope" = json!("public")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_instrument(
    State(trading): State<Arc<Trading>>,
    ctx: Anyone,
    Path(symbol): Path<String>,
) -> Result<Public<Reply>, Problem> {
    let found = trading.get_instrument(&ctx, &symbol).await?;
    Ok(Public(MAX_AGE_S, Reply::ok(&wire::Instrument::from(&found))))
}
