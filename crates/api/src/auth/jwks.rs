//! The public keys of an issuer, read from its JWKS address: at the first use, when a token names an unknown key,
//! and now and then, so that a withdrawn key goes. One fetch at a time, however many wait for it, and never more
//! often than [`REFRESH_EVERY_MIN`], so that made-up key names can't turn us against the issuer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::{Refusal, VerifyingKey};

/// The shortest time between two fetches.
pub(super) const REFRESH_EVERY_MIN: Duration = Duration::from_secs(10);
/// Keys older than this are fetched again in the background at their next use.
const REFRESH_AFTER: Duration = Duration::from_secs(15 * 60);
/// How long a fetch may take.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest key set that is read.
const JWKS_BYTES_MAX: usize = 256 * 1024;
/// The most keys that are kept of it.
const KEYS_MAX: usize = 64;

#[derive(Clone)]
pub(super) struct Jwks(Arc<Inner>);

struct Inner {
    url: String,
    http: reqwest::Client,
    keys: RwLock<Keys>,
    /// Held while fetching; what it holds is when the last fetch began.
    fetching: Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Keys {
    by_id: HashMap<String, VerifyingKey>,
    fetched_at: Option<Instant>,
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("the key set can't be fetched")]
    Http(#[from] reqwest::Error),
    #[error("the key set is larger than {JWKS_BYTES_MAX} bytes or ended too early")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the key set can't be read")]
    Json(#[from] serde_json::Error),
}

impl Jwks {
    pub(super) fn new(url: String) -> Self {
        let http = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client without files or proxies of its own can be built");
        Self(Arc::new(Inner { url, http, keys: RwLock::default(), fetching: Mutex::new(None) }))
    }

    /// The key of this name.
    pub(super) async fn key(&self, kid: &str) -> Result<VerifyingKey, Refusal> {
        let (key, old) = self.known(kid);
        match key {
            Some(key) if !old => return Ok(key),
            Some(key) => {
                let this = self.clone();
                tokio::spawn(async move { this.refresh().await });
                return Ok(key);
            }
            None => self.refresh().await,
        }
        match self.known(kid) {
            (Some(key), _) => Ok(key),
            (None, _) if self.0.keys.read().fetched_at.is_none() => Err(Refusal::KeysUnavailable),
            (None, _) => Err(Refusal::Invalid("the token's key is not known")),
        }
    }

    fn known(&self, kid: &str) -> (Option<VerifyingKey>, bool) {
        let keys = self.0.keys.read();
        let old = keys.fetched_at.is_none_or(|at| at.elapsed() > REFRESH_AFTER);
        (keys.by_id.get(kid).cloned(), old)
    }

    /// Fetches unless that was done or tried a moment ago; whoever comes meanwhile waits for the same fetch.
    async fn refresh(&self) {
        let mut last = self.0.fetching.lock().await;
        if last.is_some_and(|at| at.elapsed() < REFRESH_EVERY_MIN) {
            return;
        }
        *last = Some(Instant::now());
        match self.fetch().await {
            Ok(by_id) => *self.0.keys.write() = Keys { by_id, fetched_at: Some(Instant::now()) },
            // The keys that are known stay: the issuer being away for a while is no reason to refuse everybody.
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(%error, cause, url = self.0.url, "the issuer's keys were not fetched");
            }
        }
    }

    async fn fetch(&self) -> Result<HashMap<String, VerifyingKey>, FetchError> {
        let response = self.0.http.get(&self.0.url).send().await?.error_for_status()?;
        let body: http::Response<reqwest::Body> = response.into();
        let body =
            Limited::new(body.into_body(), JWKS_BYTES_MAX).collect().await.map_err(FetchError::Body)?;
        let document: serde_json::Value = serde_json::from_slice(&body.to_bytes())?;
        Ok(usable_keys(&document))
    }
}

/// The signing keys of the set that we can verify with; keys of other kinds are passed over, one by one, so that a
/// new kind doesn't lock everybody out.
fn usable_keys(document: &serde_json::Value) -> HashMap<String, VerifyingKey> {
    let entries = document.get("keys").and_then(|keys| keys.as_array()).into_iter().flatten();
    let jwks = entries.take(KEYS_MAX).filter_map(|entry| serde_json::from_value::<Jwk>(entry.clone()).ok());
    JwkSet { keys: jwks.collect() }
        .keys
        .iter()
        .filter_map(|jwk| Some((jwk.common.key_id.clone()?, usable(jwk)?)))
        .collect()
}

fn usable(jwk: &Jwk) -> Option<VerifyingKey> {
    if jwk.common.public_key_use.as_ref().is_some_and(|it| *it != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        _ => return None,
    };
    if jwk.common.key_algorithm.is_some_and(|named| named.to_string() != format!("{algorithm:?}")) {
        return None;
    }
    Some(VerifyingKey { algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

#[cfg(test)]
mod tests;
