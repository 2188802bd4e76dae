//! The `Idempotency-Key` and the hash of the request that it stands for.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::digest::{Context as Digest, SHA256};
use axum::extract::FromRequestParts;
use http::HeaderName;
use http::request::Parts;

use super::{invalid_header, original_uri, route, single_header};
use crate::problem::{Problem, kinds};

/// The longest key that is taken.
const KEY_CHARS_MAX: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// What makes a repeated `POST` one request: the client's key, the route, and a hash of the whole request. The
/// body is covered as soon as [`Json`](crate::Json) or [`RawBody`](crate::RawBody) has read it, so the key
/// stands before them among a handler's arguments.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: Arc<str>,
    route: Arc<str>,
    hash: RequestHash,
}

impl IdempotencyKey {
    /// A key for work that doesn't come by HTTP: `content` is hashed in place of a request.
    pub fn new(key: &str, route: &str, content: &[u8]) -> Self {
        let hash = RequestHash::default();
        hash.set(&[content]);
        Self { key: key.into(), route: route.into(), hash }
    }

    /// What the client sent.
    pub fn as_str(&self) -> &str {
        &self.key
    }

    /// Method and route, such as `POST /v1/households/{id}/accounts`.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// SHA-256 over method, path, query and body.
    pub fn request_hash(&self) -> [u8; 32] {
        self.hash.get()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Some(sent) = single_header(parts, &IDEMPOTENCY_KEY)? else {
            return Err(Problem::of(&kinds::IDEMPOTENCY_KEY_MISSING));
        };
        // The IETF draft writes the key as a quoted string, most clients write it bare: the same key.
        let bare = sent.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(sent);
        if bare.is_empty() || bare.len() > KEY_CHARS_MAX || bare.bytes().any(|byte| !byte.is_ascii_graphic())
        {
            return Err(invalid_header(&IDEMPOTENCY_KEY, "must have 1 to 255 visible ASCII characters"));
        }
        let key = bare.into();
        let hash = RequestHash::default();
        hash.begin(parts);
        parts.extensions.insert(hash.clone());
        Ok(Self { key, route: format!("{} {}", parts.method, route(parts)).into(), hash })
    }
}

/// Filled in by whoever reads the body; until then it covers the request line alone.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestHash(Arc<Hashes>);

#[derive(Debug, Default)]
struct Hashes {
    without_body: OnceLock<[u8; 32]>,
    whole: OnceLock<[u8; 32]>,
}

impl RequestHash {
    fn begin(&self, parts: &Parts) {
        let uri = original_uri(parts);
        let _ = self.0.without_body.set(sha256(&[parts.method.as_str().as_bytes(), uri.as_bytes(), b""]));
    }

    pub(super) fn cover(&self, parts: &Parts, body: &[u8]) {
        let uri = original_uri(parts);
        self.set(&[parts.method.as_str().as_bytes(), uri.as_bytes(), body]);
    }

    fn set(&self, pieces: &[&[u8]]) {
        let _ = self.0.whole.set(sha256(pieces));
    }

    fn get(&self) -> [u8; 32] {
        self.0.whole.get().or(self.0.without_body.get()).copied().unwrap_or_default()
    }
}

/// Each piece is preceded by its length, so that moving a byte from one to the next changes the hash.
fn sha256(pieces: &[&[u8]]) -> [u8; 32] {
    let mut digest = Digest::new(&SHA256);
    for piece in pieces {
        digest.update(&(piece.len() as u64).to_be_bytes());
        digest.update(piece);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.finish().as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn key_of(value: &str, uri: &str, body: &[u8]) -> Result<IdempotencyKey, Problem> {
        let request = http::Request::post(uri).header("Idempotency-Key", value).body(()).unwrap();
        let (mut parts, ()) = request.into_parts();
        let key = IdempotencyKey::from_request_parts(&mut parts, &()).await?;
        parts.extensions.get::<RequestHash>().unwrap().cover(&parts, body);
        Ok(key)
    }

    #[tokio::test]
    async fn a_quoted_key_is_the_same_as_a_bare_one() {
        let quoted = key_of("\"k1\"", "/a", b"x").await.unwrap();
        let bare = key_of("k1", "/a", b"x").await.unwrap();
        assert_eq!(quoted.as_str(), bare.as_str());
        assert_eq!(quoted.request_hash(), bare.request_hash());
    }

    #[tokio::test]
    async fn the_hash_covers_address_and_body() {
        let one = key_of("k", "/a/1", b"x").await.unwrap().request_hash();
        assert_ne!(one, key_of("k", "/a/2", b"x").await.unwrap().request_hash());
        assert_ne!(one, key_of("k", "/a/1", b"y").await.unwrap().request_hash());
        assert_ne!(one, key_of("k", "/a/1x", b"").await.unwrap().request_hash());
    }

    #[tokio::test]
    async fn a_key_of_other_characters_is_refused() {
        for value in ["", "\"\"", "a b", &"k".repeat(256)] {
            assert_eq!(key_of(value, "/a", b"").await.unwrap_err().code(), "invalid-header", "{value}");
        }
    }
}
