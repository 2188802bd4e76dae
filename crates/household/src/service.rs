//! Use cases: rule, transaction, cache. Each write locks the household's stream row, reads, decides (stale, no-op, merge)
//! and only then writes row and event; what decides is never read from a projection.

mod accounts;
mod changes;
mod import_commit;
pub(crate) mod import_reading;
mod import_view;
mod imports;
mod integrity;
mod people;
mod totals;
mod transactions;
mod writing;

pub use accounts::{NewAccount, NewCategory};
pub use changes::{CHANGES_MAX, Change, Changes};
pub use import_commit::{DecisionOnRow, Decisions};
pub use import_view::{ImportRowView, ImportView, StatementView};
pub use imports::NewImport;
pub(crate) use imports::READ_IMPORT;
pub use integrity::{Integrity, IntegrityCheck};
pub use people::{HouseholdView, NewHousehold, NewMember};
pub use totals::{AccountChange, AsOf, Balance, CategoryTotal, CurrencyTotal, Summary};
pub use transactions::{NewTransaction, SourceView, TransactionFilter, TransactionView};
pub(crate) use writing::STREAM_KIND;
pub use writing::{Changed, Revision};

use crate::error::Error;
use crate::model::{HouseholdContent, Role};
use crate::store;
use common::cache::{Cache, CacheSpec, Caches, Class, Versioned};
use common::context::Context;
use common::db::{Db, DbError, Freshness};
use common::events::Feeds;
use std::time::Duration;
use tokio::sync::Semaphore;
use uuid::Uuid;

/// How long a role is kept in the process and in Redis; the class says how fresh it is all the same.
const ROLE_TTL: Duration = Duration::from_secs(600);

/// How long a household's name, currency and zone are kept.
const HOUSEHOLD_TTL: Duration = Duration::from_secs(600);

/// The household module: what its routes call.
pub struct Household {
    pub(crate) db: Db,
    pub(crate) feeds: Feeds,
    roles: Cache<Role>,
    households: Cache<(i64, HouseholdContent)>,
    integrity_turns: Semaphore,
}

impl Household {
    pub(crate) fn new(db: Db, feeds: Feeds, caches: &Caches) -> Household {
        // Strong: a member who was removed reads nothing more from the moment that the removal is acknowledged.
        let roles = CacheSpec { name: "role", schema: 1, class: Class::Strong, ttl: ROLE_TTL };
        // Eventual: a name that is a moment old does no harm, and who has written it has a token.
        let households =
            CacheSpec { name: "household", schema: 1, class: Class::Eventual, ttl: HOUSEHOLD_TTL };
        let (roles, households) = (caches.open(roles), caches.open(households));
        Household { db, feeds, roles, households, integrity_turns: Semaphore::new(integrity::AT_ONCE_MAX) }
    }

    /// The one place where reading is allowed or not: the caller's role, or `NotFound` for a stranger. What is written is
    /// allowed in `Writing::open`.
    pub async fn role(&self, ctx: &Context, household: Uuid) -> Result<Role, Error> {
        let (db, subject) = (self.db.clone(), ctx.caller().subject.clone());
        let load = move |ctx: Context, freshness| {
            let (db, subject) = (db.clone(), subject.clone());
            async move {
                let found = store::people::find_role(&db, &ctx, freshness, household, &subject).await?;
                let (version, value) = found.unwrap_or((0, None));
                Ok(Versioned { version, value })
            }
        };
        let found = self.roles.get(ctx, household, &ctx.caller().subject, load).await?;
        found.value.ok_or(Error::NotFound)
    }
}

/// A standby may not have yet what somebody else has just made: what it doesn't find, the writer is asked for, so that
/// `NotFound` is always the truth.
pub(crate) async fn find<T, F>(mut read: impl FnMut(Freshness) -> F) -> Result<T, Error>
where
    F: Future<Output = Result<Option<T>, DbError>>,
{
    match read(Freshness::ReadYourWrites).await? {
        Some(found) => Ok(found),
        None => read(Freshness::Strong).await?.ok_or(Error::NotFound),
    }
}
