//! Tokens that must not pass.

use jsonwebtoken::{EncodingKey, encode};
use serde_json::json;

use super::*;
use crate::app::Environment;

fn verifier() -> (Verifier, Arc<DevIssuer>) {
    let clock = Clock::default();
    let issuer =
        DevIssuer::new(Environment::Development, None, vec!["toy:read".into()], clock.clone()).unwrap();
    let config =
        AuthConfig { issuer: "https://issuer.example".into(), audience: "weir".into(), jwks_url: None };
    (Verifier::new(&config, Some(issuer.clone()), clock), issuer)
}

fn request() -> dev_issuer::TokenRequest {
    dev_issuer::TokenRequest { sub: "alice".into(), scopes: None, plan: Some("pro".into()), ttl_s: None }
}

#[tokio::test]
async fn a_token_of_the_issuer_says_who_calls() {
    let (verifier, issuer) = verifier();
    let token = issuer.issue(&request()).unwrap().access_token;
    // The second time it comes from memory.
    for _ in 0..2 {
        let caller = verifier.check(&token).await.unwrap();
        assert_eq!(
            (&*caller.subject, &*caller.plan, &*caller.scopes),
            ("alice", "pro", &["toy:read".to_owned()][..])
        );
        assert!(!caller.has_scope(OPERATOR));
    }
}

#[tokio::test]
async fn a_changed_token_is_refused() {
    let (verifier, issuer) = verifier();
    let token = issuer.issue(&request()).unwrap().access_token;
    let (head, signature) = token.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let other =
        issuer.issue(&dev_issuer::TokenRequest { sub: "bob".into(), ..request() }).unwrap().access_token;
    let others_claims = other.split('.').nth(1).unwrap();
    for forged in [
        format!("{header}.{others_claims}.{signature}"),
        format!("{head}."),
        head.to_owned(),
        String::new(),
        "a".repeat(TOKEN_BYTES_MAX + 1),
    ] {
        assert!(matches!(verifier.check(&forged).await, Err(Refusal::Invalid(_))), "{forged}");
    }
}

#[tokio::test]
async fn another_algorithm_with_the_right_key_name_is_refused() {
    let (verifier, issuer) = verifier();
    let claims =
        json!({"iss": "weir-development", "aud": "weir", "sub": "mallory", "exp": 4_000_000_000_i64});
    let header = Header { kid: Some(issuer.kid().to_owned()), ..Header::new(Algorithm::HS256) };
    // The public key is no secret: as a password for HMAC it must be worth nothing.
    let token = encode(&header, &claims, &EncodingKey::from_secret(b"the public key")).unwrap();
    assert_eq!(
        verifier.check(&token).await.unwrap_err(),
        Refusal::Invalid("the token's algorithm is not the key's")
    );
}

#[tokio::test]
async fn a_key_that_nobody_knows_is_refused() {
    let (verifier, _) = verifier();
    let (_, other_issuer) = self::verifier();
    let token = other_issuer.issue(&request()).unwrap().access_token;
    assert_eq!(verifier.check(&token).await.unwrap_err(), Refusal::Invalid("the token's key is not known"));
}

#[test]
fn the_development_issuer_does_not_exist_in_production() {
    let refused = DevIssuer::new(Environment::Production, None, Vec::new(), Clock::default());
    assert!(matches!(refused, Err(DevIssuerError::Production)));
}
