//! What devices and apps send, and what they are told became of it; the same over HTTP and over the socket.

use api::problem::kinds;
use api::{Problem, cursor};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::collector::{ItemResult, Outcome, Status};
use crate::model::raw::is_storable_value;
use crate::model::receipt::SEQ_MAX;
use crate::model::sample::{Key, Reason, pointer};
use crate::model::time::parse_instant;
use crate::service::DeviceBatch;

/// Ranges that a device may give up at once.
const GONE_MAX: usize = 1_000;
/// Samples in one request at most.
const SAMPLES_MAX: usize = crate::collector::SAMPLES_MAX;
/// Data points in one request at most.
const POINTS_MAX: usize = 1_000;
/// What a request may carry beside what is known here.
const MORE_BYTES_MAX: usize = 16 * 1024;

/// What a device sends. Fields that are not known here are kept and reported, for new firmware must not lose data.
#[derive(Debug, Deserialize, Validate, ToSchema)]
pub struct DeviceSamples {
    /// Which of the device's numberings; a factory reset begins the next one.
    #[garde(range(min = 1))]
    #[serde(default = "first_epoch")]
    #[schema(default = 1, minimum = 1)]
    epoch: i32,
    /// The device never had what lies before this number.
    #[garde(inner(range(min = 0, max = SEQ_MAX)))]
    #[serde(default)]
    #[schema(minimum = 0)]
    first_seq: Option<i64>,
    /// Numbers that the device no longer has, both ends included.
    #[garde(length(max = GONE_MAX), inner(custom(is_range)))]
    #[serde(default)]
    #[schema(max_items = 1000)]
    gone: Vec<(i64, i64)>,
    /// What the device's clock says.
    #[garde(skip)]
    #[serde(default)]
    #[schema(value_type = Option<DateTime<Utc>>)]
    sent_at: Option<serde_json::Value>,
    /// At most 5,000.
    #[garde(length(max = SAMPLES_MAX))]
    #[schema(value_type = Vec<NewSample>, max_items = 5000)]
    samples: Vec<Box<RawValue>>,
    /// What else was sent.
    #[garde(custom(is_little))]
    #[serde(flatten)]
    #[schema(ignore)]
    more: serde_json::Map<String, serde_json::Value>,
}

/// `args` of `samples.send`.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "it documents what is read as a device's samples, with the device among what is left"
)]
pub struct SendSamples {
    /// Who sends.
    device: Uuid,
    #[serde(flatten)]
    samples: DeviceSamples,
}

/// One measurement, as a device sends it. What does not fit goes to quarantine with its reasons, one by one.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it documents what is read field by field, by exact text")]
struct NewSample {
    /// The device's own number of it in this epoch.
    seq: Option<i64>,
    /// In place of a number: an id of the source's own.
    source_id: Option<String>,
    /// As the catalogue calls it.
    #[schema(examples("heart_rate"))]
    metric: String,
    /// A decimal.
    #[schema(examples("72"))]
    value: String,
    /// Any of the metric's units; the canonical one when left out.
    unit: Option<String>,
    /// When it was measured, or began.
    start: DateTime<Utc>,
    /// When it ended, for an interval.
    end: Option<DateTime<Utc>>,
    /// How it was derived from several measurements, such as `average`.
    statistic: Option<String>,
}

/// What became of the samples. Everything named here is on disk.
#[derive(Debug, Serialize, ToSchema)]
pub struct Acknowledgement {
    /// One for each sample, in the order in which they were sent.
    results: Vec<SampleResult>,
    /// The numbering that this is about.
    epoch: i32,
    /// The greatest number that is on disk.
    highest_durable_seq: Option<i64>,
    /// What must exist and has not arrived, both ends included: send it, or give it up by `gone`.
    missing: Vec<(i64, i64)>,
    /// The device may delete everything up to this number.
    safe_to_delete_through: Option<i64>,
    /// Pointers to fields of the request that are kept but not understood.
    unknown_fields: Vec<String>,
    /// Where the person's changes stand behind this; absent when it brought nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What became of one sample.
#[derive(Debug, Serialize, ToSchema)]
pub struct SampleResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_id: Option<String>,
    #[serde(flatten)]
    result: ResultBody,
}

/// What became of the data points. Everything named here is on disk.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointsAcknowledgement {
    /// One for each data point, in the order in which they were sent.
    results: Vec<PointResult>,
    /// Where the person's changes stand behind this; absent when it brought nothing new.
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
}

/// What became of one data point.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointResult {
    /// The header's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(flatten)]
    result: ResultBody,
}

#[derive(Debug, Serialize, ToSchema)]
struct ResultBody {
    /// stored, duplicate, conflict, quarantined or expired.
    #[schema(value_type = String)]
    status: &'static str,
    /// For a duplicate: what became of it the first time, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    original: Option<&'static str>,
    /// The first reason's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// The first reason, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// All of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reasons: Vec<Reason>,
    /// Pointers to fields that are kept but not understood.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unknown_fields: Vec<String>,
}

/// One data point, or up to 1,000 of them.
#[derive(Debug, Validate)]
pub struct DataPoints(#[garde(length(min = 1, max = POINTS_MAX))] Vec<Box<RawValue>>);

/// What an acknowledgement says of the request itself.
pub struct Asked {
    epoch: i32,
    unknown_fields: Vec<String>,
}

impl DeviceSamples {
    /// The device, which over the socket is named beside the samples.
    pub fn take_device(&mut self) -> Result<Uuid, Problem> {
        let named = self.more.shift_remove("device");
        let wrong =
            |detail: &str, code: &str| Problem::of(&kinds::VALIDATION_FAILED).field("/device", detail, code);
        let named = named.ok_or_else(|| wrong("is missing", "missing"))?;
        named.as_str().and_then(|id| id.parse().ok()).ok_or_else(|| wrong("must be a UUID", "invalid-type"))
    }

    /// How many samples it brings.
    pub fn count(&self) -> usize {
        self.samples.len()
    }

    /// What is recorded, and what its acknowledgement starts from.
    pub fn into_batch(self) -> (DeviceBatch, Asked) {
        let mut unknown_fields: Vec<String> = self.more.keys().map(|name| pointer(name)).collect();
        let sent_at = self.sent_at.as_ref().and_then(|sent| parse_instant(sent.as_str()?));
        if self.sent_at.is_some() && sent_at.is_none() {
            unknown_fields.push("/sent_at".to_owned());
        }
        let Self { epoch, first_seq, gone, samples, more, .. } = self;
        (DeviceBatch { epoch, first_seq, gone, sent_at, samples, more }, Asked { epoch, unknown_fields })
    }
}

impl Acknowledgement {
    /// Of what became of the samples.
    pub fn of(asked: Asked, outcome: Outcome) -> Self {
        let receipt = outcome.receipt.clone().unwrap_or_default();
        Self {
            epoch: asked.epoch,
            highest_durable_seq: receipt.highest(),
            missing: receipt.missing().iter().collect(),
            safe_to_delete_through: receipt.safe_to_delete_through(),
            unknown_fields: asked.unknown_fields,
            cursor: cursor_of(&outcome),
            results: outcome.results.into_iter().map(SampleResult::from).collect(),
        }
    }
}

impl DataPoints {
    /// One by one, as they were sent.
    pub fn items(&self) -> &[Box<RawValue>] {
        &self.0
    }
}

impl From<Outcome> for PointsAcknowledgement {
    fn from(outcome: Outcome) -> Self {
        let cursor = cursor_of(&outcome);
        Self { results: outcome.results.into_iter().map(PointResult::from).collect(), cursor }
    }
}

fn cursor_of(outcome: &Outcome) -> Option<String> {
    outcome.change.map(|change| cursor::encode(&change))
}

impl From<ItemResult> for SampleResult {
    fn from(item: ItemResult) -> Self {
        let (seq, source_id) = match &item.key {
            Key::Seq(seq) => (Some(*seq), None),
            Key::Source(id) => (None, Some(id.clone())),
        };
        Self { seq, source_id: source_id.filter(|id| is_own(id)), result: item.into() }
    }
}

impl From<ItemResult> for PointResult {
    fn from(item: ItemResult) -> Self {
        let id = match &item.key {
            Key::Source(id) => Some(id.clone()),
            Key::Seq(_) => None,
        };
        Self { id: id.filter(|id| is_own(id)), result: item.into() }
    }
}

/// Whether the source named it: what came without a key is known by its content, which means nothing to the sender.
fn is_own(id: &str) -> bool {
    !id.starts_with("content:")
}

impl From<ItemResult> for ResultBody {
    fn from(item: ItemResult) -> Self {
        let first = item.reasons.first();
        Self {
            status: item.status.as_str(),
            original: item.original.map(Status::as_str),
            code: first.map(|reason| reason.code.clone()),
            detail: first.map(|reason| reason.detail.clone()),
            reasons: item.reasons,
            unknown_fields: item.unknown_fields,
        }
    }
}

impl<'de> Deserialize<'de> for DataPoints {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let sent = Box::<RawValue>::deserialize(deserializer)?;
        if !sent.get().starts_with('[') {
            return Ok(Self(vec![sent]));
        }
        serde_json::from_str(sent.get()).map(Self).map_err(serde::de::Error::custom)
    }
}

const fn first_epoch() -> i32 {
    1
}

fn is_range(&(low, high): &(i64, i64), (): &()) -> garde::Result {
    let valid = (0..=SEQ_MAX).contains(&low) && (low..=SEQ_MAX).contains(&high);
    if valid {
        Ok(())
    } else {
        Err(garde::Error::new("must be two numbers of at most 2^53-1, the smaller first"))
    }
}

fn is_little(more: &serde_json::Map<String, serde_json::Value>, (): &()) -> garde::Result {
    let text = serde_json::to_string(more).unwrap_or_default();
    if text.len() > MORE_BYTES_MAX {
        return Err(garde::Error::new("unknown fields may take 16 KiB"));
    }
    match more.values().all(is_storable_value) && more.keys().all(|name| !name.contains('\0')) {
        true => Ok(()),
        false => Err(garde::Error::new("text with NUL can't be kept")),
    }
}
