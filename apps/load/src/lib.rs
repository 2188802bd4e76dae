//! The public API from outside: a typed client ([`client`], [`trading`]), recorded traffic played back against it
//! ([`replay`]), and load with figures ([`bench`]). It knows nothing of the program but what the API documents say.

pub mod bench;
pub mod book;
pub mod client;
pub mod replay;
pub mod trading;
