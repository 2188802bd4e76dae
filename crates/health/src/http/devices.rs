//! Devices: registered, listed, and what has arrived from each.

use std::sync::Arc;

use api::{Ctx, IdempotencyKey, IfMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem, Reply};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::after_id;
use super::people::{edited, no_nul};
use crate::Health;
use crate::error::Error;
use crate::model::person::{Device as DeviceModel, Numbering as NumberingModel};
use crate::service::{DeviceDetails, Revision};

/// Something that measures a person.
#[derive(Debug, Serialize, ToSchema)]
pub struct Device {
    /// Byte 8 carries the person's bucket.
    id: Uuid,
    person_id: Uuid,
    version: i64,
    manufacturer: String,
    model: String,
    serial: String,
    /// The current numbering. A factory reset begins the next one, by sending it.
    epoch: i32,
    created_at: DateTime<Utc>,
}

/// A device and what has arrived from it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeviceState {
    #[serde(flatten)]
    device: Device,
    /// The numberings, the latest first.
    receipts: Vec<Receipt>,
}

/// What has arrived of a numbering.
#[derive(Debug, Serialize, ToSchema)]
pub struct Receipt {
    epoch: i32,
    /// The greatest number that is on disk.
    highest_durable_seq: Option<i64>,
    /// What must exist and has not arrived, both ends included.
    missing: Vec<(i64, i64)>,
    /// The device may delete everything up to this number.
    safe_to_delete_through: Option<i64>,
}

/// What a client says of a device.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// An id of the client's own, whose byte 8 is 0x80 plus the person's bucket. Without one the server makes it.
    #[garde(skip)]
    id: Option<Uuid>,
    #[garde(length(chars, max = 100), custom(no_nul))]
    #[serde(default)]
    #[schema(max_length = 100)]
    manufacturer: String,
    #[garde(length(chars, min = 1, max = 100), custom(no_nul))]
    #[schema(min_length = 1, max_length = 100)]
    model: String,
    #[garde(length(chars, max = 100), custom(no_nul))]
    #[serde(default)]
    #[schema(max_length = 100)]
    serial: String,
}

/// What may be changed of a device.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceLabel {
    #[garde(length(chars, max = 100), custom(no_nul))]
    #[serde(default)]
    #[schema(max_length = 100)]
    manufacturer: String,
    #[garde(length(chars, min = 1, max = 100), custom(no_nul))]
    #[schema(min_length = 1, max_length = 100)]
    model: String,
    #[garde(length(chars, max = 100), custom(no_nul))]
    #[serde(default)]
    #[schema(max_length = 100)]
    serial: String,
}

/// Register a device of a person.
#[utoipa::path(
    post, path = "/v1/health/people/{person}/devices", operation_id = "create_device", tag = "health",
    params(("person" = Uuid, Path, description = "The person")),
    request_body = NewDevice,
    responses((status = 201, description = "The device", body = Device)),
    extensions(
        ("x-scope" = json!("health:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["device-exists"])),
    ),
)]
pub async fn create_device(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    key: IdempotencyKey,
    Json(new): Json<NewDevice>,
) -> Result<Reply, Problem> {
    let person = health.own_person(&ctx, person).await?.id;
    let NewDevice { id, manufacturer, model, serial } = new;
    let details = DeviceDetails { manufacturer, model, serial };
    let (health, ctx, details) = (&*health, &ctx.0, &details);
    api::idempotency::once(ctx, health.db(), &key, move |tx| {
        Box::pin(async move {
            let device = health.create_device(ctx, tx, person, id, details).await?;
            let location = format!("/v1/health/devices/{}", device.id);
            let version = device.version;
            Ok::<_, Error>(Reply::created(location, &Device::from(device)).etag(version))
        })
    })
    .await
}

/// List a person's devices.
#[utoipa::path(
    get, path = "/v1/health/people/{person}/devices", operation_id = "list_devices", tag = "health",
    params(("person" = Uuid, Path, description = "The person"), PageRequest),
    responses((status = 200, description = "Devices by id", body = Page<Device>)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn list_devices(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    page: PageRequest,
) -> Result<Page<Device>, Problem> {
    let person = health.own_person(&ctx, person).await?.id;
    let devices = health.list_devices(&ctx, person, after_id(&page)?, page.rows()).await?;
    Ok(Page::of(devices, &page, |last| last.id).map(Device::from))
}

/// Get a device and what has arrived from it.
///
/// A device that lost its own state reads here what it may delete and what it still has to send.
#[utoipa::path(
    get, path = "/v1/health/devices/{device}", operation_id = "get_device", tag = "health",
    params(("device" = Uuid, Path, description = "The device")),
    responses((status = 200, description = "The device", body = DeviceState)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn get_device(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(device): Path<Uuid>,
) -> Result<Reply, Problem> {
    let device = health.own_device(&ctx, device).await?;
    let receipts = health.list_numberings(&ctx, device.id).await?;
    let receipts = receipts.iter().map(Receipt::from).collect();
    Ok(Reply::ok(&DeviceState { device: device.into(), receipts }))
}

/// Change what a device is called.
///
/// `If-Match` takes the device's `version`. With `Prefer: handling=lenient` a stale change is merged with what others did,
/// when it touches other fields.
#[utoipa::path(
    patch, path = "/v1/health/devices/{device}", operation_id = "update_device", tag = "health",
    params(("device" = Uuid, Path, description = "The device")),
    request_body(content = DeviceLabel, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The changed device", body = Device)),
    extensions(
        ("x-scope" = json!("health:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
    ),
)]
pub async fn update_device(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
    prefer: Prefer,
    patch: MergePatch,
) -> Result<Reply, Problem> {
    let device = &health.own_device(&ctx, id).await?;
    let (shared, context, patch) = (&*health, &ctx.0, &patch);
    let revision = Revision { seen, lenient: prefer.lenient };
    let device = health
        .db()
        .write(&ctx, Default::default(), |tx| {
            Box::pin(async move {
                let change = |was: &DeviceDetails| {
                    let label = patch.apply(&DeviceLabel::from(was)).map_err(Error::Problem)?;
                    Ok(DeviceDetails::from(label))
                };
                shared.update_device(context, tx, device, revision, change).await
            })
        })
        .await?;
    Ok(edited(device.map(Device::from), |device| device.version))
}

impl From<&DeviceDetails> for DeviceLabel {
    fn from(details: &DeviceDetails) -> Self {
        let DeviceDetails { manufacturer, model, serial } = details.clone();
        Self { manufacturer, model, serial }
    }
}

impl From<DeviceLabel> for DeviceDetails {
    fn from(label: DeviceLabel) -> Self {
        let DeviceLabel { manufacturer, model, serial } = label;
        Self { manufacturer, model, serial }
    }
}

impl From<DeviceModel> for Device {
    fn from(device: DeviceModel) -> Self {
        let DeviceModel { id, person, manufacturer, model, serial, epoch, version, created_at } = device;
        Self { id, person_id: person, version, manufacturer, model, serial, epoch, created_at }
    }
}

impl From<&NumberingModel> for Receipt {
    fn from(numbering: &NumberingModel) -> Self {
        let receipt = &numbering.receipt;
        Self {
            epoch: numbering.epoch,
            highest_durable_seq: receipt.highest(),
            missing: receipt.missing().iter().collect(),
            safe_to_delete_through: receipt.safe_to_delete_through(),
        }
    }
}
