//! `/openapi.json`, `/asyncapi.json` and `/docs`. What the conventions add to every operation (headers, errors,
//! security) is added to the document here, from the operation's `x-…`, so no module writes it by hand.

use std::collections::BTreeMap;

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
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; font-src 'self'; frame-ancestors 'none'",
);

const DESCRIPTION: &str = "Trading, household and health data over one data path. Every error is an RFC 9457 \
                           problem with a page at `/problems/{code}`.";

/// The name of the security scheme.
const BEARER: &str = "bearer";

/// The whole document: the modules' operations with what the conventions add.
pub(crate) fn complete(modules: Vec<OpenApi>, problems: &Registry) -> Result<OpenApi, InvalidDocument> {
    let mut document = OpenApi::default();
    for module in modules {
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
    conventions::apply(&mut document, problems)?;
    Ok(document)
}

/// The document as JSON, the same text at every run.
pub(crate) fn to_json(document: &OpenApi) -> Value {
    let mut json = serde_json::to_value(document).expect("the document is plain data");
    sort_extensions(&mut json);
    json
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
