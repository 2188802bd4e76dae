//! What can go wrong between a call and the database, as far as a caller can act on it.

use std::sync::Arc;

use tokio_postgres::error::SqlState;

/// A failed read or transaction. Cheap to clone: a failed load is shared by all who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DbError {
    /// No connection came free before the deadline. Nothing was done.
    #[error("no database connection came free in time")]
    Busy,
    /// The deadline passed or the database ended the statement. Nothing was committed.
    #[error("the database did not answer in time")]
    Timeout,
    /// No connection could be made or it broke before COMMIT. Nothing was committed.
    #[error("the database is not reachable")]
    Unavailable(#[source] Source),
    /// COMMIT was asked for after a statement of the transaction had failed. It was rolled back.
    #[error("a statement of this transaction failed, so it was rolled back")]
    Doomed,
    /// COMMIT was sent and its answer lost: it may or may not have happened.
    #[error("the outcome of the commit is not known")]
    Unknown,
    /// The database refused a statement.
    #[error("the database refused the statement {statement}")]
    Sql {
        /// Its name.
        statement: &'static str,
        /// Why.
        #[source]
        source: Arc<tokio_postgres::Error>,
    },
    /// A row does not have the shape that the program expects.
    #[error("a row of {statement} could not be read")]
    Row {
        /// The statement's name.
        statement: &'static str,
        /// Why.
        #[source]
        source: Source,
    },
}

/// What an error came from.
pub type Source = Arc<dyn std::error::Error + Send + Sync>;

impl DbError {
    pub(crate) fn of(statement: &'static str, source: tokio_postgres::Error) -> Self {
        let Some(code) = source.code() else {
            // Without a code the server said nothing: a value that could not be encoded, or the connection broke.
            return if source.is_closed() || is_io(&source) {
                Self::unavailable(source)
            } else {
                Self::Sql { statement, source: Arc::new(source) }
            };
        };
        if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE {
            Self::Timeout
        } else if is_connection_trouble(code) {
            Self::unavailable(source)
        } else {
            Self::Sql { statement, source: Arc::new(source) }
        }
    }

    pub(crate) fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into().into())
    }

    /// A row of this statement that is not as it must be.
    pub fn row(statement: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Row { statement, source: source.into().into() }
    }

    /// The SQLSTATE, where the database gave one.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Sql { source, .. } => source.code(),
            _ => None,
        }
    }

    /// Whether the server takes no writes (any more): it is not, or no longer, the writer.
    pub(crate) fn is_read_only(&self) -> bool {
        let Self::Unavailable(source) = self else { return false };
        let source = source.downcast_ref::<tokio_postgres::Error>();
        source.and_then(tokio_postgres::Error::code) == Some(&SqlState::READ_ONLY_SQL_TRANSACTION)
    }

    /// Whether a text could not be stored as it was given: it holds a NUL character.
    pub fn is_unstorable_text(&self) -> bool {
        matches!(self.code(), Some(c) if *c == SqlState::CHARACTER_NOT_IN_REPERTOIRE || *c == SqlState::UNTRANSLATABLE_CHARACTER)
    }

    /// Whether the same transaction, run again, may well succeed: it lost a race (40001, 40P01).
    pub fn is_lost_race(&self) -> bool {
        matches!(self.code(), Some(c) if *c == SqlState::T_R_SERIALIZATION_FAILURE || *c == SqlState::T_R_DEADLOCK_DETECTED)
    }
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|s| s.is::<std::io::Error>())
}

/// Class 08 and what a server says when it stops, starts or has changed its role.
fn is_connection_trouble(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || *code == SqlState::ADMIN_SHUTDOWN
        || *code == SqlState::CRASH_SHUTDOWN
        || *code == SqlState::CANNOT_CONNECT_NOW
        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || *code == SqlState::TOO_MANY_CONNECTIONS
}
