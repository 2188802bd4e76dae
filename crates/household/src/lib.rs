//! household: shared money.

pub mod model;
