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
    let streams: Vec<_> = modules.iter().flat_map(|m| m.event_streams()).collect();
    Ok(api::asyncapi::document(&sockets, &streams)?)
}

/// Every scope that an operation of these modules asks for, but those for who looks after the service.
pub fn scopes(modules: &[Module]) -> Vec<String> {
    let documents = modules.iter().map(|m| serde_json::json!(m.openapi()));
    let asked = documents.flat_map(|document| {
        let operations = document["paths"].as_object().into_iter().flat_map(|paths| paths.values());
        let operations = operations.filter_map(Value::as_object).flat_map(|path| path.values());
        operations.filter_map(|it| it["x-scope"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    });
    let mut scopes: Vec<String> = asked.filter(|scope| scope.contains(':')).collect();
    scopes.sort();
    scopes.dedup();
    scopes
}

/// Every problem type that these modules answer with.
pub fn problems(modules: &[Module]) -> Vec<&'static [&'static ProblemType]> {
    modules.iter().map(|m| m.problems()).collect()
}
