//! Trading: orders that happen once, books that everybody can trust.

pub mod matching;
pub mod model;
