//! `Prefer` (RFC 7240): what a client would like, as far as it is heard here. `wait=` reaches every read through
//! the context; [`Prefer`] is for handlers that look at the rest.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, HeaderName};

const PREFER: HeaderName = HeaderName::from_static("prefer");

/// The longest wait that is granted.
pub const WAIT_MAX: Duration = Duration::from_secs(10);

/// What the client would like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `wait=2`: how long to wait for something fresh or finished, at most [`WAIT_MAX`].
    pub wait: Option<Duration>,
    /// `handling=lenient`: merge a stale change when it touches other fields.
    pub lenient: bool,
}

impl Prefer {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let lines = headers.get_all(PREFER).iter().filter_map(|value| value.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            // What follows a semicolon are parameters, which none of these has.
            let preference = preference.split(';').next().unwrap_or_default().trim();
            let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
            let value = value.trim().trim_matches('"');
            match name.trim().to_ascii_lowercase().as_str() {
                // Of a preference that comes twice the first counts.
                "wait" if prefer.wait.is_none() => {
                    prefer.wait =
                        value.parse().ok().map(|seconds| Duration::from_secs(seconds).min(WAIT_MAX));
                }
                "handling" => prefer.lenient = value.eq_ignore_ascii_case("lenient"),
                _ => {}
            }
        }
        prefer
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(&parts.headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(lines: &[&str]) -> Prefer {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(PREFER, line.parse().unwrap());
        }
        Prefer::of(&headers)
    }

    #[test]
    fn preferences_come_in_one_line_or_in_many() {
        let expected = Prefer { wait: Some(Duration::from_secs(2)), lenient: true };
        assert_eq!(prefer(&["wait=2, Handling=\"lenient\"; x=1, foo"]), expected);
        assert_eq!(prefer(&["wait=2", "handling=lenient", "respond-async, foo"]), expected);
    }

    #[test]
    fn a_wait_has_a_limit() {
        assert_eq!(prefer(&["wait=3600"]).wait, Some(WAIT_MAX));
        assert_eq!(prefer(&["wait=-1"]).wait, None);
        assert_eq!(prefer(&[]), Prefer::default());
    }
}
