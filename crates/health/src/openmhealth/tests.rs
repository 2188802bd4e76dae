//! Data points as devices and apps send them, right and wrong.

use super::*;
use crate::model::sample::Reading;
use crate::model::time::parse_instant;

fn read(text: &str) -> Item {
    let horizon = Horizon::new(parse_instant("2026-11-24T12:00:00Z").unwrap(), 30);
    read_point(&RawValue::from_string(text.to_owned()).unwrap(), chrono_tz::Europe::Berlin, &horizon)
}

fn point(schema: &str, version: &str, body: &str) -> Item {
    read(&format!(
        r#"{{"header":{{"id":"p-1","creation_date_time":"2026-11-24T08:00:00Z",
            "schema_id":{{"namespace":"omh","name":"{schema}","version":"{version}"}}}},"body":{body}}}"#
    ))
}

fn reading(item: Item) -> Reading {
    item.verdict.unwrap().remove(0)
}

fn codes(item: Item) -> Vec<String> {
    item.verdict.unwrap_err().into_iter().map(|r| format!("{} {}", r.pointer, r.code)).collect()
}

#[test]
fn a_heart_rate_comes_in_the_catalogues_unit_with_the_given_one_beside() {
    let item = point(
        "heart-rate",
        "2.0",
        r#"{"heart_rate":{"value":67.50,"unit":"beats/min"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00-08:00"},
            "temporal_relationship_to_sleep":"on waking","watch":"left"}"#,
    );
    assert_eq!(item.key, Key::Source("p-1".to_owned()));
    assert_eq!(item.unknown_fields, ["/body/watch"]);
    let reading = reading(item);
    assert_eq!((reading.metric.code, reading.metric.unit()), ("heart_rate", "/min"));
    assert_eq!((reading.value.to_string().as_str(), reading.given_value.as_str()), ("67.5", "67.50"));
    assert_eq!(reading.given_unit, "beats/min");
    assert_eq!(reading.start, parse_instant("2026-02-05T15:25:00Z").unwrap());
    let extra: serde_json::Value = serde_json::from_str(&reading.extra.unwrap()).unwrap();
    assert_eq!(
        extra["body"],
        serde_json::json!({"temporal_relationship_to_sleep": "on waking", "watch": "left"})
    );
    assert_eq!(extra["header"]["id"], "p-1");
}

#[test]
fn an_interval_of_months_is_stored_and_enters_no_rollup() {
    let reading = reading(point(
        "blood-glucose",
        "4.0",
        r#"{"blood_glucose":{"unit":"mg/dL","value":120},"descriptive_statistic":"minimum","effective_time_frame":
            {"time_interval":{"start_date_time":"2013-02-05T07:25:00Z","end_date_time":"2013-06-05T07:25:00Z"}}}"#,
    ));
    assert_eq!(reading.value.to_string(), "6.660893892");
    assert_eq!(reading.statistic.as_deref(), Some("minimum"));
    assert!(!reading.is_rolled_up());
}

#[test]
fn every_violation_is_named() {
    let measured = r#""blood_glucose":{"unit":"mg/dL","value":95}"#;
    let at = r#""effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}"#;
    for (version, body, expected) in [
        (
            "1.0",
            "{}".to_owned(),
            vec!["/body/blood_glucose missing-property", "/body/effective_time_frame missing-time"],
        ),
        ("1.0", format!("{{{measured}}}"), vec!["/body/effective_time_frame missing-time"]),
        ("3.0", format!("{{{measured}}}"), vec!["/body/effective_time_frame missing-property"]),
        (
            "4.0",
            format!(r#"{{{measured},"specimen_source":"fluid"}}"#),
            vec!["/body/specimen_source not-in-enum", "/body/effective_time_frame missing-property"],
        ),
        ("2.0", format!(r#"{{{measured},{at},"user_notes":7}}"#), vec!["/body/user_notes wrong-type"]),
        (
            "2.0",
            format!(r#"{{"blood_glucose":{{"unit":"mg/dL","value":"95"}},{at}}}"#),
            vec!["/body/blood_glucose/value wrong-type"],
        ),
        (
            "2.0",
            format!(r#"{{"blood_glucose":{{"unit":"g/L","value":95}},{at}}}"#),
            vec!["/body/blood_glucose/unit not-in-enum"],
        ),
        (
            "2.0",
            format!(r#"{{"blood_glucose":{{"unit":"mmol/L","value":950}},{at}}}"#),
            vec!["/body/blood_glucose/value implausible-value"],
        ),
        (
            "2.0",
            format!(r#"{{{measured},"effective_time_frame":{{"date_time":"2027-02-05T07:25:00Z"}}}}"#),
            vec!["/body/effective_time_frame future-time"],
        ),
    ] {
        assert_eq!(codes(point("blood-glucose", version, &body)), expected, "{version} {body}");
    }
}

#[test]
fn a_header_says_what_the_body_is() {
    let body = r#""body":{"heart_rate":{"value":60,"unit":"beats/min"},"effective_time_frame":{"date_time":"2026-02-05T07:25:00Z"}}"#;
    let schema = r#""schema_id":{"namespace":"omh","name":"heart-rate","version":"1.0"}"#;
    for (header, expected) in [
        (format!(r#"{{{schema}}}"#), vec!["/header/id invalid-header"]),
        (r#"{"id":"a"}"#.to_owned(), vec!["/header/schema_id invalid-header"]),
        (
            r#"{"id":"a","schema_id":{"namespace":"omh","name":"heart-rate","version":"9.0"}}"#.to_owned(),
            vec!["/header/schema_id unknown-schema"],
        ),
        (
            format!(
                r#"{{"id":"a",{schema},"acquisition_provenance":{{"source_name":"x","modality":"recorded"}}}}"#
            ),
            vec!["/header/acquisition_provenance/modality invalid-header"],
        ),
        (
            format!(r#"{{"id":"a",{schema},"creation_date_time":"x"}}"#),
            vec!["/header/creation_date_time invalid-header"],
        ),
    ] {
        assert_eq!(codes(read(&format!(r#"{{"header":{header},{body}}}"#))), expected, "{header}");
    }
    assert_eq!(codes(read(&format!("{{{body}}}"))), ["/header missing-property"]);
    assert_eq!(codes(read("[]")), [" malformed"]);
    let ieee = read(&format!(r#"{{"header":{{"uuid":"u-1",{schema},"modality":"sensed"}},{body}}}"#));
    assert_eq!(ieee.key, Key::Source("u-1".to_owned()));
    assert!(ieee.verdict.is_ok());
}
