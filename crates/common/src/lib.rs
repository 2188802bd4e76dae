//! The data path that all modules share. It knows no domain noun.
//!
//! Read in this order: [`context`] (what every call carries), [`db`] (pools, routing by freshness, transactions),
//! [`events`] (the numbered log and what hangs on it), [`cache`], [`limit`], [`batch`], [`jobs`], and last
//! [`DataPath`], which a module is given at its start.

pub mod batch;
pub mod cache;
pub mod context;
mod data_path;
pub mod db;
pub mod event;
pub mod events;
pub mod jobs;
pub mod limit;
pub mod redis_node;

pub use self::data_path::{DataPath, DataPathOptions};

use self::db::Statement;

/// Every statement of this crate, for the registry.
pub fn statements() -> impl Iterator<Item = &'static Statement> {
    db::STATEMENTS.iter().chain(events::STATEMENTS).chain(jobs::STATEMENTS).copied().flatten()
}
