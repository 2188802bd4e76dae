//! Everything that needs a real database, through the public API of the real program: one binary.
//!
//! `cargo xtask test` starts a primary with a standby and Redis, builds the program, and runs this.

mod harness;

mod freshness;
mod health;
mod household;
mod service;
mod trading;
