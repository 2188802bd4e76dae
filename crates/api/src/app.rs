//! The HTTP interface put together: every module's routes, the conventions' own, and the layers around them.

use std::sync::Arc;
use std::time::Duration;

use axum::middleware::{from_fn, from_fn_with_state};
use axum::{Extension, Router};
use common::context::Clock;
use common::db::Db;
use common::jobs::Jobs;
use common::limit::Limits;
use http::HeaderValue;
use serde_json::Value;
use tower::util::{MapRequest, option_layer};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;

use crate::action::Verbs;
use crate::auth::{self, Verifier};
use crate::edge::{self, Edge};
use crate::limits;
use crate::problem::ProblemType;
use crate::problem::registry::{DuplicateCode, Registry};
use crate::readiness::Readiness;
use crate::route::{InvalidDocument, Operations};
use crate::socket::Sockets;
use crate::sse::EventStreams;
use crate::{docs, operation};

/// The deadline of an operation that documents no `x-deadline-ms`.
pub const DEADLINE_DEFAULT: Duration = Duration::from_secs(10);

/// How long past the deadline an answer is waited for: a COMMIT that was sent is not cut off, and "the outcome is not
/// known" is a better answer than none.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(2_500);

/// Where the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Environment {
    /// Cookies need TLS, and there is no development issuer.
    Production,
    /// A laptop or a test.
    #[default]
    Development,
}

/// What the operator decides about the HTTP interface.
#[derive(Debug, Clone)]
pub struct AppConfig {
    /// `https://api.example.org`, for `type` URIs and links that leave the service; empty for relative ones.
    pub public_base: String,
    /// Where the service runs.
    pub environment: Environment,
    /// Origins of web pages that may call, such as `https://app.example.org`.
    pub cors_origins: Vec<HeaderValue>,
    /// The deadline of an operation that documents none of its own.
    pub deadline_default: Duration,
    /// How long past it an answer is waited for.
    pub deadline_grace: Duration,
}

impl Default for AppConfig {
    fn default() -> Self {
        Self {
            public_base: String::new(),
            environment: Environment::default(),
            cors_origins: Vec::new(),
            deadline_default: DEADLINE_DEFAULT,
            deadline_grace: DEADLINE_GRACE,
        }
    }
}

/// What the interface is made of.
pub struct App {
    /// What the operator decides.
    pub config: AppConfig,
    /// The clock of the program.
    pub clock: Clock,
    /// Who may call.
    pub verifier: Verifier,
    /// Whether requests are welcome.
    pub readiness: Readiness,
    /// What protects the service from its callers.
    pub limits: Limits,
    /// What all sockets share.
    pub sockets: Sockets,
    /// What all event streams share.
    pub event_streams: EventStreams,
    /// Every module's problem types.
    pub problems: Vec<&'static [&'static ProblemType]>,
    /// The document of sockets and event streams.
    pub asyncapi: Value,
}

/// Why the parts don't make an interface. A mistake in the program, found at its start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The document has mistakes.
    #[error(transparent)]
    Document(#[from] InvalidDocument),
    /// Two problem types have one code.
    #[error(transparent)]
    Problems(#[from] DuplicateCode),
}

impl App {
    /// The router to serve: the modules' routes, and the operations that are found in their databases; `jobs` settles those
    /// that are stopped.
    pub fn router(
        self,
        modules: Vec<OpenApiRouter>,
        databases: Vec<Db>,
        jobs: Jobs,
    ) -> Result<Router, AppError> {
        let problems = registry(&self.problems)?;
        let (routers, documents): (Vec<_>, Vec<_>) =
            own(databases, jobs).into_iter().chain(modules).map(OpenApiRouter::split_for_parts).unzip();
        let document = docs::complete(documents, &problems)?;
        let verbs = Verbs::of(&document);
        let edge = Arc::new(Edge {
            public_base: self.config.public_base,
            secure: self.config.environment == Environment::Production,
            deadline_default: self.config.deadline_default,
            deadline_grace: self.config.deadline_grace,
            clock: self.clock,
            verifier: self.verifier.clone(),
            readiness: self.readiness.clone(),
            operations: Operations::of(&document)?,
        });

        let mut router = routers
            .into_iter()
            .fold(Router::new(), Router::merge)
            .merge(docs::router(&docs::to_json(&document), &self.asyncapi))
            .merge(problems.router())
            .merge(self.readiness.router());
        if let Some(issuer) = self.verifier.dev_issuer() {
            router = router.merge(issuer.clone().router());
        }
        // The last layer is the outermost.
        let router = router
            .layer(Extension(self.sockets))
            .layer(Extension(self.event_streams))
            .layer(from_fn(edge::gate))
            .layer(from_fn_with_state(self.limits, limits::limit))
            .layer(CatchPanicLayer::custom(edge::panicked))
            .layer(from_fn_with_state(edge, edge::edge))
            .layer(option_layer(edge::cors(self.config.cors_origins)));
        Ok(Router::new().fallback_service(MapRequest::new(router, move |request| verbs.rewrite(request))))
    }
}

/// The OpenAPI document as it is served, for `weir openapi`: needs no database.
pub fn openapi(
    modules: Vec<OpenApi>,
    problems: &[&'static [&'static ProblemType]],
) -> Result<Value, AppError> {
    let nothing = own(Vec::new(), Jobs::new(Clock::default()));
    let documents = nothing.into_iter().map(OpenApiRouter::into_openapi).chain(modules).collect();
    let document = docs::complete(documents, &registry(problems)?)?;
    Operations::of(&document)?;
    Ok(docs::to_json(&document))
}

/// The conventions' own operations.
fn own(databases: Vec<Db>, jobs: Jobs) -> Vec<OpenApiRouter> {
    vec![auth::me_router(), operation::router(databases, jobs)]
}

fn registry(modules: &[&'static [&'static ProblemType]]) -> Result<Registry, DuplicateCode> {
    let own: [&[&'static ProblemType]; 2] =
        [crate::socket::problems::PROBLEMS, crate::sse::problems::PROBLEMS];
    Registry::of(&own.iter().chain(modules).copied().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests;
