//! The series channel: each bucket that a stretch of the person's stream has added to, as it is when it is told.

use std::sync::Arc;

use api::socket::{Channel, ChannelEnd, ChannelMessage, SocketError, Subscribe, args};
use chrono::{DateTime, NaiveDate, Utc};
use common::context::Context;
use common::db::DbError;
use futures_util::StreamExt;
use futures_util::stream::unfold;

use super::follow::{Follower, News, metric_of, pause};
use super::{RESET, UPDATE};
use crate::service::Health;
use crate::store::live::{BucketPlace, Changes, list_changed_days, list_changed_quarters};
use crate::wire::{DaysReset, Fineness, LiveSeries, SeriesArgs};

/// Buckets in one message at most.
const BUCKETS_MAX: usize = 500;

/// The last bucket that was told of a stretch.
#[derive(Clone, Copy)]
enum Place {
    Quarter(Option<BucketPlace<DateTime<Utc>>>),
    Day(Option<BucketPlace<NaiveDate>>),
}

struct Reader {
    follower: Follower,
    metric: Option<i16>,
    fineness: Fineness,
    under_way: Option<(Changes, Place)>,
}

/// Follows a person's series.
pub(super) async fn follow(
    health: Arc<Health>,
    ctx: &Context,
    subscribe: &Subscribe,
) -> Result<Channel, SocketError> {
    let wanted: SeriesArgs = args(&subscribe.args)?;
    let metric = metric_of(wanted.metric.as_deref())?;
    let (follower, start) = Follower::open(health, ctx, subscribe).await?;
    let reader = Reader { follower, metric, fineness: wanted.resolution, under_way: None };
    let messages = unfold(reader, |mut reader| async move {
        let message = reader.next().await?;
        Some((message, reader))
    });
    Ok(Channel { start: Some(start), messages: messages.boxed() })
}

impl Reader {
    async fn next(&mut self) -> Option<Result<ChannelMessage, ChannelEnd>> {
        loop {
            if let Some((changes, place)) = self.under_way {
                match self.read(&changes, place).await {
                    Ok(Some((update, seq))) => return Some(ChannelMessage::of(seq, UPDATE, &update)),
                    Ok(None) => {}
                    Err(error) => pause(&error).await,
                }
                continue;
            }
            match self.follower.next().await? {
                Ok(News::Samples(changes)) => {
                    let changes = Changes { metric: self.metric, ..changes };
                    let place = match self.fineness {
                        Fineness::Quarters => Place::Quarter(None),
                        Fineness::Days => Place::Day(None),
                    };
                    self.under_way = Some((changes, place));
                }
                Ok(News::Person(seq)) if self.fineness == Fineness::Days => {
                    let reset = DaysReset { zone: self.follower.person.zone.name() };
                    return Some(ChannelMessage::of(seq, RESET, &reset));
                }
                Ok(News::Person(_)) => {}
                Err(end) => return Some(Err(end)),
            }
        }
    }

    /// The next page of the stretch with its number; `None` when none of its samples enters a bucket.
    async fn read(&mut self, changes: &Changes, place: Place) -> Result<Option<(LiveSeries, i64)>, DbError> {
        let (db, ctx, zone) = (self.follower.health.db(), self.follower.reading(), self.follower.person.zone);
        // One more than is told: it says whether there are more.
        let limit = BUCKETS_MAX as i64 + 1;
        let (update, next) = match place {
            Place::Quarter(after) => {
                let mut rows = list_changed_quarters(db, &ctx, changes, after, limit).await?;
                let more = rows.len() > BUCKETS_MAX;
                rows.truncate(BUCKETS_MAX);
                let last = rows.last().map(|(metric, row)| (*metric, row.at));
                (LiveSeries::of_quarters(rows, zone, more), last.map(|it| (Place::Quarter(Some(it)), more)))
            }
            Place::Day(after) => {
                let mut rows = list_changed_days(db, &ctx, changes, zone, after, limit).await?;
                let more = rows.len() > BUCKETS_MAX;
                rows.truncate(BUCKETS_MAX);
                let last = rows.last().map(|(metric, row)| (*metric, row.at));
                (LiveSeries::of_days(rows, zone, more), last.map(|it| (Place::Day(Some(it)), more)))
            }
        };
        self.under_way = match next {
            Some((place, true)) => Some((*changes, place)),
            _ => None,
        };
        // Of pages but the last the number is the one before the stretch, so that nobody resumes in its middle.
        let seq = if self.under_way.is_some() { changes.after } else { changes.until };
        Ok(next.map(|_| (update, seq)))
    }
}
