//! Extractors that answer problems where axum's own answer text: the body as [`Json`], [`Path`], [`Query`],
//! and what a `POST` that creates must carry, [`IdempotencyKey`].

use axum::extract::{FromRequest, FromRequestParts, MatchedPath, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use garde::Validate;
use http::HeaderName;
use http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, kinds};

pub mod body;
mod key;
mod parameter;

pub use key::IdempotencyKey;
pub(crate) use key::RequestHash;

/// A JSON body: well-formed (400), of the right media type (415) and size (413), without unknown fields where
/// the type says `deny_unknown_fields`, and valid by its `garde` rules (422, one entry per field).
///
/// As an answer it is plain JSON with status 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T, S> FromRequest<S> for Json<T>
where
    T: DeserializeOwned + Validate<Context = ()>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        body::require_media_type(request.headers(), &["application/json"])?;
        let bytes = body::read(request).await?;
        body::parse(&bytes).map(Self)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        crate::Reply::ok(&self.0).into_response()
    }
}

/// A body of another media type as it came, up to the operation's size limit. An `Idempotency-Key` covers it.
#[derive(Debug, Clone)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        body::read(request).await.map(Self)
    }
}

/// The parameters of the path; one that can't be read is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path<T>(pub T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(parameter::path_problem(rejection)),
        }
    }
}

/// The parameters of the query; one that can't be read is 400. Unknown ones are refused before any handler, by
/// the operation's documentation (see [`crate::route`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query<T>(pub T);

impl<T, S> FromRequestParts<S> for Query<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(parameter::query_problem(&rejection)),
        }
    }
}

/// The route as the document writes it, such as `/v1/operations/{id}:cancel`.
pub(crate) fn route(parts: &Parts) -> String {
    match parts.extensions.get::<MatchedPath>() {
        Some(path) => crate::action::documented(path.as_str()).into_owned(),
        None => parts.uri.path().to_owned(),
    }
}

/// Path and query as the client wrote them.
pub(crate) fn original_uri(parts: &Parts) -> String {
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |OriginalUri(uri)| uri);
    uri.path_and_query().map_or_else(|| uri.path().to_owned(), |it| it.as_str().to_owned())
}

/// A header as text: `None` when missing, 400 when it comes twice or isn't visible ASCII.
pub(crate) fn single_header<'a>(parts: &'a Parts, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid_header(name, "comes more than once"));
    }
    first.to_str().map(Some).map_err(|_| invalid_header(name, "has characters other than visible ASCII"))
}

pub(crate) fn invalid_header(name: &HeaderName, detail: &str) -> Problem {
    Problem::of(&kinds::INVALID_HEADER).detail(format!("{name} {detail}")).field(
        format!("/header/{name}"),
        detail,
        "invalid",
    )
}
