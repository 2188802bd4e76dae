//! What can go wrong in health, and what each is for a client.

use api::problem::kinds;
use api::socket::SocketError;
use api::{Problem, ProblemType, Stale};
use common::batch::BatchError;
use common::db::DbError;

use crate::model::receipt::GAPS_MAX;

/// A refused or failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// 404: there is no such person or device, or it is somebody else's.
    #[error("there is no such person or device")]
    NotFound,
    /// 409: the client's own id for a device is taken by another one.
    #[error("the device's id is taken")]
    DeviceExists,
    /// 422: the client's own id for a device does not carry its person's bucket.
    #[error("the device's id does not carry its person's bucket")]
    WrongBucket {
        /// What byte 8 of the id has to be.
        byte: u8,
    },
    /// 412: it was changed since.
    #[error("it was changed since")]
    Stale(Box<Stale>),
    /// 429: the device's numbering has too many gaps.
    #[error("the numbering would have {gaps} gaps")]
    TooManyGaps {
        /// How many it would have.
        gaps: usize,
    },
    /// 503 or 504: the collectors could not take it or did not answer in time.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// As the database's own errors.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A problem that is one already.
    #[error("{0}")]
    Problem(Problem),
}

/// 429
pub const TOO_MANY_GAPS: ProblemType = ProblemType {
    code: "too-many-gaps",
    title: "The device's numbering has too many gaps",
    status: 429,
    explanation: "Nothing of the request was taken. A numbering may have 100 gaps. Send what `missing` asks for, oldest \
        first, or say by `gone` or `first_seq` what the device no longer has; then send the rest again.",
};
/// 409
pub const DEVICE_EXISTS: ProblemType = ProblemType {
    code: "device-exists",
    title: "The device's id is taken",
    status: 409,
    explanation: "A device with this id is registered already. Leave `id` out and the server makes one.",
};

/// The module's own problem types.
pub const PROBLEMS: &[&ProblemType] = &[&TOO_MANY_GAPS, &DEVICE_EXISTS];

/// When a device that was refused may try again.
const RETRY_AFTER: std::time::Duration = std::time::Duration::from_secs(2);

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Problem::of(&kinds::NOT_FOUND),
            Error::DeviceExists => Problem::of(&DEVICE_EXISTS),
            Error::WrongBucket { byte } => Problem::of(&kinds::VALIDATION_FAILED).field(
                "/id",
                format!(
                    "byte 8 must be {byte:#04x} for this person; leave the id out and the server makes one"
                ),
                "wrong-bucket",
            ),
            Error::Stale(stale) => (*stale).into(),
            Error::TooManyGaps { gaps } => Problem::of(&TOO_MANY_GAPS)
                .detail(format!("it would have {gaps} gaps of {GAPS_MAX} that are allowed"))
                .retry_after(RETRY_AFTER),
            Error::Batch(BatchError::Full) => Problem::of(&kinds::OVERLOADED).retry_after(RETRY_AFTER),
            Error::Batch(BatchError::Unanswered | BatchError::Broken) => {
                Problem::of(&kinds::OUTCOME_UNKNOWN).retry_after(RETRY_AFTER).caused_by(error)
            }
            Error::Batch(BatchError::Closed) => Problem::of(&kinds::UNAVAILABLE).retry_after(RETRY_AFTER),
            Error::Batch(BatchError::TooLarge) => Problem::of(&kinds::BODY_TOO_LARGE),
            Error::Db(error) => error.into(),
            Error::Problem(problem) => problem,
        }
    }
}

impl From<Error> for SocketError {
    fn from(error: Error) -> Self {
        Problem::from(error).into()
    }
}
