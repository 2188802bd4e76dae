//! Double entry: what a transaction posts, and what a change of it moves in the months.

use super::{Currency, Month, Transaction, TransactionKind};
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// The side of the books that a posting stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ledger {
    /// An account of the household.
    Account,
    /// What was spent.
    Expense,
    /// What came in (negative: the source of the money).
    Income,
    /// The equity against which an account opens.
    Opening,
    /// The equity between two currencies of one transfer.
    Exchange,
}

impl Ledger {
    /// As the database and an event write it.
    pub fn name(self) -> &'static str {
        match self {
            Ledger::Account => "account",
            Ledger::Expense => "expense",
            Ledger::Income => "income",
            Ledger::Opening => "opening",
            Ledger::Exchange => "exchange",
        }
    }

    /// Reads what the database wrote.
    pub fn from_name(name: &str) -> Option<Ledger> {
        use Ledger::{Account, Exchange, Expense, Income, Opening};
        [Account, Expense, Income, Opening, Exchange].into_iter().find(|ledger| ledger.name() == name)
    }
}

/// One line of the books. All postings of a transaction sum to zero in each currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    /// Side of the books.
    pub ledger: Ledger,
    /// Account or category; the nil id where there is none.
    pub owner: Uuid,
    /// Currency of the amount.
    pub currency: Currency,
    /// Minor units.
    pub amount: i64,
}

/// What a transaction posts: one line per ledger, owner and currency.
pub fn postings(transaction: &Transaction) -> Vec<Posting> {
    let t = transaction;
    let mut lines: BTreeMap<(Ledger, Uuid, Currency), i64> = BTreeMap::new();
    let mut post =
        |ledger, owner, currency, amount: i64| *lines.entry((ledger, owner, currency)).or_default() += amount;
    match t.kind {
        TransactionKind::Expense | TransactionKind::Income => {
            let out = t.kind == TransactionKind::Expense;
            post(Ledger::Account, t.account, t.currency, if out { -t.amount } else { t.amount });
            for split in &t.splits {
                let amount = if out { split.amount } else { -split.amount };
                post(split.ledger, split.category.unwrap_or_default(), t.currency, amount);
            }
        }
        TransactionKind::Opening => {
            post(Ledger::Account, t.account, t.currency, t.amount);
            post(Ledger::Opening, Uuid::nil(), t.currency, -t.amount);
        }
        TransactionKind::Transfer => {
            let to = t.to.as_ref().expect("a transfer has a second side, see TransactionContent::resolve");
            post(Ledger::Account, t.account, t.currency, -t.amount);
            post(Ledger::Account, to.account, to.currency, to.amount);
            if to.currency != t.currency {
                post(Ledger::Exchange, Uuid::nil(), t.currency, t.amount);
                post(Ledger::Exchange, Uuid::nil(), to.currency, -to.amount);
            }
        }
    }
    lines
        .into_iter()
        .map(|((ledger, owner, currency), amount)| Posting { ledger, owner, currency, amount })
        .collect()
}

/// What a change moves in one month's total: part of an event, so that a projection only adds up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// First day of the month.
    pub month: NaiveDate,
    /// Side of the books.
    pub ledger: Ledger,
    /// Account or category; the nil id where there is none.
    pub owner: Uuid,
    /// Currency of the amount.
    pub currency: Currency,
    /// Minor units that come on top.
    pub amount: i64,
    /// Transactions that come on top (below zero: go away).
    pub entries: i64,
}

/// The difference that a change makes, in order of its key. `None`: it wasn't, or isn't any more.
pub fn moves(before: Option<&Transaction>, after: Option<&Transaction>) -> Vec<Move> {
    let mut totals: BTreeMap<(NaiveDate, Ledger, Uuid, Currency), (i64, i64)> = BTreeMap::new();
    for (transaction, sign) in [(before, -1), (after, 1)] {
        let Some(transaction) = transaction else { continue };
        let month = Month::of(transaction.date).first();
        for posting in postings(transaction) {
            let total = totals.entry((month, posting.ledger, posting.owner, posting.currency)).or_default();
            total.0 += sign * posting.amount;
            total.1 += sign;
        }
    }
    totals
        .into_iter()
        .filter(|(_, total)| *total != (0, 0))
        .map(|((month, ledger, owner, currency), (amount, entries))| Move {
            month,
            ledger,
            owner,
            currency,
            amount,
            entries,
        })
        .collect()
}
