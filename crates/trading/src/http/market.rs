//! What everybody sees of an instrument, and the rules that an operator can have checked.

use std::sync::Arc;

use api::{Ctx, Json, Page, PageRequest, Path, Problem, Query, Reply};
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::service::{Invariants, Trading};
use crate::view::Levels;
use crate::wire;

/// Levels of each side that are sent when the client doesn't say.
const DEPTH_DEFAULT: usize = 10;
/// The most.
const DEPTH_MAX: usize = 1_000;

/// How much of the book, and how new.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BookParams {
    /// Levels of each side.
    #[param(minimum = 1, maximum = 1000, default = 10)]
    depth: Option<usize>,
    /// The book is at least after this number of the instrument: `instrument_seq` of an answer to a command.
    #[param(minimum = 0)]
    min_seq: Option<i64>,
}

/// Get an instrument's book.
///
/// It comes from memory: a snapshot that is swapped in whole after each commit. It is never older than what the caller's
/// `Consistency-Token` or `min_seq` names; where it can't be, the answer is 503.
#[utoipa::path(
    get, path = "/v1/trading/instruments/{symbol}/book", operation_id = "get_book", tag = "trading",
    params(("symbol" = String, Path, description = "Such as `AAPL-USD`"), BookParams),
    responses((status = 200, description = "The book", body = wire::Book)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
        ("x-problems" = json!(["projection-behind"])),
    ),
)]
pub(super) async fn get_book(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(symbol): Path<String>,
    Query(params): Query<BookParams>,
) -> Result<Reply, Problem> {
    let depth = params.depth.unwrap_or(DEPTH_DEFAULT);
    if !(1..=DEPTH_MAX).contains(&depth) {
        let detail = format!("must be from 1 to {DEPTH_MAX}");
        return Err(Problem::of(&api::problem::kinds::INVALID_PARAMETER).field(
            "/query/depth",
            detail,
            "out-of-range",
        ));
    }
    let listing = trading.directory.find(&ctx, &symbol).await?;
    let book = listing.view.read(&ctx, params.min_seq.unwrap_or(0)).await?;
    let top = |levels: &Levels| wire::levels(&listing.instrument, &levels[..levels.len().min(depth)]);
    Ok(Reply::ok(&wire::Book {
        instrument: symbol,
        seq: book.seq,
        bids: top(&book.bids),
        asks: top(&book.asks),
        checksum: book.checksum,
    }))
}

/// List an instrument's trades, the newest first.
#[utoipa::path(
    get, path = "/v1/trading/instruments/{symbol}/trades", operation_id = "list_trades", tag = "trading",
    params(("symbol" = String, Path, description = "Such as `AAPL-USD`"), PageRequest),
    responses((status = 200, description = "A page of trades", body = Page<wire::Trade>)),
    extensions(
        ("x-scope" = json!("trading:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_trades(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
    Path(symbol): Path<String>,
    page: PageRequest,
) -> Result<Page<wire::Trade>, Problem> {
    let listing = trading.directory.find(&ctx, &symbol).await?;
    let found = trading.list_trades(&ctx, &listing.instrument, &page).await?;
    let page = Page::of(found, &page, |last| last.trade.0);
    Ok(page.map(|row| wire::Trade::of(&listing.instrument, &row.trade, row.seq, row.at)))
}

/// Check the rules that always hold.
///
/// Reads whole tables: for tests and operators.
#[utoipa::path(
    get, path = "/v1/trading/invariants", operation_id = "check_trading_invariants", tag = "trading",
    responses((status = 200, description = "What the checks found", body = Invariants)),
    extensions(
        ("x-scope" = json!("operator")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-deadline-ms" = json!(60_000)),
        ("x-priority" = json!("background")),
    ),
)]
pub(super) async fn check_invariants(
    State(trading): State<Arc<Trading>>,
    ctx: Ctx,
) -> Result<Json<Invariants>, Error> {
    Ok(Json(trading.check_invariants(&ctx).await?))
}
