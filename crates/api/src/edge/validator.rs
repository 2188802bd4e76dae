//! The `ETag` of an answer that has no version of its own: a hash of its body, so that asking again costs no transfer.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use crate::problem::Problem;

/// Larger bodies are sent as they are.
const HASHED_BYTES_MAX: u64 = 1 << 20;

/// Half of a SHA-256: nobody finds two bodies of one tag.
const HASH_BYTES: usize = 16;

/// Gives a 200 to a `GET` its tag, or makes it a 304 when the client has just this body. Streams pass untouched.
pub(super) async fn validate(method: &Method, asked: &HeaderMap, response: Response) -> Response {
    let has_whole_body = response.body().size_hint().exact().is_some_and(|bytes| bytes <= HASHED_BYTES_MAX);
    let is_read = *method == Method::GET && response.status() == StatusCode::OK;
    if !is_read || !has_whole_body || response.headers().contains_key(ETAG) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return Problem::internal(error).into_response(),
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &body);
    let hash = URL_SAFE_NO_PAD.encode(&digest.as_ref()[..HASH_BYTES]);
    let tag = format!("W/\"{hash}\"");
    let is_known = asked.get_all(IF_NONE_MATCH).iter().any(|sent| names(sent, &tag));
    parts.headers.insert(ETAG, HeaderValue::try_from(tag).expect("base64url is visible ASCII"));
    if !is_known {
        return Response::from_parts(parts, body.into());
    }
    parts.status = StatusCode::NOT_MODIFIED;
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.remove(CONTENT_TYPE);
    Response::from_parts(parts, Body::empty())
}

/// Whether `If-None-Match` names the tag; weak or strong makes no difference to a read.
fn names(sent: &HeaderValue, tag: &str) -> bool {
    let opaque = tag.trim_start_matches("W/");
    let mut tags = sent.to_str().unwrap_or_default().split(',').map(str::trim);
    tags.any(|sent| sent == "*" || sent.trim_start_matches("W/") == opaque)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(asked: &HeaderMap, text: &'static str) -> Response {
        validate(&Method::GET, asked, Response::new(Body::from(text))).await
    }

    fn knows(tags: &str) -> HeaderMap {
        HeaderMap::from_iter([(IF_NONE_MATCH, tags.parse().unwrap())])
    }

    #[tokio::test]
    async fn the_same_body_is_not_sent_twice_and_another_is() {
        let first = read(&HeaderMap::new(), "[1]").await;
        let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
        for known in [tag.clone(), format!("\"other\", {tag}"), tag.replace("W/", ""), "*".to_owned()] {
            let again = read(&knows(&known), "[1]").await;
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{known}");
            assert_eq!(again.headers()[ETAG], tag.as_str());
            assert_eq!(again.body().size_hint().exact(), Some(0));
        }
        let changed = read(&knows(&tag), "[2]").await;
        assert_eq!(changed.status(), StatusCode::OK);
        assert_ne!(changed.headers()[ETAG], tag.as_str());
    }

    #[tokio::test]
    async fn a_version_stays_the_tag_and_only_a_read_gets_a_hash() {
        let mut versioned = Response::new(Body::from("{}"));
        versioned.headers_mut().insert(ETAG, HeaderValue::from_static("\"v7\""));
        let versioned = validate(&Method::GET, &HeaderMap::new(), versioned).await;
        assert_eq!(versioned.headers()[ETAG], "\"v7\"");
        let written = validate(&Method::POST, &HeaderMap::new(), Response::new(Body::from("{}"))).await;
        assert!(!written.headers().contains_key(ETAG));
    }
}
