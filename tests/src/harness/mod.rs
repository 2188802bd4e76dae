//! A fresh database for each test, the program on it (as many processes as wanted), and someone who calls.

mod asyncapi;
mod database;
mod events;
mod http;
mod program;
mod socket;

use std::path::PathBuf;

pub use asyncapi::AsyncApi;
pub use database::Database;
pub use events::Events;
pub use http::{Answer, User};
pub use program::{Program, load_demo};
pub use socket::Socket;

/// What `cargo xtask test` has started and says in the environment.
pub fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run these tests with `cargo xtask test`"))
}

/// Real files of other people's making, which are no part of this repository: below the folder that `WEIR_SAMPLES` names,
/// or beside the checkout. Without them the test has only its own.
pub fn sample(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/samples");
    let found =
        std::env::var_os("WEIR_SAMPLES").map_or_else(|| PathBuf::from(beside), PathBuf::from).join(path);
    if found.exists() {
        return Some(found);
    }
    eprintln!("skipped: there is no {}", found.display());
    None
}

/// A database and one process of all modules on it.
pub async fn start() -> (Database, Program) {
    let database = Database::create().await;
    let program = Program::start(&database, &[]).await;
    (database, program)
}
