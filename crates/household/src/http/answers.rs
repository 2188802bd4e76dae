//! What the routes of this module have in common: a whole content as a body, and the answers to a write.

use crate::model::Edit;
use crate::service::{Changed, Revision};
use api::extract::body;
use api::problem::kinds;
use api::{IfMatch, MergePatch, Prefer, Problem, Reply};
use axum::extract::{FromRequest, Request};
use serde::Serialize;
use serde_json::Value;

/// The body of a `PUT`. What it is, is checked beside what is there, for a client may send back what `GET` gave.
pub(super) struct Whole(pub Value);

impl<S: Send + Sync> FromRequest<S> for Whole {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        body::require_media_type(request.headers(), &["application/json"])?;
        let bytes = body::read(request).await?;
        serde_json::from_slice(&bytes)
            .map(Self)
            .map_err(|error| Problem::of(&kinds::MALFORMED_JSON).detail(error.to_string()))
    }
}

pub(super) fn replace(IfMatch(version): IfMatch, prefer: Prefer, Whole(whole): Whole) -> Revision {
    Revision { version, edit: Edit::Replace(whole), lenient: prefer.lenient }
}

pub(super) fn patch(IfMatch(version): IfMatch, prefer: Prefer, MergePatch(patch): MergePatch) -> Revision {
    Revision { version, edit: Edit::Patch(patch), lenient: prefer.lenient }
}

/// 201, or 200 when the same was there already.
pub(super) fn created<T: Serialize>(location: String, version: i64, resource: &T, new: bool) -> Reply {
    match new {
        true => Reply::created(location, resource),
        false => Reply::ok(resource).location(location),
    }
    .etag(version)
}

/// 200, and whether it was merged.
pub(super) fn changed<T: Serialize>(version: i64, changed: &Changed<T>) -> Reply {
    let reply = Reply::ok(&changed.resource).etag(version);
    if changed.merged { reply.preference_applied() } else { reply }
}
