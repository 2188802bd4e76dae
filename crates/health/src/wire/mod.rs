//! What health looks like from outside, the same over HTTP and on the socket: values as decimal strings in the canonical
//! unit, times in RFC 3339 UTC with microseconds.

mod invariants;
mod live;
mod reading;
mod recording;

use api::Problem;
use api::problem::kinds;

pub use self::invariants::{Check, Covered, Invariants};
pub use self::live::{DaysReset, Fineness, LiveSamples, LiveSeries, SamplesArgs, SeriesArgs};
pub use self::reading::{Bucket, Metric, Quarantined, Resolution, Sample, Samples, Series, Sums};
pub use self::recording::{Acknowledgement, DataPoints, DeviceSamples, PointsAcknowledgement, SendSamples};

/// 400: a metric that is not in the catalogue was asked for.
pub fn unknown_metric(pointer: &str) -> Problem {
    let detail = "is not in the catalogue, see /v1/health/metrics";
    Problem::of(&kinds::INVALID_PARAMETER).field(pointer, detail, "unknown-metric")
}
