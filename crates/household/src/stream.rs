//! The live changes of a household: its stream, in the form of the change feed, from any number that is kept. What every
//! event stream does (frames, heartbeats, tickets, ends) is `api::sse`.

use crate::error::Error;
use crate::service::{Change, Household, STREAM_KIND};
use api::socket::{MessageKind, SchemaOf};
use api::sse::{Message, Source, Stopped, StreamDocument, Told};
use common::context::Context;
use common::db::{Freshness, Token};
use common::events::{Event, FeedError, StreamKey, Subscription, log};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// The stream, in metrics and in the document.
pub(crate) const NAME: &str = "household";
/// Where it is opened with an access token.
pub(crate) const ADDRESS: &str = "/v1/households/{household_id}/live";
/// Where it is opened with a ticket.
pub(crate) const TICKET_ADDRESS: &str = "/v1/households/{household_id}/live/events";

const CHANGE: &str = "change";

/// What a membership was checked for is told within this; a client that is slower has it checked again.
const CHECK_HOLDS_FOR: Duration = Duration::from_secs(1);
/// How long a check or a look at the stream's head may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// Before another try, while the database can't be asked.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What is sent, for the document.
pub(crate) const DOCUMENT: StreamDocument = StreamDocument {
    name: NAME,
    address: ADDRESS,
    ticket_address: TICKET_ADDRESS,
    summary: "A household's changes, gapless and in order",
    parameters: &[("household_id", "The household")],
    messages: &[MessageKind {
        name: CHANGE,
        summary: "A resource as it is from this number on, or that it is gone",
        data: SchemaOf::of::<Change>(),
    }],
};

/// Where the caller's stream goes on, and what is told on it. The caller must be a member.
pub(crate) async fn follow(
    service: Arc<Household>,
    ctx: &Context,
    household: Uuid,
    resume_from: Option<i64>,
) -> Result<(i64, Source), Error> {
    service.role(ctx, household).await?;
    let head = log::head(&service.db, ctx, Freshness::Strong, household).await?.ok_or(Error::NotFound)?;
    let position = resume_from.unwrap_or(head);
    // A number that was never given out is of a log that was restored since.
    let (start, reset) = if position > head { (head, Some(head)) } else { (position, None) };
    let following = Following {
        events: service.feeds.subscribe(StreamKey { kind: STREAM_KIND, id: household }, start),
        service,
        ctx: ctx.clone(),
        household,
        checked_at: Instant::now(),
        reset,
        waiting: VecDeque::new(),
    };
    let told = unfold(following, |mut following| async move {
        let told = following.next().await?;
        Some((told, following))
    });
    Ok((position, told.boxed()))
}

struct Following {
    service: Arc<Household>,
    ctx: Context,
    household: Uuid,
    events: Subscription,
    /// When the caller was last known to be a member.
    checked_at: Instant,
    reset: Option<i64>,
    waiting: VecDeque<Arc<Event>>,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Told, Stopped>> {
        loop {
            if self.reset.is_some() || !self.waiting.is_empty() {
                if self.checked_at.elapsed() > CHECK_HOLDS_FOR
                    && let Err(stopped) = self.check().await
                {
                    return Some(Err(stopped));
                }
                if let Some(head) = self.reset.take() {
                    return Some(Ok(Told::Reset { head }));
                }
                let event = self.waiting.pop_front()?;
                let change = Change::of_event(self.household, &event);
                return Some(Message::of(event.seq, CHANGE, &change).map(Told::Message));
            }
            match self.events.next().await {
                Ok(events) => {
                    // One of them may be the end of the membership: from then on nothing more is told.
                    if let Err(stopped) = self.check().await {
                        return Some(Err(stopped));
                    }
                    self.waiting = events.into();
                }
                Err(FeedError::Reset { .. }) => match self.head().await {
                    Ok(head) => {
                        self.events.skip_to(head);
                        self.reset = Some(head);
                    }
                    Err(stopped) => return Some(Err(stopped)),
                },
                Err(FeedError::Closed) => return None,
                Err(FeedError::Db(error)) => pause(&error).await,
            }
        }
    }

    /// Whether the caller is still a member, once that can be found out.
    async fn check(&mut self) -> Result<(), Stopped> {
        loop {
            match self.service.role(&self.look(), self.household).await {
                Ok(_) => {
                    self.checked_at = Instant::now();
                    return Ok(());
                }
                Err(Error::NotFound) => return Err(Stopped::AccessEnded),
                Err(error) => pause(&error).await,
            }
        }
    }

    async fn head(&self) -> Result<i64, Stopped> {
        loop {
            match log::head(&self.service.db, &self.look(), Freshness::Strong, self.household).await {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => return Err(Stopped::AccessEnded),
                Err(error) => pause(&error).await,
            }
        }
    }

    /// The request's own deadline is long over.
    fn look(&self) -> Context {
        self.ctx.child(Token::default(), LOOK_WITHIN)
    }
}

async fn pause(error: &impl std::error::Error) {
    tracing::debug!(%error, "a household's stream can't be read now");
    tokio::time::sleep(RETRY_PAUSE).await;
}
