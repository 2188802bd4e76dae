//! Accounts that hold money and categories that say what it was for.

use super::{Content, Currency, Ledger, Violation, check_text};
use garde::Validate;
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

impl AccountKind {
    const ALL: [AccountKind; 7] = [
        AccountKind::Checking,
        AccountKind::Savings,
        AccountKind::Cash,
        AccountKind::CreditCard,
        AccountKind::Loan,
        AccountKind::Investment,
        AccountKind::Other,
    ];

    /// As the database writes it.
    pub fn name(self) -> &'static str {
        match self {
            AccountKind::Checking => "checking",
            AccountKind::Savings => "savings",
            AccountKind::Cash => "cash",
            AccountKind::CreditCard => "credit_card",
            AccountKind::Loan => "loan",
            AccountKind::Investment => "investment",
            AccountKind::Other => "other",
        }
    }

    /// Reads what the database wrote.
    pub fn from_name(name: &str) -> Option<AccountKind> {
        AccountKind::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// What may be said of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
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

impl Content for AccountContent {
    const READ_ONLY: &'static [&'static str] = &["id", "household_id", "version"];
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
    /// As the database writes it.
    pub fn name(self) -> &'static str {
        self.ledger().name()
    }

    /// Reads what the database wrote.
    pub fn from_name(name: &str) -> Option<CategoryKind> {
        [CategoryKind::Expense, CategoryKind::Income].into_iter().find(|kind| kind.name() == name)
    }

    /// The side of the books that its postings stand on.
    pub fn ledger(self) -> Ledger {
        match self {
            CategoryKind::Expense => Ledger::Expense,
            CategoryKind::Income => Ledger::Income,
        }
    }
}

/// What may be said of a category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
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

impl Content for CategoryContent {
    const READ_ONLY: &'static [&'static str] = &["id", "household_id", "version"];
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
