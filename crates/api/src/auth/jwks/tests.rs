//! Tokens of an outside issuer, which serves its keys on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use axum::Router;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use common::context::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::auth::{AuthConfig, Verifier};

struct Issuer {
    url: String,
    fetches: Arc<AtomicUsize>,
    key: EncodingKey,
}

/// An issuer with one RSA key, beside keys that nobody should trip over.
async fn issuer() -> Issuer {
    let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<Pkcs8V1Der>::as_der(&pair).unwrap();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", STANDARD.encode(der.as_ref()));
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = pair.public_key();
    let keys = json!({"keys": [
        {"kty": "OKP", "crv": "X25519", "kid": "new-kind", "x": "AAAA"},
        {"kty": "something else", "kid": "newer-kind"},
        {"kty": "oct", "kid": "secret", "k": part(b"a secret that must not verify anything"), "alg": "HS256"},
        {"kty": "RSA", "kid": "r1", "use": "sig", "alg": "RS256",
         "n": part(public.modulus().big_endian_without_leading_zero()),
         "e": part(public.exponent().big_endian_without_leading_zero())},
        {"kty": "RSA", "kid": "for-encryption", "use": "enc",
         "n": part(public.modulus().big_endian_without_leading_zero()),
         "e": part(public.exponent().big_endian_without_leading_zero())},
    ]});
    let fetches = Arc::new(AtomicUsize::new(0));
    let counted = fetches.clone();
    let serve = get(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        let keys = keys.clone();
        async move { axum::Json(keys) }
    });
    let router = Router::new().route("/jwks.json", serve);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    Issuer { url, fetches, key: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap() }
}

fn verifier(url: &str) -> Verifier {
    let config = AuthConfig {
        issuer: "https://issuer.example".into(),
        audience: "weir".into(),
        jwks_url: Some(url.to_owned()),
    };
    Verifier::new(&config, None, Clock::default())
}

fn token(issuer: &Issuer, kid: &str, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::RS256) };
    jsonwebtoken::encode(&header, claims, &issuer.key).unwrap()
}

fn claims(subject: &str) -> Value {
    json!({"iss": "https://issuer.example", "client_id": "weir", "token_use": "access", "sub": subject,
           "exp": 4_000_000_000_i64, "scope": "trading:read"})
}

#[tokio::test]
async fn however_many_wait_the_keys_are_fetched_once() {
    let issuer = issuer().await;
    let verifier = verifier(&issuer.url);
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (verifier, token) = (verifier.clone(), token(&issuer, "r1", &claims(&format!("user-{n}"))));
            tokio::spawn(async move { verifier.authenticate(&token).await.unwrap().subject.to_string() })
        })
        .collect();
    for (n, task) in tasks.into_iter().enumerate() {
        assert_eq!(task.await.unwrap(), format!("user-{n}"));
    }
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn made_up_key_names_do_not_reach_the_issuer() {
    let issuer = issuer().await;
    let verifier = verifier(&issuer.url);
    for kid in ["x1", "x2", "secret", "new-kind", "for-encryption"] {
        let refused = verifier.authenticate(&token(&issuer, kid, &claims("mallory"))).await.unwrap_err();
        assert_eq!(refused.code(), "unauthenticated", "{kid}");
    }
    assert_eq!(issuer.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn without_the_issuers_keys_nobody_is_told_that_their_token_is_wrong() {
    let issuer = issuer().await;
    let verifier = verifier("http://127.0.0.1:1/jwks.json");
    let answer = verifier.authenticate(&token(&issuer, "r1", &claims("alice"))).await.unwrap_err();
    assert_eq!((answer.code(), answer.status().as_u16()), ("unavailable", 503));
}
