//! Who calls, as handlers get it: [`Ctx`] for operations that need a caller, [`Anyone`] for public ones.

use std::ops::Deref;

use axum::extract::FromRequestParts;
use common::context::Context;
use http::HeaderValue;
use http::header::WWW_AUTHENTICATE;
use http::request::Parts;

use crate::auth::Refusal;
use crate::problem::{Problem, kinds};

/// The request's surroundings with an authenticated caller; without one the answer is 401.
#[derive(Debug, Clone)]
pub struct Ctx(pub Context);

impl Ctx {
    /// 403 unless the token carries this scope.
    pub fn require(&self, scope: &str) -> Result<(), Problem> {
        require(&self.0, scope)
    }

    /// The caller's subject: the key of ownership everywhere.
    pub fn subject(&self) -> &str {
        &self.0.caller().subject
    }
}

impl Deref for Ctx {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

/// The request's surroundings, whoever calls; the subject of an unknown caller is [`ANONYMOUS`].
#[derive(Debug, Clone)]
pub struct Anyone(pub Context);

impl Deref for Anyone {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0
    }
}

/// The subject of a caller without a token.
pub const ANONYMOUS: &str = "anonymous";

/// What the edge found out about the caller.
#[derive(Debug, Clone)]
pub(crate) enum Authentication {
    /// The token is valid.
    Known,
    /// No token was sent.
    Missing,
    /// A token was sent that is not accepted, for this reason.
    Refused(Refusal),
}

/// What the edge puts into every request.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    pub(crate) context: Context,
    pub(crate) authentication: Authentication,
}

impl<S: Send + Sync> FromRequestParts<S> for Ctx {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let found = surroundings(parts)?;
        authenticated(&found.authentication)?;
        Ok(Self(found.context.clone()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(surroundings(parts)?.context.clone()))
    }
}

fn surroundings(parts: &Parts) -> Result<&Surroundings, Problem> {
    parts
        .extensions
        .get::<Surroundings>()
        .ok_or_else(|| Problem::internal("the router stands outside of api::app, which makes the context"))
}

/// 401 unless the caller is known.
pub(crate) fn authenticated(authentication: &Authentication) -> Result<(), Problem> {
    match authentication {
        Authentication::Known => Ok(()),
        Authentication::Missing => Err(unauthenticated(None)),
        Authentication::Refused(refusal) => Err((*refusal).into()),
    }
}

/// 401 with its challenge: no token was sent, or one that is not accepted for this reason.
pub(crate) fn unauthenticated(reason: Option<&str>) -> Problem {
    let challenge = match reason {
        None => "Bearer".to_owned(),
        Some(reason) => format!("Bearer error=\"invalid_token\", error_description=\"{reason}\""),
    };
    let challenge = HeaderValue::try_from(challenge).unwrap_or(HeaderValue::from_static("Bearer"));
    Problem::of(&kinds::UNAUTHENTICATED)
        .detail(reason.unwrap_or("no access token was sent"))
        .header(WWW_AUTHENTICATE, challenge)
}

/// 403 unless the caller's token carries this scope.
pub(crate) fn require(context: &Context, scope: &str) -> Result<(), Problem> {
    if context.caller().has_scope(scope) {
        return Ok(());
    }
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    let problem = Problem::of(&kinds::INSUFFICIENT_SCOPE)
        .detail(format!("this needs the scope {scope}"))
        .with("scope", scope);
    Err(match HeaderValue::try_from(challenge) {
        Ok(challenge) => problem.header(WWW_AUTHENTICATE, challenge),
        Err(_) => problem,
    })
}
