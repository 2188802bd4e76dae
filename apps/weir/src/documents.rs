//! The OpenAPI and AsyncAPI documents of a set of modules; neither needs a database.

use api::ProblemType;
use serde_json::Value;

use crate::modules::Module;

/// What `weir openapi` prints and `/openapi.json` serves.
pub fn openapi(modules: &[Module]) -> anyhow::Result<Value> {
    let parts = modules.iter().map(|m| m.openapi()).collect();
    Ok(api::openapi(parts, &problems(modules))?)
}

/// What `weir asyncapi` prints and `/asyncapi.json` serves.
pub fn asyncapi(modules: &[Module]) -> anyhow::Result<Value> {
    let sockets: Vec<_> = modules.iter().flat_map(|m| m.sockets()).collect();
    Ok(api::asyncapi::document(&sockets)?)
}

/// Every problem type that these modules answer with.
pub fn problems(modules: &[Module]) -> Vec<&'static [&'static ProblemType]> {
    modules.iter().map(|m| m.problems()).collect()
}
