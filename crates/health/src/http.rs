//! Routes, wire types and their documentation. No SQL, no rules.

mod devices;
mod people;
mod reading;
mod recording;

use std::sync::Arc;

use api::PageRequest;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Health;

/// Without the module's state: the document needs no database.
pub fn routes() -> OpenApiRouter<Arc<Health>> {
    OpenApiRouter::new()
        .routes(routes!(reading::list_metrics))
        .routes(routes!(people::list_people, people::create_person))
        .routes(routes!(people::get_person, people::update_person))
        .routes(routes!(devices::list_devices, devices::create_device))
        .routes(routes!(devices::get_device))
        .routes(routes!(recording::record_samples))
        .routes(routes!(recording::record_openmhealth))
        .routes(routes!(reading::list_samples))
        .routes(routes!(reading::get_series))
        .routes(routes!(reading::list_quarantine))
}

/// Where a list by id begins.
fn after_id(page: &PageRequest) -> Result<uuid::Uuid, api::Problem> {
    Ok(page.after()?.unwrap_or_default())
}
