//! A person's stream as its channels read it: which stretch is new, and what it is about.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::Problem;
use api::problem::kinds::INVALID_PARAMETER;
use api::socket::problems::RESUME_TOO_OLD;
use api::socket::{ChannelEnd, SocketError, Subscribe};
use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{DbError, Freshness, Token};
use common::events::{Event, FeedError, Subscription, log};
use serde::Deserialize;
use uuid::Uuid;

use crate::collector::{SAMPLES_MAX, SAMPLES_RECORDED};
use crate::error::Error;
use crate::model::person::Person;
use crate::service::{Health, person_stream};
use crate::store::live;
use crate::wire::unknown_metric;

/// After a failed read, before the next try.
const RETRY_PAUSE: Duration = Duration::from_millis(200);
/// How long one read may take; the subscription's own deadline is long over.
const READ_WITHIN: Duration = Duration::from_secs(5);

/// One reader of a person's stream.
pub(super) struct Follower {
    pub health: Arc<Health>,
    pub person: Person,
    ctx: Context,
    events: Subscription,
    waiting: VecDeque<Arc<Event>>,
}

/// What comes next of a stream.
pub(super) enum News {
    /// Samples, at most a batch of them and one change more.
    Samples(live::Changes),
    /// The person was changed at this number: the follower's is the new one.
    Person(i64),
}

/// What a channel needs of [`SAMPLES_RECORDED`].
#[derive(Deserialize)]
struct Recorded {
    stored: usize,
    #[serde(default)]
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Follower {
    /// Follows a person of the caller's after `resume_from`, or from now on; tells where it starts.
    pub async fn open(
        health: Arc<Health>,
        ctx: &Context,
        subscribe: &Subscribe,
    ) -> Result<(Self, i64), SocketError> {
        // A key that is no id is nobody's person.
        let id = Uuid::parse_str(&subscribe.key).map_err(|_| Error::NotFound)?;
        let person = health.own_person_now(ctx, id).await?;
        let stream = person_stream(id);
        let head = log::head(health.db(), ctx, Freshness::Strong, id).await.map_err(Error::Db)?.unwrap_or(0);
        let start = subscribe.resume_from.unwrap_or(head);
        if start > head {
            let detail = "is a number that was not given out yet";
            return Err(Problem::of(&INVALID_PARAMETER).field("/resume_from", detail, "invalid").into());
        }
        if start < head {
            let next =
                log::read(health.db(), ctx, Freshness::Strong, stream, start, 1).await.map_err(Error::Db)?;
            if next.is_empty() {
                return Err(too_old(&health, ctx, id).await);
            }
        }
        let events = health.feeds().subscribe(stream, start);
        Ok((Self { health, person, ctx: ctx.clone(), events, waiting: VecDeque::new() }, start))
    }

    /// A context for one read in the subscriber's name.
    pub fn reading(&self) -> Context {
        self.ctx.child(Token::default(), READ_WITHIN)
    }

    /// What comes next; `None` when the program ends.
    pub async fn next(&mut self) -> Option<Result<News, ChannelEnd>> {
        loop {
            match self.taken().await {
                Ok(Some(news)) => return Some(Ok(news)),
                Ok(None) => {}
                Err(end) => return Some(Err(end)),
            }
            match self.events.next().await {
                Ok(events) => self.waiting.extend(events),
                Err(FeedError::Closed) => return None,
                Err(FeedError::Reset { .. }) => {
                    let error = too_old(&self.health, &self.reading(), self.person.id).await;
                    return Some(Err(ChannelEnd::Ended(error)));
                }
                Err(FeedError::Db(error)) => pause(&error).await,
            }
        }
    }

    /// Takes events that wait, until they are enough to tell of.
    async fn taken(&mut self) -> Result<Option<News>, ChannelEnd> {
        let mut changes: Option<(live::Changes, usize)> = None;
        while let Some(event) = self.waiting.front() {
            if event.kind == PERSON_UPDATED {
                if changes.is_some() {
                    break;
                }
                let seq = event.seq;
                self.person = self.person_now().await?;
                self.waiting.pop_front();
                return Ok(Some(News::Person(seq)));
            }
            if event.kind == SAMPLES_RECORDED {
                let recorded = Recorded::deserialize(&event.body).map_err(unreadable)?;
                if recorded.stored > 0 {
                    let (changes, stored) = changes.get_or_insert_with(|| (self.nothing_after(event), 0));
                    if *stored > 0 && *stored + recorded.stored > SAMPLES_MAX {
                        break;
                    }
                    changes.span = match (*stored, changes.span, recorded.span) {
                        (0, _, span) => span,
                        (_, Some((first, last)), Some((from, to))) => Some((first.min(from), last.max(to))),
                        _ => None,
                    };
                    *stored += recorded.stored;
                    changes.until = event.seq;
                }
            }
            self.waiting.pop_front();
        }
        Ok(changes.map(|(changes, _)| News::Samples(changes)))
    }

    fn nothing_after(&self, event: &Event) -> live::Changes {
        let (after, until) = (event.seq - 1, event.seq);
        live::Changes { person: self.person.id, after, until, span: None, metric: None }
    }

    /// The person as it is now, if it is still the caller's.
    async fn person_now(&self) -> Result<Person, ChannelEnd> {
        loop {
            match self.health.own_person_now(&self.reading(), self.person.id).await {
                Ok(person) => return Ok(person),
                Err(Error::Db(error)) => pause(&error).await,
                Err(error) => return Err(ChannelEnd::Ended(error.into())),
            }
        }
    }
}

/// The type of the event of a person that was changed.
const PERSON_UPDATED: &str = "person_updated";

/// Waits a little after a read that failed: the subscription stays valid.
pub(super) async fn pause(error: &DbError) {
    tracing::debug!(%error, "a person's stream can't be read now");
    tokio::time::sleep(RETRY_PAUSE).await;
}

/// The number of the metric that a channel is asked for.
pub(super) fn metric_of(code: Option<&str>) -> Result<Option<i16>, SocketError> {
    let find = |code| crate::model::catalogue::Metric::find(code).ok_or_else(|| unknown_metric("/metric"));
    Ok(code.map(find).transpose()?.map(|metric| metric.id))
}

async fn too_old(health: &Health, ctx: &Context, person: Uuid) -> SocketError {
    let error = SocketError::of(&RESUME_TOO_OLD);
    match live::find_oldest(health.db(), ctx, person).await {
        Ok(Some(oldest)) => error.with("floor", oldest - 1),
        Ok(None) | Err(_) => error,
    }
}

fn unreadable(error: serde_json::Error) -> ChannelEnd {
    ChannelEnd::Ended(Problem::internal(error).into())
}
