//! `/openapi.json`, `/asyncapi.json` and `/docs`. What the conventions add to every operation (headers, errors,
//! security) is added to the document here, from the operation's `x-…`, so no module writes it by hand.

use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, InfoBuilder, LicenseBuilder, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::registry::Registry;
use crate::problem::{FieldError, ProblemBody};
use crate::route::InvalidDocument;

mod conventions;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Documents change with a release.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=60");
/// The docs page makes no request to any other host, and its browser holds it to that.
const SELF_ONLY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; frame-ancestors 'none'",
);

const DESCRIPTION: &str = "Trading, household and health data over one data path. Every error is an RFC 9457 \
                           problem with a page at `/problems/{code}`.";

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// The whole document: the modules' operations with what the conventions add.
pub(crate) fn complete(modules: Vec<OpenApi>, problems: &Registry) -> Result<OpenApi, InvalidDocument> {
    let mut document = OpenApi::default();
    let mut mistakes = Vec::new();
    for module in modules {
        mistakes.extend(ambiguous(&document, &module));
        document.merge(module);
    }
    document.info = InfoBuilder::new()
        .title("Weir")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build(),
        ))
        .build();
    let components = document.components.get_or_insert_with(Components::new);
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    components.add_security_scheme(BEARER, SecurityScheme::Http(token));
    components
        .schemas
        .insert(conventions::PROBLEM_SCHEMA.into(), <ProblemBody as utoipa::PartialSchema>::schema());
    components.schemas.insert(FieldError::name().into(), <FieldError as utoipa::PartialSchema>::schema());
    mistakes.extend(conventions::apply(&mut document, problems));
    mistakes.extend(dangling(&document));
    if mistakes.is_empty() { Ok(document) } else { Err(InvalidDocument(mistakes)) }
}

/// Schemas that two modules call by one name and mean differently.
fn ambiguous(document: &OpenApi, module: &OpenApi) -> Vec<String> {
    let schemas = |it: &OpenApi| it.components.as_ref().map(|it| it.schemas.clone()).unwrap_or_default();
    let known = schemas(document);
    let differs = |(name, schema): &(String, _)| known.get(name).is_some_and(|known| known != schema);
    let twice = schemas(module).into_iter().filter(differs);
    twice.map(|(name, _)| format!("there are two different schemas named {name}")).collect()
}

/// Schemas that are referred to and don't exist: utoipa doesn't collect those of query parameters.
fn dangling(document: &OpenApi) -> Vec<String> {
    let json = to_json(document);
    let mut referred = BTreeSet::new();
    references(&json, &mut referred);
    let schemas = &json["components"]["schemas"];
    let missing = referred.into_iter().filter(|name| schemas.get(name).is_none());
    missing
        .map(|name| format!("there is no schema {name}; `#[param(inline)]` puts it where it is used"))
        .collect()
}

fn references<'j>(json: &'j Value, found: &mut BTreeSet<&'j str>) {
    match json {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.and_then(|it| it.strip_prefix("#/components/schemas/")));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// The document as JSON, the same text at every run.
pub(crate) fn to_json(document: &OpenApi) -> Value {
    let mut json = serde_json::to_value(document).expect("the document is plain data");
    sort_extensions(&mut json);
    let schemas = json["components"]["schemas"].clone();
    open_parts(&mut json, &schemas);
    json
}

/// A type that refuses unknown fields, and is a part of a larger one, must not refuse the larger one's: inside of `allOf`
/// it is written out without that.
fn open_parts(json: &mut Value, schemas: &Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(|item| open_parts(item, schemas)),
        Value::Object(members) => {
            for part in members.get_mut("allOf").and_then(Value::as_array_mut).into_iter().flatten() {
                let name = part["$ref"].as_str().and_then(|it| it.strip_prefix("#/components/schemas/"));
                let whole = name.map_or(&*part, |name| &schemas[name]);
                if whole["additionalProperties"] == false {
                    let mut opened = whole.clone();
                    opened.as_object_mut().expect("it has a member").remove("additionalProperties");
                    *part = opened;
                }
            }
            members.values_mut().for_each(|member| open_parts(member, schemas));
        }
        _ => {}
    }
}

/// Extensions come out of a hash map, in another order each time.
fn sort_extensions(json: &mut Value) {
    match json {
        Value::Array(items) => items.iter_mut().for_each(sort_extensions),
        Value::Object(members) => {
            let (extensions, mut ordered): (BTreeMap<String, Value>, serde_json::Map<String, Value>) = {
                let (extensions, others): (Vec<_>, Vec<_>) =
                    std::mem::take(members).into_iter().partition(|(name, _)| name.starts_with("x-"));
                (extensions.into_iter().collect(), others.into_iter().collect())
            };
            ordered.extend(extensions);
            ordered.values_mut().for_each(sort_extensions);
            *members = ordered;
        }
        _ => {}
    }
}

/// The documents and the page that shows them.
pub(crate) fn router(openapi: &Value, asyncapi: &Value) -> Router {
    let page = SwaggerUi::new("/docs").config(
        Config::from("/openapi.json")
            .validator_url("none")
            .persist_authorization(true)
            .try_it_out_enabled(true),
    );
    let page = Router::from(page).layer(axum::middleware::map_response(async |mut response: Response| {
        response.headers_mut().insert(CONTENT_SECURITY_POLICY, SELF_ONLY);
        response
    }));
    let serve = |document: &Value| {
        let text = Bytes::from(document.to_string());
        get(async move || ([(CONTENT_TYPE, JSON), (CACHE_CONTROL, PUBLIC)], text).into_response())
    };
    Router::new().route("/openapi.json", serve(openapi)).route("/asyncapi.json", serve(asyncapi)).merge(page)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn module(path: &str, schemas: Value) -> OpenApi {
        let response = json!({"description": "", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}});
        let operation = json!({"operationId": "get_a", "x-scope": "public", "responses": {"200": response}});
        serde_json::from_value(json!({
            "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
            "paths": {path: {"get": operation}}, "components": {"schemas": schemas},
        }))
        .unwrap()
    }

    #[test]
    fn one_name_means_one_schema() {
        let of = |kind: &str| json!({"A": {"type": kind}});
        let complete = |kinds: [&str; 2]| {
            let modules = kinds.iter().zip(["/v1/a", "/v1/b"]).map(|(kind, path)| module(path, of(kind)));
            complete(modules.collect(), &Registry::default()).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(complete(["string", "string"]), Ok(()));
        assert!(complete(["string", "boolean"]).unwrap_err().contains("two different schemas named A"));
    }

    #[test]
    fn what_is_referred_to_is_there() {
        let refused =
            complete(vec![module("/v1/a", json!({}))], &Registry::default()).map(|_| ()).unwrap_err();
        assert!(refused.to_string().contains("there is no schema A"), "{refused}");
    }

    #[test]
    fn extensions_come_in_one_order() {
        let mut json = json!({"x-b": 1, "a": {"x-d": 1, "x-c": 2}, "x-a": 2});
        sort_extensions(&mut json);
        assert_eq!(json.to_string(), r#"{"a":{"x-c":2,"x-d":1},"x-a":2,"x-b":1}"#);
    }
}
