//! What the channels bring, and what can be asked of them.

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Sample, Sums};
use crate::model::catalogue::Metric;
use crate::store::reading::{BucketRow, SampleRow};

/// Which samples a channel brings.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SamplesArgs {
    /// Only this metric's; all when left out.
    #[garde(skip)]
    #[serde(default)]
    pub metric: Option<String>,
}

/// Which buckets a channel brings.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesArgs {
    /// Only this metric's; all when left out.
    #[garde(skip)]
    #[serde(default)]
    pub metric: Option<String>,
    /// Quarters of an hour, or days in the person's zone.
    #[garde(skip)]
    #[serde(default)]
    pub resolution: Fineness,
}

/// How fine a channel's buckets are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
pub enum Fineness {
    /// Quarters of an hour.
    #[default]
    #[serde(rename = "15m")]
    Quarters,
    /// Days in the person's zone.
    #[serde(rename = "1d")]
    Days,
}

/// Samples that were stored, in the order in which they came.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveSamples {
    samples: Vec<Sample>,
    /// Whether more of the same change follows. Who resumes before it has come is sent the whole change again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// Buckets that were added to, as they are now and not by how much they changed: the later one is right.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveSeries {
    /// Where days begin and end.
    zone: &'static str,
    buckets: Vec<LiveBucket>,
    /// Whether more of the same changes follows. Who resumes before it has come is sent them again.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

/// A metric's bucket.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveBucket {
    metric: &'static str,
    /// The canonical unit.
    unit: &'static str,
    #[serde(flatten)]
    sums: Sums,
}

/// The person moved: its days are others now. Read them anew.
#[derive(Debug, Serialize, ToSchema)]
pub struct DaysReset {
    /// Where they begin and end from now on.
    pub zone: &'static str,
}

impl LiveSamples {
    /// Of rows with their metrics.
    pub fn of(rows: Vec<(i16, SampleRow)>, more: bool) -> Self {
        let known = |(metric, row)| Some(Sample::of(Metric::by_id(metric)?, row));
        Self { samples: rows.into_iter().filter_map(known).collect(), more }
    }
}

impl LiveSeries {
    /// Of quarters of an hour with their metrics.
    pub fn of_quarters(rows: Vec<(i16, BucketRow<DateTime<Utc>>)>, zone: Tz, more: bool) -> Self {
        Self::of(rows, zone, more, Sums::of_quarter)
    }

    /// Of days with their metrics.
    pub fn of_days(rows: Vec<(i16, BucketRow<NaiveDate>)>, zone: Tz, more: bool) -> Self {
        Self::of(rows, zone, more, |row| Sums::of_day(row, zone))
    }

    fn of<At>(
        rows: Vec<(i16, BucketRow<At>)>,
        zone: Tz,
        more: bool,
        sums: impl Fn(BucketRow<At>) -> Sums,
    ) -> Self {
        let bucket = |(metric, row)| {
            let metric = Metric::by_id(metric)?;
            Some(LiveBucket { metric: metric.code, unit: metric.unit(), sums: sums(row) })
        };
        Self { zone: zone.name(), buckets: rows.into_iter().filter_map(bucket).collect(), more }
    }
}
