//! Routes, wire types and their documentation. No SQL, no rules.

mod devices;
mod invariants;
mod people;
mod reading;
mod recording;

use std::sync::Arc;

use api::PageRequest;
use api::socket::Upgrade;
use axum::extract::State;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Health;
use crate::stream::Socket;

/// Without the module's state: the document needs no database.
pub fn routes() -> OpenApiRouter<Arc<Health>> {
    OpenApiRouter::new()
        .routes(routes!(reading::list_metrics))
        .routes(routes!(people::list_people, people::create_person))
        .routes(routes!(people::get_person, people::update_person))
        .routes(routes!(devices::list_devices, devices::create_device))
        .routes(routes!(devices::get_device, devices::update_device))
        .routes(routes!(recording::record_samples))
        .routes(routes!(recording::record_openmhealth))
        .routes(routes!(reading::list_samples))
        .routes(routes!(reading::get_series))
        .routes(routes!(reading::list_quarantine))
        .routes(routes!(invariants::check_invariants))
        .routes(routes!(open_socket))
}

/// Send samples and follow people over a WebSocket.
///
/// What it speaks is in `/asyncapi.json`. A browser, which can't send `Authorization`, signs in with the first message.
#[utoipa::path(
    get, path = "/v1/health/ws", operation_id = "open_health_socket", tag = "health",
    responses((status = 101, description = "The socket is open")),
    extensions(
        ("x-scope" = json!("public")),
        ("x-idempotency" = json!("none")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["malformed-request", "too-many-sockets"])),
    ),
)]
async fn open_socket(State(health): State<Arc<Health>>, upgrade: Upgrade) -> Response {
    upgrade.serve(Arc::new(Socket::new(health)))
}

/// Where a list by id begins.
fn after_id(page: &PageRequest) -> Result<uuid::Uuid, api::Problem> {
    Ok(page.after()?.unwrap_or_default())
}
