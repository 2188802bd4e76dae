//! Types and rules of health, pure: no I/O, no SQL.

pub mod catalogue;
pub mod ids;
pub mod person;
pub mod ranges;
pub mod raw;
pub mod receipt;
pub mod rollup;
pub mod sample;
pub mod time;
pub mod unit;
