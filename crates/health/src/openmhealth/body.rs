//! A data point's body against its schema: every violation is noted, and without any there is a reading.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use serde_json::value::RawValue;

use super::object;
use super::schema::{Measure, Schema};
use super::time_frame::{self, Frame};
use crate::model::catalogue::Metric;
use crate::model::raw::{self, Fields};
use crate::model::sample::{Reading, Reason, canonical_value, judge_times, shown};
use crate::model::time::Horizon;

const TIME_FRAME: &str = "effective_time_frame";
const STATISTIC: &str = "descriptive_statistic";

/// What a body holds.
#[derive(Default)]
pub struct Body {
    /// The measurements; only of use when nothing was wrong.
    pub readings: Vec<Reading>,
    /// When it was measured.
    pub start: Option<DateTime<Utc>>,
    /// Properties that the schema does not name.
    pub unknown_fields: Vec<String>,
}

/// Checks a body and reads it. Wrong values are noted before what is missing.
pub fn read(
    schema: &Schema,
    body: &Fields<'_>,
    zone: Tz,
    horizon: &Horizon,
    reasons: &mut Vec<Reason>,
) -> Body {
    let before = reasons.len();
    let statistic = read_texts(schema, body, reasons);
    let measured = read_measure(&schema.measure, body, reasons);
    let frame = read_frame(schema, body, zone, horizon, reasons);
    let readings = measured.zip(frame).map(|((metric, given), frame)| Reading {
        metric,
        start: frame.start,
        end: frame.end,
        value: given.value,
        given_value: given.text,
        given_unit: given.unit,
        statistic,
        extra: None,
    });
    // What is wrong tells more than what is not there.
    reasons[before..]
        .sort_by_key(|reason| matches!(reason.code.as_str(), "missing-property" | "missing-time"));
    let known = |name: &str| {
        [schema.measure.property, TIME_FRAME].contains(&name)
            || schema.texts.iter().any(|(text, _)| *text == name)
    };
    Body {
        readings: readings.into_iter().collect(),
        start: frame.map(|frame| frame.start),
        unknown_fields: body.keys().filter(|name| !known(name)).map(|name| format!("/body/{name}")).collect(),
    }
}

/// What a sample keeps beside its value: the header as it was sent, and what the body says besides.
pub fn extra(schema: &Schema, header: &RawValue, body: &Fields<'_>) -> String {
    let taken = [schema.measure.property, TIME_FRAME, STATISTIC];
    let rest: Fields<'_> = body
        .iter()
        .filter(|(name, _)| !taken.contains(&name.as_str()))
        .map(|(k, v)| (k.clone(), *v))
        .collect();
    let rest = serde_json::to_string(&rest).expect("names and raw JSON always serialize");
    format!(r#"{{"header":{},"body":{rest}}}"#, header.get())
}

/// Checks the properties that are texts and gives the descriptive statistic.
fn read_texts(schema: &Schema, body: &Fields<'_>, reasons: &mut Vec<Reason>) -> Option<String> {
    let mut statistic = None;
    for (name, allowed) in schema.texts {
        let Some(sent) = body.get(*name) else { continue };
        let pointer = format!("/body/{name}");
        match raw::string(sent) {
            None => reasons.push(Reason::new(pointer, "wrong-type", format!("{name} is a text"))),
            Some(text) if !allowed.is_empty() && !allowed.contains(&text.as_str()) => {
                let detail = format!("{} is none of: {}", shown(&text), allowed.join(", "));
                reasons.push(Reason::new(pointer, "not-in-enum", detail));
            }
            Some(text) if *name == STATISTIC => statistic = Some(text),
            Some(_) => {}
        }
    }
    statistic
}

struct Given {
    value: rust_decimal::Decimal,
    text: String,
    unit: String,
}

fn read_measure(
    measure: &Measure,
    body: &Fields<'_>,
    reasons: &mut Vec<Reason>,
) -> Option<(&'static Metric, Given)> {
    let at = format!("/body/{}", measure.property);
    let fields = object(body, measure.property, "/body", reasons)?;
    let unit = property(&fields, "unit", &at, reasons).and_then(|sent| {
        let unit = raw::string(sent);
        match &unit {
            None => reasons.push(Reason::new(format!("{at}/unit"), "wrong-type", "unit is a text")),
            Some(unit) if !measure.units.contains(&unit.as_str()) => {
                let detail = format!("{} is none of: {}", shown(unit), measure.units.join(", "));
                reasons.push(Reason::new(format!("{at}/unit"), "not-in-enum", detail));
                return None;
            }
            Some(_) => {}
        }
        unit
    });
    let sent = property(&fields, "value", &at, reasons)?;
    let Some(number) = raw::number(sent) else {
        let detail = "value is a number of at most 28 digits";
        reasons.push(Reason::new(format!("{at}/value"), "wrong-type", detail));
        return None;
    };
    let unit = unit?;
    let metric = Metric::find(measure.metric).expect("every schema measures what the catalogue has");
    let pointers = (format!("{at}/value"), format!("{at}/unit"));
    let value = canonical_value(metric, number, &unit, &pointers.0, &pointers.1, reasons)?;
    Some((metric, Given { value, text: sent.get().to_owned(), unit }))
}

fn property<'a>(
    fields: &Fields<'a>,
    name: &str,
    at: &str,
    reasons: &mut Vec<Reason>,
) -> Option<&'a RawValue> {
    let sent = fields.get(name).copied();
    if sent.is_none() {
        reasons.push(Reason::new(format!("{at}/{name}"), "missing-property", format!("{name} is required")));
    }
    sent
}

fn read_frame(
    schema: &Schema,
    body: &Fields<'_>,
    zone: Tz,
    horizon: &Horizon,
    reasons: &mut Vec<Reason>,
) -> Option<Frame> {
    let at = format!("/body/{TIME_FRAME}");
    let Some(sent) = body.get(TIME_FRAME) else {
        let reason = match schema.needs_time {
            true => {
                Reason::new(at, "missing-property", format!("{TIME_FRAME} is required by {}", schema.id()))
            }
            false => Reason::new(at, "missing-time", "it does not say when it was measured"),
        };
        reasons.push(reason);
        return None;
    };
    let frame = time_frame::read(sent, &at, schema.has_part_of_day, zone, reasons)?;
    let mut judged = Vec::new();
    judge_times(frame.start, frame.end, horizon, &mut judged);
    reasons.extend(judged.into_iter().map(|reason| Reason { pointer: at.clone(), ..reason }));
    Some(frame)
}
