//! Actions on a resource: `POST /v1/operations/{id}:cancel`. axum can't route a parameter with a suffix, so such
//! a route is registered as `/v1/operations/{id}/~cancel`, and the edge rewrites the address before routing.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::extract::OriginalUri;
use http::uri::{PathAndQuery, Uri};
use utoipa::openapi::{Components, OpenApi};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

/// Separates resource and action inside; refused from outside.
const INNER: &str = "/~";

/// Adds actions to a module's router.
pub trait Actions<S> {
    /// Like `routes`, for a handler that is documented at `…/{id}:verb`.
    fn action(self, handler: UtoipaMethodRouter<S>) -> Self;
}

impl<S: Clone + Send + Sync + 'static> Actions<S> for OpenApiRouter<S> {
    fn action(self, (schemas, paths, methods): UtoipaMethodRouter<S>) -> Self {
        let mut router = self;
        for (path, item) in paths.paths {
            router = router.route(&routed(&path), methods.clone());
            let known = &mut router.get_openapi_mut().paths.paths;
            match known.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => drop(known.insert(path, item)),
            }
        }
        router.get_openapi_mut().components.get_or_insert_with(Components::new).schemas.extend(schemas);
        router
    }
}

/// The verbs of all documented actions: only they are taken for one, so an id may contain a colon.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verbs(HashSet<String>);

impl Verbs {
    pub(crate) fn of(document: &OpenApi) -> Self {
        Self(document.paths.paths.keys().filter_map(|path| Some(split(path)?.1.to_owned())).collect())
    }

    /// Rewrites the address of an action to the one that it is routed by; the original stays beside it.
    pub(crate) fn rewrite<B>(&self, mut request: http::Request<B>) -> http::Request<B> {
        let path = request.uri().path();
        let routed = if path.contains(INNER) {
            // Routed paths are no addresses: this one has no route.
            Some(INNER.to_owned())
        } else {
            split(path).filter(|(_, verb)| self.0.contains(*verb)).map(|_| routed(path))
        };
        if let Some(routed) = routed {
            let original = request.uri().clone();
            *request.uri_mut() = with_path(&original, routed);
            request.extensions_mut().insert(OriginalUri(original));
        }
        request
    }
}

/// The route as the document writes it.
pub(crate) fn documented(route: &str) -> Cow<'_, str> {
    match route.rsplit_once(INNER) {
        Some((resource, verb)) => Cow::Owned(format!("{resource}:{verb}")),
        None => Cow::Borrowed(route),
    }
}

pub(crate) fn routed(path: &str) -> String {
    match split(path) {
        Some((resource, verb)) => format!("{resource}{INNER}{verb}"),
        None => path.to_owned(),
    }
}

/// Resource and verb of a path whose last segment ends in `:verb`.
fn split(path: &str) -> Option<(&str, &str)> {
    let (resource, verb) = path.rsplit_once(':')?;
    let named = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    (named && !resource.ends_with('/')).then_some((resource, verb))
}

fn with_path(uri: &Uri, path: String) -> Uri {
    let path_and_query = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    // Made of a valid path and query; should it not parse, the request keeps its address and finds no route.
    if let Ok(path_and_query) = PathAndQuery::try_from(path_and_query) {
        parts.path_and_query = Some(path_and_query);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(uri: &str) -> String {
        let verbs = Verbs(HashSet::from(["cancel".to_owned()]));
        let request = http::Request::builder().uri(uri).body(()).unwrap();
        verbs.rewrite(request).uri().to_string()
    }

    #[test]
    fn a_known_action_is_rewritten() {
        assert_eq!(rewritten("/v1/orders/7:cancel?x=1"), "/v1/orders/7/~cancel?x=1");
        assert_eq!(documented("/v1/orders/{id}/~cancel"), "/v1/orders/{id}:cancel");
    }

    #[test]
    fn an_id_with_a_colon_stays() {
        for uri in ["/v1/orders/a:b", "/v1/orders/:cancel", "/v1/orders/7:Cancel", "/v1/orders/7"] {
            assert_eq!(rewritten(uri), uri);
        }
    }

    #[test]
    fn the_routed_form_is_no_address() {
        assert_eq!(rewritten("/v1/orders/7/~cancel"), "/~");
    }
}
