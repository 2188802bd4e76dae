//! The service as a whole: its shape, its documents, its doors, its end.

mod arrows;
mod conventions;
mod doors;
mod jobs;
mod idempotency;
mod limits;
mod readme;
mod start_and_stop;
mod statements;
