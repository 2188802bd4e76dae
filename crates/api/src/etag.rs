//! Versions of a resource on the wire: `ETag: "v7"`, [`IfMatch`] and [`IfNoneMatch`]. Compared by the number
//! inside, so the weak form that a CDN makes of it (`W/"v7"`) matches too.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::HeaderValue;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;

use crate::extract::{invalid_header, single_header};
use crate::problem::{Problem, kinds};

/// The most tags that an `If-None-Match` may list.
const TAGS_MAX: usize = 32;

/// The `ETag` of a version.
pub fn etag(version: i64) -> HeaderValue {
    HeaderValue::try_from(format!("\"v{version}\"")).expect("digits are visible ASCII")
}

/// The version that a change was made from. Missing: 428. It names one version: a list or `*` would let a
/// change undo what nobody has seen, so both are refused (400).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IfMatch(pub i64);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if_match(parts)?.ok_or_else(|| Problem::of(&kinds::PRECONDITION_REQUIRED))
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        if_match(parts)
    }
}

fn if_match(parts: &Parts) -> Result<Option<IfMatch>, Problem> {
    let Some(sent) = single_header(parts, &IF_MATCH)? else { return Ok(None) };
    match version_in(sent) {
        Some(version) => Ok(Some(IfMatch(version))),
        None => Err(invalid_header(&IF_MATCH, "must be one ETag as this service gave it, such as \"v7\"")),
    }
}

/// The versions that the client has already. Anything that isn't one of ours matches nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfNoneMatch {
    any: bool,
    versions: Vec<i64>,
}

impl IfNoneMatch {
    /// Whether the client has this version, so that 304 is the answer to a read.
    pub fn has(&self, version: i64) -> bool {
        self.any || self.versions.contains(&version)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(sent) = single_header(parts, &IF_NONE_MATCH)? else { return Ok(Self::default()) };
        let sent = sent.trim();
        if sent == "*" {
            return Ok(Self { any: true, versions: Vec::new() });
        }
        Ok(Self { any: false, versions: sent.split(',').take(TAGS_MAX).filter_map(version_in).collect() })
    }
}

/// The number in `"v7"` or `W/"v7"`.
fn version_in(tag: &str) -> Option<i64> {
    let tag = tag.trim();
    let digits = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix("\"v")?.strip_suffix('"')?;
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(name: &str, value: Option<&str>) -> Parts {
        let mut request = http::Request::new(());
        if let Some(value) = value {
            request.headers_mut().insert(http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        request.into_parts().0
    }

    async fn if_match(value: Option<&str>) -> Result<i64, String> {
        let mut parts = parts("if-match", value);
        match <IfMatch as FromRequestParts<()>>::from_request_parts(&mut parts, &()).await {
            Ok(IfMatch(version)) => Ok(version),
            Err(problem) => Err(problem.code().to_owned()),
        }
    }

    #[tokio::test]
    async fn a_weak_tag_names_the_same_version() {
        assert_eq!(if_match(Some("\"v7\"")).await, Ok(7));
        assert_eq!(if_match(Some("W/\"v7\"")).await, Ok(7));
        assert_eq!(etag(7), "\"v7\"");
    }

    #[tokio::test]
    async fn a_change_names_exactly_one_version() {
        assert_eq!(if_match(None).await, Err("precondition-required".into()));
        for value in ["*", "\"v1\", \"v2\"", "\"7\"", "v7", "\"v-7\"", "\"v\"", "\"v99999999999999999999\""] {
            assert_eq!(if_match(Some(value)).await, Err("invalid-header".into()), "{value}");
        }
    }

    #[tokio::test]
    async fn if_none_match_takes_a_list_and_ignores_foreign_tags() {
        let mut parts = parts("if-none-match", Some("\"abc\", W/\"v3\", \"v5\""));
        let Ok(tags) = IfNoneMatch::from_request_parts(&mut parts, &()).await else { panic!("refused") };
        assert!(tags.has(3) && tags.has(5) && !tags.has(4));
    }
}
