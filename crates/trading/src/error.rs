//! What can go wrong in trading, and what each is for a client: a problem over HTTP, an error frame on the socket.

use std::time::Duration;

use api::problem::kinds;
use api::socket::{Class, SocketError};
use api::{FieldError, Problem, ProblemType};
use common::db::DbError;

use crate::matching::Rejection;
use crate::model::OrderStatus;

/// When to come back after a lane was full: a few batches later there is room.
const LANE_RETRY_AFTER: Duration = Duration::from_millis(50);
/// When to come back for a book that is behind.
const BOOK_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A refusal or a failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404: it isn't there, or it is somebody else's.
    #[error("there is no such resource")]
    NotFound,
    /// 422: one entry per field.
    #[error("the content is not valid")]
    Invalid(Vec<FieldError>),
    /// 422: a rule refused the order, now and for this client id for ever.
    #[error("the order was rejected: {}", .reason.as_str())]
    Rejected {
        /// Which rule.
        reason: Rejection,
        /// Whether that was decided by an earlier command with this id.
        duplicate: bool,
    },
    /// 409: the client id belongs to an order with other content.
    #[error("the client order id was used with other content")]
    ClientIdConflict(Vec<FieldError>),
    /// 409: its owner has sealed the client id.
    #[error("the client order id was voided")]
    Voided,
    /// 409: the order is over.
    #[error("the order is {}", .0.as_str())]
    NotOpen(OrderStatus),
    /// 409: another instrument has the symbol.
    #[error("the symbol is taken")]
    SymbolTaken,
    /// 409: the asset is known with another scale.
    #[error("the asset {code} has {scale} decimals")]
    AssetDiffers {
        /// The asset.
        code: String,
        /// Its decimals.
        scale: u8,
    },
    /// 503: too many commands wait. Nothing was accepted.
    #[error("too many commands wait for this instrument")]
    LaneFull,
    /// 503: the command waited for its turn until its deadline. Nothing was done.
    #[error("the command did not get its turn in time")]
    NoTurn,
    /// 503: it may or may not have happened.
    #[error("the outcome is not known")]
    Unknown,
    /// 503: the book is not as new as was asked for.
    #[error("the book is at {at}, {wanted} was asked for")]
    BookBehind {
        /// What it is at.
        at: i64,
        /// What was asked for.
        wanted: i64,
    },
    /// 500: a rule of the matcher was broken, or a row is not what it can be.
    #[error("{0}")]
    Broken(String),
    /// As the database's error says.
    #[error(transparent)]
    Db(#[from] DbError),
    /// 503: the batch failed, and all in it with this cause. Nothing was done.
    #[error("the batch could not be carried out")]
    Undone(#[source] DbError),
    /// A problem made by the conventions' own code.
    #[error(transparent)]
    Problem(#[from] Problem),
}

/// 422
pub const ORDER_REJECTED: ProblemType = ProblemType {
    code: "order-rejected",
    title: "The order was rejected",
    status: 422,
    explanation: "The order is valid in itself, but a rule refused it; `reason` says which: `insufficient_funds` \
                  (less is available than it could cost, fee included), `instrument_halted`, or `book_full`. Its client \
                  order id stays rejected for ever: a new attempt needs a new id.",
};
/// 409
pub const CLIENT_ORDER_ID_CONFLICT: ProblemType = ProblemType {
    code: "client-order-id-conflict",
    title: "This client order id belongs to another order",
    status: 409,
    explanation: "The account has used this `client_order_id` before, for an order with other content; `errors` names \
                  the fields that differ. Ids never expire. Nothing was done. A new order needs a new id.",
};
/// 409
pub const CLIENT_ORDER_ID_VOIDED: ProblemType = ProblemType {
    code: "client-order-id-voided",
    title: "This client order id was voided",
    status: 409,
    explanation: "The account's owner has sealed this `client_order_id` with `command.void` before any order was placed \
                  under it. Nothing was done, and nothing ever will be under this id. A new order needs a new id.",
};
/// 409
pub const ORDER_NOT_OPEN: ProblemType = ProblemType {
    code: "order-not-open",
    title: "The order is not open",
    status: 409,
    explanation: "Only an order that rests in the book can be cancelled. `status` says what this one is.",
};
/// 409
pub const SYMBOL_TAKEN: ProblemType = ProblemType {
    code: "symbol-taken",
    title: "The symbol is taken",
    status: 409,
    explanation: "Another instrument has this symbol. Symbols are unique.",
};
/// 409
pub const ASSET_DIFFERS: ProblemType = ProblemType {
    code: "asset-differs",
    title: "The asset is known with another scale",
    status: 409,
    explanation: "Assets are shared by all instruments, and their scale never changes. Name it as it is.",
};
/// 503
pub const LANE_FULL: ProblemType = ProblemType {
    code: "lane-full",
    title: "Too many commands wait for this instrument",
    status: 503,
    explanation: "The instrument takes commands in batches, and as many as may wait are waiting. This one was refused \
                  before acceptance; nothing was done. Send it again, with the same client order id, after `Retry-After`.",
};

/// All of trading's own, for the registry.
pub const PROBLEMS: &[&ProblemType] = &[
    &ORDER_REJECTED,
    &CLIENT_ORDER_ID_CONFLICT,
    &CLIENT_ORDER_ID_VOIDED,
    &ORDER_NOT_OPEN,
    &SYMBOL_TAKEN,
    &ASSET_DIFFERS,
    &LANE_FULL,
];

impl Error {
    /// 422 for one field.
    pub fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid(vec![field(pointer, detail, "invalid")])
    }
}

/// One entry of `errors`.
pub(crate) fn field(pointer: impl Into<String>, detail: impl Into<String>, code: &str) -> FieldError {
    FieldError { pointer: pointer.into(), detail: detail.into(), code: code.to_owned() }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let with_fields = |kind, fields: Vec<FieldError>| {
            fields.into_iter().fold(Problem::of(kind), |p, f| p.field(f.pointer, f.detail, f.code))
        };
        match error {
            Error::NotFound => Problem::of(&kinds::NOT_FOUND),
            Error::Invalid(fields) => with_fields(&kinds::VALIDATION_FAILED, fields),
            Error::Rejected { reason, duplicate } => {
                Problem::of(&ORDER_REJECTED).with("reason", reason.as_str()).with("duplicate", duplicate)
            }
            Error::ClientIdConflict(fields) => with_fields(&CLIENT_ORDER_ID_CONFLICT, fields),
            Error::Voided => Problem::of(&CLIENT_ORDER_ID_VOIDED),
            Error::NotOpen(status) => Problem::of(&ORDER_NOT_OPEN)
                .detail(format!("the order is {}", status.as_str()))
                .with("status", status.as_str()),
            Error::SymbolTaken => Problem::of(&SYMBOL_TAKEN).field("/symbol", "is taken", "taken"),
            Error::AssetDiffers { code, scale } => {
                Problem::of(&ASSET_DIFFERS).detail(format!("{code} has {scale} decimals"))
            }
            Error::LaneFull => Problem::of(&LANE_FULL).retry_after(LANE_RETRY_AFTER),
            Error::NoTurn => Problem::of(&kinds::OVERLOADED)
                .detail("the command did not get its turn before its deadline; nothing was done")
                .retry_after(BOOK_RETRY_AFTER),
            Error::Unknown => Problem::of(&kinds::OUTCOME_UNKNOWN)
                .detail("repeat the command with the same client order id, or ask for it")
                .retry_after(BOOK_RETRY_AFTER),
            Error::BookBehind { at, wanted } => Problem::of(&kinds::PROJECTION_BEHIND)
                .detail(format!("the book is at {at}, {wanted} was asked for"))
                .with("as_of", at)
                .retry_after(BOOK_RETRY_AFTER),
            Error::Broken(detail) => Problem::internal(detail),
            Error::Db(error) => error.into(),
            Error::Undone(error) => undone(&error),
            Error::Problem(problem) => problem,
        }
    }
}

/// The cause was logged once by the lane; the clients of its batch are told the kind.
fn undone(error: &DbError) -> Problem {
    let kind = match error {
        DbError::Busy => &kinds::OVERLOADED,
        DbError::Timeout | DbError::Unavailable(_) => &kinds::UNAVAILABLE,
        _ => &kinds::INTERNAL,
    };
    Problem::of(kind).retry_after(BOOK_RETRY_AFTER)
}

impl From<Error> for SocketError {
    fn from(error: Error) -> Self {
        let class = match &error {
            Error::Rejected { .. } | Error::Voided | Error::NotOpen(_) => Some(Class::Rejected),
            Error::LaneFull | Error::NoTurn => Some(Class::Throttled),
            Error::Unknown => Some(Class::Unknown),
            _ => None,
        };
        let after = matches!(error, Error::LaneFull).then_some(LANE_RETRY_AFTER);
        let answer = SocketError::from(Problem::from(error));
        let answer = match class {
            Some(class) => answer.class(class),
            None => answer,
        };
        match after {
            Some(wait) => answer.after(wait),
            None => answer,
        }
    }
}

impl axum::response::IntoResponse for Error {
    fn into_response(self) -> axum::response::Response {
        Problem::from(self).into_response()
    }
}
