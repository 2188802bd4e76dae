//! The frame of every write: lock the household, see who asks, decide about an edit, collect events, append them.

use crate::error::Error;
use crate::model::{Content, Decision, Edit, Move, Role, Violation, decide};
use crate::store;
use api::Stale;
use chrono::{DateTime, Utc};
use common::context::Context;
use common::db::{DbError, Tx};
use common::events::{NewEvent, StreamKey, log};
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// The kind of the streams.
pub(crate) const STREAM_KIND: &str = "household";
/// The version of the shape of an event's body: `{"resource": …|null, "moves": […]}`.
const EVENT_SCHEMA: i16 = 1;

/// An edit of the version that the caller knew.
#[derive(Debug, Clone)]
pub struct Revision {
    /// That version.
    pub version: i64,
    /// What is wanted.
    pub edit: Edit,
    /// Whether it may be merged with what others did since.
    pub lenient: bool,
}

/// A resource after a write.
#[derive(Debug, Clone)]
pub struct Changed<T> {
    /// As it is now.
    pub resource: T,
    /// Whether the caller's change was merged with somebody else's.
    pub merged: bool,
}

/// A household under its lock.
pub(crate) struct Writing<'c> {
    pub household: Uuid,
    pub role: Role,
    pub actor: &'c str,
    now: DateTime<Utc>,
    head: i64,
    events: Vec<Noted>,
}

struct Noted {
    kind: &'static str,
    subject: String,
    body: Value,
}

impl<'c> Writing<'c> {
    /// Locks the household, then looks who the caller is in it: a removal that was committed counts.
    pub(crate) async fn open(
        tx: &mut Tx<'_>,
        ctx: &'c Context,
        household: Uuid,
        needed: Role,
    ) -> Result<Writing<'c>, Error> {
        Writing::open_as(tx, &ctx.caller().subject, ctx.now(), household, needed).await
    }

    /// The same in the name of one who asked for it earlier.
    pub(crate) async fn open_as(
        tx: &mut Tx<'_>,
        actor: &'c str,
        now: DateTime<Utc>,
        household: Uuid,
        needed: Role,
    ) -> Result<Writing<'c>, Error> {
        let head = log::lock(tx, &[household]).await?.remove(&household).ok_or(Error::NotFound)?;
        let role = store::people::read_role(tx, household, actor).await?.ok_or(Error::NotFound)?;
        if role < needed {
            return Err(Error::RoleTooLow(needed));
        }
        Ok(Writing { household, role, actor, now, head, events: Vec::new() })
    }

    /// The same to end what was begun in somebody's name, who may have left since. `None`: there is no such household.
    pub(crate) async fn open_to_end(
        tx: &mut Tx<'_>,
        actor: &'c str,
        now: DateTime<Utc>,
        household: Uuid,
    ) -> Result<Option<Writing<'c>>, DbError> {
        let head = log::lock(tx, &[household]).await?.remove(&household);
        Ok(head.map(|head| Writing { household, role: Role::Viewer, actor, now, head, events: Vec::new() }))
    }

    /// A household that starts; the caller is about to be its owner.
    pub(crate) async fn create(
        tx: &mut Tx<'_>,
        ctx: &'c Context,
        household: Uuid,
    ) -> Result<Writing<'c>, Error> {
        log::create(tx, StreamKey { kind: STREAM_KIND, id: household }).await?;
        let actor = &*ctx.caller().subject;
        Ok(Writing { household, role: Role::Owner, actor, now: ctx.now(), head: 0, events: Vec::new() })
    }

    /// The number of the next event: the version of what it makes.
    pub(crate) fn next(&self) -> i64 {
        self.head + self.events.len() as i64 + 1
    }

    /// Notes what a resource is from the next number on.
    pub(crate) fn put(
        &mut self,
        kind: &'static str,
        subject: String,
        resource: &impl Serialize,
        moves: &[Move],
    ) {
        let resource = serde_json::to_value(resource).expect("plain data");
        self.note(kind, subject, resource, moves);
    }

    /// Notes that a resource is gone from the next number on.
    pub(crate) fn delete(&mut self, kind: &'static str, subject: String, moves: &[Move]) {
        self.note(kind, subject, Value::Null, moves);
    }

    fn note(&mut self, kind: &'static str, subject: String, resource: Value, moves: &[Move]) {
        let mut body = json!({ "resource": resource });
        if !moves.is_empty() {
            body["moves"] = serde_json::to_value(moves).expect("plain data");
        }
        self.events.push(Noted { kind, subject, body });
    }

    /// Appends what was noted and moves the counter. Nothing noted: nothing is bumped and nobody is told.
    pub(crate) async fn close(self, tx: &mut Tx<'_>) -> Result<(), Error> {
        Ok(self.append(tx).await?)
    }

    /// The same where only the database can fail.
    pub(crate) async fn append(mut self, tx: &mut Tx<'_>) -> Result<(), DbError> {
        let (actor, head) = (self.actor, self.head);
        let stream = StreamKey { kind: STREAM_KIND, id: self.household };
        let events = self.events.iter_mut().zip(1..).map(|(noted, n)| NewEvent {
            stream,
            seq: head + n,
            actor,
            body: std::mem::take(&mut noted.body),
            subject: &noted.subject,
            kind: noted.kind,
            schema: EVENT_SCHEMA,
        });
        log::append(tx, self.now, events.collect()).await
    }

    /// What a revision of a resource comes to. `shown` is the resource as `GET` shows it.
    pub(crate) async fn settle<C: Content>(
        &self,
        tx: &mut Tx<'_>,
        subject: &str,
        revision: &Revision,
        version: i64,
        current: &C,
        shown: &Value,
    ) -> Result<Wanted<C>, Error> {
        let mut edit = revision.edit.clone();
        edit.take_read_only(shown, C::READ_ONLY).map_err(|field| {
            Error::Invalid(vec![Violation::new(format!("/{field}"), "read-only", "can't be changed")])
        })?;
        let fresh = revision.version == version;
        let base = match fresh {
            true => None,
            false => self.base::<C>(tx, subject, revision.version).await?,
        };
        match decide(&edit, fresh, base.as_ref(), current, revision.lenient)? {
            Decision::Fresh(content) => Ok(Wanted { content, merged: None }),
            Decision::Merged { content, yours } => {
                let stale = stale(version, base.as_ref(), &yours, current);
                Ok(Wanted { content, merged: Some(stale) })
            }
            Decision::Stale { yours } => {
                Err(Error::Stale(Box::new(stale(version, base.as_ref(), &yours, current))))
            }
        }
    }

    /// Refuses to delete another version than the current one.
    pub(crate) async fn check_version<C: Content>(
        &self,
        tx: &mut Tx<'_>,
        subject: &str,
        expected: i64,
        version: i64,
        current: &C,
    ) -> Result<(), Error> {
        if expected == version {
            return Ok(());
        }
        let base = self.base::<C>(tx, subject, expected).await?.map(|base| base.to_json());
        let current = current.to_json();
        Err(Error::Stale(Box::new(Stale { current_version: version, base, yours: Value::Null, current })))
    }

    /// The content at an earlier version: what the event of that number made of it, as long as it is kept.
    async fn base<C: Content>(
        &self,
        tx: &mut Tx<'_>,
        subject: &str,
        version: i64,
    ) -> Result<Option<C>, Error> {
        let body = store::projection::read_base(tx, self.household, version, subject).await?;
        Ok(body.and_then(|mut body| C::of_shown(body["resource"].take())))
    }
}

fn stale<C: Content>(version: i64, base: Option<&C>, yours: &C, current: &C) -> Stale {
    Stale {
        current_version: version,
        base: base.map(C::to_json),
        yours: yours.to_json(),
        current: current.to_json(),
    }
}

/// A content that is wanted and not yet checked.
pub(crate) struct Wanted<C> {
    pub content: C,
    /// What to answer when a merge breaks a rule that neither change broke.
    pub merged: Option<Stale>,
}

impl<C> Wanted<C> {
    /// Runs the rules. What a merge breaks is not the caller's mistake but a conflict.
    pub(crate) fn check<T>(
        self,
        rules: impl FnOnce(C) -> Result<T, Vec<Violation>>,
    ) -> Result<(T, bool), Error> {
        let merged = self.merged.is_some();
        match (rules(self.content), self.merged) {
            (Ok(checked), _) => Ok((checked, merged)),
            (Err(_), Some(stale)) => Err(Error::Stale(Box::new(stale))),
            (Err(wrong), None) => Err(Error::Invalid(wrong)),
        }
    }
}

impl<T> Changed<T> {
    /// The same answer about another view of the resource.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Changed<U> {
        Changed { resource: view(self.resource), merged: self.merged }
    }
}

impl From<Vec<Violation>> for Error {
    fn from(wrong: Vec<Violation>) -> Error {
        Error::Invalid(wrong)
    }
}
