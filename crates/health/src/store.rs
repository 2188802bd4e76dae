//! All SQL of health, as named statements, and the way from rows to the model's types.

pub mod invariants;
pub mod live;
pub mod people;
pub mod reading;
pub mod recording;
pub mod writing;

use common::db::Statement;

/// Every statement of the module, for the registry.
pub const STATEMENTS: &[&[Statement]] = &[
    invariants::STATEMENTS,
    live::STATEMENTS,
    people::STATEMENTS,
    reading::STATEMENTS,
    recording::STATEMENTS,
    writing::STATEMENTS,
];
