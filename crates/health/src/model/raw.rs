//! JSON as it was sent: fields by their exact text, so that no number passes through a float and nothing unknown is lost.

use std::collections::BTreeMap;
use std::fmt::Write;

use rust_decimal::Decimal;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::unit::parse_decimal;

/// Names content by its canonical text.
const CONTENT_NAMESPACE: Uuid = Uuid::from_u128(0x0d2e_8a6b_77b1_4f6c_8f0e_9d41_c0a8_53aa);

/// An object's fields, each by the text that was sent, sorted by name.
pub type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// The fields of an object; `None` when it is none, or not one that text can hold.
pub fn fields(raw: &RawValue) -> Option<Fields<'_>> {
    serde_json::from_str(raw.get()).ok()
}

/// A string's value; `None` for any other type.
pub fn string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// A number as its exact text says; `None` for any other type or when it is not held exactly.
pub fn number(raw: &RawValue) -> Option<Decimal> {
    raw.get()
        .starts_with(|c: char| c == '-' || c.is_ascii_digit())
        .then(|| parse_decimal(raw.get()))
        .flatten()
}

/// Whether it is JSON's `null`.
pub fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// Whether the database can keep it as `jsonb`: no `\u0000`, no half of a surrogate pair, not nested too deep.
pub fn is_storable(raw: &RawValue) -> bool {
    let text = raw.get();
    // A string without escapes and a short number without exponent always can: nearly all fields are of that kind.
    if text.starts_with('"') && !text.contains('\\')
        || text.len() <= 32 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    {
        return true;
    }
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(value) => !text.contains("\\u0000") || is_storable_value(&value),
        Err(_) => false,
    }
}

/// Whether no text in it holds a NUL.
pub fn is_storable_value(value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::String(text) => !text.contains('\0'),
        serde_json::Value::Array(items) => items.iter().all(is_storable_value),
        serde_json::Value::Object(map) => {
            map.iter().all(|(key, value)| !key.contains('\0') && is_storable_value(value))
        }
        _ => true,
    }
}

/// A name for content: equal for equal content, however it is spelt.
pub fn hash(canonical: &str) -> Uuid {
    Uuid::new_v5(&CONTENT_NAMESPACE, canonical.as_bytes())
}

/// Appends the canonical spelling: keys sorted, no white space, numbers without trailing zeros. What can't be kept as
/// `jsonb` is appended as it was sent.
pub fn write_canonical(raw: &RawValue, out: &mut String) {
    if is_storable(raw) { canonical(raw, out) } else { out.push_str(raw.get()) }
}

/// Only for what `is_storable`: the nesting is bounded by serde_json's own limit there.
fn canonical(raw: &RawValue, out: &mut String) {
    let text = raw.get();
    match text.as_bytes().first() {
        Some(b'{') => {
            let fields = fields(raw).unwrap_or_default();
            out.push('{');
            for (name, value) in fields {
                let _ = write!(out, "{name:?}:");
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).unwrap_or_default();
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Some(b'"') => {
            let _ = write!(out, "{:?}", string(raw).unwrap_or_default());
        }
        _ => match number(raw) {
            Some(number) => {
                let _ = write!(out, "{}", number.normalize());
            }
            None => out.push_str(text),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> Box<RawValue> {
        RawValue::from_string(text.to_owned()).unwrap()
    }

    fn canonical_of(text: &str) -> String {
        let mut out = String::new();
        write_canonical(&raw(text), &mut out);
        out
    }

    #[test]
    fn the_same_content_has_one_spelling() {
        let plain = canonical_of(r#"{"b":[1.50,"x\u0041"],"a":null}"#);
        assert_eq!(plain, canonical_of("{ \"a\" : null, \"b\" : [ 1.5e0, \"xA\" ] }"));
        assert_ne!(plain, canonical_of(r#"{"b":["x\u0041",1.50],"a":null}"#));
        assert_ne!(canonical_of(r#""1""#), canonical_of("1"));
    }

    #[test]
    fn what_the_database_would_refuse_is_seen_before() {
        let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
        for refused in [r#"{"a":"x\u0000"}"#, r#"["\ud800"]"#, r#"{"a\u0000":1}"#, &deep] {
            assert!(!is_storable(&raw(refused)), "{}", &refused[..refused.len().min(20)]);
            assert_eq!(canonical_of(refused), refused);
        }
        assert!(is_storable(&raw(r#"{"a":"x\\u0000"}"#)), "an escaped backslash is no NUL");
    }

    #[test]
    fn a_number_is_read_from_its_own_text() {
        assert_eq!(number(&raw("67.50")).unwrap().to_string(), "67.50");
        assert_eq!(number(&raw("0.1234567890123456789")).unwrap().to_string(), "0.1234567890123456789");
        assert_eq!(number(&raw("\"67.5\"")), None);
        assert_eq!(number(&raw("null")), None);
    }
}
