//! The spine: a gapless numbered log per aggregate, the tail that tells which streams moved, and what hangs on both.

pub mod feed;
pub mod log;
pub mod projector;
pub(crate) mod tail;

pub use self::feed::{FeedError, Feeds, Subscription};
pub use self::log::{NewEvent, StreamKey};
pub use self::projector::Projection;
pub use self::tail::Moved;
pub use crate::event::Event;

use crate::db::Statement;

/// Every statement of the log and its consumers, for the registry.
pub const STATEMENTS: &[&[Statement]] = &[log::STATEMENTS, tail::STATEMENTS, projector::STATEMENTS];
