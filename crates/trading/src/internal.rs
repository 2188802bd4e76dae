//! What a process does for the others of its fleet: the lanes that it carries take their commands. Served on the internal
//! port alone.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::post;
use axum::{Json, Router};
use common::context::Context;
use http::StatusCode;

use crate::error::Error;
use crate::lane::forward::{Answered, Forwarded, PATH};
use crate::service::Trading;

/// The routes of the internal port.
pub fn routes(trading: Arc<Trading>) -> Router {
    Router::new().route(&format!("{PATH}{{symbol}}"), post(carry_out)).with_state(trading)
}

async fn carry_out(
    State(trading): State<Arc<Trading>>,
    Path(symbol): Path<String>,
    Json(forwarded): Json<Forwarded>,
) -> Result<Json<Answered>, StatusCode> {
    let ctx = Context::background(trading.dp.clock.clone());
    let listing = trading.directory.find(&ctx, &symbol).await.map_err(|error| match error {
        Error::NotFound => StatusCode::NOT_FOUND,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    })?;
    // Nothing has been queued when the owner can't be looked up.
    let answered = listing.lane.carry_out(&ctx, forwarded).await;
    answered.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?.map(Json).ok_or(StatusCode::MISDIRECTED_REQUEST)
}
