//! Calendar months as half-open ranges of dates, and today in the household's own zone.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use chrono_tz::Tz;
use std::fmt;

/// First and last year of any date that is accepted.
pub const YEARS: std::ops::RangeInclusive<i32> = 1900..=2199;

/// A calendar month: `[first, next first)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Month(NaiveDate);

impl Month {
    /// The month that a date lies in.
    pub fn of(date: NaiveDate) -> Month {
        Month(date.with_day(1).expect("every month has a first day"))
    }

    /// Reads `YYYY-MM`.
    pub fn parse(text: &str) -> Option<Month> {
        let (year, month) = text.split_once('-')?;
        if year.len() != 4 || month.len() != 2 || !text.bytes().all(|b| b.is_ascii_digit() || b == b'-') {
            return None;
        }
        let first = NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, 1)?;
        YEARS.contains(&first.year()).then_some(Month(first))
    }

    /// The first day, which belongs to it.
    pub fn first(self) -> NaiveDate {
        self.0
    }

    /// The first day of the next month, which doesn't belong to it.
    pub fn next_first(self) -> NaiveDate {
        self.0.checked_add_months(chrono::Months::new(1)).expect("years are bounded")
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.format("%Y-%m"))
    }
}

/// The zone of an IANA name.
pub fn zone(name: &str) -> Option<Tz> {
    name.parse().ok()
}

/// The date that a calendar on the household's wall shows.
pub fn today(now: DateTime<Utc>, zone: Tz) -> NaiveDate {
    now.with_timezone(&zone).date_naive()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_last_day_belongs_to_its_month_and_the_next_first_does_not() {
        for (first, last, next) in [
            ("2026-01-01", "2026-01-31", "2026-02-01"),
            ("2026-02-01", "2026-02-28", "2026-03-01"),
            ("2028-02-01", "2028-02-29", "2028-03-01"),
            ("2026-12-01", "2026-12-31", "2027-01-01"),
        ] {
            let month = Month::of(date(last));
            assert_eq!(month.first(), date(first));
            assert_eq!(month.next_first(), date(next));
            assert_ne!(Month::of(date(next)), month);
        }
    }

    #[test]
    fn a_month_is_read_as_it_is_written() {
        assert_eq!(Month::parse("2026-02").unwrap().to_string(), "2026-02");
        for wrong in ["2026-2", "2026-13", "26-02", "2026-02-01", "1899-12", "2200-01", "+026-02", ""] {
            assert_eq!(Month::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn today_is_the_date_in_the_households_zone() {
        let now: DateTime<Utc> = "2026-03-01T03:30:00Z".parse().unwrap();
        assert_eq!(today(now, zone("America/Toronto").unwrap()), date("2026-02-28"));
        assert_eq!(today(now, zone("Asia/Tokyo").unwrap()), date("2026-03-01"));
        assert_eq!(zone("Mars/Olympus"), None);
    }
}
