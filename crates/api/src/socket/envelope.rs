//! The envelope in both directions. What a module reads and writes passes through as raw JSON, so that
//! nothing is parsed or written twice.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};

use super::error::SocketError;
use crate::problem::kinds::MALFORMED_JSON;

/// The longest `id` that is echoed, in bytes of JSON.
const ID_BYTES_MAX: usize = 128;

/// A message of the client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request<'a> {
    #[serde(borrow, default)]
    pub id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub op: Cow<'a, str>,
    #[serde(default)]
    pub channel: Option<String>,
    #[serde(borrow, default)]
    pub args: Option<&'a RawValue>,
}

/// What is left of a message that is no [`Request`].
#[derive(Deserialize)]
struct OnlyId<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
}

/// The client's `id` as JSON, to be echoed.
#[derive(Clone, Debug)]
pub(super) struct Id(Option<Box<str>>);

impl Id {
    /// For frames that answer nothing.
    pub const NONE: Self = Self(None);

    fn of(raw: Option<&RawValue>) -> Result<Self, SocketError> {
        let Some(text) = raw.map(RawValue::get) else { return Ok(Self::NONE) };
        let scalar = matches!(text.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'));
        if scalar && text.len() <= ID_BYTES_MAX {
            Ok(Self(Some(text.into())))
        } else {
            let detail = format!("id is a string or a number of at most {ID_BYTES_MAX} bytes");
            Err(SocketError::of(&MALFORMED_JSON).detail(detail).field(
                "/id",
                "is no short string or number",
                "type",
            ))
        }
    }
}

/// Reads one message. The error carries the id as far as it could be read.
pub(super) fn parse(text: &str) -> Result<(Id, Request<'_>), (Id, SocketError)> {
    match serde_json::from_str::<Request<'_>>(text) {
        Ok(request) => match Id::of(request.id) {
            Ok(id) => Ok((id, request)),
            Err(error) => Err((Id::NONE, error)),
        },
        Err(error) => {
            let id = serde_json::from_str::<OnlyId<'_>>(text).ok().and_then(|only| Id::of(only.id).ok());
            Err((id.unwrap_or(Id::NONE), SocketError::of(&MALFORMED_JSON).detail(error.to_string())))
        }
    }
}

/// A frame for the client.
#[derive(Debug, Default)]
pub(super) struct Frame<'a> {
    pub id: Option<&'a Id>,
    /// The channel's name as JSON.
    pub channel: Option<&'a str>,
    pub seq: Option<i64>,
    pub prev: Option<i64>,
    pub kind: &'a str,
    /// JSON.
    pub data: Option<&'a str>,
    pub token: Option<&'a str>,
    pub credit: Option<u32>,
}

impl Frame<'_> {
    /// The text of the frame. `kind` and `token` need no escaping: kinds are identifiers of ours, tokens base64.
    pub fn encode(&self) -> String {
        const FIELDS_BYTES: usize = 160;
        let mut out = String::with_capacity(
            FIELDS_BYTES + self.data.map_or(2, str::len) + self.token.map_or(0, str::len),
        );
        out.push('{');
        if let Some(Id(Some(id))) = self.id {
            out.push_str("\"id\":");
            out.push_str(id);
            out.push(',');
        }
        if let Some(channel) = self.channel {
            out.push_str("\"ch\":");
            out.push_str(channel);
            out.push(',');
        }
        for (name, number) in [("seq", self.seq), ("prev", self.prev)] {
            if let Some(number) = number {
                write!(out, "\"{name}\":{number},").expect("a String takes everything");
            }
        }
        out.push_str("\"type\":\"");
        out.push_str(self.kind);
        out.push_str("\",\"data\":");
        out.push_str(self.data.unwrap_or("{}"));
        if let Some(token) = self.token {
            out.push_str(",\"token\":\"");
            out.push_str(token);
            out.push('"');
        }
        if let Some(credit) = self.credit {
            write!(out, ",\"credit\":{credit}").expect("a String takes everything");
        }
        out.push('}');
        out
    }
}

/// An error frame.
pub(super) fn error(id: &Id, channel: Option<&str>, credit: Option<u32>, error: &SocketError) -> String {
    let data = to_raw_value(error).expect("an error has no map with keys other than strings");
    Frame { id: Some(id), channel, kind: "error", data: Some(data.get()), credit, ..Frame::default() }
        .encode()
}

/// The members of `args` that the session itself understands.
#[derive(Debug, Default)]
pub(super) struct SessionArgs {
    pub token: Option<String>,
    pub resume_from: Option<i64>,
}

/// Takes `token` (and, for a subscription, `resume_from`) out of `args`; the module sees what is left.
pub(super) fn take_session_args<'a>(
    args: Option<&'a RawValue>,
    subscribing: bool,
) -> Result<(SessionArgs, Cow<'a, RawValue>), SocketError> {
    let mut taken = SessionArgs::default();
    let Some(raw) = args else { return Ok((taken, Cow::Owned(empty_args()))) };
    // Orders come by the ten thousand and rarely carry a token: those that can't are passed on as they are.
    if !subscribing && !raw.get().contains("\"token\"") {
        return Ok((taken, Cow::Borrowed(raw)));
    }
    let malformed = |e: serde_json::Error| SocketError::of(&MALFORMED_JSON).detail(format!("args: {e}"));
    let mut members: std::collections::BTreeMap<Cow<'_, str>, &RawValue> =
        serde_json::from_str(raw.get()).map_err(malformed)?;
    if let Some(token) = members.remove("token") {
        taken.token = serde_json::from_str(token.get()).map_err(malformed)?;
    }
    if subscribing && let Some(from) = members.remove("resume_from") {
        taken.resume_from = serde_json::from_str(from.get()).map_err(malformed)?;
    }
    let rest = to_raw_value(&members).map_err(malformed)?;
    Ok((taken, Cow::Owned(rest)))
}

fn empty_args() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).expect("an object without members")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_id_as_it_was_written() {
        let (id, request) = parse(r#"{"id":"a\"1","op":"order.place","args":{"x":1.50}}"#).unwrap();
        assert_eq!(request.op, "order.place");
        assert_eq!(request.args.unwrap().get(), r#"{"x":1.50}"#);
        let frame = Frame { id: Some(&id), kind: "reply", ..Frame::default() };
        assert_eq!(frame.encode(), r#"{"id":"a\"1","type":"reply","data":{}}"#);
    }

    #[test]
    fn a_wrong_message_is_answered_with_its_id_where_it_can_be_read() {
        for (text, id) in [
            (r#"{"id":7}"#, Some("7")),
            (r#"{"id":7,"op":"x","extra":1}"#, Some("7")),
            (r#"{"id":{},"op":"x"}"#, None),
            ("[]", None),
            ("{", None),
        ] {
            let (found, error) = parse(text).unwrap_err();
            assert_eq!(found.0.as_deref(), id, "{text}");
            assert_eq!(error.code, "malformed-json");
        }
        let long = format!(r#"{{"id":"{}","op":"x"}}"#, "a".repeat(ID_BYTES_MAX));
        assert!(parse(&long).is_err());
    }

    #[test]
    fn the_sessions_own_arguments_are_taken_out() {
        let raw = RawValue::from_string(r#"{"token":"abc","depth":10,"resume_from":5}"#.to_owned()).unwrap();
        let (taken, rest) = take_session_args(Some(&raw), true).unwrap();
        assert_eq!((taken.token.as_deref(), taken.resume_from), (Some("abc"), Some(5)));
        assert_eq!(rest.get(), r#"{"depth":10}"#);
        let (taken, rest) = take_session_args(Some(&raw), false).unwrap();
        assert_eq!((taken.token.as_deref(), taken.resume_from), (Some("abc"), None));
        assert_eq!(rest.get(), r#"{"depth":10,"resume_from":5}"#);
        assert!(matches!(take_session_args(None, true).unwrap().1, Cow::Owned(r) if r.get() == "{}"));
    }

    #[test]
    fn a_channels_frame_says_what_came_before() {
        let frame = Frame {
            channel: Some(r#""book:1""#),
            seq: Some(9),
            prev: Some(7),
            kind: "delta",
            data: Some("[1]"),
            token: Some("t"),
            credit: Some(5),
            id: None,
        };
        let text = frame.encode();
        assert_eq!(
            text,
            r#"{"ch":"book:1","seq":9,"prev":7,"type":"delta","data":[1],"token":"t","credit":5}"#
        );
    }
}
