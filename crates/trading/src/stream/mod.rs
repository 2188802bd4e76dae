//! What the socket of `/v1/trading/ws` speaks: the operations and channels that trading adds to the session. No SQL, no
//! rules.

mod account;
mod line;
mod market;

use std::future::Future;
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

use self::line::Line;
use crate::error::Error;
use crate::model::{AccountId, OrderId};
use crate::service::{Commanded, Listing, OrderContent, Trading, WhichOrder};
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

/// Trading's side of one socket.
pub struct Socket {
    trading: Arc<Trading>,
    line: Line,
}

impl Socket {
    /// Over the module.
    pub fn new(trading: Arc<Trading>) -> Self {
        Self { trading, line: Line::default() }
    }

    fn place(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let place: PlaceArgs = args(raw)?;
        let account = AccountId(place.account);
        let content = OrderContent::from(place);
        let at_hand = self.trading.directory.known(&content.instrument);
        let (trading, find_ctx, symbol) = (self.trading.clone(), ctx.clone(), content.instrument.clone());
        let find = async move { trading.find_for_order(&find_ctx, &symbol).await };
        let ctx = ctx.clone();
        Ok(self.in_order(at_hand, find, move |listing| listing.place(&ctx, account, &content)))
    }

    fn cancel(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let cancel: CancelArgs = args(raw)?;
        let account = AccountId(cancel.account);
        let which = match (cancel.order_id, cancel.client_order_id) {
            (Some(id), None) => WhichOrder::Id(OrderId(id)),
            (None, Some(client_id)) => WhichOrder::ClientId(client_id.into()),
            _ => return Err(Error::invalid("/order_id", "name the order by one of its two ids").into()),
        };
        let at_hand = cancel.instrument.as_deref().and_then(|symbol| self.trading.directory.known(symbol));
        let (trading, find_ctx, find_which) = (self.trading.clone(), ctx.clone(), which.clone());
        let find = async move {
            trading.find_for_cancel(&find_ctx, account, &find_which, cancel.instrument.as_deref()).await
        };
        let ctx = ctx.clone();
        Ok(self.in_order(at_hand, find, move |listing| listing.cancel(&ctx, account, which)))
    }

    /// Queues a command before this returns, if its instrument is at hand. Otherwise it waits in line until the instrument
    /// is found, and so does every later one of this socket: the order of the messages is the order of the commands.
    fn in_order(
        &self,
        at_hand: Option<Arc<Listing>>,
        find: impl Future<Output = Result<Arc<Listing>, Error>> + Send + 'static,
        queue: impl FnOnce(Arc<Listing>) -> Commanded + Send + 'static,
    ) -> Call {
        let commanded = match at_hand.filter(|_| self.line.is_empty()) {
            Some(listing) => queue(listing),
            None => {
                let place = self.line.join();
                async move {
                    let turn = place.turn().await;
                    let commanded = queue(find.await?);
                    drop(turn);
                    commanded.await
                }
                .boxed()
            }
        };
        commanded
            .map(|done| {
                let (listing, ack) = done?;
                Reply::of(&wire::Ack::of(&listing.instrument, &ack))
            })
            .boxed()
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
