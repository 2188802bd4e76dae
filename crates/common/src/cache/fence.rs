//! What a cached value carries so that an older one can never take its place.

use serde::{Deserialize, Serialize};

/// A loaded value and the number of its stream at which it was read: in the same statement, or before its rows.
/// `value: None` says that there is none, and is cached as well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Versioned<V> {
    /// The stream's number.
    pub version: i64,
    /// The value.
    pub value: Option<V>,
}

/// How a type of cached value behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Never older than the last acknowledged write: each hit is compared with the stream's counter at the writer. What
    /// it saves is loading the value.
    Strong,
    /// Stale for at most the time to live, and at most 1 s after any committed write while the database answers.
    Eventual,
}
