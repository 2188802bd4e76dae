//! All SQL, as named statements, and the rows that they give. Writes run under the lock of the household's stream.

pub mod accounts;
pub mod imports;
pub(crate) mod integrity;
pub mod people;
pub mod projection;
pub mod transactions;

use common::db::Statement;

/// Every statement of the module, for the registry.
pub const STATEMENTS: &[&[Statement]] = &[
    people::STATEMENTS,
    accounts::STATEMENTS,
    transactions::STATEMENTS,
    projection::STATEMENTS,
    imports::STATEMENTS,
    integrity::STATEMENTS,
];
