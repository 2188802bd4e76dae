//! Lists: `?limit=&cursor=` in, `{items, next_cursor}` and `Link: rel="next"` out. Pages are found by key
//! (keyset), so the cursor carries the sort key of the last item, opaque to the client.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::Query;
use crate::problem::{Problem, kinds};
use crate::reply::Reply;

/// Items on a page when the client doesn't say.
pub const LIMIT_DEFAULT: u32 = 50;
/// The most items on a page.
pub const LIMIT_MAX: u32 = 500;
/// The longest cursor that is looked at.
const CURSOR_CHARS_MAX: usize = 1024;
/// The first part of every cursor; a cursor of another version is refused.
const CURSOR_VERSION: u8 = 1;

/// The part of a list that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items, 1 to [`LIMIT_MAX`].
    pub limit: u32,
    /// Where the page begins, as the client sent it; read it with [`PageRequest::after`].
    pub cursor: Option<String>,
}

/// How `limit` and `cursor` stand in the query.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParams {
    /// Items per page.
    #[param(minimum = 1, maximum = 500, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before; without it the list begins.
    cursor: Option<String>,
}

impl PageRequest {
    /// The sort key to begin after: `None` for the first page, 400 for what isn't a cursor of this list.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        self.cursor.as_deref().map(cursor::decode).transpose()
    }

    /// The number of rows to ask for: one more than the page, which tells whether there is a next one.
    pub fn rows(&self) -> i64 {
        i64::from(self.limit) + 1
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PageRequest {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(params) = Query::<PageParams>::from_request_parts(parts, state).await?;
        let limit = params.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Problem::of(&kinds::INVALID_PARAMETER).field(
                "/query/limit",
                format!("must be from 1 to {LIMIT_MAX}"),
                "out-of-range",
            ));
        }
        Ok(Self { limit, cursor: params.cursor })
    }
}

impl IntoParams for PageRequest {
    fn into_params(
        parameter_in_provider: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
    ) -> Vec<utoipa::openapi::path::Parameter> {
        PageParams::into_params(parameter_in_provider)
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// What the next page is asked for with; null on the last one.
    pub next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// From up to [`PageRequest::rows`] items: cuts the one too many and makes the cursor of the last that stays.
    pub fn of<K: Serialize>(mut items: Vec<T>, request: &PageRequest, key: impl FnOnce(&T) -> K) -> Self {
        let limit = request.limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next_cursor = if more { items.last().map(|last| cursor::encode(&key(last))) } else { None };
        Self { items, next_cursor }
    }

    /// The same page of other items.
    pub fn map<U>(self, f: impl FnMut(T) -> U) -> Page<U> {
        Page { items: self.items.into_iter().map(f).collect(), next_cursor: self.next_cursor }
    }

    /// The answer for a body that says more than the page does, and still has its `Link`.
    pub fn within<B: Serialize>(self, body: impl FnOnce(Self) -> B) -> Response {
        let next_cursor = self.next_cursor.clone();
        let mut response = Reply::ok(&body(self)).into_response();
        if let Some(cursor) = next_cursor {
            response.extensions_mut().insert(NextCursor(cursor));
        }
        response
    }
}

/// Tells the edge to add `Link: <…>; rel="next"`, for only it knows the whole address.
#[derive(Debug, Clone)]
pub(crate) struct NextCursor(pub(crate) String);

impl<T: Serialize> IntoResponse for Page<T> {
    fn into_response(self) -> Response {
        self.within(|page| page)
    }
}

/// The opaque text of a sort key.
pub mod cursor {
    use super::*;

    /// base64url of `[version, key]`.
    pub fn encode<K: Serialize>(key: &K) -> String {
        let json = serde_json::to_vec(&(CURSOR_VERSION, key)).expect("a sort key is plain data");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// The key in it, or 400.
    pub fn decode<K: DeserializeOwned>(text: &str) -> Result<K, Problem> {
        let refused =
            || Problem::of(&kinds::INVALID_CURSOR).field("/query/cursor", "is not of this list", "invalid");
        if text.len() > CURSOR_CHARS_MAX {
            return Err(refused());
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| refused())?;
        // No key that is kept holds a NUL character.
        if json.windows(6).any(|window| window == br"\u0000") {
            return Err(refused());
        }
        match serde_json::from_slice(&json) {
            Ok((CURSOR_VERSION, key)) => Ok(key),
            Ok((_, _)) | Err(_) => Err(refused()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(limit: u32) -> PageRequest {
        PageRequest { limit, cursor: None }
    }

    #[test]
    fn a_full_page_with_more_behind_it_has_a_cursor() {
        let page = Page::of(vec![1, 2, 3], &request(2), |last| *last);
        assert_eq!(page.items, [1, 2]);
        assert_eq!(cursor::decode::<i64>(&page.next_cursor.unwrap()).unwrap(), 2);
    }

    #[test]
    fn the_last_page_has_none() {
        assert_eq!(Page::of(vec![1, 2], &request(2), |last| *last).next_cursor, None);
        assert_eq!(Page::of(Vec::<i64>::new(), &request(2), |last| *last).next_cursor, None);
    }

    #[test]
    fn what_is_no_cursor_of_this_list_is_refused() {
        let foreign = cursor::encode(&("2026-11-24", 7));
        let other_version = URL_SAFE_NO_PAD.encode("[2,7]");
        for text in ["", "!!", "e30", &foreign, &other_version, &"A".repeat(2_000)] {
            assert_eq!(cursor::decode::<i64>(text).unwrap_err().code(), "invalid-cursor", "{text}");
        }
    }
}
