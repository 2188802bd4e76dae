//! What devices and apps send, on its way to the collectors.

use api::socket::{Credit, Taken};
use chrono::{DateTime, Utc};
use common::context::Context;
use serde_json::value::RawValue;

use super::Health;
use crate::collector::{Outcome, Sender, Submission};
use crate::error::Error;
use crate::model::person::{Device, Person};
use crate::model::sample::read_item;
use crate::model::time::Horizon;
use crate::openmhealth;

/// A device's request.
#[derive(Debug)]
pub struct DeviceBatch {
    /// Which of its numberings.
    pub epoch: i32,
    /// It never had what lies before.
    pub first_seq: Option<i64>,
    /// It no longer has these, both ends included.
    pub gone: Vec<(i64, i64)>,
    /// What its clock said when it sent this.
    pub sent_at: Option<DateTime<Utc>>,
    /// Each exactly as it was sent.
    pub samples: Vec<Box<RawValue>>,
    /// What else the request carried.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Health {
    /// Records what a device sends. When this returns, everything named in the outcome is on disk.
    pub async fn record_samples(
        &self,
        ctx: &Context,
        device: &Device,
        batch: DeviceBatch,
    ) -> Result<Outcome, Error> {
        self.collectors.submit(ctx, self.submission(ctx, device, batch)).await
    }

    /// The same for what a socket took credit for: it stands in its queue when this returns, and the future records it.
    pub fn queue_samples(
        &self,
        ctx: &Context,
        device: &Device,
        batch: DeviceBatch,
        taken: Taken,
    ) -> Result<impl Future<Output = Result<Outcome, Error>> + Send + use<>, Error> {
        self.collectors.queue(ctx, self.submission(ctx, device, batch), taken)
    }

    /// What a socket's device may have under way.
    pub fn open_credit(&self) -> Credit {
        self.collectors.open_credit()
    }

    fn submission(&self, ctx: &Context, device: &Device, batch: DeviceBatch) -> Submission {
        let now = ctx.now();
        let horizon = Horizon::new(now, self.config.retention_years);
        let sender = Sender::Device {
            device: device.id,
            epoch: batch.epoch,
            first_seq: batch.first_seq,
            gone: batch.gone,
            skew_ms: batch.sent_at.map(|sent| (sent - now).num_milliseconds()),
        };
        let items = batch.samples.iter().map(|sent| read_item(sent, &horizon)).collect();
        let mut submission = Submission::new(device.person, &ctx.caller().subject, sender, items);
        submission.more = batch.more;
        submission
    }

    /// Records Open mHealth data points of a person.
    pub async fn record_data_points(
        &self,
        ctx: &Context,
        person: &Person,
        points: &[Box<RawValue>],
    ) -> Result<Outcome, Error> {
        let horizon = Horizon::new(ctx.now(), self.config.retention_years);
        let items = points.iter().map(|sent| openmhealth::read_point(sent, person.zone, &horizon)).collect();
        let sender = Sender::Source(openmhealth::SOURCE);
        let submission = Submission::new(person.id, &ctx.caller().subject, sender, items);
        self.collectors.submit(ctx, submission).await
    }
}
