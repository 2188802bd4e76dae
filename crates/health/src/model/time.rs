//! Instants of samples: read from text, cut to microseconds, and judged against the clock and retention.

use chrono::{DateTime, Months, NaiveDateTime, TimeDelta, Utc};
use chrono_tz::Tz;

/// A stamp this far ahead of the server's clock is a device's wrong clock, not skew.
pub const FUTURE_MAX: TimeDelta = TimeDelta::hours(1);
/// The length of the finest rollup's bucket. Every time zone's offset is a multiple of it.
pub const BUCKET: TimeDelta = TimeDelta::minutes(15);

/// RFC 3339, in UTC, cut to the microsecond.
pub fn parse_instant(text: &str) -> Option<DateTime<Utc>> {
    let instant = DateTime::parse_from_rfc3339(text).ok()?;
    DateTime::from_timestamp_micros(instant.timestamp_micros())
}

/// As [`parse_instant`], but a text without a zone is UTC, as IEEE 1752.1 has it.
pub fn parse_instant_or_utc(text: &str) -> Option<DateTime<Utc>> {
    parse_instant(text).or_else(|| {
        let naive = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok()?;
        DateTime::from_timestamp_micros(naive.and_utc().timestamp_micros())
    })
}

/// What a sample's time is measured against.
#[derive(Clone, Copy, Debug)]
pub struct Horizon {
    /// When the batch came in.
    pub now: DateTime<Utc>,
    /// What began before this is past retention.
    pub oldest: DateTime<Utc>,
}

impl Horizon {
    /// At `now`, keeping this many years.
    pub fn new(now: DateTime<Utc>, retention_years: u32) -> Self {
        let oldest =
            now.checked_sub_months(Months::new(retention_years * 12)).unwrap_or(DateTime::<Utc>::MIN_UTC);
        Self { now, oldest }
    }

    /// Whether the instant lies further ahead than any clock skew explains.
    pub fn is_future(&self, instant: DateTime<Utc>) -> bool {
        instant > self.now + FUTURE_MAX
    }

    /// Whether what began then is kept no longer.
    pub fn is_expired(&self, start: DateTime<Utc>) -> bool {
        start < self.oldest
    }
}

/// The start of the 15-minute bucket that an instant falls in.
pub fn bucket_start(instant: DateTime<Utc>) -> DateTime<Utc> {
    let seconds = instant.timestamp().div_euclid(BUCKET.num_seconds()) * BUCKET.num_seconds();
    DateTime::from_timestamp(seconds, 0).expect("earlier than a valid instant by less than 15 minutes")
}

/// The day that an instant falls on, in a zone.
pub fn local_day(instant: DateTime<Utc>, zone: Tz) -> chrono::NaiveDate {
    instant.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        parse_instant(text).unwrap()
    }

    #[test]
    fn instants_are_utc_with_microseconds() {
        assert_eq!(at("2020-02-05T07:25:00-08:00"), at("2020-02-05T15:25:00Z"));
        assert_eq!(at("2026-11-24T08:00:00.1234567Z").timestamp_subsec_nanos(), 123_456_000);
        assert_eq!(parse_instant("2026-11-24T08:00:00"), None);
        assert_eq!(parse_instant_or_utc("2026-11-24T08:00:00"), Some(at("2026-11-24T08:00:00Z")));
        assert_eq!(parse_instant_or_utc("2026-02-30T08:00:00Z"), None);
    }

    #[test]
    fn days_follow_the_persons_zone_through_summer_time() {
        let zone: Tz = "Europe/Berlin".parse().unwrap();
        assert_eq!(local_day(at("2026-10-24T22:30:00Z"), zone).to_string(), "2026-10-25");
        assert_eq!(local_day(at("2026-10-25T22:30:00Z"), zone).to_string(), "2026-10-25");
        assert_eq!(local_day(at("2026-10-25T23:00:00Z"), zone).to_string(), "2026-10-26");
        assert_eq!(bucket_start(at("2026-10-25T22:59:59.9Z")), at("2026-10-25T22:45:00Z"));
        assert_eq!(bucket_start(at("1960-01-01T00:07:00Z")), at("1960-01-01T00:00:00Z"));
    }

    #[test]
    fn retention_and_the_future_have_edges() {
        let horizon = Horizon::new(at("2026-11-24T08:00:00Z"), 30);
        assert!(!horizon.is_expired(at("1996-11-24T08:00:00Z")));
        assert!(horizon.is_expired(at("1996-11-24T07:59:59Z")));
        assert!(!horizon.is_future(at("2026-11-24T09:00:00Z")));
        assert!(horizon.is_future(at("2026-11-24T09:00:01Z")));
    }
}
