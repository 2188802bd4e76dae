//! Expenses, incomes, transfers and opening entries: what is said of one, and the rules that make it whole.

use super::{CategoryKind, Content, Currency, Ledger};
use chrono::NaiveDate;
use garde::Validate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use utoipa::ToSchema;
use uuid::Uuid;

/// Longest payee.
pub const PAYEE_CHARS_MAX: usize = 200;
/// Longest notes.
pub const NOTES_CHARS_MAX: usize = 2_000;
/// Most splits of one transaction.
pub const SPLITS_MAX: usize = 50;

/// What a transaction does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TransactionKind {
    /// Money goes out of an account.
    Expense,
    /// Money comes into an account.
    Income,
    /// Money goes from one account to another.
    Transfer,
    /// What an account held when its books were opened, against equity.
    Opening,
}

impl TransactionKind {
    /// As the database writes it.
    pub fn name(self) -> &'static str {
        match self {
            TransactionKind::Expense => "expense",
            TransactionKind::Income => "income",
            TransactionKind::Transfer => "transfer",
            TransactionKind::Opening => "opening",
        }
    }

    /// Reads what the database wrote.
    pub fn from_name(name: &str) -> Option<TransactionKind> {
        use TransactionKind::{Expense, Income, Opening, Transfer};
        [Expense, Income, Transfer, Opening].into_iter().find(|kind| kind.name() == name)
    }
}

/// What may be said of a transaction. A transaction that was kept gives it back in one form only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct TransactionContent {
    /// What it does.
    pub kind: TransactionKind,
    /// The calendar date.
    pub date: NaiveDate,
    /// The account it is about; of a transfer, the one that the money leaves.
    pub account_id: Uuid,
    /// In the account's currency; above zero, but for an opening entry.
    pub amount: Decimal,
    /// Of a transfer: the account that the money reaches.
    #[serde(default)]
    pub to_account_id: Option<Uuid>,
    /// Of a transfer between two currencies: what arrives.
    #[serde(default)]
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
    /// Of an expense or income: what it was for. They sum to `amount`; none given is one of all.
    #[serde(default)]
    pub splits: Vec<SplitContent>,
}

/// A part of an expense or income.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct SplitContent {
    /// Its id within the transaction; made by the server when none is given.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// What it was for, if that is known.
    #[serde(default)]
    pub category_id: Option<Uuid>,
    /// Not zero; below zero takes from the others.
    pub amount: Decimal,
    /// Up to 200 characters.
    #[serde(default)]
    pub note: String,
}

/// A transaction that keeps the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its id.
    pub id: Uuid,
    /// Number of the event that last changed it; 0 before it was written.
    pub version: i64,
    /// What it does.
    pub kind: TransactionKind,
    /// The calendar date.
    pub date: NaiveDate,
    /// The account it is about.
    pub account: Uuid,
    /// Minor units.
    pub amount: i64,
    /// Currency of that account.
    pub currency: Currency,
    /// Of a transfer, where the money goes.
    pub to: Option<Side>,
    /// Who was paid, or paid.
    pub payee: String,
    /// For people.
    pub notes: String,
    /// Seen on the bank's statement.
    pub cleared: bool,
    /// Of an expense or income, in their order.
    pub splits: Vec<Split>,
    /// Where it came from, when it was imported. Edits don't touch it.
    pub source: Option<Source>,
}

/// The far side of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The account that the money reaches.
    pub account: Uuid,
    /// Minor units.
    pub amount: i64,
    /// Currency of that account.
    pub currency: Currency,
}

/// A part of an expense or income. Kept as it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Its id within the transaction.
    pub id: Uuid,
    /// What it was for, if that is known.
    pub category: Option<Uuid>,
    /// The category's side of the books: money back for groceries is less spent, not more earned.
    pub ledger: Ledger,
    /// Minor units.
    pub amount: i64,
    /// For people.
    pub note: String,
}

/// What the bank's file said, which a second import of it is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The import.
    pub import: Uuid,
    /// The row in its file, from 1.
    pub row: i32,
    /// The bank's own id, unique per account.
    pub bank_id: Option<String>,
    /// What identifies the row besides; `None` for a row that was taken in though known to be a duplicate.
    pub key: Option<SourceKey>,
}

/// Account, date, amount and how-many-th of these in its file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SourceKey {
    /// The account that was imported into.
    pub account: Uuid,
    /// The file's date.
    pub date: NaiveDate,
    /// Minor units with the file's sign.
    pub amount: i64,
    /// From 1.
    pub nth: i32,
}

/// What a rule has to know of the household's accounts and categories.
#[derive(Debug, Default)]
pub struct Known {
    /// Currency, and whether it is closed.
    pub accounts: HashMap<Uuid, (Currency, bool)>,
    /// Kind.
    pub categories: HashMap<Uuid, CategoryKind>,
}

impl Content for TransactionContent {
    const READ_ONLY: &'static [&'static str] =
        &["id", "household_id", "version", "currency", "to_currency", "source"];

    /// Amounts get the decimals of `like`, and a split without an id the one in its place there, or a new one.
    fn tidy(&mut self, like: &Self) {
        let decimals = like.amount.scale();
        let pad = |amount: &mut Decimal| {
            let plain = amount.normalize();
            if plain.scale() <= decimals {
                *amount = plain;
                amount.rescale(decimals);
            }
        };
        pad(&mut self.amount);
        let given: HashSet<Uuid> = self.splits.iter().filter_map(|split| split.id).collect();
        for (place, split) in self.splits.iter_mut().enumerate() {
            pad(&mut split.amount);
            let there = || like.splits.get(place).and_then(|split| split.id).filter(|id| !given.contains(id));
            split.id = split.id.or_else(there).or_else(|| Some(Uuid::now_v7()));
        }
    }
}

impl Transaction {
    /// What is said of it, in the one form.
    pub fn content(&self) -> TransactionContent {
        TransactionContent {
            kind: self.kind,
            date: self.date,
            account_id: self.account,
            amount: self.currency.decimal(self.amount),
            to_account_id: self.to.as_ref().map(|to| to.account),
            to_amount: self
                .to
                .as_ref()
                .filter(|to| to.currency != self.currency)
                .map(|to| to.currency.decimal(to.amount)),
            payee: self.payee.clone(),
            notes: self.notes.clone(),
            cleared: self.cleared,
            splits: self
                .splits
                .iter()
                .map(|split| SplitContent {
                    id: Some(split.id),
                    category_id: split.category,
                    amount: self.currency.decimal(split.amount),
                    note: split.note.clone(),
                })
                .collect(),
        }
    }
}
