//! The problem types of HTTP itself and of the conventions that all modules share.

use super::ProblemType;

const fn kind(
    status: u16,
    code: &'static str,
    title: &'static str,
    explanation: &'static str,
) -> ProblemType {
    ProblemType { code, title, status, explanation }
}

/// 400
pub const MALFORMED_REQUEST: ProblemType = kind(
    400,
    "malformed-request",
    "The request is malformed",
    "The request could not be read as HTTP or as what this address expects. The detail says what was found.",
);
/// 400
pub const MALFORMED_JSON: ProblemType = kind(
    400,
    "malformed-json",
    "The body is not valid JSON",
    "The body could not be parsed as JSON. The detail gives the line and the column. Nothing was changed.",
);
/// 400
pub const INVALID_PARAMETER: ProblemType = kind(
    400,
    "invalid-parameter",
    "A parameter is not valid",
    "A part of the path or of the query is unknown here or has a value that can't be read. `errors` names \
     each one. Unknown query parameters are refused, so that a misspelt filter never returns everything.",
);
/// 400
pub const INVALID_HEADER: ProblemType = kind(
    400,
    "invalid-header",
    "A header is not valid",
    "A header that this request needs has a value that can't be read. `errors` names it.",
);
/// 400
pub const INVALID_CURSOR: ProblemType = kind(
    400,
    "invalid-cursor",
    "The cursor is not valid",
    "`cursor` takes only what `next_cursor` of the same list gave. Start again without it.",
);
/// 400
pub const IDEMPOTENCY_KEY_MISSING: ProblemType = kind(
    400,
    "idempotency-key-missing",
    "Idempotency-Key is missing",
    "A request that creates something carries an `Idempotency-Key` header: any text of 1 to 255 visible \
     ASCII characters, new for each thing to create (a UUID is a good one), the same for each repetition. A \
     repetition within 24 hours returns the first answer and has no second effect.",
);
/// 401
pub const UNAUTHENTICATED: ProblemType = kind(
    401,
    "unauthenticated",
    "Who is calling is not known",
    "Send `Authorization: Bearer <token>` with a valid access token. It is missing, has expired, or was \
     not made by an issuer that this service trusts.",
);
/// 403
pub const INSUFFICIENT_SCOPE: ProblemType = kind(
    403,
    "insufficient-scope",
    "The token does not allow this",
    "The token is valid, but lacks the scope that this operation needs. `scope` names it.",
);
/// 403
pub const FORBIDDEN: ProblemType = kind(
    403,
    "forbidden",
    "This is not allowed",
    "The caller is known and may see the resource, but may not do this with it.",
);
/// 404
pub const NOT_FOUND: ProblemType = kind(
    404,
    "not-found",
    "There is nothing here",
    "There is no such resource, or it belongs to somebody else.",
);
/// 405
pub const METHOD_NOT_ALLOWED: ProblemType = kind(
    405,
    "method-not-allowed",
    "The method is not allowed here",
    "This address exists, but not with this method. The `Allow` header lists those that it has.",
);
/// 409
pub const CONFLICT: ProblemType = kind(
    409,
    "conflict",
    "This contradicts the state of the resource",
    "The request is fine in itself, but not in the state that the resource is in. Read it again.",
);
/// 409
pub const IDEMPOTENCY_IN_FLIGHT: ProblemType = kind(
    409,
    "idempotency-in-flight",
    "The same request is still under way",
    "Another request with this `Idempotency-Key` has not ended yet. Repeat it after `Retry-After`; the \
     answer will then be the same for both.",
);
/// 412
pub const STALE: ProblemType = kind(
    412,
    "stale",
    "Somebody else changed this first",
    "`If-Match` names a version that is no longer the current one. `ETag` gives the current version, and \
     `conflicts` compares field by field: what it was (`base`), what you sent (`yours`) and what it is now \
     (`current`). Merge, and send it again with the new version. With `Prefer: handling=lenient` changes of \
     different fields are merged here.",
);
/// 413
pub const BODY_TOO_LARGE: ProblemType = kind(
    413,
    "body-too-large",
    "The body is too large",
    "The body is larger than this operation takes. `bytes_max` gives the limit. Send it in smaller parts.",
);
/// 414
pub const URI_TOO_LONG: ProblemType = kind(
    414,
    "uri-too-long",
    "The address is too long",
    "The path and the query together are longer than this service takes.",
);
/// 415
pub const UNSUPPORTED_MEDIA_TYPE: ProblemType = kind(
    415,
    "unsupported-media-type",
    "The media type is not supported",
    "The `Content-Type` is missing or not one that this operation takes. The detail names those that it does.",
);
/// 422
pub const VALIDATION_FAILED: ProblemType = kind(
    422,
    "validation-failed",
    "The content is not valid",
    "The body is well-formed, but what it says can't be. `errors` has one entry for each field.",
);
/// 422
pub const IDEMPOTENCY_KEY_REUSED: ProblemType = kind(
    422,
    "idempotency-key-reused",
    "This Idempotency-Key belongs to another request",
    "The key was used in the last 24 hours for a request with other content. A new request needs a new key.",
);
/// 428
pub const PRECONDITION_REQUIRED: ProblemType = kind(
    428,
    "precondition-required",
    "If-Match is missing",
    "A change carries `If-Match` with the `ETag` of what it was made from, so that it can't undo what \
     somebody else did in between.",
);
/// 429
pub const RATE_LIMITED: ProblemType = kind(
    429,
    "rate-limited",
    "Too many requests",
    "The quota is used up. `RateLimit-Policy` names it and `Retry-After` says when there is some again.",
);
/// 431
pub const HEADERS_TOO_LARGE: ProblemType = kind(
    431,
    "headers-too-large",
    "The headers are too large",
    "All headers together are larger than this service takes.",
);
/// 500
pub const INTERNAL: ProblemType = kind(
    500,
    "internal",
    "Something went wrong here",
    "An error of this service, not of the request. It has been logged under `trace_id`.",
);
/// 503
pub const UNAVAILABLE: ProblemType = kind(
    503,
    "unavailable",
    "Not available at the moment",
    "Something that this needs can't be reached right now. Nothing was changed. Repeat after `Retry-After`.",
);
/// 503
pub const OVERLOADED: ProblemType = kind(
    503,
    "overloaded",
    "Too busy at the moment",
    "There is more to do than capacity, and this request was refused before it began. Repeat after \
     `Retry-After`.",
);
/// 503
pub const OUTCOME_UNKNOWN: ProblemType = kind(
    503,
    "outcome-unknown",
    "It is not known whether this took effect",
    "The connection to the database was lost while the change was being made durable. Repeat the request \
     with the same `Idempotency-Key` or the same version: it takes effect once.",
);
/// 503
pub const NOT_READY: ProblemType = kind(
    503,
    "not-ready",
    "This process takes no requests",
    "It is starting or shutting down. Another one takes them.",
);
/// 503
pub const PROJECTION_BEHIND: ProblemType = kind(
    503,
    "projection-behind",
    "The view is not as fresh as asked for",
    "The view has not yet caught up with the write that the `Consistency-Token` names. Repeat after \
     `Retry-After`, allow a wait with `Prefer: wait=2`, or leave the token out.",
);
/// 504
pub const TIMEOUT: ProblemType = kind(
    504,
    "timeout",
    "This took too long",
    "The request was not done within its deadline. A change may or may not have taken effect: repeat it \
     with the same `Idempotency-Key` or the same version.",
);

/// All of them, for the registry.
pub const PROBLEMS: &[&ProblemType] = &[
    &MALFORMED_REQUEST,
    &MALFORMED_JSON,
    &INVALID_PARAMETER,
    &INVALID_HEADER,
    &INVALID_CURSOR,
    &IDEMPOTENCY_KEY_MISSING,
    &UNAUTHENTICATED,
    &INSUFFICIENT_SCOPE,
    &FORBIDDEN,
    &NOT_FOUND,
    &METHOD_NOT_ALLOWED,
    &CONFLICT,
    &IDEMPOTENCY_IN_FLIGHT,
    &STALE,
    &BODY_TOO_LARGE,
    &URI_TOO_LONG,
    &UNSUPPORTED_MEDIA_TYPE,
    &VALIDATION_FAILED,
    &IDEMPOTENCY_KEY_REUSED,
    &PRECONDITION_REQUIRED,
    &RATE_LIMITED,
    &HEADERS_TOO_LARGE,
    &INTERNAL,
    &UNAVAILABLE,
    &OVERLOADED,
    &OUTCOME_UNKNOWN,
    &NOT_READY,
    &PROJECTION_BEHIND,
    &TIMEOUT,
];
