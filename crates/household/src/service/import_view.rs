//! Imports and their rows as they are shown.

use crate::store::imports::{Counts, Import, ImportRow, ImportState, status_name};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// An import as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportView {
    /// Its id.
    pub id: Uuid,
    /// The household it belongs to.
    pub household_id: Uuid,
    /// Number of the event that last changed it.
    pub version: i64,
    /// The account that it goes into.
    pub account_id: Uuid,
    /// Where it is.
    pub state: ImportState,
    /// How the file is called.
    pub filename: String,
    /// The operation that reads the file.
    pub operation_id: Option<Uuid>,
    /// What the bank says of the account, once the file is read.
    pub statement: Option<StatementView>,
    /// Rows by what they are.
    pub counts: Counts,
}

/// What the bank says of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StatementView {
    /// The bank's account number.
    pub bank_account: Option<String>,
    /// The currency.
    #[schema(example = "CAD")]
    pub currency: String,
    /// What it holds, by the bank.
    #[schema(value_type = Option<String>, example = "382.34")]
    pub balance: Option<Decimal>,
    /// When it held that.
    pub balance_date: Option<NaiveDate>,
}

/// A row of the file as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ImportRowView {
    /// From 1.
    pub row: i32,
    /// `new`, `duplicate_of`, `probable_duplicate` or `error`.
    #[schema(example = "new")]
    pub status: String,
    /// Why, where it isn't plain.
    pub reason: Option<String>,
    /// The transaction that it is, or may be.
    pub duplicate_of: Option<Uuid>,
    /// The file's date.
    pub date: Option<NaiveDate>,
    /// The file's amount; below zero went out.
    #[schema(value_type = Option<String>, example = "-6.60")]
    pub amount: Option<Decimal>,
    /// Who was paid, or paid.
    pub payee: String,
    /// What else the file says.
    pub notes: String,
    /// The bank's own id.
    pub bank_id: Option<String>,
    /// The transaction that was made of it.
    pub transaction_id: Option<Uuid>,
}

impl ImportView {
    pub(crate) fn of(household: Uuid, import: &Import) -> ImportView {
        use ImportState::{Cancelled, Failed, Reading};
        let read = !matches!(import.state, Reading | Failed | Cancelled);
        ImportView {
            id: import.id,
            household_id: household,
            version: import.version,
            account_id: import.account,
            state: import.state,
            filename: import.filename.clone(),
            operation_id: import.operation,
            statement: read.then(|| StatementView {
                bank_account: import.bank_account.clone(),
                currency: import.currency.code().to_owned(),
                balance: import.balance.map(|(minor, _)| import.currency.decimal(minor)),
                balance_date: import.balance.map(|(_, date)| date),
            }),
            counts: import.counts,
        }
    }
}

impl ImportRowView {
    pub(crate) fn of(import: &Import, row: &ImportRow) -> ImportRowView {
        let (status, duplicate_of) = status_name(row.verdict.status);
        let moved = row.read.row.as_ref().ok();
        ImportRowView {
            row: row.line,
            status: status.to_owned(),
            reason: row.read.row.as_ref().err().or(row.verdict.reason.as_ref()).cloned(),
            duplicate_of,
            date: moved.map(|moved| moved.date),
            amount: moved.map(|moved| import.currency.decimal(moved.amount)),
            payee: row.read.payee.clone(),
            notes: row.read.notes.clone(),
            bank_id: row.read.bank_id.clone(),
            transaction_id: row.transaction,
        }
    }
}
