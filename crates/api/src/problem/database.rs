//! What the database's errors are for the client.

use std::time::Duration;

use common::db::DbError;

use super::{Problem, kinds};

/// When to come back after the database was busy or away: about as long as a failover's first look takes.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<DbError> for Problem {
    fn from(error: DbError) -> Self {
        let kind = match &error {
            DbError::Busy => &kinds::OVERLOADED,
            DbError::Timeout => &kinds::TIMEOUT,
            DbError::Unavailable(_) => &kinds::UNAVAILABLE,
            DbError::Unknown => &kinds::OUTCOME_UNKNOWN,
            error if error.is_lost_race() => &kinds::OVERLOADED,
            error if error.is_unstorable_text() => {
                return Problem::of(&kinds::VALIDATION_FAILED).detail("a text holds a NUL character");
            }
            _ => return Problem::internal(error),
        };
        Problem::of(kind).retry_after(RETRY_AFTER).caused_by(error)
    }
}
