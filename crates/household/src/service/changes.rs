//! The change feed: one gapless run of numbers per household, read as a delta with tombstones.

use super::Household;
use crate::error::Error;
use crate::store::projection::{self, Logged};
use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::Freshness;
use common::events::Event;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

/// Changes of one answer at most.
pub const CHANGES_MAX: i64 = 500;

/// A change of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// Its number in the household, which is the resource's version from here on.
    pub seq: i64,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// Who made it.
    pub actor: String,
    /// `household`, `member`, `account`, `category`, `transaction` or `import`.
    pub kind: String,
    /// The resource's id; of a member the subject.
    pub id: String,
    /// Whether it is gone.
    pub deleted: bool,
    /// The whole resource as it is from here on; null when it is gone.
    pub data: Value,
}

/// Changes in order, without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Changes {
    /// In the order of their numbers.
    pub items: Vec<Change>,
    /// What to ask with next.
    pub next_since: i64,
    /// Whether there is more already.
    pub more: bool,
}

impl Household {
    /// The changes after `since`, at most `limit`.
    pub async fn list_changes(
        &self,
        ctx: &Context,
        household: Uuid,
        since: i64,
        limit: i64,
    ) -> Result<Changes, Error> {
        self.role(ctx, household).await?;
        let limit = limit.clamp(1, CHANGES_MAX);
        let read = |freshness| projection::list_changes(&self.db, ctx, freshness, household, since, limit);
        let (head, logged) = match read(Freshness::ReadYourWrites).await? {
            Some((head, logged)) if head >= since => (head, logged),
            // The reader is behind the client, or the client is ahead of a restored log: the writer knows.
            _ => read(Freshness::Strong).await?.ok_or(Error::NotFound)?,
        };
        // The log is read in one snapshot, so what is missing behind `since` is not late but gone.
        let gapless = logged.first().map_or(head == since, |first| first.seq == since + 1);
        if !gapless {
            let floor = projection::find_floor(&self.db, ctx, household, since.min(head)).await?;
            return Err(Error::ChangesReset { floor: floor.unwrap_or(head + 1), head });
        }
        let next_since = logged.last().map_or(since, |last| last.seq);
        let items = logged.into_iter().map(|change| Change::of(household, change)).collect();
        Ok(Changes { items, next_since, more: next_since < head })
    }
}

impl Change {
    fn of(household: Uuid, logged: Logged) -> Change {
        let (kind, id) = match logged.subject.split_once('/') {
            Some((kind, id)) => (kind.to_owned(), id.to_owned()),
            None => (logged.subject, household.to_string()),
        };
        let deleted = logged.resource.is_null();
        Change {
            seq: logged.seq,
            at: logged.at,
            actor: logged.actor,
            kind,
            id,
            deleted,
            data: logged.resource,
        }
    }

    /// The same of an event that was followed.
    pub(crate) fn of_event(household: Uuid, event: &Event) -> Change {
        let resource = event.body.get("resource").cloned().unwrap_or_default();
        let (actor, subject) = (event.actor.clone(), event.subject.clone());
        Change::of(household, Logged { seq: event.seq, at: event.at, actor, subject, resource })
    }
}
