//! The rules that always hold, checked over all rows and over the books in this process.

use common::context::{Context, Priority};
use common::db::Freshness;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Listing, Trading};
use crate::error::Error;
use crate::store::invariants::{CHECKS, find_broken};
use crate::store::orders::list_levels;

/// A book that changes all the time is compared this often before it is passed over.
const COMPARISONS_MAX: u32 = 20;

/// What the checks found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Invariants)]
pub struct Invariants {
    /// Whether every rule holds.
    pub ok: bool,
    /// One for each rule.
    pub checks: Vec<Check>,
}

/// One rule.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::Check)]
pub struct Check {
    /// What always holds.
    pub name: String,
    /// Whether it does.
    pub ok: bool,
    /// How many rows break it.
    pub broken: i64,
    /// One of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

impl Trading {
    /// Checks everything. Slow: it reads whole tables.
    pub async fn check_invariants(&self, ctx: &Context) -> Result<Invariants, Error> {
        let ctx = &ctx.with_priority(Priority::Background);
        let mut checks = Vec::with_capacity(CHECKS.len() + 1);
        for (name, statement) in CHECKS {
            let (broken, example) = find_broken(&self.dp.db, ctx, statement).await?;
            checks.push(Check { name: (*name).to_owned(), ok: broken == 0, broken, example });
        }
        let mut broken = Vec::new();
        for listing in self.directory.all() {
            if !self.view_is_the_rows(ctx, &listing).await? {
                broken.push(listing.instrument.symbol.to_string());
            }
        }
        checks.push(Check {
            name: "books_in_memory_are_the_rows".to_owned(),
            ok: broken.is_empty(),
            broken: broken.len() as i64,
            example: broken.pop(),
        });
        Ok(Invariants { ok: checks.iter().all(|check| check.ok), checks })
    }

    /// Compares a book in memory, if there is one, with its rows at the same number.
    async fn view_is_the_rows(&self, ctx: &Context, listing: &Listing) -> Result<bool, Error> {
        if listing.view.loaded().is_none() {
            return Ok(true);
        }
        for _ in 0..COMPARISONS_MAX {
            let rows = list_levels(&self.dp.db, ctx, Freshness::Strong, listing.instrument.id).await?;
            let book = listing.view.read(ctx, rows.head).await?;
            if book.seq == rows.head {
                return Ok(book.bids == rows.bids && book.asks == rows.asks);
            }
        }
        Ok(true)
    }
}
