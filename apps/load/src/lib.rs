//! The public API from outside: a typed client ([`client`], [`trading`]), recorded traffic played back against it
//! ([`replay`]), load with figures ([`bench`]), and the same while everything breaks ([`faults`]). It knows nothing of the
//! program but what the API documents say; only the verdict after faults also reads the rows.

pub mod bench;
pub mod book;
pub mod client;
pub mod faults;
pub mod replay;
pub mod trading;
pub mod world;
