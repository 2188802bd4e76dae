//! Who calls: Bearer JWTs (RS256, ES256) of one trusted issuer. Keys come from the issuer's JWKS, or in
//! development from the built-in [`DevIssuer`].

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use common::context::{Caller, Clock};
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation};
use moka::sync::Cache;

mod claims;
mod dev_issuer;
mod jwks;
mod me;

pub use dev_issuer::{DevIssuer, DevIssuerError, IssuedToken, TokenRequest};
pub(crate) use me::router as me_router;

use claims::{Claims, Expected};
use jwks::Jwks;

use crate::problem::{Problem, kinds};

/// Look after the service itself.
pub const OPERATOR: &str = "operator";

/// The longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Tokens that were verified a moment ago: an ES256 signature costs about 100 µs, a look here 1.
const VERIFIED_MAX: u64 = 20_000;
/// For how long a verified token isn't verified again; its own expiry is looked at each time.
const VERIFIED_FOR: Duration = Duration::from_secs(60);

/// Which tokens are trusted.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// `iss` of every token.
    pub issuer: String,
    /// `aud` of every token, or the `client_id` of a Cognito access token.
    pub audience: String,
    /// Where the issuer publishes its keys. None: only the development issuer's are known.
    pub jwks_url: Option<String>,
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It isn't valid, for this reason.
    Invalid(&'static str),
    /// The issuer's keys can't be read at the moment.
    KeysUnavailable,
}

/// Checks tokens. Clones share keys and what was verified.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    issuer: Option<(Jwks, Expected)>,
    dev: Option<Arc<DevIssuer>>,
    clock: Clock,
    verified: Cache<[u8; 32], Verified>,
}

#[derive(Clone)]
struct Verified {
    caller: Caller,
    expires_at: DateTime<Utc>,
}

/// A public key that a token may be signed with, and the one algorithm that it is for.
#[derive(Clone)]
pub(crate) struct VerifyingKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl Verifier {
    /// Trusts the configured issuer and, where there is one, the development issuer.
    pub fn new(config: &AuthConfig, dev: Option<Arc<DevIssuer>>, clock: Clock) -> Self {
        let issuer = config.jwks_url.clone().map(|url| {
            let expected = Expected { issuer: config.issuer.clone(), audience: config.audience.clone() };
            (Jwks::new(url), expected)
        });
        let verified = Cache::builder().max_capacity(VERIFIED_MAX).time_to_live(VERIFIED_FOR).build();
        Self(Arc::new(Inner { issuer, dev, clock, verified }))
    }

    /// The caller whose token this is, or the 401 (503 when the issuer's keys can't be had).
    pub async fn authenticate(&self, token: &str) -> Result<Caller, Problem> {
        self.check(token).await.map_err(Problem::from)
    }

    /// The development issuer, where there is one.
    pub fn dev_issuer(&self) -> Option<&Arc<DevIssuer>> {
        self.0.dev.as_ref()
    }

    pub(crate) async fn check(&self, token: &str) -> Result<Caller, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Invalid("the token is too long"));
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        let now = self.0.clock.now();
        let verified = match self.0.verified.get(&fingerprint) {
            Some(verified) => verified,
            None => {
                let verified = self.verify(token, now).await?;
                self.0.verified.insert(fingerprint, verified.clone());
                verified
            }
        };
        if claims::is_over(verified.expires_at, now) {
            return Err(Refusal::Invalid("the token has expired"));
        }
        Ok(verified.caller)
    }

    async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<Verified, Refusal> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| Refusal::Invalid("the token is not a JWT"))?;
        let (key, expected) = self.key_of(&header).await?;
        // The key says which algorithm it is for; what the token's header says must be the same.
        if header.alg != key.algorithm {
            return Err(Refusal::Invalid("the token's algorithm is not the key's"));
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &key.key, &signature_only(key.algorithm))
            .map_err(|error| match error.kind() {
                jsonwebtoken::errors::ErrorKind::InvalidSignature => {
                    Refusal::Invalid("the token's signature is wrong")
                }
                _ => Refusal::Invalid("the token's claims can't be read"),
            })?
            .claims;
        let expires_at = claims.check(expected, now).map_err(Refusal::Invalid)?;
        Ok(Verified { caller: claims.into_caller(expires_at), expires_at })
    }

    /// The key that the token names, and what else must be true of a token of that issuer.
    async fn key_of(&self, header: &Header) -> Result<(VerifyingKey, &Expected), Refusal> {
        let Some(kid) = header.kid.as_deref() else { return Err(Refusal::Invalid("the token names no key")) };
        if let Some(dev) = self.0.dev.as_ref().filter(|dev| dev.kid() == kid) {
            return Ok((dev.verifying_key(), dev.expected()));
        }
        match &self.0.issuer {
            Some((jwks, expected)) => Ok((jwks.key(kid).await?, expected)),
            None => Err(Refusal::Invalid("the token's key is not known")),
        }
    }
}

/// The claims are checked by [`Claims::check`], by the program's own clock.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(reason) => crate::context::unauthenticated(Some(reason)),
            Refusal::KeysUnavailable => Problem::of(&kinds::UNAVAILABLE)
                .detail("the keys of the token's issuer can't be read")
                .retry_after(jwks::REFRESH_EVERY_MIN),
        }
    }
}

#[cfg(test)]
mod tests;
