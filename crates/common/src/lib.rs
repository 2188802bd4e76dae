//! The data path that all modules share. It knows no domain noun.
//!
//! Read in this order: [`context`] (what every call carries), [`db`] (pools, routing by freshness, transactions),
//! [`events`] (the numbered log and what hangs on it), [`cache`], [`limit`], [`batch`], [`jobs`], and last
//! [`DataPath`], which a module is given at its start.

pub mod context;
pub mod db;
pub mod event;
