//! The program: settings, the modules put together, serving and stopping.
//!
//! [`serve::Server`] is what runs; [`modules`] is the one list of modules; [`config`] lists every setting.

pub mod config;
pub mod documents;
pub mod internal;
pub mod migrate;
pub mod modules;
pub mod policies;
pub mod serve;
pub mod telemetry;
