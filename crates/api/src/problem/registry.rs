//! All problem types of the program, and the page that each has at `/problems/{code}`: what its `type` points to.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};

use super::{Problem, ProblemType, kinds};
use crate::extract::Path;

/// Pages change with a release.
const PUBLIC: HeaderValue = HeaderValue::from_static("public, max-age=3600");
/// A page asks for nothing else.
const NOTHING_ELSE: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;\
                     color:#1c2733;background:#fff}code{background:#eef2f5;padding:.1em .3em;border-radius:3px}\
                     td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}a{color:#0b5cad}\
                     @media(prefers-color-scheme:dark){body{color:#dde5ec;background:#12181f}\
                     code{background:#222c36}a{color:#7ab8f5}}";

/// Every type by its code.
#[derive(Debug, Clone, Default)]
pub struct Registry(Arc<BTreeMap<&'static str, &'static ProblemType>>);

/// Two types with one code.
#[derive(Debug, thiserror::Error)]
#[error("there are two problem types with the code {0}")]
pub struct DuplicateCode(&'static str);

impl Registry {
    /// The conventions' own types and these.
    pub fn of(modules: &[&[&'static ProblemType]]) -> Result<Self, DuplicateCode> {
        let mut types = BTreeMap::new();
        for kind in [kinds::PROBLEMS].iter().chain(modules).copied().flatten().copied() {
            if types.insert(kind.code, kind).is_some_and(|known| known != kind) {
                return Err(DuplicateCode(kind.code));
            }
        }
        Ok(Self(Arc::new(types)))
    }

    /// The type of this code.
    pub fn find(&self, code: &str) -> Option<&'static ProblemType> {
        self.0.get(code).copied()
    }

    /// All of them, by code.
    pub fn iter(&self) -> impl Iterator<Item = &'static ProblemType> {
        self.0.values().copied()
    }

    pub(crate) fn router(self) -> Router {
        Router::new().route("/problems", get(list)).route("/problems/{code}", get(explain)).with_state(self)
    }
}

async fn list(State(registry): State<Registry>) -> Response {
    let mut rows = String::new();
    for ProblemType { code, title, status, .. } in registry.iter() {
        let title = escape(title);
        let _ = write!(
            rows,
            "<tr><td>{status}<td><a href=\"/problems/{code}\"><code>{code}</code></a><td>{title}"
        );
    }
    page("Problems", &format!("<table><tr><th>Status<th>Code<th>Meaning{rows}</table>"))
}

async fn explain(State(registry): State<Registry>, Path(code): Path<String>) -> Result<Response, Problem> {
    let kind = registry.find(&code).ok_or(&kinds::NOT_FOUND)?;
    let explanation = code_spans(&escape(kind.explanation));
    let body = format!(
        "<p>Status <code>{}</code>, code <code>{}</code></p><p>{explanation}</p><p><a href=\"/problems\">All problems</a></p>",
        kind.status, kind.code
    );
    Ok(page(kind.title, &body))
}

fn page(title: &str, body: &str) -> Response {
    let title = escape(title);
    let html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>{body}</html>"
    );
    ([(CACHE_CONTROL, PUBLIC), (CONTENT_SECURITY_POLICY, NOTHING_ELSE)], Html(html)).into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// What stands between backticks is code; every second piece is inside.
fn code_spans(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(n, piece)| if n % 2 == 1 { format!("<code>{piece}</code>") } else { piece.to_owned() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_fit_for_an_address() {
        let registry = Registry::of(&[crate::socket::problems::PROBLEMS]).unwrap();
        assert!(registry.find("stale").is_some());
        for kind in registry.iter() {
            assert!(kind.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", kind.code);
            assert!((400..600).contains(&kind.status), "{}", kind.code);
            assert_eq!(kind.explanation.matches('`').count() % 2, 0, "{}", kind.code);
        }
        const OTHER: ProblemType = ProblemType { code: "stale", title: "", status: 400, explanation: "" };
        assert!(Registry::of(&[&[&OTHER]]).is_err());
    }

    #[test]
    fn a_page_escapes_its_text() {
        assert_eq!(code_spans(&escape("a `<b>` & c")), "a <code>&lt;b&gt;</code> &amp; c");
    }
}
