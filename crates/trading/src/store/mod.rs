//! All SQL of trading, as named statements, and the rows it gives. No rules.

pub mod accounts;
pub mod instruments;
pub mod invariants;
pub mod lane;
pub mod orders;
pub mod sweeps;

use common::db::{DbError, Row, Statement};

/// Every statement of the module, for the registry.
pub const STATEMENTS: &[&[Statement]] = &[
    accounts::STATEMENTS,
    instruments::STATEMENTS,
    invariants::STATEMENTS,
    lane::STATEMENTS,
    lane::owner::STATEMENTS,
    lane::rows::STATEMENTS,
    orders::STATEMENTS,
    sweeps::STATEMENTS,
];

/// A row that isn't what the tables' constraints say it can be.
fn unreadable(statement: &'static str, what: &str) -> DbError {
    DbError::row(statement, format!("{what} is not what it can be"))
}

/// A word of a row, by its type's `parse`.
fn word<T>(
    row: &Row,
    at: usize,
    statement: &'static str,
    parse: fn(&str) -> Option<T>,
) -> Result<T, DbError> {
    parse(row.get(at)).ok_or_else(|| unreadable(statement, row.columns()[at].name()))
}
