//! What the socket of `/v1/trading/ws` speaks: the operations and channels that trading adds to the session. No SQL, no
//! rules.

mod account;
mod market;

use std::sync::Arc;

use api::socket::{
    Call, ChannelKind, MessageKind, Operation, Protocol, Reply, SchemaOf, SocketError, Subscribe,
    Subscribing, args,
};
use common::context::Context;
use common::limit::Class;
use futures_util::FutureExt;
use futures_util::future::ready;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Error;
use crate::model::{AccountId, OrderId};
use crate::service::{Trading, WhichOrder};
use crate::wire::{self, CancelArgs, GetCommandArgs, PlaceArgs};

/// The module, in metrics, quotas and the document.
pub const NAME: &str = "trading";

const PLACE: &str = "order.place";
const CANCEL: &str = "order.cancel";
const GET_COMMAND: &str = "command.get";

const BOOK: &str = "book";
const TRADES: &str = "trades";
const ACCOUNT: &str = "account";

const SNAPSHOT: &str = "snapshot";
const DELTA: &str = "delta";
const UPDATE: &str = "update";
const RESET: &str = "reset";

const READ: &str = "trading:read";
const WRITE: &str = "trading:write";

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
        name: GET_COMMAND,
        summary: "Get what was decided under a client order id",
        scope: READ,
        class: Class::Read,
        args: SchemaOf::of::<GetCommandArgs>(),
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

/// Trading's side of a socket.
pub struct Socket {
    trading: Arc<Trading>,
}

impl Socket {
    /// Over the module.
    pub fn new(trading: Arc<Trading>) -> Self {
        Self { trading }
    }

    fn place(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let place: PlaceArgs = args(raw)?;
        let placed = self.trading.place_order(ctx, AccountId(place.account), place.into());
        Ok(async move {
            let (listing, ack) = placed.await?;
            Reply::of(&wire::Ack::of(&listing.instrument, &ack))
        }
        .boxed())
    }

    fn cancel(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let cancel: CancelArgs = args(raw)?;
        let which = match (cancel.order_id, cancel.client_order_id) {
            (Some(id), None) => WhichOrder::Id(OrderId(id)),
            (None, Some(client_id)) => WhichOrder::ClientId(client_id.into()),
            _ => return Err(Error::invalid("/order_id", "name the order by one of its two ids").into()),
        };
        let canceled =
            self.trading.cancel_order(ctx, AccountId(cancel.account), which, cancel.instrument.as_deref());
        Ok(async move {
            let (listing, ack) = canceled.await?;
            Reply::of(&wire::Ack::of(&listing.instrument, &ack))
        }
        .boxed())
    }

    fn get_command(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let get: GetCommandArgs = args(raw)?;
        let (trading, ctx) = (self.trading.clone(), ctx.clone());
        Ok(async move {
            let account = AccountId(get.account);
            let (listing, prior, at) = trading.get_command(&ctx, account, &get.client_order_id).await?;
            Reply::of(&wire::CommandState::of(get.client_order_id, &listing.instrument, &prior, at))
        }
        .boxed())
    }
}

impl Protocol for Socket {
    fn name(&self) -> &'static str {
        NAME
    }

    fn operations(&self) -> &'static [Operation] {
        OPERATIONS
    }

    fn channels(&self) -> &'static [ChannelKind] {
        CHANNELS
    }

    fn call(&self, ctx: &Context, op: &'static str, args: &RawValue) -> Call {
        let started = match op {
            PLACE => self.place(ctx, args),
            CANCEL => self.cancel(ctx, args),
            _ => self.get_command(ctx, args),
        };
        started.unwrap_or_else(|error| ready(Err(error)).boxed())
    }

    fn subscribe(&self, ctx: &Context, subscribe: Subscribe) -> Subscribing {
        let (trading, ctx) = (self.trading.clone(), ctx.clone());
        async move {
            match subscribe.name {
                BOOK => market::book(&trading, &ctx, &subscribe).await,
                TRADES => market::trades(&trading, &ctx, &subscribe).await,
                _ => {
                    // A key that is no id is nobody's account.
                    let account = Uuid::parse_str(&subscribe.key).map_err(|_| Error::NotFound)?;
                    account::follow(trading, &ctx, AccountId(account), subscribe.resume_from).await
                }
            }
        }
        .boxed()
    }
}
