//! Something to look at on a new installation: a person, a device and its last day of heart rate.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;
use common::DataPath;
use common::context::Context;
use serde_json::json;
use serde_json::value::RawValue;
use uuid::{Builder, Uuid};

use crate::error::Error;
use crate::model::ids;
use crate::service::{DeviceBatch, DeviceDetails, Health, PersonDetails};
use crate::{Config, start};

/// What the demonstration person's id is derived from, with the caller's subject.
const KEY: &str = "demo";
/// Between two measurements.
const STEP: TimeDelta = TimeDelta::minutes(5);
/// A day of them.
const SAMPLES: i32 = 288;
/// A heart's usual rate by hour of the day.
const BY_HOUR: [i64; 24] =
    [54, 53, 52, 52, 53, 55, 60, 72, 78, 75, 73, 74, 80, 76, 74, 75, 78, 88, 96, 84, 76, 70, 63, 57];

/// Loads it for the context's caller. Called again it changes nothing.
pub async fn demo(data_path: &DataPath, ctx: &Context) -> Result<(), Error> {
    let health = start(data_path, Config::default());
    let person = ids::person_id(&ctx.caller().subject, KEY);
    let device = device_of(person);
    create(&health, ctx, person, device).await?;
    let device = health.own_device(ctx, device).await?;
    if !health.list_numberings(ctx, device.id).await?.is_empty() {
        return Ok(());
    }
    let batch = DeviceBatch {
        epoch: 1,
        first_seq: None,
        gone: Vec::new(),
        sent_at: Some(ctx.now()),
        samples: day_until(ctx.now()),
        more: serde_json::Map::new(),
    };
    health.record_samples(ctx, &device, batch).await.map(drop)
}

async fn create(health: &Health, ctx: &Context, person: Uuid, device: Uuid) -> Result<(), Error> {
    let person_details = &PersonDetails { name: "Ada".to_owned(), zone: Tz::Europe__London };
    let device_details = &DeviceDetails {
        manufacturer: "Weir".to_owned(),
        model: "Demonstration strap".to_owned(),
        serial: "0001".to_owned(),
    };
    health
        .db()
        .write(ctx, Default::default(), |tx| {
            Box::pin(async move {
                health.create_person(ctx, tx, KEY, person_details).await?;
                health.create_device(ctx, tx, person, Some(device), device_details).await.map(drop)
            })
        })
        .await
}

/// The same device each time: named after its person, in its person's bucket.
fn device_of(person: Uuid) -> Uuid {
    let mut bytes = *Uuid::new_v5(&person, KEY.as_bytes()).as_bytes();
    bytes[8] = ids::bucket_of_person(person);
    Builder::from_custom_bytes(bytes).into_uuid()
}

fn day_until(now: DateTime<Utc>) -> Vec<Box<RawValue>> {
    let begin = now - STEP * SAMPLES;
    let sample = |index: i32| {
        let start = begin + STEP * index;
        // A little unrest, the same on every machine.
        let rate = BY_HOUR[start.hour() as usize] + i64::from(index * 37 % 9) - 4;
        let sample = json!({"seq": index + 1, "metric": "heart_rate", "value": rate.to_string(), "unit": "/min", "start": start});
        RawValue::from_string(sample.to_string()).expect("it was written as JSON just now")
    };
    (0..SAMPLES).map(sample).collect()
}
