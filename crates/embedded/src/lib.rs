//! Private PostgreSQL clusters (a primary and streaming standbys) and Redis, for `cargo xtask up` and for tests.
//! A [`Place`] is the folder that holds them: it is locked, remembers its ports, and knows the user that the servers
//! run as. Nothing here touches a server that it did not start.
//!
//! ```no_run
//! # fn main() -> Result<(), embedded::Error> {
//! let place = embedded::Place::open(std::path::Path::new(".weir"), "data")?;
//! let cluster = embedded::Cluster::start(&place, &embedded::ClusterOptions::default())?;
//! let redis = embedded::Redis::start(&place)?;
//! println!("{} {}", cluster.writer_url("weir"), redis.url());
//! redis.stop()?;
//! cluster.stop()?; // standbys first, then the primary; dropping does the same
//! # Ok(()) }
//! ```
//!
//! All of it is synchronous: from async code, call it inside `spawn_blocking`.

mod account;
mod binaries;
mod cluster;
mod configuration;
mod error;
mod guard;
mod leftover;
mod place;
mod process;
mod proxy;
mod redis;
mod server;

pub use account::Account;
pub use binaries::{OLDEST_POSTGRES_MAJOR, Postgres, find_redis};
pub use cluster::{Cluster, ClusterOptions};
pub use error::Error;
pub use place::{Place, is_port_free};
pub use process::{Process, Stop, run};
pub use proxy::{Fault, Proxy};
pub use redis::Redis;
pub use server::{Role, Server};
