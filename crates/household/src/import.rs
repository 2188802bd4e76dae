//! Bank statements, pure: from a file's bytes to rows, and from rows to a verdict on each. What is done with them stands
//! in the service.

pub mod matching;
pub mod ofx;
pub mod row;
mod text;

/// The largest file that is taken.
pub const FILE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The most rows of one import: what one transaction commits within a second or two.
pub const ROWS_MAX: usize = 5_000;
