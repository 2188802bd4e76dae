//! Items as devices send them, right and wrong.

use super::*;

fn horizon() -> Horizon {
    Horizon::new(parse_instant("2026-11-24T12:00:00Z").unwrap(), 30)
}

fn read(text: &str) -> Item {
    read_item(&RawValue::from_string(text.to_owned()).unwrap(), &horizon())
}

fn codes(text: &str) -> Vec<String> {
    read(text).verdict.unwrap_err().into_iter().map(|r| format!("{} {}", r.pointer, r.code)).collect()
}

#[test]
fn a_sample_keeps_what_was_given_beside_the_canonical_value() {
    let item = read(
        r#"{"seq":501,"metric":"blood_glucose","value":"95","unit":"mg/dL","start":"2026-11-24T08:00:00+01:00","mood":{"a":1}}"#,
    );
    assert_eq!(item.key, Key::Seq(501));
    assert_eq!(item.unknown_fields, ["/mood"]);
    let reading = item.verdict.unwrap().remove(0);
    assert_eq!((reading.metric.code, reading.value.to_string().as_str()), ("blood_glucose", "5.273207664"));
    assert_eq!((reading.given_value.as_str(), reading.given_unit.as_str()), ("95", "mg/dL"));
    assert_eq!(reading.start, parse_instant("2026-11-24T07:00:00Z").unwrap());
    assert_eq!(reading.extra.as_deref(), Some(r#"{"mood":{"a":1}}"#));
    assert!(reading.is_rolled_up());
}

#[test]
fn content_is_the_same_however_it_is_spelt() {
    let a =
        read(r#"{"seq":1,"metric":"heart_rate","value":"72","unit":"/min","start":"2026-11-24T08:00:00Z"}"#);
    let b = read(
        r#"{"end":null,"start":"2026-11-24T09:00:00.000+01:00","unit":"/min","value":72.0,"metric":"heart_rate","seq":2}"#,
    );
    let c =
        read(r#"{"seq":1,"metric":"heart_rate","value":"73","unit":"/min","start":"2026-11-24T08:00:00Z"}"#);
    assert_eq!(a.hash, b.hash);
    assert_ne!(a.hash, c.hash);
}

#[test]
fn every_mistake_has_its_reason() {
    let good = r#""metric":"heart_rate","value":"72","start":"2026-11-24T08:00:00Z""#;
    for (sent, expected) in [
        ("17".to_owned(), vec![" malformed"]),
        (format!("{{{good}}}"), vec!["/seq no-key"]),
        (format!(r#"{{"seq":-1,{good}}}"#), vec!["/seq no-key"]),
        (format!(r#"{{"seq":1.5,{good}}}"#), vec!["/seq no-key"]),
        (format!(r#"{{"seq":1,{good},"unit":"furlong"}}"#), vec!["/unit unknown-unit"]),
        (format!(r#"{{"seq":1,{good},"unit":7}}"#), vec!["/unit unknown-unit"]),
        (format!(r#"{{"seq":1,{good},"note":"a\u0000b"}}"#), vec![" nul-in-text"]),
        (format!(r#"{{"seq":1,{good},"end":"2026-11-24T07:59:59Z"}}"#), vec!["/end invalid-time"]),
        (format!(r#"{{"seq":1,{good},"statistic":"minmum"}}"#), vec!["/statistic invalid-statistic"]),
        (r#"{"seq":1,"metric":"heart_rate","value":"72"}"#.to_owned(), vec!["/start missing-time"]),
        (
            r#"{"seq":1,"metric":"karma","value":"many","start":"yesterday"}"#.to_owned(),
            vec!["/metric unknown-metric", "/value invalid-value", "/start invalid-time"],
        ),
        (
            r#"{"seq":1,"metric":"heart_rate","value":"900","start":"2027-01-01T00:00:00Z"}"#.to_owned(),
            vec!["/start future-time", "/value implausible-value"],
        ),
        (
            r#"{"seq":1,"metric":"heart_rate","value":"60","start":"1950-01-01T00:00:00Z"}"#.to_owned(),
            vec!["/start expired"],
        ),
    ] {
        assert_eq!(codes(&sent), expected, "{sent}");
    }
}

#[test]
fn an_item_without_a_key_is_known_by_its_content() {
    let keyless = read(r#"{"metric":"heart_rate"}"#);
    assert_eq!(keyless.key, Key::Source(format!("content:{}", keyless.hash)));
    assert_eq!(read(r#"{"source_id":"a-1","metric":"heart_rate"}"#).key, Key::Source("a-1".to_owned()));
    assert_ne!(read(r#"{"source_id":"content:1"}"#).key, Key::Source("content:1".to_owned()));
}

#[test]
fn only_single_measurements_within_a_bucket_enter_rollups() {
    let with = |more: &str| {
        let text =
            format!(r#"{{"seq":1,"metric":"heart_rate","value":"72","start":"2026-11-24T08:00:00Z"{more}}}"#);
        read(&text).verdict.unwrap().remove(0).is_rolled_up()
    };
    assert!(with(""));
    assert!(with(r#","end":"2026-11-24T08:15:00Z""#));
    assert!(!with(r#","end":"2026-11-24T08:15:00.000001Z""#));
    assert!(!with(r#","statistic":"maximum""#));
}
