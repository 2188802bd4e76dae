//! What the socket speaks: its operations and channels, as the document tells them and the session checks them.

use api::socket::{ChannelKind, MessageKind, Operation, SchemaOf};
use common::limit::Class;

use crate::wire::{
    self, CancelAllArgs, CancelArgs, CancelOnDisconnectArgs, CommandArgs, DeadManArgs, PlaceArgs,
};

pub(super) const PLACE: &str = "order.place";
pub(super) const CANCEL: &str = "order.cancel";
pub(super) const CANCEL_ALL: &str = "orders.cancel_all";
pub(super) const GET_COMMAND: &str = "command.get";
pub(super) const VOID_COMMAND: &str = "command.void";
pub(super) const SET_DEAD_MAN: &str = "dead_man.set";
pub(super) const SET_CANCEL_ON_DISCONNECT: &str = "cancel_on_disconnect.set";

pub(super) const BOOK: &str = "book";
pub(super) const TRADES: &str = "trades";
pub(super) const ACCOUNT: &str = "account";

pub(super) const SNAPSHOT: &str = "snapshot";
pub(super) const DELTA: &str = "delta";
pub(super) const UPDATE: &str = "update";
pub(super) const RESET: &str = "reset";

pub(super) const READ: &str = "trading:read";
pub(super) const WRITE: &str = "trading:write";

/// The operations.
pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: PLACE,
        summary: "Place an order, once for its client order id",
        scope: WRITE,
        class: Class::Write,
        args: SchemaOf::of::<PlaceArgs>(),
        reply: SchemaOf::of::<wire::Ack>(),
    },
    Operation {
        name: CANCEL,
        summary: "Cancel an open order",
        scope: WRITE,
        class: Class::Write,
        args: SchemaOf::of::<CancelArgs>(),
        reply: SchemaOf::of::<wire::Ack>(),
    },
    Operation {
        name: CANCEL_ALL,
        summary: "Cancel all open orders of an account, on all instruments or one, once for the sweep's id",
        scope: WRITE,
        class: Class::Write,
        args: SchemaOf::of::<CancelAllArgs>(),
        reply: SchemaOf::of::<wire::SweepResult>(),
    },
    Operation {
        name: VOID_COMMAND,
        summary: "Seal a client order id that was never used, or get what was decided under it",
        scope: WRITE,
        class: Class::Write,
        args: SchemaOf::of::<CommandArgs>(),
        reply: SchemaOf::of::<wire::CommandState>(),
    },
    Operation {
        name: SET_DEAD_MAN,
        summary: "Have all open orders of an account cancelled unless this is sent again in time",
        scope: WRITE,
        class: Class::Write,
        args: SchemaOf::of::<DeadManArgs>(),
        reply: SchemaOf::of::<wire::DeadMan>(),
    },
    Operation {
        name: SET_CANCEL_ON_DISCONNECT,
        summary: "Have all open orders of an account cancelled when this socket ends, however it ends",
        scope: WRITE,
        class: Class::Write,
        args: SchemaOf::of::<CancelOnDisconnectArgs>(),
        reply: SchemaOf::of::<wire::CancelOnDisconnect>(),
    },
    Operation {
        name: GET_COMMAND,
        summary: "Get what was decided under a client order id",
        scope: READ,
        class: Class::Read,
        args: SchemaOf::of::<CommandArgs>(),
        reply: SchemaOf::of::<wire::CommandState>(),
    },
];

/// The kinds of channels.
pub const CHANNELS: &[ChannelKind] = &[
    ChannelKind {
        name: BOOK,
        key: "instrument",
        summary: "An instrument's book by levels: a snapshot, then what changes, with a checksum on every message",
        scope: READ,
        conflated: true,
        args: SchemaOf::NOTHING,
        messages: &[
            MessageKind {
                name: SNAPSHOT,
                summary: "All levels; also sent when too much was missed for a delta",
                data: SchemaOf::of::<wire::BookUpdate>(),
            },
            MessageKind {
                name: DELTA,
                summary: "Levels that changed since the message before, with their quantity now",
                data: SchemaOf::of::<wire::BookUpdate>(),
            },
        ],
    },
    ChannelKind {
        name: TRADES,
        key: "instrument",
        summary: "An instrument's trades",
        scope: READ,
        conflated: false,
        args: SchemaOf::NOTHING,
        messages: &[MessageKind {
            name: UPDATE,
            summary: "Trades of one commit",
            data: SchemaOf::of::<wire::TradesUpdate>(),
        }],
    },
    ChannelKind {
        name: ACCOUNT,
        key: "account",
        summary: "Everything that happens to an account, gapless: orders, fills and balances under one number",
        scope: READ,
        conflated: false,
        args: SchemaOf::NOTHING,
        messages: &[
            MessageKind {
                name: SNAPSHOT,
                summary: "Balances and open orders; not sent when resumed",
                data: SchemaOf::of::<wire::AccountUpdate>(),
            },
            MessageKind {
                name: UPDATE,
                summary: "What one commit changed, as it is now",
                data: SchemaOf::of::<wire::AccountUpdate>(),
            },
            MessageKind {
                name: RESET,
                summary: "The numbers from there on are no longer kept: a snapshot in their place",
                data: SchemaOf::of::<wire::AccountUpdate>(),
            },
        ],
    },
];
