//! The rules that always hold, for operators.

use std::sync::Arc;

use api::{Ctx, Json, Page, PageRequest, Problem, Query};
use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::after_id;
use crate::Health;
use crate::wire::{Covered, Invariants};

/// Whom to look at.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct WhoIsChecked {
    /// This person alone; without it, a page of all people by id.
    person: Option<Uuid>,
}

/// Check the rules that always hold.
///
/// Recomputes from raw rows and streams what else there is of some people, and says whom it covered. Reads all that there
/// is of them: for tests and operators.
#[utoipa::path(
    get, path = "/v1/health/invariants", operation_id = "check_health_invariants", tag = "health",
    params(WhoIsChecked, PageRequest),
    responses((status = 200, description = "What the checks found", body = Invariants)),
    extensions(
        ("x-scope" = json!("operator")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-deadline-ms" = json!(60_000)),
        ("x-priority" = json!("background")),
    ),
)]
pub async fn check_invariants(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Query(who): Query<WhoIsChecked>,
    page: PageRequest,
) -> Result<Json<Invariants>, Problem> {
    let people = match who.person {
        Some(person) => vec![health.find_anybody(&ctx, person).await?],
        None => health.list_everybody(&ctx, after_id(&page)?, page.rows()).await?,
    };
    let Page { items: people, next_cursor } = Page::of(people, &page, |last| *last);
    let checks = health.check_invariants(&ctx, &people).await?;
    let covered =
        Covered { people: people.len(), first: people.first().copied(), last: people.last().copied() };
    Ok(Json(Invariants { ok: checks.iter().all(|check| check.ok), checks, covered, next_cursor }))
}
