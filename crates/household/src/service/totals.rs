//! Balances and month summaries: read from the projection, with how far it goes, and never behind what the caller has
//! written.

use super::Household;
use crate::error::Error;
use crate::model::{Currency, Ledger, Month};
use crate::projection::PROJECTOR;
use crate::store::projection;
use api::freshness::projected;
use chrono::{DateTime, NaiveDate, Utc};
use common::context::Context;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// How far a projection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct AsOf {
    /// The number of the last change in it; compare with `next_since` of the change feed.
    pub seq: i64,
    /// When that change was made; null when it is no longer kept.
    pub at: Option<DateTime<Utc>>,
}

/// What an account holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Balance {
    /// The account.
    pub account_id: Uuid,
    /// Its currency.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// All that was ever posted to it.
    #[schema(value_type = String, example = "382.34")]
    pub balance: Decimal,
    /// How far it goes.
    pub as_of: AsOf,
}

/// A month in sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Summary {
    /// The household.
    pub household_id: Uuid,
    /// `YYYY-MM`.
    pub month: String,
    /// Its first day.
    pub from: NaiveDate,
    /// The first day that is not in it.
    pub to: NaiveDate,
    /// How far it goes.
    pub as_of: AsOf,
    /// Income and expense per currency.
    pub totals: Vec<CurrencyTotal>,
    /// The same by category.
    pub categories: Vec<CategoryTotal>,
    /// What each account was moved by, transfers and openings included.
    pub accounts: Vec<AccountChange>,
}

/// Income and expense in a currency. Transfers and openings are neither.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CurrencyTotal {
    /// The currency.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// What came in.
    #[schema(value_type = String, example = "2500.00")]
    pub income: Decimal,
    /// What was spent, less what came back.
    #[schema(value_type = String, example = "345.27")]
    pub expense: Decimal,
    /// Income less expense.
    #[schema(value_type = String, example = "2154.73")]
    pub net: Decimal,
}

/// What a category came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CategoryTotal {
    /// The category; null for what has none.
    pub category_id: Option<Uuid>,
    /// `expense` or `income`.
    #[schema(value_type = String, example = "expense")]
    pub kind: Ledger,
    /// The currency.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// What was spent or came in.
    #[schema(value_type = String, example = "42.10")]
    pub amount: Decimal,
    /// How many transactions it is made of.
    pub transactions: i64,
}

/// What an account was moved by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AccountChange {
    /// The account.
    pub account_id: Uuid,
    /// Its currency.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// Below zero went out.
    #[schema(value_type = String, example = "-345.27")]
    pub change: Decimal,
}

impl Household {
    /// What an account holds.
    pub async fn get_balance(&self, ctx: &Context, household: Uuid, account: Uuid) -> Result<Balance, Error> {
        let account = self.get_account(ctx, household, account).await?;
        let id = account.id;
        let (as_of, minor) = projected(ctx, household, |freshness| async move {
            let found = projection::find_balance(&self.db, ctx, freshness, PROJECTOR, household, id).await?;
            Ok::<_, Error>((found.0.seq, found))
        })
        .await?;
        let currency = account.content.currency;
        Ok(Balance {
            account_id: account.id,
            currency,
            balance: currency.decimal(minor),
            as_of: AsOf::of(as_of),
        })
    }

    /// A month in sums.
    pub async fn get_summary(&self, ctx: &Context, household: Uuid, month: Month) -> Result<Summary, Error> {
        self.role(ctx, household).await?;
        let (as_of, totals) = projected(ctx, household, |freshness| async move {
            let found =
                projection::find_summary(&self.db, ctx, freshness, PROJECTOR, household, month).await?;
            Ok::<_, Error>((found.0.seq, found))
        })
        .await?;
        Ok(summary_of(household, month, AsOf::of(as_of), &totals))
    }
}

impl AsOf {
    fn of(as_of: projection::AsOf) -> AsOf {
        AsOf { seq: as_of.seq, at: as_of.at }
    }
}

fn summary_of(household: Uuid, month: Month, as_of: AsOf, totals: &[projection::Total]) -> Summary {
    let mut by_currency: BTreeMap<Currency, (i64, i64)> = BTreeMap::new();
    let (mut categories, mut accounts) = (Vec::new(), Vec::new());
    for total in totals {
        let (currency, amount) = (total.currency, total.amount);
        match total.ledger {
            Ledger::Account => accounts.push(AccountChange {
                account_id: total.owner,
                currency,
                change: currency.decimal(amount),
            }),
            Ledger::Expense | Ledger::Income => {
                let sums = by_currency.entry(currency).or_default();
                // In the books the source of money is below zero.
                let amount = if total.ledger == Ledger::Income { -amount } else { amount };
                *(if total.ledger == Ledger::Income { &mut sums.0 } else { &mut sums.1 }) += amount;
                categories.push(CategoryTotal {
                    category_id: (!total.owner.is_nil()).then_some(total.owner),
                    kind: total.ledger,
                    currency,
                    amount: currency.decimal(amount),
                    transactions: total.entries,
                });
            }
            Ledger::Opening | Ledger::Exchange => {}
        }
    }
    let totals = by_currency.into_iter().map(|(currency, (income, expense))| CurrencyTotal {
        currency,
        income: currency.decimal(income),
        expense: currency.decimal(expense),
        net: currency.decimal(income - expense),
    });
    Summary {
        household_id: household,
        month: month.to_string(),
        from: month.first(),
        to: month.next_first(),
        as_of,
        totals: totals.collect(),
        categories,
        accounts,
    }
}
