//! One item of a device's batch: read from what was sent, named by its key and content, accepted or given reasons.

use std::fmt::Write;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::catalogue::Metric;
use super::raw::{self, Fields};
use super::receipt::SEQ_MAX;
use super::time::{BUCKET, Horizon, parse_instant};
use super::unit::parse_decimal;

/// A source's own id may be this long.
pub const SOURCE_ID_MAX: usize = 200;
/// What a sample may say about how it was derived, as Open mHealth has it.
pub const STATISTICS: &[&str] = &[
    "average",
    "count",
    "maximum",
    "median",
    "minimum",
    "standard deviation",
    "sum",
    "variance",
    "20th percentile",
    "80th percentile",
    "lower quartile",
    "upper quartile",
    "quartile deviation",
    "1st quintile",
    "2nd quintile",
    "3rd quintile",
    "4th quintile",
];

/// Why something could not be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Reason {
    /// Where, as a JSON pointer into the item.
    pub pointer: String,
    /// What is wrong there, for programs.
    pub code: String,
    /// For people.
    pub detail: String,
}

impl Reason {
    /// A reason at a pointer.
    pub fn new(pointer: impl Into<String>, code: &str, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.to_owned(), detail: detail.into() }
    }
}

/// What makes an item the same one when it comes again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// The number within the device's epoch.
    Seq(i64),
    /// The source's own id.
    Source(String),
}

/// A measurement that can be stored.
#[derive(Clone, Debug)]
pub struct Reading {
    /// What was measured.
    pub metric: &'static Metric,
    /// When, or when it began.
    pub start: DateTime<Utc>,
    /// When it ended, for an interval.
    pub end: Option<DateTime<Utc>>,
    /// In the metric's canonical unit.
    pub value: Decimal,
    /// The number's text as it was given.
    pub given_value: String,
    /// The unit as it was given.
    pub given_unit: String,
    /// How it was derived from several measurements, if it was.
    pub statistic: Option<String>,
    /// What else was sent, as JSON text.
    pub extra: Option<String>,
}

impl Reading {
    /// Whether it enters the rollups: a single measurement, no longer than a bucket.
    pub fn is_rolled_up(&self) -> bool {
        self.statistic.is_none() && self.end.is_none_or(|end| end - self.start <= BUCKET)
    }
}

/// An item that was read.
#[derive(Clone, Debug)]
pub struct Item {
    /// What makes it the same one when it comes again.
    pub key: Key,
    /// Equal for equal content.
    pub hash: Uuid,
    /// Exactly as it was sent.
    pub raw: String,
    /// When it began, as far as it says so: what duplicates are looked up by.
    pub start: Option<DateTime<Utc>>,
    /// What it measured, as far as that is known.
    pub metric: Option<&'static Metric>,
    /// Pointers to fields that are kept but not understood.
    pub unknown_fields: Vec<String>,
    /// What to store (one data point may hold several), or why not.
    pub verdict: Result<Vec<Reading>, Vec<Reason>>,
}

/// The field that a device calls its own number by, and the others that are understood.
const KNOWN: &[&str] = &["seq", "source_id", "metric", "value", "unit", "start", "end", "statistic"];

/// Reads one item of `samples`. Whatever it is, it gets a key and a verdict.
pub fn read_item(sent: &RawValue, horizon: &Horizon) -> Item {
    let Some(fields) = raw::fields(sent) else {
        return unreadable(sent);
    };
    let hash = raw::hash(&content(&fields));
    let key = key_of(&fields).unwrap_or_else(|| Key::Source(format!("content:{hash}")));
    let unknown_fields = fields.keys().filter(|k| !KNOWN.contains(&k.as_str())).map(|k| pointer(k)).collect();
    let start = fields.get("start").and_then(|r| raw::string(r)).and_then(|t| parse_instant(&t));
    let metric = fields.get("metric").and_then(|r| raw::string(r)).and_then(|code| Metric::find(&code));
    let verdict = read_reading(&fields, horizon).map(|reading| vec![reading]);
    Item { key, hash, raw: sent.get().to_owned(), start, metric, unknown_fields, verdict }
}

fn unreadable(sent: &RawValue) -> Item {
    let hash = raw::hash(sent.get());
    Item {
        key: Key::Source(format!("content:{hash}")),
        hash,
        raw: sent.get().to_owned(),
        start: None,
        metric: None,
        unknown_fields: Vec::new(),
        verdict: Err(vec![Reason::new("", "malformed", "an item is a JSON object")]),
    }
}

/// A JSON pointer to a field of the item.
pub fn pointer(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn key_of(fields: &Fields<'_>) -> Option<Key> {
    if let Some(seq) = fields.get("seq").filter(|r| !raw::is_null(r)) {
        let seq: i64 = seq.get().parse().ok()?;
        return (0..=SEQ_MAX).contains(&seq).then_some(Key::Seq(seq));
    }
    let source_id = raw::string(fields.get("source_id")?)?;
    let fits = !source_id.is_empty() && source_id.len() <= SOURCE_ID_MAX && !source_id.contains('\0');
    (fits && !source_id.starts_with("content:")).then_some(Key::Source(source_id))
}

/// All but the key, spelt in one way: numbers and instants by what they mean, absent and `null` alike.
fn content(fields: &Fields<'_>) -> String {
    let mut text = String::with_capacity(160);
    for (name, sent) in fields.iter().filter(|(name, sent)| *name != "seq" && !raw::is_null(sent)) {
        let _ = write!(text, "{name:?}:");
        let meant = match name.as_str() {
            "value" => value_text(sent).and_then(|t| parse_decimal(&t)).map(|v| v.normalize().to_string()),
            "start" | "end" => raw::string(sent).and_then(|t| parse_instant(&t)).map(|t| t.to_rfc3339()),
            _ => None,
        };
        match meant {
            Some(meant) => text.push_str(&meant),
            None => raw::write_canonical(sent, &mut text),
        }
        text.push(',');
    }
    text
}

/// The text of a decimal, sent as a string or as a number.
fn value_text(sent: &RawValue) -> Option<String> {
    match raw::number(sent) {
        Some(_) => Some(sent.get().to_owned()),
        None => raw::string(sent),
    }
}

fn read_reading(fields: &Fields<'_>, horizon: &Horizon) -> Result<Reading, Vec<Reason>> {
    let mut reasons = Vec::new();
    if fields.values().any(|sent| !raw::is_storable(sent)) {
        reasons.push(Reason::new(
            "",
            "nul-in-text",
            "text with \\u0000, half a character or too deep a nesting",
        ));
        return Err(reasons);
    }
    if key_of(fields).is_none() {
        reasons.push(Reason::new(
            "/seq",
            "no-key",
            "neither a seq from 0 to 2^53-1 nor a source_id of 1 to 200 bytes",
        ));
    }
    let metric = read_metric(fields, &mut reasons);
    let given = read_value(fields, &mut reasons);
    let start = read_time(fields, "start", &mut reasons);
    let end = read_time(fields, "end", &mut reasons);
    let statistic = read_statistic(fields, &mut reasons);
    if start.is_none() && !reasons.iter().any(|r| r.pointer == "/start") {
        reasons.push(Reason::new("/start", "missing-time", "it does not say when it was measured"));
    }
    let unit = text_field(fields, "unit", "unknown-unit", &mut reasons);
    let (Some(metric), Some((given_value, number)), Some(start)) = (metric, given, start) else {
        return Err(reasons);
    };
    judge_times(start, end, horizon, &mut reasons);
    let given_unit = unit.unwrap_or_else(|| metric.unit().to_owned());
    let value = canonical_value(metric, number, &given_unit, "/value", "/unit", &mut reasons);
    match value {
        Some(value) if reasons.is_empty() => {
            let extra = extra_of(fields);
            Ok(Reading { metric, start, end, value, given_value, given_unit, statistic, extra })
        }
        _ => Err(reasons),
    }
}

/// Converts and judges a value, noting what is wrong with it at the pointers given.
pub fn canonical_value(
    metric: &Metric,
    given: Decimal,
    unit: &str,
    value_pointer: &str,
    unit_pointer: &str,
    reasons: &mut Vec<Reason>,
) -> Option<Decimal> {
    let Some(known) = metric.unit_named(unit) else {
        let detail = format!("{} is not given in {}", metric.code, shown(unit));
        reasons.push(Reason::new(unit_pointer, "unknown-unit", detail));
        return None;
    };
    let Some(value) = known.to_canonical(given) else {
        reasons.push(Reason::new(value_pointer, "invalid-value", "more digits than a decimal holds"));
        return None;
    };
    if !metric.is_plausible(value) {
        let (low, high, unit) = (metric.low.normalize(), metric.high.normalize(), metric.unit());
        let detail = format!("{value} {unit} lies outside of the plausible {low} to {high}");
        reasons.push(Reason::new(value_pointer, "implausible-value", detail));
    }
    Some(value)
}

/// Notes what is wrong with a sample's times.
pub fn judge_times(
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
    horizon: &Horizon,
    reasons: &mut Vec<Reason>,
) {
    if horizon.is_expired(start) {
        reasons.push(Reason::new("/start", "expired", "older than what is kept"));
    }
    if horizon.is_future(start) {
        reasons.push(Reason::new("/start", "future-time", "further ahead than a clock's skew explains"));
    } else if end.is_some_and(|end| horizon.is_future(end)) {
        reasons.push(Reason::new("/end", "future-time", "further ahead than a clock's skew explains"));
    }
    if end.is_some_and(|end| end < start) {
        reasons.push(Reason::new("/end", "invalid-time", "it ends before it begins"));
    }
}

fn read_metric(fields: &Fields<'_>, reasons: &mut Vec<Reason>) -> Option<&'static Metric> {
    let Some(code) = text_field(fields, "metric", "unknown-metric", reasons) else {
        if !reasons.iter().any(|r| r.pointer == "/metric") {
            reasons.push(Reason::new("/metric", "unknown-metric", "it does not say what was measured"));
        }
        return None;
    };
    let metric = Metric::find(&code);
    if metric.is_none() {
        reasons.push(Reason::new(
            "/metric",
            "unknown-metric",
            format!("{} is not in the catalogue", shown(&code)),
        ));
    }
    metric
}

fn read_value(fields: &Fields<'_>, reasons: &mut Vec<Reason>) -> Option<(String, Decimal)> {
    let read =
        fields.get("value").and_then(|sent| value_text(sent)).and_then(|t| parse_decimal(&t).map(|v| (t, v)));
    if read.is_none() {
        reasons.push(Reason::new("/value", "invalid-value", "a decimal of at most 28 digits is needed"));
    }
    read
}

fn read_time(fields: &Fields<'_>, name: &str, reasons: &mut Vec<Reason>) -> Option<DateTime<Utc>> {
    let text = text_field(fields, name, "invalid-time", reasons)?;
    let instant = parse_instant(&text);
    if instant.is_none() {
        reasons.push(Reason::new(
            pointer(name),
            "invalid-time",
            "an RFC 3339 date and time with its zone is needed",
        ));
    }
    instant
}

fn read_statistic(fields: &Fields<'_>, reasons: &mut Vec<Reason>) -> Option<String> {
    let statistic = text_field(fields, "statistic", "invalid-statistic", reasons)?;
    if !STATISTICS.contains(&statistic.as_str()) {
        let detail = format!("{} is no descriptive statistic", shown(&statistic));
        reasons.push(Reason::new("/statistic", "invalid-statistic", detail));
    }
    Some(statistic)
}

/// A field's text; absent and `null` alike are none.
fn text_field(fields: &Fields<'_>, name: &str, code: &str, reasons: &mut Vec<Reason>) -> Option<String> {
    let sent = fields.get(name).filter(|sent| !raw::is_null(sent))?;
    let text = raw::string(sent);
    if text.is_none() {
        reasons.push(Reason::new(pointer(name), code, "text is needed"));
    }
    text
}

/// What a detail may repeat of what was sent.
pub fn shown(text: &str) -> String {
    let short: String = text.chars().take(40).collect();
    format!("{short:?}")
}

fn extra_of(fields: &Fields<'_>) -> Option<String> {
    // Beside a number, the source's own id is not the key: it is kept as what it is.
    let numbered = fields.contains_key("seq");
    let kept = |name: &str| !KNOWN.contains(&name) || (numbered && name == "source_id");
    let extra: Fields<'_> = fields.iter().filter(|(k, _)| kept(k)).map(|(k, v)| (k.clone(), *v)).collect();
    (!extra.is_empty()).then(|| serde_json::to_string(&extra).expect("names and raw JSON always serialize"))
}

#[cfg(test)]
mod tests;
