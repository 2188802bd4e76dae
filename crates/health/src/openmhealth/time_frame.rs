//! Time frames: an instant, or an interval in one of the forms that the schemas have.

use chrono::{DateTime, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::value::RawValue;

use crate::model::raw::{self, Fields};
use crate::model::sample::{Reason, shown};
use crate::model::time::parse_instant_or_utc;

/// When something was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The instant, or the beginning.
    pub start: DateTime<Utc>,
    /// The end of an interval.
    pub end: Option<DateTime<Utc>>,
}

/// Parts of a day, each from this hour on and six hours long; the night is the day's first.
const PARTS_OF_DAY: &[(&str, u32)] = &[("night", 0), ("morning", 6), ("afternoon", 12), ("evening", 18)];

/// Reads a time frame: `date_time` or `time_interval`, one of the two.
pub fn read(
    sent: &RawValue,
    at: &str,
    has_part_of_day: bool,
    zone: Tz,
    reasons: &mut Vec<Reason>,
) -> Option<Frame> {
    let Some(fields) = raw::fields(sent) else {
        reasons.push(Reason::new(at, "wrong-type", "a time frame is a JSON object"));
        return None;
    };
    match (fields.get("date_time"), fields.get("time_interval")) {
        (Some(_), None) => instant(&fields, "date_time", at, reasons).map(|start| Frame { start, end: None }),
        (None, Some(sent)) => interval(sent, &format!("{at}/time_interval"), has_part_of_day, zone, reasons),
        _ => {
            let detail = "either date_time or time_interval is needed";
            reasons.push(Reason::new(at, "invalid-time-frame", detail));
            None
        }
    }
}

fn interval(
    sent: &RawValue,
    at: &str,
    has_part_of_day: bool,
    zone: Tz,
    reasons: &mut Vec<Reason>,
) -> Option<Frame> {
    let Some(fields) = raw::fields(sent) else {
        reasons.push(Reason::new(at, "wrong-type", "a time interval is a JSON object"));
        return None;
    };
    let has = |name: &str| fields.contains_key(name);
    let (start, end, duration) = (has("start_date_time"), has("end_date_time"), has("duration"));
    let by_day = has_part_of_day && has("date") && has("part_of_day");
    match (start, end, duration, by_day) {
        (true, true, false, false) => {
            let start = instant(&fields, "start_date_time", at, reasons);
            let end = instant(&fields, "end_date_time", at, reasons);
            Some(Frame { start: start?, end: Some(end?) })
        }
        (true, false, true, false) => {
            let start = instant(&fields, "start_date_time", at, reasons);
            let lasting = duration_of(&fields, at, reasons);
            let start = start?;
            let end = shifted(start, lasting?, true);
            end_or_reason(end, at, reasons).map(|end| Frame { start, end: Some(end) })
        }
        (false, true, true, false) => {
            let end = instant(&fields, "end_date_time", at, reasons);
            let lasting = duration_of(&fields, at, reasons);
            let end = end?;
            let start = shifted(end, lasting?, false);
            end_or_reason(start, at, reasons).map(|start| Frame { start, end: Some(end) })
        }
        (false, false, false, true) => part_of_day(&fields, at, zone, reasons),
        _ => {
            let day = if has_part_of_day { ", or date and part_of_day" } else { "" };
            let detail = format!("two of start_date_time, end_date_time and duration{day} are needed");
            reasons.push(Reason::new(at, "invalid-time-interval", detail));
            None
        }
    }
}

fn instant(fields: &Fields<'_>, name: &str, at: &str, reasons: &mut Vec<Reason>) -> Option<DateTime<Utc>> {
    let instant =
        fields.get(name).and_then(|sent| raw::string(sent)).and_then(|text| parse_instant_or_utc(&text));
    if instant.is_none() {
        let detail = format!("{name} is a date and time by RFC 3339");
        reasons.push(Reason::new(format!("{at}/{name}"), "invalid-time", detail));
    }
    instant
}

/// A length of time: a part that is always as long, and one that the calendar decides.
#[derive(Clone, Copy)]
enum Lasting {
    Exactly(TimeDelta),
    Months(u32),
}

fn duration_of(fields: &Fields<'_>, at: &str, reasons: &mut Vec<Reason>) -> Option<Lasting> {
    let lasting = fields.get("duration").and_then(|sent| raw::fields(sent)).and_then(|duration| {
        let value = raw::number(duration.get("value")?)?;
        lasting(value, &raw::string(duration.get("unit")?)?)
    });
    if lasting.is_none() {
        let detail = "a duration is a value of nought or more and a unit: ps, ns, us, ms, sec, min, h, d, wk, Mo or yr";
        reasons.push(Reason::new(format!("{at}/duration"), "invalid-time-interval", detail));
    }
    lasting
}

/// Cut to the microsecond; months and years only whole, for the calendar decides how long they are.
fn lasting(value: Decimal, unit: &str) -> Option<Lasting> {
    if value.is_sign_negative() {
        return None;
    }
    let micros = match unit {
        "ps" => value.checked_div(Decimal::from(1_000_000)),
        "ns" => value.checked_div(Decimal::from(1_000)),
        "us" => Some(value),
        "ms" => value.checked_mul(Decimal::from(1_000)),
        "sec" => value.checked_mul(Decimal::from(1_000_000)),
        "min" => value.checked_mul(Decimal::from(60_000_000)),
        "h" => value.checked_mul(Decimal::from(3_600_000_000_i64)),
        "d" => value.checked_mul(Decimal::from(86_400_000_000_i64)),
        "wk" => value.checked_mul(Decimal::from(604_800_000_000_i64)),
        "Mo" => return value.is_integer().then(|| value.to_u32()).flatten().map(Lasting::Months),
        "yr" => {
            let years = value.is_integer().then(|| value.to_u32()).flatten()?;
            return years.checked_mul(12).map(Lasting::Months);
        }
        _ => None,
    };
    micros?.to_i64().map(TimeDelta::microseconds).map(Lasting::Exactly)
}

fn shifted(from: DateTime<Utc>, lasting: Lasting, forward: bool) -> Option<DateTime<Utc>> {
    match (lasting, forward) {
        (Lasting::Exactly(delta), true) => from.checked_add_signed(delta),
        (Lasting::Exactly(delta), false) => from.checked_sub_signed(delta),
        (Lasting::Months(months), true) => from.checked_add_months(Months::new(months)),
        (Lasting::Months(months), false) => from.checked_sub_months(Months::new(months)),
    }
}

fn end_or_reason(end: Option<DateTime<Utc>>, at: &str, reasons: &mut Vec<Reason>) -> Option<DateTime<Utc>> {
    if end.is_none() {
        reasons.push(Reason::new(at, "invalid-time", "it reaches beyond the calendar"));
    }
    end
}

fn part_of_day(fields: &Fields<'_>, at: &str, zone: Tz, reasons: &mut Vec<Reason>) -> Option<Frame> {
    let text = |name: &str| fields.get(name).and_then(|sent| raw::string(sent)).unwrap_or_default();
    let (date, part) = (text("date"), text("part_of_day"));
    let day = NaiveDate::parse_from_str(&date, "%Y-%m-%d").ok();
    let from = PARTS_OF_DAY.iter().find(|(name, _)| *name == part).map(|&(_, hour)| hour);
    if day.is_none() {
        reasons.push(Reason::new(
            format!("{at}/date"),
            "invalid-time",
            format!("{} is no date", shown(&date)),
        ));
    }
    if from.is_none() {
        let detail = format!("{} is none of: morning, afternoon, evening, night", shown(&part));
        reasons.push(Reason::new(format!("{at}/part_of_day"), "not-in-enum", detail));
    }
    let (day, from) = (day?, from?);
    let edge = |day: NaiveDate, hour: u32| {
        let local = day.and_time(NaiveTime::from_hms_opt(hour, 0, 0).expect("an hour of a day"));
        // An hour that summer time skips is taken by standard time.
        zone.from_local_datetime(&local).earliest().map_or_else(|| local.and_utc(), |t| t.with_timezone(&Utc))
    };
    let until = if from == 18 { edge(day.checked_add_days(Days::new(1))?, 0) } else { edge(day, from + 6) };
    Some(Frame { start: edge(day, from), end: Some(until) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(text: &str) -> Result<(String, Option<String>), String> {
        let sent = RawValue::from_string(text.to_owned()).unwrap();
        let mut reasons = Vec::new();
        let frame = read(&sent, "", true, "Europe/Berlin".parse().unwrap(), &mut reasons);
        assert_eq!(frame.is_none(), !reasons.is_empty());
        let shown = |t: DateTime<Utc>| t.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        frame.map(|f| (shown(f.start), f.end.map(shown))).ok_or_else(|| reasons[0].code.clone())
    }

    fn interval(start: &str, end: &str) -> Result<(String, Option<String>), String> {
        Ok((start.to_owned(), Some(end.to_owned())))
    }

    #[test]
    fn every_form_of_an_interval_is_read() {
        for (sent, expected) in [
            (
                r#"{"start_date_time":"2013-02-05T07:25:00Z","end_date_time":"2013-06-05T07:25:00Z"}"#,
                interval("2013-02-05T07:25:00Z", "2013-06-05T07:25:00Z"),
            ),
            (
                r#"{"start_date_time":"2013-01-31T07:25:00Z","duration":{"value":1,"unit":"Mo"}}"#,
                interval("2013-01-31T07:25:00Z", "2013-02-28T07:25:00Z"),
            ),
            (
                r#"{"end_date_time":"2013-02-05T07:25:00Z","duration":{"value":1.5,"unit":"h"}}"#,
                interval("2013-02-05T05:55:00Z", "2013-02-05T07:25:00Z"),
            ),
            (
                r#"{"date":"2013-02-05","part_of_day":"evening"}"#,
                interval("2013-02-05T17:00:00Z", "2013-02-05T23:00:00Z"),
            ),
            (r#"{"start_date_time":"2013-02-05T07:25:00Z"}"#, Err("invalid-time-interval".to_owned())),
            (r#"{"date":"2013-02-05","part_of_day":"noon"}"#, Err("not-in-enum".to_owned())),
            (
                r#"{"start_date_time":"2013-02-05T07:25:00Z","duration":{"value":1.5,"unit":"Mo"}}"#,
                Err("invalid-time-interval".to_owned()),
            ),
            (
                r#"{"start_date_time":"2013-02-05T07:25:00Z","end_date_time":"soon"}"#,
                Err("invalid-time".to_owned()),
            ),
        ] {
            assert_eq!(frame(&format!(r#"{{"time_interval":{sent}}}"#)), expected, "{sent}");
        }
    }

    #[test]
    fn a_frame_is_an_instant_or_an_interval() {
        assert_eq!(
            frame(r#"{"date_time":"2020-02-05T07:25:00-08:00"}"#),
            Ok(("2020-02-05T15:25:00Z".to_owned(), None))
        );
        assert_eq!(
            frame(r#"{"date_time":"2020-02-05T07:25:00Z","time_interval":{}}"#),
            Err("invalid-time-frame".into())
        );
        assert_eq!(frame("{}"), Err("invalid-time-frame".into()));
        assert_eq!(frame("7"), Err("wrong-type".into()));
    }
}
