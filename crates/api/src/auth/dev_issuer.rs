//! The development issuer: signs tokens for whoever asks, so that a newcomer can call everything at once. It refuses
//! to exist in production.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::context::Clock;
use garde::Validate;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::{Deserialize, Serialize};

use super::VerifyingKey;
use super::claims::Expected;
use crate::Json;
use crate::app::Environment;
use crate::problem::Problem;

/// `iss` of its tokens.
const ISSUER: &str = "weir-development";
/// `aud` of its tokens.
const AUDIENCE: &str = "weir";
/// How long a token holds when nobody says otherwise.
const TTL_S_DEFAULT: i64 = 8 * 3600;
/// The longest that a token may hold.
const TTL_S_MAX: i64 = 30 * 24 * 3600;

/// Why there is no development issuer.
#[derive(Debug, thiserror::Error)]
pub enum DevIssuerError {
    /// The service runs in production.
    #[error("the development issuer does not exist in production")]
    Production,
    /// The key file can't be read or written.
    #[error("the development issuer's key file {0} can't be used")]
    File(String, #[source] std::io::Error),
    /// The key file holds something else.
    #[error("the development issuer's key can't be made or read")]
    Key,
}

/// Makes and signs tokens.
pub struct DevIssuer {
    kid: String,
    signing: EncodingKey,
    verifying: VerifyingKey,
    expected: Expected,
    scopes: Vec<String>,
    clock: Clock,
}

impl DevIssuer {
    /// With a key of its own, or the one in `key_file`, made if there is none, so that two processes trust the same
    /// tokens. `scopes`: what a token allows when nobody says.
    pub fn new(
        environment: Environment,
        key_file: Option<&Path>,
        scopes: Vec<String>,
        clock: Clock,
    ) -> Result<Arc<Self>, DevIssuerError> {
        if environment == Environment::Production {
            return Err(DevIssuerError::Production);
        }
        let pkcs8 = match key_file {
            None => generate()?,
            Some(path) => load_or_make(path)?,
        };
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pkcs8)
            .map_err(|_| DevIssuerError::Key)?;
        let public = pair.public_key().as_ref();
        // An uncompressed point: 0x04, then x and y.
        let ([0x04], point) = public.split_first_chunk::<1>().ok_or(DevIssuerError::Key)? else {
            return Err(DevIssuerError::Key);
        };
        let (x, y) = point.split_at(point.len() / 2);
        let key = DecodingKey::from_ec_components(&URL_SAFE_NO_PAD.encode(x), &URL_SAFE_NO_PAD.encode(y))
            .map_err(|_| DevIssuerError::Key)?;
        Ok(Arc::new(Self {
            kid: format!("dev-{}", URL_SAFE_NO_PAD.encode(&digest(&SHA256, public).as_ref()[..9])),
            signing: EncodingKey::from_ec_der(&pkcs8),
            verifying: VerifyingKey { algorithm: Algorithm::ES256, key },
            expected: Expected { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned() },
            scopes,
            clock,
        }))
    }

    /// A signed token.
    pub fn issue(&self, request: &TokenRequest) -> Result<IssuedToken, Problem> {
        let scopes = request.scopes.as_ref().unwrap_or(&self.scopes);
        let now = self.clock.now().timestamp();
        let expires_in = request.ttl_s.unwrap_or(TTL_S_DEFAULT);
        let mut claims = serde_json::json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": request.sub, "iat": now, "exp": now + expires_in,
            "scope": scopes.join(" "),
        });
        if let Some(plan) = &request.plan {
            claims["plan"] = plan.as_str().into();
        }
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::ES256) };
        let access_token =
            jsonwebtoken::encode(&header, &claims, &self.signing).map_err(Problem::internal)?;
        Ok(IssuedToken { access_token, token_type: "Bearer", expires_in })
    }

    pub(super) fn kid(&self) -> &str {
        &self.kid
    }

    pub(super) fn verifying_key(&self) -> VerifyingKey {
        self.verifying.clone()
    }

    pub(super) fn expected(&self) -> &Expected {
        &self.expected
    }

    /// `POST /dev/token`.
    pub(crate) fn router(self: Arc<Self>) -> axum::Router {
        axum::Router::new().route("/dev/token", post(issue_token)).with_state(self)
    }
}

/// Whose token, and what it allows.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The subject.
    #[garde(length(min = 1, max = 128))]
    pub sub: String,
    /// Every module's scopes when left out.
    #[garde(
        length(max = 32),
        inner(inner(length(min = 1, max = 64), pattern(r"^[\x21\x23-\x5b\x5d-\x7e]+$")))
    )]
    pub scopes: Option<Vec<String>>,
    /// The plan that picks the quota.
    #[garde(length(min = 1, max = 32))]
    pub plan: Option<String>,
    /// Seconds until it ends; eight hours when left out.
    #[garde(range(min = 1, max = TTL_S_MAX))]
    pub ttl_s: Option<i64>,
}

/// A token as OAuth writes it.
#[derive(Debug, Clone, Serialize)]
pub struct IssuedToken {
    /// The signed token.
    pub access_token: String,
    /// `Bearer`
    pub token_type: &'static str,
    /// Seconds until it ends.
    pub expires_in: i64,
}

async fn issue_token(
    State(issuer): State<Arc<DevIssuer>>,
    Json(request): Json<TokenRequest>,
) -> Result<Json<IssuedToken>, Problem> {
    issuer.issue(&request).map(Json)
}

fn generate() -> Result<Vec<u8>, DevIssuerError> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map(|document| document.as_ref().to_vec())
        .map_err(|_| DevIssuerError::Key)
}

/// Two processes that start at once end up with the same key: the file appears whole, and only once.
fn load_or_make(path: &Path) -> Result<Vec<u8>, DevIssuerError> {
    let failed = |error| DevIssuerError::File(path.display().to_string(), error);
    match std::fs::read(path) {
        Ok(pkcs8) => return Ok(pkcs8),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let pkcs8 = generate()?;
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    write_private(&unfinished, &pkcs8).map_err(failed)?;
    let placed = std::fs::hard_link(&unfinished, path);
    std::fs::remove_file(&unfinished).map_err(failed)?;
    match placed {
        Ok(()) => Ok(pkcs8),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            std::fs::read(path).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn write_private(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(content)
}
