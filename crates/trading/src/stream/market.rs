//! The channels that everybody may follow: the book and the trades of an instrument.

use std::sync::Arc;
use std::time::Duration;

use api::Problem;
use api::socket::{Channel, ChannelEnd, ChannelMessage, SocketError, Subscribe};
use common::context::Context;
use common::db::Freshness;
use common::events::{Event, FeedError, Subscription, log};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde::Deserialize;

use super::{DELTA, SNAPSHOT, UPDATE};
use crate::error::Error;
use crate::events::{MATCHED, Traded, instrument_stream};
use crate::service::{Listing, Trading};
use crate::view::Told;
use crate::wire;

/// After a failed read of the log, before the next try.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The book: conflated, so a client that reads slowly is told the sum of what it missed.
pub(super) async fn book(
    trading: &Trading,
    ctx: &Context,
    subscribe: &Subscribe,
) -> Result<Channel, SocketError> {
    let listing = trading.directory.find(ctx, &subscribe.key).await?;
    let feed = listing.view.follow(subscribe.resume_from);
    let start = feed.position();
    let messages = unfold(feed, move |mut feed| {
        let listing = listing.clone();
        async move {
            let told = feed.next().await?;
            let kind = match &told {
                Told::Snapshot(_) => SNAPSHOT,
                Told::Delta(_) => DELTA,
            };
            let message = match told.json(&listing.instrument) {
                Ok(data) => Ok(ChannelMessage { seq: told.seq(), kind, data }),
                Err(error) => Err(ChannelEnd::Ended(wire::unreadable(error))),
            };
            Some((message, feed))
        }
    });
    Ok(Channel { start, messages: messages.boxed() })
}

/// The trades, from now on or from after a number.
pub(super) async fn trades(
    trading: &Trading,
    ctx: &Context,
    subscribe: &Subscribe,
) -> Result<Channel, SocketError> {
    let listing = trading.directory.find(ctx, &subscribe.key).await?;
    let stream = instrument_stream(listing.instrument.id);
    let head =
        log::head(&trading.dp.db, ctx, Freshness::Strong, stream.id).await.map_err(Error::Db)?.unwrap_or(0);
    let from = subscribe.resume_from.unwrap_or(head).min(head);
    let events = trading.dp.feeds.subscribe(stream, from);
    let messages = unfold((events, listing), |(mut events, listing)| async move {
        let found = match next(&mut events).await? {
            Ok(found) => found,
            Err(end) => return Some((vec![Err(end)], (events, listing))),
        };
        let told = found.iter().filter_map(|event| trades_of(&listing, event).transpose()).collect();
        Some((told, (events, listing)))
    });
    let messages = messages.flat_map(|told: Vec<_>| futures_util::stream::iter(told));
    Ok(Channel { start: Some(from), messages: messages.boxed() })
}

#[derive(Deserialize)]
struct OnlyTrades {
    trades: Vec<Traded>,
}

fn trades_of(listing: &Arc<Listing>, event: &Event) -> Result<Option<ChannelMessage>, ChannelEnd> {
    if event.kind != MATCHED {
        return Ok(None);
    }
    let OnlyTrades { trades } =
        OnlyTrades::deserialize(&event.body).map_err(|error| ChannelEnd::Ended(wire::unreadable(error)))?;
    if trades.is_empty() {
        return Ok(None);
    }
    let on = &listing.instrument;
    let update = wire::TradesUpdate {
        instrument: on.symbol.to_string(),
        trades: trades.iter().map(|trade| wire::Trade::of(on, trade, event.seq, event.at)).collect(),
    };
    ChannelMessage::of(event.seq, UPDATE, &update).map(Some)
}

/// The next events of a stream whose past may be gone: market data is kept for days. `None` when the program ends.
async fn next(events: &mut Subscription) -> Option<Result<Vec<Arc<Event>>, ChannelEnd>> {
    loop {
        match events.next().await {
            Ok(found) => return Some(Ok(found)),
            Err(FeedError::Closed) => return None,
            Err(FeedError::Reset { after }) => {
                let gone = Problem::of(&api::problem::kinds::NOT_FOUND).detail(format!(
                    "the trades after {after} are no longer kept; subscribe without resume_from"
                ));
                return Some(Err(ChannelEnd::Ended(gone.into())));
            }
            Err(FeedError::Db(error)) => {
                tracing::debug!(%error, "a stream can't be read now");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}
