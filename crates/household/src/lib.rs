//! household: shared money.

pub mod import;
pub mod model;
