//! An account's own channel: every event of its stream, in order and without a gap, from any number that is kept.

use std::collections::VecDeque;
use std::sync::Arc;

use api::socket::{Channel, ChannelEnd, ChannelMessage, SocketError};
use common::context::Context;
use common::db::Freshness;
use common::events::{Event, FeedError, Subscription, log};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde::Deserialize;

use super::market::RETRY_PAUSE;
use super::{RESET, SNAPSHOT, UPDATE};
use crate::error::Error;
use crate::events::{AccountChange, account_stream};
use crate::model::AccountId;
use crate::service::Trading;
use crate::store::orders::list_open_orders_at;
use crate::wire;

/// Open orders in a snapshot; the list of orders has them all.
const SNAPSHOT_ORDERS_MAX: i64 = 10_000;

struct Following {
    trading: Arc<Trading>,
    ctx: Context,
    account: AccountId,
    events: Subscription,
    waiting: VecDeque<ChannelMessage>,
}

/// Follows the account: after `resume_from`, or from a snapshot.
pub(super) async fn follow(
    trading: Arc<Trading>,
    ctx: &Context,
    account: AccountId,
    resume_from: Option<i64>,
) -> Result<Channel, SocketError> {
    trading.owners.check(ctx, account).await?;
    let stream = account_stream(account);
    let (start, first) = match resume_from {
        Some(from) => {
            let head =
                log::head(&trading.dp.db, ctx, Freshness::Strong, stream.id).await.map_err(Error::Db)?;
            if from > head.unwrap_or(0) {
                return Err(Error::invalid("/resume_from", "is a number that was not given out yet").into());
            }
            (from, None)
        }
        None => {
            let snapshot = snapshot(&trading, ctx, account, SNAPSHOT).await?;
            (snapshot.seq, Some(snapshot))
        }
    };
    let following = Following {
        events: trading.dp.feeds.subscribe(stream, start),
        trading,
        ctx: ctx.clone(),
        account,
        waiting: first.into_iter().collect(),
    };
    let messages = unfold(following, |mut following| async move {
        let message = following.next().await?;
        Some((message, following))
    });
    Ok(Channel { start: resume_from, messages: messages.boxed() })
}

impl Following {
    async fn next(&mut self) -> Option<Result<ChannelMessage, ChannelEnd>> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(Ok(message));
            }
            match self.events.next().await {
                Ok(events) => {
                    for event in events {
                        match update_of(self.account, &event) {
                            Ok(message) => self.waiting.push_back(message),
                            Err(end) => return Some(Err(end)),
                        }
                    }
                }
                Err(FeedError::Closed) => return None,
                Err(FeedError::Reset { .. }) => match self.reset().await {
                    Ok(message) => self.waiting.push_back(message),
                    Err(error) => return Some(Err(ChannelEnd::Ended(error))),
                },
                Err(FeedError::Db(error)) => {
                    tracing::debug!(%error, "an account's stream can't be read now");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    async fn reset(&mut self) -> Result<ChannelMessage, SocketError> {
        let ctx = self.ctx.child(self.ctx.token(), RESET_WITHIN);
        let message = snapshot(&self.trading, &ctx, self.account, RESET).await?;
        self.events.skip_to(message.seq);
        Ok(message)
    }
}

/// How long the snapshot after a reset may take; the subscription's own deadline is long over.
const RESET_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

fn update_of(account: AccountId, event: &Event) -> Result<ChannelMessage, ChannelEnd> {
    let change = AccountChange::deserialize(&event.body);
    let change = change.map_err(|error| ChannelEnd::Ended(wire::unreadable(error)))?;
    ChannelMessage::of(event.seq, UPDATE, &wire::AccountUpdate::of(account.0, &change, event.seq, event.at))
}

/// Balances and open orders. They are read one after the other; what follows the older of their numbers is told again,
/// and as every message says how things are and not how they changed, the later one is right.
async fn snapshot(
    trading: &Trading,
    ctx: &Context,
    account: AccountId,
    kind: &'static str,
) -> Result<ChannelMessage, SocketError> {
    let db = &trading.dp.db;
    let state = trading.get_account(ctx, account).await?;
    let (seq, open) = list_open_orders_at(db, ctx, Freshness::ReadYourWrites, account, SNAPSHOT_ORDERS_MAX)
        .await
        .map_err(Error::Db)?;
    let update = wire::AccountUpdate {
        account: account.0,
        orders: open.into_iter().map(wire::Order::from).collect(),
        fills: Vec::new(),
        balances: state.balances.into_iter().map(wire::Balance::from).collect(),
    };
    ChannelMessage::of(seq.min(state.version), kind, &update).map_err(|end| match end {
        ChannelEnd::Ended(error) => error,
        ChannelEnd::Slow => Error::Broken("a snapshot is no slow client".to_owned()).into(),
    })
}
