//! What the OpenAPI document says of each operation, as the edge enforces it: who may call (`x-scope`), how long
//! it may take (`x-deadline-ms`), how much it reads (`x-body-bytes-max`), how important it is (`x-priority`) and
//! which query parameters there are. So the document can't promise what isn't kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use common::context::Priority;
use http::Method;
use serde_json::Value;
use utoipa::openapi::path::{Operation as Documented, ParameterIn, PathItem};
use utoipa::openapi::{OpenApi, RefOr, Response};

use crate::action::routed;
use crate::extract::body::BODY_BYTES_MAX;
use crate::problem::{Problem, kinds};
use crate::sse::EVENT_STREAM;

/// `x-scope` of an operation that needs no token.
pub const PUBLIC: &str = "public";
/// `x-scope` of an operation that any token allows.
pub const ANY: &str = "any";

/// Who may call an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody.
    Public,
    /// Whoever has a valid token.
    AnyCaller,
    /// Whoever's token carries this scope.
    Scope(String),
}

/// What holds for one operation.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) access: Access,
    pub(crate) deadline: Option<Duration>,
    pub(crate) body_bytes_max: usize,
    pub(crate) priority: Priority,
    /// What it works on, for the limits of resources: the first noun of its path.
    pub(crate) resource: Option<String>,
    /// Whether its answer is an event stream, which lasts.
    pub(crate) streams: bool,
    query: HashSet<String>,
}

/// Why the documents of the modules don't make one: all mistakes at once.
#[derive(Debug, thiserror::Error)]
#[error("the OpenAPI document has mistakes: {}", .0.join("; "))]
pub struct InvalidDocument(pub(crate) Vec<String>);

/// All documented operations by the path that axum routes and the method.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations(HashMap<String, Vec<(Method, Arc<Operation>)>>);

impl Operations {
    pub(crate) fn of(document: &OpenApi) -> Result<Self, InvalidDocument> {
        let mut operations = HashMap::new();
        let mut mistakes = Vec::new();
        for (path, item) in &document.paths.paths {
            let mut methods = Vec::new();
            for (method, documented) in of_item(item) {
                match Operation::of(path, documented) {
                    Ok(operation) => methods.push((method, Arc::new(operation))),
                    Err(mistake) => mistakes.push(format!("{method} {path}: {mistake}")),
                }
            }
            operations.insert(routed(path), methods);
        }
        if mistakes.is_empty() { Ok(Self(operations)) } else { Err(InvalidDocument(mistakes)) }
    }

    /// The operation of a matched route; a `HEAD` is its `GET`.
    pub(crate) fn find(&self, matched: &str, method: &Method) -> Option<&Arc<Operation>> {
        let methods = self.0.get(matched)?;
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        methods.iter().find(|(known, _)| known == method).map(|(_, operation)| operation)
    }
}

/// The operations of a path with their methods.
pub(crate) fn of_item(item: &PathItem) -> impl Iterator<Item = (Method, &Documented)> {
    [
        (Method::GET, &item.get),
        (Method::PUT, &item.put),
        (Method::POST, &item.post),
        (Method::DELETE, &item.delete),
        (Method::PATCH, &item.patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

/// An `x-…` of an operation.
pub(crate) fn extension<'a>(documented: &'a Documented, name: &str) -> Option<&'a Value> {
    documented.extensions.as_ref()?.get(name)
}

/// As it is written in an address. No text that is kept anywhere holds one.
pub(crate) const NUL: &str = "%00";

impl Operation {
    fn of(path: &str, documented: &Documented) -> Result<Self, String> {
        let text = |name: &str| match extension(documented, name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err(format!("{name} is not a text")),
        };
        let number = |name: &str| match extension(documented, name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("{name} is not a whole number")),
        };
        let id = documented.operation_id.clone().ok_or("has no operation id")?;
        let access = match text("x-scope")?.ok_or("has no x-scope")? {
            PUBLIC => Access::Public,
            ANY => Access::AnyCaller,
            scope => Access::Scope(scope.to_owned()),
        };
        let priority = match text("x-priority")? {
            None | Some("normal") => Priority::Normal,
            Some("critical") => Priority::Critical,
            Some("background") => Priority::Background,
            Some(other) => return Err(format!("there is no x-priority {other}")),
        };
        let bytes = number("x-body-bytes-max")?.map_or(Ok(BODY_BYTES_MAX), usize::try_from);
        let parameters = documented.parameters.iter().flatten();
        Ok(Self {
            id,
            access,
            deadline: number("x-deadline-ms")?.map(Duration::from_millis),
            body_bytes_max: bytes.map_err(|error| error.to_string())?,
            priority,
            resource: resource_of(path).map(ToOwned::to_owned),
            streams: documented.responses.responses.values().any(is_event_stream),
            query: parameters
                .filter_map(|parameter| match parameter {
                    RefOr::T(it) if it.parameter_in == ParameterIn::Query => Some(it.name.clone()),
                    RefOr::T(_) | RefOr::Ref(_) => None,
                })
                .collect(),
        })
    }

    /// 400 for a query parameter that the operation doesn't have, so that a misspelt filter never returns all.
    pub(crate) fn check_query(&self, query: &str) -> Result<(), Problem> {
        let mut problem: Option<Problem> = None;
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (detail, code) = if !self.query.contains(name) {
                ("there is no such parameter", "unknown-parameter")
            } else if value.contains(NUL) {
                ("holds a NUL character", "invalid")
            } else {
                continue;
            };
            let known = problem.take().unwrap_or_else(|| Problem::of(&kinds::INVALID_PARAMETER));
            problem = Some(known.field(format!("/query/{name}"), detail, code));
        }
        problem.map_or(Ok(()), Err)
    }
}

fn is_event_stream(response: &RefOr<Response>) -> bool {
    matches!(response, RefOr::T(response) if response.content.contains_key(EVENT_STREAM))
}

/// `trading` of `/v1/trading/orders`. What stands alone, as `/v1/me`, works on nothing.
fn resource_of(path: &str) -> Option<&str> {
    path.strip_prefix("/v1/")?.split_once('/').map(|(resource, _)| resource)
}

#[cfg(test)]
impl Operation {
    /// An operation that anybody may call.
    pub(crate) fn on_resource(resource: &str) -> Self {
        Self {
            id: "test".into(),
            access: Access::Public,
            deadline: None,
            body_bytes_max: BODY_BYTES_MAX,
            priority: Priority::Normal,
            resource: Some(resource.into()),
            streams: false,
            query: HashSet::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(operation: Value) -> OpenApi {
        let document = json!({
            "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
            "paths": {"/v1/orders/{id}:cancel": {"post": operation}},
        });
        serde_json::from_value(document).unwrap()
    }

    #[test]
    fn what_the_document_says_is_what_holds() {
        let operations = Operations::of(&document(json!({
            "operationId": "cancel_order", "responses": {}, "x-scope": "trading:write",
            "x-deadline-ms": 500, "x-priority": "critical",
            "parameters": [{"name": "dry", "in": "query", "required": false}, {"name": "id", "in": "path", "required": true}],
        })))
        .unwrap();
        let operation = operations.find("/v1/orders/{id}/~cancel", &Method::POST).unwrap();
        assert_eq!(operation.access, Access::Scope("trading:write".into()));
        assert_eq!(operation.deadline, Some(Duration::from_millis(500)));
        assert_eq!(operation.priority, Priority::Critical);
        assert!(operation.check_query("dry=1").is_ok());
        let problem = operation.check_query("dry=1&dyr=2&id=3").unwrap_err();
        let pointers: Vec<_> = problem.errors().iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/query/dyr", "/query/id"]);
    }

    #[test]
    fn an_operation_streams_if_its_answer_is_an_event_stream() {
        let streams = |media_type: &str| {
            let answer = json!({"description": "", "content": {media_type: {}}});
            let operation =
                json!({"operationId": "follow_it", "x-scope": "public", "responses": {"200": answer}});
            let operations = Operations::of(&document(operation)).unwrap();
            operations.find("/v1/orders/{id}/~cancel", &Method::POST).unwrap().streams
        };
        assert!(streams("text/event-stream") && !streams("application/json"));
    }

    #[test]
    fn an_operation_without_a_scope_is_no_operation() {
        let error =
            Operations::of(&document(json!({"operationId": "cancel_order", "responses": {}}))).unwrap_err();
        assert!(error.to_string().contains("POST /v1/orders/{id}:cancel: has no x-scope"), "{error}");
    }
}
