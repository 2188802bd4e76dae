//! What the checks of the rules that always hold say.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What the checks found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = health::Invariants)]
pub struct Invariants {
    /// Whether every rule holds for all that was covered.
    pub ok: bool,
    /// One for each rule.
    pub checks: Vec<Check>,
    /// Who was looked at.
    pub covered: Covered,
    /// Who follows them; absent behind the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = health::Check)]
pub struct Check {
    /// What always holds.
    pub name: &'static str,
    /// Whether it does.
    pub ok: bool,
    /// How many break it: numberings, keys, buckets, streams or changes.
    pub broken: i64,
    /// One of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

/// Whose rows and streams were checked.
#[derive(Debug, Serialize, ToSchema)]
pub struct Covered {
    /// How many people.
    pub people: usize,
    /// The first of them by id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Uuid>,
    /// The last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Uuid>,
}
