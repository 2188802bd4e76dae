//! Transactions: one resource with its splits, checked as a whole, posted as a whole.

use super::{Changed, Household, Revision, find, writing::Writing};
use crate::error::Error;
use crate::model::{
    Content, Currency, Known, Role, Source, SplitContent, Transaction, TransactionContent, TransactionKind,
    Violation, YEARS, moves, today, zone,
};
use crate::store::{accounts, people, transactions};
use chrono::NaiveDate;
use common::context::Context;
use common::db::{Tx, TxOptions};
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub(crate) use transactions::Filter;

pub(crate) const CREATED: &str = "transaction.created";
pub(crate) const CHANGED: &str = "transaction.changed";
pub(crate) const DELETED: &str = "transaction.deleted";

/// A transaction to create.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct NewTransaction {
    /// An id of the client's own.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// What it does.
    pub kind: TransactionKind,
    /// The calendar date; today in the household's zone when none is given.
    #[serde(default)]
    pub date: Option<NaiveDate>,
    /// The account it is about; of a transfer, the one that the money leaves.
    pub account_id: Uuid,
    /// In the account's currency; above zero, but for an opening entry.
    #[schema(value_type = String, example = "42.10")]
    pub amount: Decimal,
    /// Of a transfer: the account that the money reaches.
    #[serde(default)]
    pub to_account_id: Option<Uuid>,
    /// Of a transfer between two currencies: what arrives.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub to_amount: Option<Decimal>,
    /// Who was paid, or paid; up to 200 characters.
    #[serde(default)]
    pub payee: String,
    /// Up to 2,000 characters.
    #[serde(default)]
    pub notes: String,
    /// Seen on the bank's statement.
    #[serde(default)]
    pub cleared: bool,
    /// In place of `splits`: what all of it was for.
    #[serde(default)]
    pub category_id: Option<Uuid>,
    /// Of an expense or income: what it was for. They sum to `amount`; none given is one of all.
    #[serde(default)]
    pub splits: Vec<SplitContent>,
}

impl NewTransaction {
    fn content(&self, today: NaiveDate) -> Result<TransactionContent, Vec<Violation>> {
        let mut splits = self.splits.clone();
        if let Some(category) = self.category_id {
            if !splits.is_empty() {
                let detail = "either this or the splits' own categories";
                return Err(vec![Violation::new("/category_id", "besides-splits", detail)]);
            }
            let (category_id, amount) = (Some(category), self.amount);
            splits.push(SplitContent { id: None, category_id, amount, note: String::new() });
        }
        Ok(TransactionContent {
            kind: self.kind,
            date: self.date.unwrap_or(today),
            account_id: self.account_id,
            amount: self.amount,
            to_account_id: self.to_account_id,
            to_amount: self.to_amount,
            payee: self.payee.clone(),
            notes: self.notes.clone(),
            cleared: self.cleared,
            splits,
        })
    }
}

/// A transaction as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TransactionView {
    /// Its id.
    pub id: Uuid,
    /// The household it belongs to.
    pub household_id: Uuid,
    /// Number of the event that last changed it.
    pub version: i64,
    /// What is said of it.
    #[serde(flatten)]
    pub content: TransactionContent,
    /// The account's currency.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// Of a transfer: the other account's currency.
    #[schema(value_type = Option<String>)]
    pub to_currency: Option<Currency>,
    /// Where it came from, when it was imported.
    pub source: Option<SourceView>,
}

/// Where a transaction came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SourceView {
    /// The import.
    pub import_id: Uuid,
    /// The row in its file, from 1.
    pub row: i32,
    /// The bank's own id.
    pub bank_id: Option<String>,
}

impl TransactionView {
    pub(crate) fn of(household: Uuid, transaction: &Transaction) -> TransactionView {
        let source = |source: &Source| SourceView {
            import_id: source.import,
            row: source.row,
            bank_id: source.bank_id.clone(),
        };
        TransactionView {
            id: transaction.id,
            household_id: household,
            version: transaction.version,
            content: transaction.content(),
            currency: transaction.currency,
            to_currency: transaction.to.as_ref().map(|to| to.currency),
            source: transaction.source.as_ref().map(source),
        }
    }
}

/// Which transactions are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct TransactionFilter {
    /// Of this account.
    pub account: Option<Uuid>,
    /// Of this category.
    pub category: Option<Uuid>,
    /// From this date on.
    pub from: Option<NaiveDate>,
    /// Before this date.
    pub to: Option<NaiveDate>,
}

pub(crate) fn subject(id: Uuid) -> String {
    format!("transaction/{id}")
}

impl Household {
    /// Creates a transaction. The same again gives what is there; `true`: it is new.
    pub async fn create_transaction(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        new: &NewTransaction,
    ) -> Result<(TransactionView, bool), Error> {
        let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
        let wall = people::read_household(tx, household).await?.ok_or(Error::NotFound)?.content.zone;
        let zone = zone(&wall).unwrap_or(chrono_tz::UTC);
        let mut content = new.content(today(ctx.now(), zone))?;
        if let Some(id) = new.id
            && let Some((there, deleted)) = transactions::read_transaction(tx, household, id).await?
        {
            content.tidy(&there.content());
            let known = known_of(tx, household, &content).await?;
            let same = content.resolve(id, &known, Some(&there)).is_ok_and(|wanted| wanted == there);
            return if same && !deleted {
                Ok((TransactionView::of(household, &there), false))
            } else {
                Err(Error::IdTaken)
            };
        }
        let known = known_of(tx, household, &content).await?;
        let mut transaction = content.resolve(new.id.unwrap_or_else(Uuid::now_v7), &known, None)?;
        check_opening(tx, household, &transaction).await?;
        transaction.version = writing.next();
        transactions::put_transactions(tx, household, std::slice::from_ref(&transaction)).await?;
        let view = TransactionView::of(household, &transaction);
        writing.put(CREATED, subject(transaction.id), &view, &moves(None, Some(&transaction)));
        writing.close(tx).await?;
        Ok((view, true))
    }

    /// A transaction.
    pub async fn get_transaction(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
    ) -> Result<TransactionView, Error> {
        self.role(ctx, household).await?;
        let found =
            find(|freshness| transactions::find_transaction(&self.db, ctx, freshness, household, id)).await?;
        Ok(TransactionView::of(household, &found))
    }

    /// Transactions from the newest date on, before a place in that order.
    pub async fn list_transactions(
        &self,
        ctx: &Context,
        household: Uuid,
        filter: TransactionFilter,
        before: Option<(NaiveDate, Uuid)>,
        limit: i64,
    ) -> Result<Vec<TransactionView>, Error> {
        self.role(ctx, household).await?;
        let (earliest, latest) = every_date();
        let filter = Filter {
            account: filter.account,
            category: filter.category,
            from: filter.from.unwrap_or(earliest),
            to: filter.to.unwrap_or(latest),
        };
        let before = before.unwrap_or((latest, Uuid::max()));
        let found = transactions::list_transactions(&self.db, ctx, household, filter, before, limit).await?;
        Ok(found.iter().map(|transaction| TransactionView::of(household, transaction)).collect())
    }

    /// Changes a transaction.
    pub async fn update_transaction(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        revision: &Revision,
    ) -> Result<Changed<TransactionView>, Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| Box::pin(update(ctx, tx, household, id, revision)))
            .await
    }

    /// Deletes a transaction.
    pub async fn delete_transaction(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        version: i64,
    ) -> Result<(), Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
                    let before = find_live(tx, household, id).await?;
                    let about = subject(id);
                    writing.check_version(tx, &about, version, before.version, &before.content()).await?;
                    let gone = Transaction { version: writing.next(), ..before.clone() };
                    transactions::delete_transactions(tx, household, std::slice::from_ref(&gone)).await?;
                    writing.delete(DELETED, about, &moves(Some(&before), None));
                    writing.close(tx).await
                })
            })
            .await
    }
}

async fn update(
    ctx: &Context,
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
    revision: &Revision,
) -> Result<Changed<TransactionView>, Error> {
    let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
    let before = find_live(tx, household, id).await?;
    let (about, current) = (subject(id), before.content());
    let shown = serde_json::json!(TransactionView::of(household, &before));
    let wanted = writing.settle(tx, &about, revision, before.version, &current, &shown).await?;
    let known = known_of(tx, household, &wanted.content).await?;
    let (mut after, merged) = wanted.check(|content| content.resolve(id, &known, Some(&before)))?;
    if after == before {
        return Ok(Changed { resource: TransactionView::of(household, &before), merged });
    }
    check_opening(tx, household, &after).await?;
    after.version = writing.next();
    transactions::put_transactions(tx, household, std::slice::from_ref(&after)).await?;
    let view = TransactionView::of(household, &after);
    writing.put(CHANGED, about, &view, &moves(Some(&before), Some(&after)));
    writing.close(tx).await?;
    Ok(Changed { resource: view, merged })
}

async fn find_live(tx: &mut Tx<'_>, household: Uuid, id: Uuid) -> Result<Transaction, Error> {
    match transactions::read_transaction(tx, household, id).await? {
        Some((transaction, false)) => Ok(transaction),
        Some((_, true)) | None => Err(Error::NotFound),
    }
}

/// The first of all dates that are accepted, and the first one after them.
fn every_date() -> (NaiveDate, NaiveDate) {
    let first = |year| NaiveDate::from_ymd_opt(year, 1, 1).expect("every year has a first day");
    (first(*YEARS.start()), first(*YEARS.end() + 1))
}

async fn known_of(tx: &mut Tx<'_>, household: Uuid, content: &TransactionContent) -> Result<Known, Error> {
    let (accounts, categories) = content.references();
    Ok(accounts::read_known(tx, household, &accounts, &categories).await?)
}

/// An account opens once.
async fn check_opening(tx: &mut Tx<'_>, household: Uuid, transaction: &Transaction) -> Result<(), Error> {
    let opens = transaction.kind == TransactionKind::Opening;
    if opens && transactions::has_opening(tx, household, transaction.account, transaction.id).await? {
        return Err(Error::OpeningExists);
    }
    Ok(())
}
