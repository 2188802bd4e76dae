//! The rules that always hold, checked for some people at a time.

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use common::context::{Context, Priority};
use uuid::Uuid;

use super::Health;
use crate::error::Error;
use crate::model::time::Horizon;
use crate::store::invariants::{CHECKS, find_broken, list_everybody};
use crate::store::people;
use crate::wire::Check;

/// Retention drops whole months: what is younger than its horizon by more than this is there in full.
const MONTH: TimeDelta = TimeDelta::days(32);

impl Health {
    /// People after an id, whoever's: for operators.
    pub async fn list_everybody(&self, ctx: &Context, after: Uuid, limit: i64) -> Result<Vec<Uuid>, Error> {
        Ok(list_everybody(&self.db, ctx, after, limit).await?)
    }

    /// Whether there is such a person, whoever's.
    pub async fn find_anybody(&self, ctx: &Context, id: Uuid) -> Result<Uuid, Error> {
        let person = people::find_person_now(&self.db, ctx, id).await?;
        person.map(|person| person.id).ok_or(Error::NotFound)
    }

    /// Checks all that there is of these people. Slow: it reads everything.
    pub async fn check_invariants(&self, ctx: &Context, people: &[Uuid]) -> Result<Vec<Check>, Error> {
        let ctx = &ctx.with_priority(Priority::Background);
        let kept_from = self.kept_from(ctx.now());
        let mut checks = Vec::with_capacity(CHECKS.len());
        for check in CHECKS {
            let (broken, example) = find_broken(&self.db, ctx, check, people, kept_from).await?;
            checks.push(Check { name: check.name, ok: broken == 0, broken, example });
        }
        Ok(checks)
    }

    /// A midnight from which on nothing has left retention.
    fn kept_from(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        let oldest = Horizon::new(now, self.config.retention_years).oldest;
        oldest.checked_add_signed(MONTH).unwrap_or(oldest).date_naive().and_time(NaiveTime::MIN).and_utc()
    }
}
