//! Types and rules of the household, pure: no I/O, no clock.

mod account;
mod edit;
mod ledger;
mod money;
mod month;
mod people;
mod rules;
mod transaction;

pub use account::{Account, AccountContent, AccountKind, Category, CategoryContent, CategoryKind};
pub use edit::{Content, Decision, Edit, decide};
pub use ledger::{Ledger, Move, Posting, moves, postings};
pub use money::{AMOUNT_MAX, AmountError, Currency};
pub use month::{Month, YEARS, today, zone};
pub use people::{Household, HouseholdContent, Member, MemberContent, Role, check_owner_stays};
pub use transaction::{
    Known, NOTES_CHARS_MAX, PAYEE_CHARS_MAX, SPLITS_MAX, Side, Source, SourceKey, Split, SplitContent,
    Transaction, TransactionContent, TransactionKind,
};

/// One field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the body.
    pub pointer: String,
    /// What is wrong, for a person.
    pub detail: String,
    /// What is wrong, for a program.
    pub code: &'static str,
}

impl Violation {
    /// A violation at a pointer.
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Violation {
        Violation { pointer: pointer.into(), detail: detail.into(), code }
    }
}

/// Adds a violation when a text is empty though it must not be, too long, or can't be stored.
pub(crate) fn check_text(wrong: &mut Vec<Violation>, pointer: &str, text: &str, min: usize, max: usize) {
    let chars = text.chars().count();
    if chars > max {
        wrong.push(Violation::new(pointer, "too-long", format!("at most {max} characters")));
    } else if text.trim().chars().count() < min {
        wrong.push(Violation::new(pointer, "too-short", format!("at least {min} character")));
    }
    if text.contains('\0') {
        wrong.push(Violation::new(pointer, "invalid-text", "must not contain the character U+0000"));
    }
}
