//! What the socket of `/v1/trading/ws` speaks: the operations and channels that trading adds to the session. No SQL, no
//! rules.

mod account;
mod line;
mod market;
mod spoken;

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use api::socket::{Call, ChannelKind, Operation, Protocol, Reply, SocketError, Subscribe, Subscribing, args};
use common::context::Context;
use futures_util::FutureExt;
use futures_util::future::ready;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::sync::RwLock;
use uuid::Uuid;

use self::line::Line;
use self::spoken::{
    BOOK, CANCEL, CANCEL_ALL, DELTA, GET_COMMAND, PLACE, RESET, SET_CANCEL_ON_DISCONNECT, SET_DEAD_MAN,
    SNAPSHOT, TRADES, UPDATE, VOID_COMMAND,
};
pub use self::spoken::{CHANNELS, OPERATIONS};
use crate::error::Error;
use crate::lane::command::Flight;
use crate::model::{AccountId, OrderId};
use crate::service::{Attachment, Commanded, Listing, OrderContent, Trading, WhichOrder};
use crate::wire::{
    self, CancelAllArgs, CancelArgs, CancelOnDisconnectArgs, CommandArgs, DeadManArgs, PlaceArgs,
};

/// The module, in metrics, quotas and the document.
pub const NAME: &str = "trading";

/// Trading's side of one socket.
pub struct Socket {
    trading: Arc<Trading>,
    line: Line,
    /// Shared by the commands that are not decided yet; a sweep waits until it has it alone, so that it takes off what was
    /// placed before it.
    flights: Arc<RwLock<()>>,
    /// The accounts whose orders depend on this socket.
    attachments: Arc<Mutex<HashMap<AccountId, Attachment>>>,
}

impl Socket {
    /// Over the module.
    pub fn new(trading: Arc<Trading>) -> Self {
        Self { trading, line: Line::default(), flights: Arc::default(), attachments: Arc::default() }
    }

    fn place(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let place: PlaceArgs = args(raw)?;
        let account = AccountId(place.account);
        let content = OrderContent::from(place);
        let at_hand = self.trading.directory.known(&content.instrument);
        let (trading, find_ctx, symbol) = (self.trading.clone(), ctx.clone(), content.instrument.clone());
        let find = async move { trading.find_for_order(&find_ctx, &symbol).await };
        let ctx = ctx.clone();
        Ok(self.in_order(at_hand, find, move |listing, flight| {
            listing.place(&ctx, account, &content, Some(flight))
        }))
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
        Ok(self.in_order(at_hand, find, move |listing, flight| {
            listing.cancel(&ctx, account, which, Some(flight))
        }))
    }

    /// Queues a command before this returns, if its instrument is at hand. Otherwise it waits in line until the instrument
    /// is found, and so does every later one of this socket: the order of the messages is the order of the commands.
    fn in_order(
        &self,
        at_hand: Option<Arc<Listing>>,
        find: impl Future<Output = Result<Arc<Listing>, Error>> + Send + 'static,
        queue: impl FnOnce(Arc<Listing>, Flight) -> Commanded + Send + 'static,
    ) -> Call {
        let now = at_hand.filter(|_| self.line.is_empty());
        let commanded = match now.and_then(|it| Some((it, self.flights.clone().try_read_owned().ok()?))) {
            Some((listing, flight)) => queue(listing, flight),
            None => {
                let (place, flights) = (self.line.join(), self.flights.clone());
                async move {
                    let turn = place.turn().await;
                    let flight = flights.read_owned().await;
                    let commanded = queue(find.await?, flight);
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

    fn cancel_all(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let (account, request) = args::<CancelAllArgs>(raw)?.split();
        let (trading, ctx) = (self.trading.clone(), ctx.clone());
        let (place, flights) = (self.line.join(), self.flights.clone());
        Ok(async move {
            let turn = place.turn().await;
            let alone = flights.write_owned().await;
            let sweeping = trading.start_sweep(&ctx, account, &request).await?;
            drop((alone, turn));
            Reply::of(&wire::SweepResult::of(&request.id, sweeping.await?))
        }
        .boxed())
    }

    fn get_command(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let CommandArgs { account, client_order_id } = args(raw)?;
        let (trading, ctx) = (self.trading.clone(), ctx.clone());
        Ok(async move {
            let found = trading.get_command(&ctx, AccountId(account), &client_order_id).await?;
            Reply::of(&wire::CommandState::of(client_order_id, &found))
        }
        .boxed())
    }

    fn void_command(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let CommandArgs { account, client_order_id } = args(raw)?;
        let (trading, ctx) = (self.trading.clone(), ctx.clone());
        Ok(async move {
            let found = trading.void_command(&ctx, AccountId(account), &client_order_id).await?;
            Reply::of(&wire::CommandState::of(client_order_id, &found))
        }
        .boxed())
    }

    fn set_dead_man(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let set: DeadManArgs = args(raw)?;
        let (trading, ctx, place) = (self.trading.clone(), ctx.clone(), self.line.join());
        Ok(async move {
            let _turn = place.turn().await;
            let fires_at = trading.set_dead_man(&ctx, AccountId(set.account), set.after()).await?;
            Reply::of(&wire::DeadMan { fires_at })
        }
        .boxed())
    }

    fn set_cancel_on_disconnect(&self, ctx: &Context, raw: &RawValue) -> Result<Call, SocketError> {
        let set: CancelOnDisconnectArgs = args(raw)?;
        let (trading, ctx, attachments) = (self.trading.clone(), ctx.clone(), self.attachments.clone());
        let (place, flights) = (self.line.join(), self.flights.clone());
        Ok(async move {
            let _turn = place.turn().await;
            let account = AccountId(set.account);
            if set.enabled {
                let attachment = trading.attach(&ctx, account, set.grace(), &flights).await?;
                attachments.lock().insert(account, attachment);
            } else {
                trading.detach(&ctx, account).await?;
                attachments.lock().remove(&account);
            }
            Reply::of(&wire::CancelOnDisconnect { enabled: set.enabled })
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
            CANCEL_ALL => self.cancel_all(ctx, args),
            GET_COMMAND => self.get_command(ctx, args),
            VOID_COMMAND => self.void_command(ctx, args),
            SET_DEAD_MAN => self.set_dead_man(ctx, args),
            SET_CANCEL_ON_DISCONNECT => self.set_cancel_on_disconnect(ctx, args),
            _ => Err(Error::NotFound.into()),
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
