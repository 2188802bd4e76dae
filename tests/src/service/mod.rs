//! The service as a whole: its shape, its documents, its doors, its end.

mod arrows;
mod cancels;
mod contract;
mod contract_sockets;
mod conventions;
mod doors;
mod idempotency;
mod jobs;
mod limits;
pub mod readme;
mod start_and_stop;
mod statements;
