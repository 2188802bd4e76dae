//! Accounts that hold money and categories that say what it was for.

use super::{Currency, Ledger, Violation, check_text};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 100;

/// What sort of account it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A current account.
    Checking,
    /// A savings account.
    Savings,
    /// Notes and coins.
    Cash,
    /// A credit card.
    CreditCard,
    /// Money owed.
    Loan,
    /// Money invested.
    Investment,
    /// Anything else.
    Other,
}

/// What may be said of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AccountContent {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// What sort of account it is.
    pub kind: AccountKind,
    /// ISO 4217; it can't change later.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// A closed account takes no new transactions.
    #[serde(default)]
    pub closed: bool,
}

impl AccountContent {
    /// Checks a new content, given the one before.
    pub fn check(&self, before: Option<&AccountContent>) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        check_text(&mut wrong, "/name", &self.name, 1, NAME_CHARS_MAX);
        if before.is_some_and(|before| before.currency != self.currency) {
            wrong.push(Violation::new("/currency", "read-only", "an account's currency can't change"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Account {
    /// Its id.
    pub id: Uuid,
    /// The household it belongs to.
    pub household_id: Uuid,
    /// Number of the event that last changed it.
    pub version: i64,
    /// What is said of it.
    #[serde(flatten)]
    pub content: AccountContent,
}

/// What money of a category does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CategoryKind {
    /// It is spent.
    Expense,
    /// It comes in.
    Income,
}

impl CategoryKind {
    /// The side of the books that its postings stand on.
    pub fn ledger(self) -> Ledger {
        match self {
            CategoryKind::Expense => Ledger::Expense,
            CategoryKind::Income => Ledger::Income,
        }
    }
}

/// What may be said of a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CategoryContent {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Expense or income; it can't change later.
    pub kind: CategoryKind,
    /// An archived category is kept for what it has, and offered no more.
    #[serde(default)]
    pub archived: bool,
}

impl CategoryContent {
    /// Checks a new content, given the one before.
    pub fn check(&self, before: Option<&CategoryContent>) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        check_text(&mut wrong, "/name", &self.name, 1, NAME_CHARS_MAX);
        if before.is_some_and(|before| before.kind != self.kind) {
            wrong.push(Violation::new("/kind", "read-only", "a category's kind can't change"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// A category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Category {
    /// Its id.
    pub id: Uuid,
    /// The household it belongs to.
    pub household_id: Uuid,
    /// Number of the event that last changed it.
    pub version: i64,
    /// What is said of it.
    #[serde(flatten)]
    pub content: CategoryContent,
}
