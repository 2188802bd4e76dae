//! `/v1/households/{household_id}/live`: the change feed as an event stream.

use crate::service::Household;
use crate::stream::{NAME, TICKET_ADDRESS, follow};
use api::sse::ticket::{self, Ticket};
use api::sse::{Opening, ResumeQuery};
use api::{Anyone, Ctx, Path, Problem, Query, Reply};
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use uuid::Uuid;

/// What opens the stream instead of an access token.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WithTicket {
    /// The secret of a ticket.
    ticket: String,
}

/// Follow a household's changes live.
///
/// The changes of `/changes`, each as an event `change` whose `id` is its number. It goes on after `Last-Event-ID` without a
/// gap, on any process; where not everything after it is kept, an event `reset` says from which number to read everything
/// anew. The last event is `end`, with the reason and the number to resume from. What is sent is in `/asyncapi.json`.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/live", operation_id = "follow_household", tag = "household",
    params(
        ResumeQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last event that the client has seen"),
    ),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream")),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["invalid-header", "too-many-streams"])),
    ),
)]
pub(super) async fn follow_household(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    opening: Opening,
) -> Result<Response, Problem> {
    let (position, source) = follow(service, &ctx, household, opening.resume_from).await?;
    opening.serve(&ctx, NAME, position, source, None)
}

/// Make a ticket for a household's live changes.
///
/// A browser's `EventSource` sends no `Authorization`: it opens the ticket's `url` instead. The ticket waits 30 seconds for
/// its first use. From then on the same address resumes the stream until 10 minutes after its last use, while the caller is
/// a member and the token lasts that it was made with. A repetition makes another one, for the secret is not kept.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/live/tickets", operation_id = "create_live_ticket", tag = "household",
    responses((status = 201, description = "The ticket", body = Ticket)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["too-many-tickets"])),
    ),
)]
pub(super) async fn create_live_ticket(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
) -> Result<Reply, Problem> {
    service.role(&ctx, household).await?;
    let address = TICKET_ADDRESS.replace("{household_id}", &household.to_string());
    Ok(ticket::create(&ctx, &service.db, household, &address).await?.into_reply())
}

/// Follow a household's changes live, with a ticket.
///
/// The same events, for a browser. The address is the ticket's `url`.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/live/events", operation_id = "follow_household_with_ticket",
    tag = "household",
    params(
        WithTicket,
        ResumeQuery,
        ("Last-Event-ID" = Option<i64>, Header, description = "The number of the last event that the client has seen"),
    ),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream")),
    extensions(
        ("x-scope" = json!("public")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["invalid-header", "unauthenticated", "ticket-unknown", "too-many-streams"])),
    ),
)]
pub(super) async fn follow_household_with_ticket(
    State(service): State<Arc<Household>>,
    ctx: Anyone,
    Path(household): Path<Uuid>,
    Query(WithTicket { ticket }): Query<WithTicket>,
    opening: Opening,
) -> Result<Response, Problem> {
    let (ctx, lease) = ticket::redeem(&ctx, &service.db, household, &ticket).await?;
    let (position, source) = follow(service, &ctx, household, opening.resume_from).await?;
    opening.serve(&ctx, NAME, position, source, Some(lease))
}
