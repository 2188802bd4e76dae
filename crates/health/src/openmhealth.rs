//! Open mHealth and IEEE 1752.1 data points: header and body, keyed by the header's id, checked by schema and version.

mod body;
mod schema;
mod time_frame;

use chrono_tz::Tz;
use serde_json::value::RawValue;

use crate::model::raw::{self, Fields};
use crate::model::sample::{Item, Key, Reason, SOURCE_ID_MAX};
use crate::model::time::{Horizon, parse_instant_or_utc};
use schema::Schema;

/// What the keys of data points are kept under.
pub const SOURCE: &str = "openmhealth";

/// How a measure may have come about.
const MODALITIES: &[&str] = &["sensed", "self-reported"];

/// Reads one data point. `zone` is the person's: a part of a day is meant there.
pub fn read_point(sent: &RawValue, zone: Tz, horizon: &Horizon) -> Item {
    let mut canonical = String::with_capacity(sent.get().len());
    raw::write_canonical(sent, &mut canonical);
    let hash = raw::hash(&canonical);
    let mut item = Item {
        key: Key::Source(format!("content:{hash}")),
        hash,
        raw: sent.get().to_owned(),
        start: None,
        metric: None,
        unknown_fields: Vec::new(),
        verdict: Err(Vec::new()),
    };
    item.verdict = if !raw::is_storable(sent) {
        Err(vec![Reason::new("", "nul-in-text", "text with \\u0000, half a character or too deep a nesting")])
    } else {
        read_parts(sent, zone, horizon, &mut item)
    };
    item
}

fn read_parts(
    sent: &RawValue,
    zone: Tz,
    horizon: &Horizon,
    item: &mut Item,
) -> Result<Vec<crate::model::sample::Reading>, Vec<Reason>> {
    let point = raw::fields(sent)
        .ok_or_else(|| vec![Reason::new("", "malformed", "a data point is a JSON object")])?;
    let mut reasons = Vec::new();
    let header = object(&point, "header", "", &mut reasons);
    let body = object(&point, "body", "", &mut reasons);
    let Some(header) = header else { return Err(reasons) };
    if let Some(id) = read_id(&header, &mut reasons) {
        item.key = Key::Source(id);
    }
    check_provenance(&header, &mut reasons);
    let schema = read_schema(&header, &mut reasons);
    let (Some(schema), Some(body)) = (schema, body) else { return Err(reasons) };
    let read = body::read(schema, &body, zone, horizon, &mut reasons);
    item.unknown_fields = read.unknown_fields;
    item.start = read.start;
    if !reasons.is_empty() {
        return Err(reasons);
    }
    let extra = body::extra(schema, point["header"], &body);
    Ok(read
        .readings
        .into_iter()
        .map(|mut reading| {
            reading.extra = Some(extra.clone());
            reading
        })
        .collect())
}

/// A required object within another one.
fn object<'a>(outer: &Fields<'a>, name: &str, at: &str, reasons: &mut Vec<Reason>) -> Option<Fields<'a>> {
    let pointer = format!("{at}/{name}");
    let Some(sent) = outer.get(name) else {
        reasons.push(Reason::new(pointer, "missing-property", format!("{name} is required")));
        return None;
    };
    let fields = raw::fields(sent);
    if fields.is_none() {
        reasons.push(Reason::new(pointer, "wrong-type", format!("{name} is a JSON object")));
    }
    fields
}

/// Open mHealth calls it `id`, IEEE 1752.1 `uuid`.
fn read_id(header: &Fields<'_>, reasons: &mut Vec<Reason>) -> Option<String> {
    let id = header.get("id").or_else(|| header.get("uuid")).and_then(|sent| raw::string(sent));
    let fits = |id: &String| !id.is_empty() && id.len() <= SOURCE_ID_MAX && !id.starts_with("content:");
    let id = id.filter(fits);
    if id.is_none() {
        reasons.push(Reason::new("/header/id", "invalid-header", "an id of 1 to 200 bytes is needed"));
    }
    id
}

/// The parts of a header that are kept but not needed: wrong ones are refused, absent ones are not missed.
fn check_provenance(header: &Fields<'_>, reasons: &mut Vec<Reason>) {
    for name in ["creation_date_time", "source_creation_date_time"] {
        let Some(sent) = header.get(name) else { continue };
        if raw::string(sent).and_then(|text| parse_instant_or_utc(&text)).is_none() {
            let detail = "a date and time by RFC 3339 is needed";
            reasons.push(Reason::new(format!("/header/{name}"), "invalid-header", detail));
        }
    }
    check_modality(header, "/header", reasons);
    let Some(sent) = header.get("acquisition_provenance") else { return };
    let at = "/header/acquisition_provenance";
    match raw::fields(sent) {
        Some(provenance) => {
            if provenance.get("source_name").and_then(|sent| raw::string(sent)).is_none() {
                reasons.push(Reason::new(
                    format!("{at}/source_name"),
                    "invalid-header",
                    "the source's name is needed",
                ));
            }
            check_modality(&provenance, at, reasons);
        }
        None => reasons.push(Reason::new(at, "invalid-header", "a JSON object is needed")),
    }
}

fn check_modality(fields: &Fields<'_>, at: &str, reasons: &mut Vec<Reason>) {
    let Some(sent) = fields.get("modality") else { return };
    if !raw::string(sent).is_some_and(|text| MODALITIES.contains(&text.as_str())) {
        let detail = format!("one of {}", MODALITIES.join(", "));
        reasons.push(Reason::new(format!("{at}/modality"), "invalid-header", detail));
    }
}

fn read_schema(header: &Fields<'_>, reasons: &mut Vec<Reason>) -> Option<&'static Schema> {
    let at = "/header/schema_id";
    let id = match header.get("schema_id").map(|sent| raw::fields(sent)) {
        Some(Some(id)) => id,
        Some(None) | None => {
            let detail = "an object of namespace, name and version is needed";
            reasons.push(Reason::new(at, "invalid-header", detail));
            return None;
        }
    };
    let part = |name: &str| id.get(name).and_then(|sent| raw::string(sent));
    let (Some(namespace), Some(name), Some(version)) = (part("namespace"), part("name"), part("version"))
    else {
        reasons.push(Reason::new(
            at,
            "invalid-header",
            "namespace, name and version are needed, each a text",
        ));
        return None;
    };
    let schema = Schema::find(&namespace, &name, &version);
    if schema.is_none() {
        let shown = crate::model::sample::shown(&format!("{namespace}:{name}:{version}"));
        reasons.push(Reason::new(at, "unknown-schema", format!("{shown} is not known")));
    }
    schema
}

#[cfg(test)]
mod tests;
