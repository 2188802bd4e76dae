//! `GET /v1/me`: who one is, as the token says it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::{Ctx, Json};

/// The caller.
#[derive(Debug, Serialize, ToSchema)]
struct Me {
    /// The token's subject: the key of ownership everywhere.
    subject: String,
    /// What the token allows.
    scopes: Vec<String>,
    /// The plan that picks the quota.
    plan: String,
    /// When the token ends.
    expires_at: Option<DateTime<Utc>>,
}

pub(crate) fn router() -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(get_me))
}

/// Say who the caller is.
#[utoipa::path(
    get, path = "/v1/me", operation_id = "get_me", tag = "caller",
    responses((status = 200, description = "The caller", body = Me)),
    extensions(
        ("x-scope" = json!("any")), ("x-precondition" = json!("none")), ("x-freshness" = json!("strong")),
    ),
)]
async fn get_me(ctx: Ctx) -> Json<Me> {
    let caller = ctx.caller();
    Json(Me {
        subject: caller.subject.to_string(),
        scopes: caller.scopes.to_vec(),
        plan: caller.plan.to_string(),
        expires_at: caller.expires_at,
    })
}
