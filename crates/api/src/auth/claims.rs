//! What a token says, and whether that is acceptable now.

use chrono::{DateTime, TimeDelta, Utc};
use common::context::Caller;
use serde::Deserialize;

/// How far the issuer's clock may be from ours.
const LEEWAY: TimeDelta = TimeDelta::seconds(30);
/// The plan of a token that names none.
const PLAN_DEFAULT: &str = "standard";
/// The most scopes that are kept of a token.
const SCOPES_MAX: usize = 64;

/// The claims that matter here; others are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    iss: String,
    sub: String,
    #[serde(default)]
    aud: OneOrMany,
    client_id: Option<String>,
    exp: i64,
    nbf: Option<i64>,
    #[serde(default)]
    scope: OneOrMany,
    plan: Option<String>,
    token_use: Option<String>,
}

/// `"a b"` or `["a", "b"]`: issuers differ.
#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
    #[default]
    Nothing,
}

/// What must be true of a token.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) issuer: String,
    pub(super) audience: String,
}

impl Claims {
    /// When the token ends, or why it isn't accepted.
    pub(super) fn check(
        &self,
        expected: &Expected,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>, &'static str> {
        if self.iss != expected.issuer {
            return Err("the token's issuer is not trusted");
        }
        if self.sub.is_empty() {
            return Err("the token names no subject");
        }
        let for_us = match &self.aud {
            OneOrMany::One(audience) => *audience == expected.audience,
            OneOrMany::Many(audiences) => audiences.contains(&expected.audience),
            // Cognito's access tokens carry the client instead.
            OneOrMany::Nothing => self.client_id.as_ref() == Some(&expected.audience),
        };
        if !for_us {
            return Err("the token is for another audience");
        }
        if self.token_use.as_deref().is_some_and(|token_use| token_use != "access") {
            return Err("the token is not an access token");
        }
        let time =
            |seconds: i64| DateTime::from_timestamp(seconds, 0).ok_or("the token's times can't be read");
        let expires_at = time(self.exp)?;
        if is_over(expires_at, now) {
            return Err("the token has expired");
        }
        if let Some(not_before) = self.nbf
            && time(not_before)? > now + LEEWAY
        {
            return Err("the token is not valid yet");
        }
        Ok(expires_at)
    }

    pub(super) fn into_caller(self, expires_at: DateTime<Utc>) -> Caller {
        let mut scopes: Vec<String> = match self.scope {
            OneOrMany::One(scopes) => scopes.split_ascii_whitespace().map(ToOwned::to_owned).collect(),
            OneOrMany::Many(scopes) => scopes,
            OneOrMany::Nothing => Vec::new(),
        };
        scopes.truncate(SCOPES_MAX);
        Caller {
            subject: self.sub.into(),
            scopes: scopes.into(),
            plan: self.plan.as_deref().unwrap_or(PLAN_DEFAULT).into(),
            expires_at: Some(expires_at),
        }
    }
}

/// Whether a token that ends then is over, give or take the clocks.
pub(super) fn is_over(expires_at: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now >= expires_at + LEEWAY
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_790_000_000;

    fn check(changed: Value) -> Result<Caller, &'static str> {
        let mut claims =
            json!({"iss": "us", "sub": "u1", "aud": "weir", "exp": NOW + 60, "scope": "a:read a:write"});
        for (name, value) in changed.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let claims: Claims = serde_json::from_value(claims).unwrap();
        let expected = Expected { issuer: "us".into(), audience: "weir".into() };
        let expires_at = claims.check(&expected, DateTime::from_timestamp(NOW, 0).unwrap())?;
        Ok(claims.into_caller(expires_at))
    }

    #[test]
    fn scopes_come_as_one_text_or_as_a_list() {
        assert_eq!(*check(json!({})).unwrap().scopes, ["a:read", "a:write"]);
        assert_eq!(*check(json!({"scope": ["b"]})).unwrap().scopes, ["b"]);
    }

    #[test]
    fn a_cognito_access_token_is_for_its_client() {
        assert!(check(json!({"aud": null, "client_id": "weir", "token_use": "access"})).is_ok());
        assert!(check(json!({"aud": null, "client_id": "other"})).is_err());
        assert!(check(json!({"aud": ["x", "weir"]})).is_ok());
        // The client doesn't count where there is an audience, and an id token is no access token.
        assert!(check(json!({"aud": "other", "client_id": "weir"})).is_err());
        assert!(check(json!({"token_use": "id"})).is_err());
    }

    #[test]
    fn a_token_holds_from_its_begin_to_its_end_give_or_take_the_clocks() {
        assert!(check(json!({"exp": NOW - 29})).is_ok());
        assert_eq!(check(json!({"exp": NOW - 30})).unwrap_err(), "the token has expired");
        assert!(check(json!({"nbf": NOW + 30})).is_ok());
        assert_eq!(check(json!({"nbf": NOW + 31})).unwrap_err(), "the token is not valid yet");
    }

    #[test]
    fn another_issuer_and_no_subject_are_refused() {
        assert!(check(json!({"iss": "them"})).is_err());
        assert!(check(json!({"sub": ""})).is_err());
    }
}
