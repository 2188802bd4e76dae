//! Expenses, incomes, transfers and opening entries: what is said of one, and the rules that make it whole.

use super::{CategoryKind, Content, Currency, Ledger, Violation, YEARS, check_text};
use chrono::{Datelike, NaiveDate};
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
const SPLIT_NOTE_CHARS_MAX: usize = 200;

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

impl TransactionContent {
    /// The accounts and categories that are named.
    pub fn references(&self) -> (Vec<Uuid>, Vec<Uuid>) {
        let accounts = [Some(self.account_id), self.to_account_id].into_iter().flatten().collect();
        let categories = self.splits.iter().filter_map(|split| split.category_id).collect();
        (accounts, categories)
    }

    /// Makes a transaction of it, or says everything that is wrong. `before` is what it replaces.
    pub fn resolve(
        self,
        id: Uuid,
        known: &Known,
        before: Option<&Transaction>,
    ) -> Result<Transaction, Vec<Violation>> {
        let mut wrong = Vec::new();
        if !YEARS.contains(&self.date.year()) {
            wrong.push(Violation::new("/date", "out-of-range", "a date from 1900 to 2199"));
        }
        check_text(&mut wrong, "/payee", &self.payee, 0, PAYEE_CHARS_MAX);
        check_text(&mut wrong, "/notes", &self.notes, 0, NOTES_CHARS_MAX);
        let currency = find_account(&mut wrong, "/account_id", self.account_id, known, before);
        let amount = currency.and_then(|currency| minor(&mut wrong, "/amount", self.amount, currency));
        match amount {
            Some(0) => wrong.push(Violation::new("/amount", "zero", "must not be zero")),
            Some(amount) if amount < 0 && self.kind != TransactionKind::Opening => {
                wrong.push(Violation::new(
                    "/amount",
                    "negative",
                    "must be above zero; the kind says which way it goes",
                ));
            }
            _ => {}
        }
        let to = self.resolve_far_side(&mut wrong, known, before, currency.zip(amount));
        let splits = self.resolve_splits(&mut wrong, known, before, currency.zip(amount));
        match (currency, amount) {
            (Some(currency), Some(amount)) if wrong.is_empty() => Ok(Transaction {
                id,
                version: before.map_or(0, |before| before.version),
                kind: self.kind,
                date: self.date,
                account: self.account_id,
                amount,
                currency,
                to,
                payee: self.payee,
                notes: self.notes,
                cleared: self.cleared,
                splits,
                source: before.and_then(|before| before.source.clone()),
            }),
            _ => Err(wrong),
        }
    }

    fn resolve_far_side(
        &self,
        wrong: &mut Vec<Violation>,
        known: &Known,
        before: Option<&Transaction>,
        near: Option<(Currency, i64)>,
    ) -> Option<Side> {
        if self.kind != TransactionKind::Transfer {
            for (pointer, given) in
                [("/to_account_id", self.to_account_id.is_some()), ("/to_amount", self.to_amount.is_some())]
            {
                if given {
                    wrong.push(Violation::new(
                        pointer,
                        "not-a-transfer",
                        "only a transfer has a second account",
                    ));
                }
            }
            return None;
        }
        let Some(account) = self.to_account_id else {
            wrong.push(Violation::new(
                "/to_account_id",
                "required",
                "a transfer names the account it goes to",
            ));
            return None;
        };
        if account == self.account_id {
            wrong.push(Violation::new("/to_account_id", "same-account", "a transfer needs two accounts"));
            return None;
        }
        let currency = find_account(wrong, "/to_account_id", account, known, before)?;
        let (near_currency, near_amount) = near?;
        let amount = match self.to_amount {
            None if currency == near_currency => near_amount,
            None => {
                let detail = format!("needed, since the accounts are in {near_currency} and {currency}");
                wrong.push(Violation::new("/to_amount", "required", detail));
                return None;
            }
            Some(amount) => minor(wrong, "/to_amount", amount, currency)?,
        };
        if currency == near_currency && amount != near_amount {
            wrong.push(Violation::new(
                "/to_amount",
                "unbalanced",
                "in one currency what arrives is what left",
            ));
        }
        if amount <= 0 {
            wrong.push(Violation::new("/to_amount", "negative", "must be above zero"));
        }
        Some(Side { account, amount, currency })
    }

    fn resolve_splits(
        &self,
        wrong: &mut Vec<Violation>,
        known: &Known,
        before: Option<&Transaction>,
        whole: Option<(Currency, i64)>,
    ) -> Vec<Split> {
        let by_default = match self.kind {
            TransactionKind::Expense => Ledger::Expense,
            TransactionKind::Income => Ledger::Income,
            TransactionKind::Transfer | TransactionKind::Opening => {
                if !self.splits.is_empty() {
                    wrong.push(Violation::new(
                        "/splits",
                        "no-splits",
                        "only an expense or income has splits",
                    ));
                }
                return Vec::new();
            }
        };
        if self.splits.len() > SPLITS_MAX {
            wrong.push(Violation::new("/splits", "too-many", format!("at most {SPLITS_MAX}")));
            return Vec::new();
        }
        let Some((currency, total)) = whole else { return Vec::new() };
        if self.splits.is_empty() {
            // The one that is there keeps its id, so that saying the same again changes nothing.
            let lone = before
                .and_then(|before| before.splits.first())
                .filter(|_| before.is_some_and(|t| t.splits.len() == 1));
            let id = lone.map_or_else(Uuid::now_v7, |split| split.id);
            return vec![Split {
                id,
                category: None,
                ledger: by_default,
                amount: total,
                note: String::new(),
            }];
        }
        let mut ids = HashSet::new();
        let mut splits = Vec::with_capacity(self.splits.len());
        for (position, split) in self.splits.iter().enumerate() {
            let id = split.id.unwrap_or_else(Uuid::now_v7);
            let at = |field: &str| {
                format!("/splits/{}{field}", split.id.map_or(position.to_string(), |id| id.to_string()))
            };
            if !ids.insert(id) {
                wrong.push(Violation::new(at("/id"), "repeated", "two splits with one id"));
            }
            let ledger = match split.category_id.map(|category| known.categories.get(&category)) {
                None => by_default,
                Some(Some(kind)) => kind.ledger(),
                Some(None) => {
                    wrong.push(Violation::new(at("/category_id"), "unknown-category", "no such category"));
                    continue;
                }
            };
            check_text(wrong, &at("/note"), &split.note, 0, SPLIT_NOTE_CHARS_MAX);
            let Some(amount) = minor(wrong, &at("/amount"), split.amount, currency) else { continue };
            if amount == 0 {
                wrong.push(Violation::new(at("/amount"), "zero", "must not be zero"));
            }
            splits.push(Split { id, category: split.category_id, ledger, amount, note: split.note.clone() });
        }
        if splits.len() < self.splits.len() {
            return splits;
        }
        follow_amount(&mut splits, before, total);
        let sum: i128 = splits.iter().map(|split| i128::from(split.amount)).sum();
        if sum != i128::from(total) {
            let sum = Decimal::from_i128_with_scale(sum, currency.scale());
            let detail = format!("the splits sum to {sum}, the transaction is {}", currency.decimal(total));
            wrong.push(Violation::new("/splits", "unbalanced", detail));
        }
        splits
    }
}

/// A lone split that nobody touched follows the transaction's amount.
fn follow_amount(splits: &mut [Split], before: Option<&Transaction>, total: i64) {
    let [split] = splits else { return };
    let Some([old]) = before.map(|before| before.splits.as_slice()) else { return };
    if split.id == old.id && split.amount == old.amount && before.is_some_and(|before| before.amount != total)
    {
        split.amount = total;
    }
}

fn find_account(
    wrong: &mut Vec<Violation>,
    pointer: &str,
    id: Uuid,
    known: &Known,
    before: Option<&Transaction>,
) -> Option<Currency> {
    let Some((currency, closed)) = known.accounts.get(&id) else {
        wrong.push(Violation::new(pointer, "unknown-account", "no such account"));
        return None;
    };
    let already = before.is_some_and(|t| t.account == id || t.to.as_ref().is_some_and(|to| to.account == id));
    if *closed && !already {
        wrong.push(Violation::new(pointer, "account-closed", "the account is closed"));
    }
    Some(*currency)
}

fn minor(wrong: &mut Vec<Violation>, pointer: &str, amount: Decimal, currency: Currency) -> Option<i64> {
    currency
        .minor(amount)
        .map_err(|error| wrong.push(Violation::new(pointer, "invalid-amount", error.to_string())))
        .ok()
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

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
