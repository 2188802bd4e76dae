//! The one type that a transaction, the log and the feeds all speak of: a numbered change of an aggregate.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A change, numbered without gaps in its aggregate's stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What kind of aggregate the stream belongs to: `instrument`, `household`, …
    pub stream_kind: String,
    /// The aggregate.
    pub stream: Uuid,
    /// The number in the stream: 1, 2, 3, …
    pub seq: i64,
    /// When it was written, by the program's clock.
    pub at: DateTime<Utc>,
    /// Who did it: a token's subject, or `system`.
    pub actor: String,
    /// What it touched: the resource's id or path within the aggregate.
    pub subject: String,
    /// What happened.
    pub kind: String,
    /// The version of the body's shape.
    pub schema: i16,
    /// Enough to rebuild the change. Internal: channels and feeds are projections of it.
    pub body: serde_json::Value,
}
