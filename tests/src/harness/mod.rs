//! A fresh database for each test, the program on it (as many processes as wanted), and someone who calls.

mod database;
mod http;
mod program;

pub use database::Database;
pub use http::{Answer, User};
pub use program::{Program, load_demo};

/// What `cargo xtask test` has started and says in the environment.
pub fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run these tests with `cargo xtask test`"))
}

/// A database and one process of all modules on it.
pub async fn start() -> (Database, Program) {
    let database = Database::create().await;
    let program = Program::start(&database, &[]).await;
    (database, program)
}
