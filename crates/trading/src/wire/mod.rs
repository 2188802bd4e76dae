//! What trading looks like from outside, the same over HTTP and on the socket: amounts as decimal strings, times in
//! RFC 3339 UTC with microseconds.

mod account;
mod command;
mod instrument;
mod market;
mod order;
mod sweep;

use api::socket::SocketError;

pub use self::account::{Account, AccountEntry, AccountUpdate, Balance, Deposit};
pub use self::command::{CancelArgs, CommandArgs, OrderBody, PlaceArgs, check_client_id};
pub use self::instrument::{Asset, Instrument};
pub use self::market::{Book, BookUpdate, Level, Trade, TradesUpdate, levels};
pub use self::order::{Ack, CommandRequest, CommandState, Fill, Order};
pub use self::sweep::{
    CancelAllArgs, CancelOnDisconnect, CancelOnDisconnectArgs, DeadMan, DeadManArgs, DeadManBody, SweepBody,
    SweepResult,
};
use crate::model::{Decimal, Side};

fn text(units: i64, scale: u8) -> String {
    Decimal { units, scale }.to_string()
}

fn side(sells: bool) -> Side {
    if sells { Side::Sell } else { Side::Buy }
}

/// An event's body that can't be read: a channel ends with it.
pub fn unreadable(error: serde_json::Error) -> SocketError {
    api::Problem::internal(error).into()
}
