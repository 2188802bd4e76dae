//! Orders, books and accounts, over HTTP and the socket.

mod account_stream;
mod away;
mod book;
mod checksum;
pub mod client;
mod commands;
mod faults;
mod lanes;
mod lost_commits;
pub mod market;
mod orders;
mod processes;
mod refusals;
mod replay;
mod sweeps;
