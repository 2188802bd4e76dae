//! What devices and apps send: samples by number, and Open mHealth data points.

use std::sync::Arc;

use api::{Ctx, Json, Path, Problem, Reply};
use axum::extract::State;
use uuid::Uuid;

use crate::Health;
use crate::wire::{Acknowledgement, DataPoints, DeviceSamples, PointsAcknowledgement};

/// Record what a device measured.
///
/// Each sample is answered by itself and what can't be accepted is kept in quarantine, so a request is never refused for
/// its samples. Sending again is always right: what is there already is a `duplicate`. A numbering with more than 100 gaps
/// is refused as a whole. An older epoch is taken into its own numbering, and the answer speaks of that.
#[utoipa::path(
    post, path = "/v1/health/devices/{device}/samples", operation_id = "record_samples", tag = "health",
    params(("device" = Uuid, Path, description = "The device")),
    request_body = DeviceSamples,
    responses((status = 200, description = "One result for each sample", body = Acknowledgement)),
    extensions(
        ("x-scope" = json!("health:write")),
        ("x-idempotency" = json!("content")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["too-many-gaps"])),
        ("x-body-bytes-max" = json!(4194304)),
    ),
)]
pub async fn record_samples(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(device): Path<Uuid>,
    Json(sent): Json<DeviceSamples>,
) -> Result<Reply, Problem> {
    let device = health.own_device(&ctx, device).await?;
    let (batch, asked) = sent.into_batch();
    let outcome = health.record_samples(&ctx, &device, batch).await?;
    Ok(Reply::ok(&Acknowledgement::of(asked, outcome)))
}

/// Record Open mHealth data points.
///
/// One data point (header and body, by Open mHealth or IEEE 1752.1) or an array of them. A point is known by its header's
/// id; one that its schema does not allow, or that says no time, is kept in quarantine with its reasons.
#[utoipa::path(
    post, path = "/v1/health/people/{person}/openmhealth", operation_id = "record_openmhealth", tag = "health",
    params(("person" = Uuid, Path, description = "The person")),
    request_body = serde_json::Value,
    responses((status = 200, description = "One result for each data point", body = PointsAcknowledgement)),
    extensions(
        ("x-scope" = json!("health:write")),
        ("x-idempotency" = json!("content")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-body-bytes-max" = json!(4194304)),
    ),
)]
pub async fn record_openmhealth(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    Json(points): Json<DataPoints>,
) -> Result<Reply, Problem> {
    let person = health.own_person(&ctx, person).await?;
    let outcome = health.record_data_points(&ctx, &person, points.items()).await?;
    Ok(Reply::ok(&PointsAcknowledgement::from(outcome)))
}
