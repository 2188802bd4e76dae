//! axum's rejections of path and query parameters as problems that name the parameter.

use std::error::Error as _;

use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};

use crate::problem::{Problem, kinds};

pub(super) fn path_problem(rejection: PathRejection) -> Problem {
    let PathRejection::FailedToDeserializePathParams(error) = rejection else {
        // A handler that asks for parameters which its route doesn't have.
        return Problem::internal(rejection);
    };
    let (name, detail) = match error.kind() {
        ErrorKind::ParseErrorAtKey { key, .. } => (key.clone(), "has a value that can't be read".to_owned()),
        ErrorKind::DeserializeError { key, message, .. } => (key.clone(), message.clone()),
        ErrorKind::InvalidUtf8InPathParam { key } => (key.clone(), "is not valid UTF-8".to_owned()),
        ErrorKind::ParseError { .. } | ErrorKind::ParseErrorAtIndex { .. } | ErrorKind::Message(_) => {
            (String::new(), error.kind().to_string())
        }
        _ => return Problem::internal(error),
    };
    let pointer = if name.is_empty() { "/path".to_owned() } else { format!("/path/{name}") };
    Problem::of(&kinds::INVALID_PARAMETER).field(pointer, detail, "invalid")
}

pub(super) fn query_problem(rejection: &QueryRejection) -> Problem {
    // The source's text is `limit: invalid digit found in string`, or without the name when it isn't known.
    let message = rejection.source().map_or_else(|| rejection.body_text(), ToString::to_string);
    let (pointer, detail) = match message.split_once(": ") {
        Some((name, detail)) if !name.contains(' ') => (format!("/query/{name}"), detail.to_owned()),
        _ => ("/query".to_owned(), message),
    };
    Problem::of(&kinds::INVALID_PARAMETER).field(pointer, detail, "invalid")
}
