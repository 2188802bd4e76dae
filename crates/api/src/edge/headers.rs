//! The headers that every answer carries unless its handler says otherwise.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, LINK, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember a preflight.
const PREFLIGHT_TTL: std::time::Duration = std::time::Duration::from_secs(600);

/// Answers are the caller's own and asked again each time, cheaply by `ETag`.
const PRIVATE: HeaderValue = HeaderValue::from_static("private, no-cache");

/// Defaults for what the handler left open.
pub(super) fn complete(headers: &mut HeaderMap, secure: bool) {
    let public = headers.get(CACHE_CONTROL).is_some_and(|it| it.as_bytes().starts_with(b"public"));
    let vary = if public { "Accept" } else { "Authorization, Cookie, Consistency-Token" };
    let defaults = [
        (CACHE_CONTROL, PRIVATE),
        (VARY, HeaderValue::from_static(vary)),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    ];
    for (name, value) in defaults {
        headers.entry(name).or_insert(value);
    }
    if secure {
        let a_year = HeaderValue::from_static("max-age=31536000; includeSubDomains");
        headers.entry(STRICT_TRANSPORT_SECURITY).or_insert(a_year);
    }
}

/// `Link: <…>; rel="next"`: the list's address with the next page's cursor.
pub(super) fn link_next(headers: &mut HeaderMap, path: &str, query: Option<&str>, cursor: &str) {
    let kept =
        query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let cursor = format!("cursor={cursor}");
    let query = kept.chain([cursor.as_str()]).collect::<Vec<_>>().join("&");
    if let Ok(link) = HeaderValue::try_from(format!("<{path}?{query}>; rel=\"next\"")) {
        headers.append(LINK, link);
    }
}

/// Which web pages may call: those of the configured origins, with cookies and all that the conventions need. Without
/// any there is nothing to say.
pub(crate) fn cors(origins: Vec<HeaderValue>) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let own = |names: &[&'static str]| names.iter().copied().map(HeaderName::from_static).collect::<Vec<_>>();
    let sent = own(&[
        "accept",
        "authorization",
        "content-type",
        "consistency-token",
        "idempotency-key",
        "if-match",
        "if-none-match",
        "last-event-id",
        "prefer",
        "traceparent",
        "x-request-id",
    ]);
    let mut exposed = vec![ETAG, LOCATION, LINK, RETRY_AFTER];
    exposed.extend(own(&[
        "ratelimit",
        "ratelimit-policy",
        "consistency-token",
        "idempotency-replayed",
        "preference-applied",
        "x-request-id",
    ]));
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(sent)
        .expose_headers(exposed)
        .allow_credentials(true)
        .max_age(PREFLIGHT_TTL);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_keeps_the_filters() {
        let mut headers = HeaderMap::new();
        link_next(&mut headers, "/v1/x", Some("limit=2&cursor=old&q=a%20b"), "new");
        assert_eq!(headers[LINK], "</v1/x?limit=2&q=a%20b&cursor=new>; rel=\"next\"");
    }

    #[test]
    fn a_handler_may_say_otherwise() {
        let mut headers = HeaderMap::new();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=60"));
        complete(&mut headers, false);
        assert_eq!(headers[CACHE_CONTROL], "public, max-age=60");
        assert_eq!(headers[VARY], "Accept");
        assert!(!headers.contains_key(STRICT_TRANSPORT_SECURITY));
    }
}
