//! Whose account it is: the one place that decides whether a caller may touch an account. An account never changes hands,
//! so an owner that was read once is right for ever.

use common::context::Context;
use common::db::{Db, DbError, Freshness};
use moka::sync::Cache;
use std::sync::Arc;

use crate::error::Error;
use crate::model::AccountId;
use crate::store::accounts::list_owners;

/// Accounts whose owner is remembered.
const OWNERS_MAX: u64 = 200_000;

/// The accounts' owners. Clones share them.
#[derive(Clone)]
pub struct Owners {
    db: Db,
    /// `None` inside: it is nobody's (an instrument's fee account).
    known: Cache<AccountId, Option<Arc<str>>>,
}

impl Owners {
    /// Over this database.
    pub fn new(db: Db) -> Self {
        Self { db, known: Cache::new(OWNERS_MAX) }
    }

    /// `Ok` when the account is the caller's; somebody else's account is not there.
    pub fn authorize(&self, ctx: &Context, owner: Option<&str>) -> Result<(), Error> {
        if owner == Some(&*ctx.caller().subject) { Ok(()) } else { Err(Error::NotFound) }
    }

    /// `Ok` when the account is there and the caller's.
    pub async fn check(&self, ctx: &Context, account: AccountId) -> Result<(), Error> {
        self.load(ctx, std::iter::once(account)).await?;
        match self.known(account) {
            Some(owner) => self.authorize(ctx, owner.as_deref()),
            None => Err(Error::NotFound),
        }
    }

    /// An owner that was read before.
    pub fn known(&self, account: AccountId) -> Option<Option<Arc<str>>> {
        self.known.get(&account)
    }

    /// Reads the owners that are not known yet. An account that isn't there stays unknown.
    pub async fn load(
        &self,
        ctx: &Context,
        accounts: impl Iterator<Item = AccountId>,
    ) -> Result<(), DbError> {
        let mut missing: Vec<AccountId> =
            accounts.filter(|account| !self.known.contains_key(account)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        missing.sort_unstable();
        missing.dedup();
        for (account, owner) in list_owners(&self.db, ctx, Freshness::Strong, &missing).await? {
            self.known.insert(account, owner);
        }
        Ok(())
    }
}
