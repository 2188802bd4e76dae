//! Truth on demand: whether the books of a household are what its transactions, postings, projection and log say, each
//! recomputed from the others.

use super::{AsOf, Household, find};
use crate::error::Error;
use crate::projection::PROJECTOR;
use crate::store::integrity::{self, Checked};
use api::Problem;
use api::problem::kinds;
use common::context::{Context, Priority};
use serde::Serialize;
use std::time::Duration;
use tokio::time::timeout;
use utoipa::ToSchema;
use uuid::Uuid;

/// Households that a process checks at once.
pub(super) const AT_ONCE_MAX: usize = 2;
/// How long a check waits for its turn.
const TURN_WITHIN: Duration = Duration::from_secs(2);
/// Of what is wrong so much is named.
const EXAMPLES_MAX: i32 = 5;

/// What the checks of a household found, all of them in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Integrity {
    /// The household.
    pub household_id: Uuid,
    /// The number of its last change.
    pub head: i64,
    /// How far balances and summaries go; what came after it was added to them for the comparison.
    pub as_of: AsOf,
    /// Whether every rule holds.
    pub ok: bool,
    /// One for each rule.
    pub checks: Vec<IntegrityCheck>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IntegrityCheck {
    /// What always holds.
    #[schema(example = "postings_sum_to_zero")]
    pub name: String,
    /// Whether it does.
    pub ok: bool,
    /// How much was looked at.
    pub checked: i64,
    /// How much of it breaks the rule.
    pub broken: i64,
    /// Some of that.
    pub examples: Vec<String>,
}

impl Household {
    /// Recomputes a household from its rows and its log.
    pub async fn check_integrity(&self, ctx: &Context, household: Uuid) -> Result<Integrity, Error> {
        self.role(ctx, household).await?;
        let busy = || Problem::of(&kinds::OVERLOADED).retry_after(TURN_WITHIN);
        let turn = timeout(TURN_WITHIN.min(ctx.remaining()), self.integrity_turns.acquire()).await;
        let _turn = turn.map_err(|_| busy())?.expect("the semaphore is never closed");
        let ctx = &ctx.with_priority(Priority::Background);
        let found =
            find(|freshness| integrity::check(&self.db, ctx, freshness, PROJECTOR, household, EXAMPLES_MAX))
                .await?;
        let checks: Vec<IntegrityCheck> = found.checks.into_iter().map(IntegrityCheck::of).collect();
        Ok(Integrity {
            household_id: household,
            head: found.head,
            as_of: AsOf { seq: found.as_of.0, at: found.as_of.1 },
            ok: checks.iter().all(|check| check.ok),
            checks,
        })
    }
}

impl IntegrityCheck {
    fn of(checked: Checked) -> IntegrityCheck {
        let Checked { name, checked, broken, examples } = checked;
        IntegrityCheck { name, ok: broken == 0, checked, broken, examples }
    }
}
