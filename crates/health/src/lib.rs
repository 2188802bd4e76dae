//! health: what devices measured, ordered per device and never lost.
//!
//! It owns people, their devices, samples and what could not be accepted (quarantine), and the sums of quarters of an hour
//! and days. What comes in goes through [`collector`] (several requests in one transaction), which asks [`model`] what is
//! new; foreign formats have a file each ([`openmhealth`]).
//!
//! It comes in over HTTP and over the socket ([`mod@stream`]), which share bodies ([`wire`]), numbers and collectors.
//!
//! The promise: everything named in an acknowledgement is on disk, and nothing is counted twice.

pub mod collector;
mod demo;
pub mod error;
mod http;
pub mod model;
pub mod openmhealth;
pub mod service;
pub mod store;
mod stream;
pub mod wire;

use std::sync::Arc;

use common::DataPath;
use utoipa_axum::router::OpenApiRouter;

pub use demo::demo;
pub use error::PROBLEMS;
pub use http::routes;
pub use service::Health;
pub use store::STATEMENTS;
pub use stream::{CHANNELS, OPERATIONS};

/// What the streams of people are called.
pub const STREAM_KIND: &str = "person";

/// What an operator may decide.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Samples that began longer ago than this go to quarantine as expired.
    pub retention_years: u32,
}

impl Default for Config {
    /// Thirty years: a life's data, and few enough partitions.
    fn default() -> Self {
        Self { retention_years: 30 }
    }
}

/// Starts the module's collectors.
pub fn start(data_path: &DataPath, config: Config) -> Arc<Health> {
    Arc::new(Health::new(data_path, config))
}

/// The module's routes.
pub fn router(health: Arc<Health>) -> OpenApiRouter {
    routes().with_state(health)
}

/// The module's part of the document.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().into_openapi()
}

/// What the socket speaks, for the document.
pub fn socket_document() -> api::asyncapi::SocketDocument {
    api::asyncapi::SocketDocument {
        name: stream::NAME,
        address: "/v1/health/ws",
        summary: "Send what devices measure, and follow what is known of a person",
        operations: OPERATIONS,
        channels: CHANNELS,
    }
}
