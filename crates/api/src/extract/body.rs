//! Reading a body within its limit, and turning it into a valid value or a problem that names each wrong field.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use garde::Validate;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use tokio::time::timeout;

use super::RequestHash;
use crate::problem::{Problem, kinds};

/// The largest body of an operation that documents no `x-body-bytes-max` of its own.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// The largest body of this operation, where it differs from [`BODY_BYTES_MAX`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// Of a body that is too large so much is read and thrown away: a client that is still sending would see its connection
/// break, and not the answer.
const DRAINED_BYTES_MAX: usize = 16 * 1024 * 1024;
/// And for so long.
const DRAINED_WITHIN: Duration = Duration::from_secs(1);

/// 415 unless the media type (parameters aside) is one of these.
pub fn require_media_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    if accepted.iter().any(|it| it.eq_ignore_ascii_case(essence)) {
        return Ok(());
    }
    Err(Problem::of(&kinds::UNSUPPORTED_MEDIA_TYPE)
        .detail(format!("the Content-Type must be {}", accepted.join(" or "))))
}

/// The whole body, or 413 once it is larger than the operation's limit.
pub async fn read(request: Request) -> Result<Bytes, Problem> {
    let (parts, mut body) = request.into_parts();
    let bytes_max = parts.extensions.get::<BodyLimit>().map_or(BODY_BYTES_MAX, |limit| limit.0);
    let announced =
        parts.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if let Some(length) = announced
        && length > bytes_max
    {
        // Who asks first (`Expect: 100-continue`) has sent nothing yet.
        if length <= DRAINED_BYTES_MAX && !parts.headers.contains_key(EXPECT) {
            drain(&mut body).await;
        }
        return Err(too_large(bytes_max));
    }
    let bytes = match Limited::new(&mut body, bytes_max).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if is_too_large(error.as_ref()) => {
            drain(&mut body).await;
            return Err(too_large(bytes_max));
        }
        Err(_) => return Err(Problem::of(&kinds::MALFORMED_REQUEST).detail("the body ended too early")),
    };
    if let Some(hash) = parts.extensions.get::<RequestHash>() {
        hash.cover(&parts, &bytes);
    }
    Ok(bytes)
}

async fn drain(body: &mut Body) {
    let mut left = DRAINED_BYTES_MAX;
    let drained = async {
        while let Some(Ok(frame)) = body.frame().await {
            let read = frame.data_ref().map_or(0, Bytes::len);
            let Some(still) = left.checked_sub(read) else { return };
            left = still;
        }
    };
    // However it ends, the answer is the same.
    let _ = timeout(DRAINED_WITHIN, drained).await;
}

/// A valid value from JSON text, or 400 (not JSON) or 422 (not what is expected here).
pub fn parse<T>(bytes: &[u8]) -> Result<T, Problem>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut deserializer).map_err(wrong_json)?;
    deserializer.end().map_err(|error| malformed(&error))?;
    validate(&value)?;
    Ok(value)
}

/// As [`parse`], from a value that is JSON already.
pub fn parse_value<T>(value: serde_json::Value) -> Result<T, Problem>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let value: T = serde_path_to_error::deserialize(value).map_err(wrong_json)?;
    validate(&value)?;
    Ok(value)
}

/// 422 with one entry per field that breaks a `garde` rule.
pub fn validate<T: Validate<Context = ()>>(value: &T) -> Result<(), Problem> {
    let Err(report) = value.validate() else { return Ok(()) };
    let mut fields: Vec<(String, String)> = Vec::new();
    for (path, error) in report.iter() {
        let pointer = pointer_of(path);
        match fields.iter_mut().find(|(known, _)| *known == pointer) {
            Some((_, detail)) => {
                detail.push_str("; ");
                detail.push_str(error.message());
            }
            None => fields.push((pointer, error.message().to_owned())),
        }
    }
    let problem = Problem::of(&kinds::VALIDATION_FAILED);
    Err(fields
        .into_iter()
        .fold(problem, |problem, (pointer, detail)| problem.field(pointer, detail, "invalid")))
}

/// `lines[0].amount` as `/lines/0/amount`.
fn pointer_of(path: &garde::Path) -> String {
    let mut pointer = String::new();
    // A wrapper such as `Option` adds a part without a name.
    for (_, part) in path.__iter().rev().filter(|(_, part)| !part.is_empty()) {
        push_token(&mut pointer, part);
    }
    pointer
}

/// Appends one reference token, escaped as RFC 6901 asks.
pub fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for character in token.chars() {
        match character {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_too_large)
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::of(&kinds::BODY_TOO_LARGE)
        .detail(format!("at most {bytes_max} bytes are taken here"))
        .with("bytes_max", bytes_max)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::of(&kinds::MALFORMED_JSON).detail(error.to_string())
}

fn wrong_json(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let mut pointer = String::new();
    let mut last = None;
    for segment in error.path() {
        let token = match segment {
            serde_path_to_error::Segment::Seq { index } => index.to_string(),
            serde_path_to_error::Segment::Map { key } => key.clone(),
            serde_path_to_error::Segment::Enum { .. } | serde_path_to_error::Segment::Unknown => continue,
        };
        push_token(&mut pointer, &token);
        last = Some(token);
    }
    let error = error.into_inner();
    if error.classify() != Category::Data {
        return malformed(&error);
    }
    let message = without_position(&error);
    let (code, detail) = describe(&message);
    if let Some(name) = quoted(&message, "missing field `") {
        push_token(&mut pointer, name);
    }
    // Where the place ends at the object, the field itself is still to be named.
    if let Some(name) = quoted(&message, "unknown field `")
        && last.as_deref() != Some(name)
    {
        push_token(&mut pointer, name);
    }
    Problem::of(&kinds::VALIDATION_FAILED).field(pointer, detail, code)
}

/// serde_json adds ` at line 1 column 9`, which says nothing about a value that was parsed before.
fn without_position(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rfind(" at line ") {
        Some(at) if error.line() > 0 => message[..at].to_owned(),
        _ => message,
    }
}

fn describe(message: &str) -> (&'static str, String) {
    if message.starts_with("missing field") {
        ("missing", "is missing".to_owned())
    } else if message.starts_with("unknown field") {
        ("unknown-field", message.to_owned())
    } else if message.starts_with("duplicate field") {
        ("duplicate-field", message.to_owned())
    } else if message.starts_with("invalid type") {
        ("invalid-type", message.to_owned())
    } else {
        ("invalid", message.to_owned())
    }
}

fn quoted<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.split('`').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Expense {
        #[garde(length(min = 1, max = 3))]
        name: String,
        #[garde(dive)]
        splits: Vec<Split>,
    }

    #[derive(Debug, serde::Deserialize, Validate)]
    #[serde(deny_unknown_fields)]
    struct Split {
        #[garde(range(min = 1))]
        amount: i64,
    }

    fn refused(text: &str) -> Problem {
        parse::<Expense>(text.as_bytes()).unwrap_err()
    }

    fn first(problem: &Problem) -> (u16, &str, &str) {
        let error = &problem.errors()[0];
        (problem.status().as_u16(), &error.pointer, &error.code)
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for text in ["", "{", "{\"name\": }", "{\"name\":\"a\",\"splits\":[]} x"] {
            assert_eq!(refused(text).code(), "malformed-json", "{text}");
        }
    }

    #[test]
    fn an_unknown_field_is_named_by_its_pointer() {
        let problem = refused(r#"{"name":"a","splits":[{"amount":1,"a/b":2}]}"#);
        assert_eq!(first(&problem), (422, "/splits/0/a~1b", "unknown-field"));
        let problem = refused(r#"{"name":"a","splits":[],"nam":2}"#);
        assert_eq!(first(&problem), (422, "/nam", "unknown-field"));
    }

    #[test]
    fn a_missing_field_is_named_by_its_pointer() {
        assert_eq!(first(&refused(r#"{"name":"a","splits":[{}]}"#)), (422, "/splits/0/amount", "missing"));
    }

    #[test]
    fn a_wrong_type_is_named_by_its_pointer() {
        let problem = refused(r#"{"name":"a","splits":[{"amount":"x"}]}"#);
        assert_eq!(first(&problem), (422, "/splits/0/amount", "invalid-type"));
        assert!(!problem.errors()[0].detail.contains("line"), "{:?}", problem.errors());
    }

    #[test]
    fn every_invalid_field_has_one_entry() {
        let problem = refused(r#"{"name":"","splits":[{"amount":1},{"amount":0}]}"#);
        let pointers: Vec<_> = problem.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/name", "/splits/1/amount"]);
    }
}
