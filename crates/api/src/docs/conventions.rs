//! What an operation's `x-…` mean for its documentation: request headers, error answers, security.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::Value;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, HeaderBuilder, OpenApi, Ref, RefOr, Required, Response, ResponseBuilder,
};

use super::BEARER;
use crate::problem::registry::Registry;
use crate::problem::{ProblemType, kinds};
use crate::route::{ANY, PUBLIC, extension};

/// The schema that every error refers to.
pub(super) const PROBLEM_SCHEMA: &str = "Problem";

/// Completes every operation; says what can't be right.
pub(super) fn apply(document: &mut OpenApi, problems: &Registry) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (path, item) in &mut document.paths.paths {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in operations.into_iter().flatten() {
            if let Err(mistake) = complete(operation, problems) {
                mistakes.push(format!("{path}: {mistake}"));
            }
        }
    }
    mistakes
}

fn complete(operation: &mut Operation, problems: &Registry) -> Result<(), String> {
    let mut added = Added::default();
    let says = |name: &str| extension(operation, name).and_then(Value::as_str).unwrap_or_default().to_owned();

    added.problems([
        &kinds::RATE_LIMITED,
        &kinds::INTERNAL,
        &kinds::UNAVAILABLE,
        &kinds::OVERLOADED,
        &kinds::TIMEOUT,
    ]);
    match says("x-scope").as_str() {
        PUBLIC => {}
        ANY => added.problems([&kinds::UNAUTHENTICATED]),
        _ => added.problems([&kinds::UNAUTHENTICATED, &kinds::INSUFFICIENT_SCOPE]),
    }
    let parameters: Vec<_> = operation.parameters.iter().flatten().filter_map(parameter).collect();
    if !parameters.is_empty() {
        added.problems([&kinds::INVALID_PARAMETER]);
    }
    if parameters.iter().any(|it| it.parameter_in == ParameterIn::Path) {
        added.problems([&kinds::NOT_FOUND]);
    }
    if parameters.iter().any(|it| it.parameter_in == ParameterIn::Query && it.name == "cursor") {
        added.problems([&kinds::INVALID_CURSOR]);
    }
    if operation.request_body.is_some() {
        added.problems([
            &kinds::MALFORMED_JSON,
            &kinds::BODY_TOO_LARGE,
            &kinds::UNSUPPORTED_MEDIA_TYPE,
            &kinds::VALIDATION_FAILED,
        ]);
    }
    if says("x-idempotency") == "key" {
        let text =
            "New for each thing to create, the same for each repetition: the answer is then the first one's.";
        added.header("Idempotency-Key", Required::True, text);
        added.problems([
            &kinds::IDEMPOTENCY_KEY_MISSING,
            &kinds::IDEMPOTENCY_IN_FLIGHT,
            &kinds::IDEMPOTENCY_KEY_REUSED,
            &kinds::OUTCOME_UNKNOWN,
        ]);
    }
    if says("x-precondition") == "version" {
        added.header(
            "If-Match",
            Required::True,
            "The `ETag` of what the change was made from, such as `\"v7\"`.",
        );
        added.problems([&kinds::PRECONDITION_REQUIRED, &kinds::STALE, &kinds::INVALID_HEADER]);
    }
    if says("x-freshness") == "read-your-writes" {
        let text = "What the caller has written or seen: the answer is at least as new. Taken from a cookie as well. Without \
            one the answer may lack what was written in the 5 seconds before, and nothing older.";
        added.header("Consistency-Token", Required::False, text);
        added.header(
            "Prefer",
            Required::False,
            "`wait=2`: wait so many seconds for an answer that is new enough.",
        );
        added.problems([&kinds::INVALID_HEADER]);
    }
    for code in extension(operation, "x-problems").and_then(Value::as_array).into_iter().flatten() {
        let kind = code.as_str().and_then(|code| problems.find(code));
        added.problems([kind.ok_or_else(|| format!("there is no problem type {code}"))?]);
    }
    added.add_to(operation);
    Ok(())
}

/// What the conventions add to one operation.
#[derive(Default)]
struct Added {
    headers: Vec<Parameter>,
    problems: BTreeMap<u16, Vec<&'static ProblemType>>,
}

impl Added {
    fn problems<const N: usize>(&mut self, kinds: [&'static ProblemType; N]) {
        for kind in kinds {
            let known = self.problems.entry(kind.status).or_default();
            if !known.contains(&kind) {
                known.push(kind);
            }
        }
    }

    fn header(&mut self, name: &str, required: Required, description: &str) {
        self.headers.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(required)
                .description(Some(description))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .build(),
        );
    }

    fn add_to(self, operation: &mut Operation) {
        let scope = extension(operation, "x-scope").and_then(Value::as_str).unwrap_or_default().to_owned();
        if scope != PUBLIC {
            let scopes = if scope == ANY { Vec::new() } else { vec![scope] };
            operation.security = Some(vec![SecurityRequirement::new(BEARER, scopes)]);
        }
        let parameters = operation.parameters.get_or_insert_default();
        for header in self.headers {
            let known = |it: &RefOr<Parameter>| parameter(it).is_some_and(|it| it.name == header.name);
            if !parameters.iter().any(known) {
                parameters.push(RefOr::T(header));
            }
        }
        if parameters.is_empty() {
            operation.parameters = None;
        }
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response {
                describe_success(status, response);
            }
        }
        for (status, kinds) in self.problems {
            operation
                .responses
                .responses
                .entry(status.to_string())
                .or_insert_with(|| RefOr::T(errors(&kinds)));
        }
    }
}

fn parameter(parameter: &RefOr<Parameter>) -> Option<&Parameter> {
    match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }
}

/// OpenAPI demands a description, and a created resource has an address.
fn describe_success(status: &str, response: &mut Response) {
    if response.description.is_empty() {
        let reason = status.parse().ok().and_then(|code| StatusCode::from_u16(code).ok()?.canonical_reason());
        response.description = reason.unwrap_or("The answer").to_owned();
    }
    if matches!(status, "201" | "202") {
        let location = HeaderBuilder::new().description(Some("Where it is found")).build();
        response.headers.entry("Location".into()).or_insert(RefOr::T(location));
    }
}

fn errors(kinds: &[&'static ProblemType]) -> Response {
    let lines: Vec<_> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code, kind.title)).collect();
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(PROBLEM_SCHEMA))).build();
    ResponseBuilder::new()
        .description(lines.join("\n\n"))
        .content("application/problem+json", content)
        .build()
}
