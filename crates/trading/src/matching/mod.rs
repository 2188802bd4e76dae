//! The matcher, pure: a book, the funds of the accounts at hand, and a round of commands over both. What a round did comes
//! out as [`Effects`], which the lane writes and tells. Nothing here waits, reads a clock or knows a database.

mod book;
mod checksum;
mod effects;
mod funds;
mod reach;
#[cfg(test)]
mod reference;
mod round;
#[cfg(test)]
mod simulation;

pub use book::Book;
pub use checksum::{CHECKSUM_LEVELS, checksum};
pub use effects::{Changed, Effects, Kind, Party, Reason, Trade, Transfer};
pub use funds::{Balance, Funds, Holding};
pub use reach::{Demand, reach};
pub use round::{NewOrder, Refusal, Rejection, Round};
