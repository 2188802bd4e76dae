//! The rules that make a transaction whole: from what is said of one to one that can be posted, or everything that is wrong
//! with it.

use super::{
    Currency, Known, Ledger, NOTES_CHARS_MAX, PAYEE_CHARS_MAX, SPLITS_MAX, Side, Split, Transaction,
    TransactionContent, TransactionKind, Violation, YEARS, check_text,
};
use chrono::Datelike;
use rust_decimal::Decimal;
use std::collections::HashSet;
use uuid::Uuid;

const SPLIT_NOTE_CHARS_MAX: usize = 200;

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

#[cfg(test)]
#[path = "rules_tests.rs"]
mod tests;
