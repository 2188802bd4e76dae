//! The samples channel: what each change of a person brought, page by page from the table.

use std::collections::VecDeque;
use std::sync::Arc;

use api::socket::{Channel, ChannelEnd, ChannelMessage, SocketError, Subscribe, args};
use common::context::Context;
use futures_util::StreamExt;
use futures_util::stream::unfold;

use super::UPDATE;
use super::follow::{Follower, News, metric_of, pause};
use crate::service::Health;
use crate::store::live::{Changes, list_changed_samples};
use crate::store::reading::SampleRow;
use crate::wire::{LiveSamples, SamplesArgs};

/// Samples in one message at most.
const SAMPLES_MAX: usize = 500;

struct Reader {
    follower: Follower,
    metric: Option<i16>,
    /// The stretch that is being read, and the place (change and position) of the last sample that was told.
    under_way: Option<(Changes, (i64, i32))>,
    waiting: VecDeque<ChannelMessage>,
}

/// Follows a person's samples.
pub(super) async fn follow(
    health: Arc<Health>,
    ctx: &Context,
    subscribe: &Subscribe,
) -> Result<Channel, SocketError> {
    let wanted: SamplesArgs = args(&subscribe.args)?;
    let metric = metric_of(wanted.metric.as_deref())?;
    let (follower, start) = Follower::open(health, ctx, subscribe).await?;
    let reader = Reader { follower, metric, under_way: None, waiting: VecDeque::new() };
    let messages = unfold(reader, |mut reader| async move {
        let message = reader.next().await?;
        Some((message, reader))
    });
    Ok(Channel { start: Some(start), messages: messages.boxed() })
}

impl Reader {
    async fn next(&mut self) -> Option<Result<ChannelMessage, ChannelEnd>> {
        loop {
            if let Some(message) = self.waiting.pop_front() {
                return Some(Ok(message));
            }
            if let Some((changes, place)) = self.under_way {
                match self.read(&changes, place).await {
                    Ok(()) => continue,
                    Err(end) => return Some(Err(end)),
                }
            }
            match self.follower.next().await? {
                Ok(News::Samples(changes)) => {
                    let changes = Changes { metric: self.metric, ..changes };
                    self.under_way = Some((changes, (changes.after, i32::MAX)));
                }
                Ok(News::Person(_)) => {}
                Err(end) => return Some(Err(end)),
            }
        }
    }

    /// Reads the next page of the stretch into messages, one for each change.
    async fn read(&mut self, changes: &Changes, place: (i64, i32)) -> Result<(), ChannelEnd> {
        let (db, ctx) = (self.follower.health.db(), self.follower.reading());
        let mut rows = match list_changed_samples(db, &ctx, changes, place, SAMPLES_MAX as i64 + 1).await {
            Ok(rows) => rows,
            Err(error) => {
                pause(&error).await;
                return Ok(());
            }
        };
        // One more than is told: it says whether the last change goes on.
        let next = (rows.len() > SAMPLES_MAX).then(|| rows.pop()).flatten();
        self.under_way =
            next.as_ref().zip(rows.last()).map(|(_, (_, last))| (*changes, (last.place.1, last.place.2)));
        let goes_on = next.map(|(_, next)| next.place.1);
        for told in rows.chunk_by(|(_, one), (_, other)| one.place.1 == other.place.1) {
            self.waiting.push_back(update_of(told, goes_on)?);
        }
        Ok(())
    }
}

/// A change's message; of one that goes on, the number is the one before it, so that nobody resumes in its middle.
fn update_of(told: &[(i16, SampleRow)], goes_on: Option<i64>) -> Result<ChannelMessage, ChannelEnd> {
    let change = told[0].1.place.1;
    let more = goes_on == Some(change);
    let seq = if more { change - 1 } else { change };
    ChannelMessage::of(seq, UPDATE, &LiveSamples::of(told.to_vec(), more))
}
