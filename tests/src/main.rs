//! Everything that needs a real database, through the public API of the real program: one binary.
//!
//! `cargo xtask test` starts a primary with a standby and Redis, builds the program, and runs this.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod harness;

mod faults;
mod freshness;
mod health;
mod household;
mod routing;
mod service;
mod trading;
