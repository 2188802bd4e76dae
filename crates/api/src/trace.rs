//! `traceparent` (W3C Trace Context) and `X-Request-Id`: taken from the client where they are sound, made here
//! otherwise, and given back with every answer.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest `X-Request-Id` that is echoed.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// Where a request stands in its trace.
#[derive(Debug, Clone)]
pub(crate) struct Trace {
    /// 32 hex digits, the same in every service that takes part.
    pub(crate) id: Arc<str>,
    /// 16 hex digits, of this request.
    span: String,
    /// Two hex digits; the lowest bit says that the trace is recorded.
    flags: String,
    /// What the client calls the request, or the trace's id.
    pub(crate) request_id: HeaderValue,
}

impl Trace {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let parent = headers.get(TRACEPARENT).and_then(|value| parse(value.to_str().ok()?));
        let (id, flags) = match parent {
            Some((id, flags)) => (Arc::from(id), flags.to_owned()),
            None => (Arc::from(format!("{:032x}", fastrand::u128(1..))), "00".to_owned()),
        };
        let sound = |value: &&HeaderValue| {
            (1..=REQUEST_ID_CHARS_MAX).contains(&value.len())
                && value.as_bytes().iter().all(u8::is_ascii_graphic)
        };
        let request_id = match headers.get(X_REQUEST_ID).filter(sound) {
            Some(sent) => sent.clone(),
            None => HeaderValue::from_str(&id).expect("hex digits are visible ASCII"),
        };
        Self { id, span: format!("{:016x}", fastrand::u64(1..)), flags, request_id }
    }

    /// What is given back, so that the caller's tool finds this request.
    pub(crate) fn traceparent(&self) -> HeaderValue {
        let text = format!("00-{}-{}-{}", self.id, self.span, self.flags);
        HeaderValue::try_from(text).expect("hex digits and dashes are visible ASCII")
    }
}

/// Trace id and flags of a `traceparent`; of a later version what version 00 knows of it.
fn parse(text: &str) -> Option<(&str, &str)> {
    let mut fields = text.split('-');
    let (version, id, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let sound = hex(version, 2)
        && version != "ff"
        && (version != "00" || fields.next().is_none())
        && hex(id, 32)
        && id.bytes().any(|byte| byte != b'0')
        && hex(parent, 16)
        && parent.bytes().any(|byte| byte != b'0')
        && hex(flags, 2);
    sound.then_some((id, flags))
}

fn hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_sound_traceparent_goes_on() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, format!("00-{ID}-00f067aa0ba902b7-01").parse().unwrap());
        let trace = Trace::of(&headers);
        assert_eq!(&*trace.id, ID);
        let given_back = trace.traceparent();
        let text = given_back.to_str().unwrap();
        assert!(text.starts_with(&format!("00-{ID}-")) && text.ends_with("-01"), "{text}");
        assert!(!text.contains("00f067aa0ba902b7"));
    }

    #[test]
    fn an_unsound_one_begins_a_new_trace() {
        let zeros = "0".repeat(32);
        let unsound = [
            format!("ff-{ID}-00f067aa0ba902b7-01"),
            format!("00-{zeros}-00f067aa0ba902b7-01"),
            format!("00-{ID}-0000000000000000-01"),
            format!("00-{ID}-00f067aa0ba902b7-01-more"),
            format!("00-{}-00f067aa0ba902b7-01", ID.to_uppercase()),
            "00".to_owned(),
        ];
        for text in unsound {
            assert_eq!(parse(&text), None, "{text}");
        }
        assert!(parse(&format!("01-{ID}-00f067aa0ba902b7-01-more")).is_some());
    }

    #[test]
    fn a_request_id_is_echoed_when_it_is_fit_for_a_log() {
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, value.parse().unwrap());
            Trace::of(&headers)
        };
        assert_eq!(with("req-1").request_id, "req-1");
        let trace = with("two words");
        assert_eq!(trace.request_id, &*trace.id);
        let trace = with(&"x".repeat(129));
        assert_eq!(trace.request_id, &*trace.id);
    }
}
