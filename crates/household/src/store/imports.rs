//! Imports and the rows of their files.

use super::people::currency_of;
use crate::import::matching::{Status, Verdict};
use crate::import::row::{ReadRow, Row as Moved};
use crate::model::Currency;
use chrono::NaiveDate;
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

common::statements! {
    /// A new import with its file.
    write INSERT_IMPORT = "INSERT INTO import (household, id, account, state, filename, wanted, file, operation, currency, version)
        VALUES ($1, $2, $3, 'reading', $4, $5, $6, $7, $8, $9)";
    /// An import without its file.
    read FIND_IMPORT = "SELECT id, version, account, state, filename, operation, bank_account, currency, balance, balance_date,
            rows_new, rows_duplicate, rows_probable, rows_error, rows_imported
        FROM import WHERE household = $1 AND id = $2";
    /// The file of an import, and which statement of it is wanted.
    read FIND_FILE = "SELECT file, wanted FROM import WHERE household = $1 AND id = $2 AND file IS NOT NULL";
    /// What became of an import. It was read, or never will be: its file is kept no longer.
    write UPDATE_IMPORT = "UPDATE import SET state = $3, version = $4, bank_account = $5, balance = $6, balance_date = $7,
            rows_new = $8, rows_duplicate = $9, rows_probable = $10, rows_error = $11, rows_imported = $12, file = NULL
        WHERE household = $1 AND id = $2";
    /// Before a file is read again.
    write DELETE_ROWS = "DELETE FROM import_row WHERE household = $1 AND import = $2";
    /// Rows with their verdicts.
    write INSERT_ROWS = "INSERT INTO import_row (household, import, line, status, reason, duplicate_of, date, amount, payee,
            notes, fitid, nth, raw_hash)
        SELECT $1, $2, line, status, reason, duplicate_of, date, amount, payee, notes, fitid, nth, decode(raw_hash, 'hex')
        FROM jsonb_to_recordset($3) AS new (line integer, status text, reason text, duplicate_of uuid, date date,
            amount bigint, payee text, notes text, fitid text, nth integer, raw_hash text)";
    /// Rows after a line.
    read LIST_ROWS = "SELECT line, status, reason, duplicate_of, date, amount, payee, notes, fitid, nth, raw_hash, transaction
        FROM import_row WHERE household = $1 AND import = $2 AND line > $3 ORDER BY line LIMIT $4";
    /// What a commit made of rows.
    write UPDATE_ROWS = "UPDATE import_row r SET status = new.status, reason = new.reason, duplicate_of = new.duplicate_of,
            transaction = new.transaction
        FROM jsonb_to_recordset($3) AS new (line integer, status text, reason text, duplicate_of uuid, transaction uuid)
        WHERE r.household = $1 AND r.import = $2 AND r.line = new.line";
}

/// Where an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ImportState {
    /// Its file is being read.
    Reading,
    /// It waits for a decision.
    Ready,
    /// Its transactions are in.
    Committed,
    /// They are out again.
    Reverted,
    /// Its file can't be imported.
    Failed,
    /// Somebody stopped it before its file was read.
    Cancelled,
}

impl ImportState {
    /// As the database writes it.
    pub fn name(self) -> &'static str {
        match self {
            ImportState::Reading => "reading",
            ImportState::Ready => "ready",
            ImportState::Committed => "committed",
            ImportState::Reverted => "reverted",
            ImportState::Failed => "failed",
            ImportState::Cancelled => "cancelled",
        }
    }

    fn from_name(name: &str) -> Option<ImportState> {
        use ImportState::{Cancelled, Committed, Failed, Reading, Ready, Reverted};
        [Reading, Ready, Committed, Reverted, Failed, Cancelled]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// An import without its file and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Import {
    pub id: Uuid,
    pub version: i64,
    pub account: Uuid,
    pub state: ImportState,
    pub filename: String,
    pub operation: Option<Uuid>,
    pub bank_account: Option<String>,
    pub currency: Currency,
    /// What the bank says the account holds, and when.
    pub balance: Option<(i64, NaiveDate)>,
    pub counts: Counts,
}

/// Rows by what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Counts {
    /// Not here yet.
    pub new: i32,
    /// Here already.
    pub duplicate_of: i32,
    /// Perhaps here already.
    pub probable_duplicate: i32,
    /// Can't be read.
    pub error: i32,
    /// Made into transactions.
    pub imported: i32,
}

/// A row of a file with its verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImportRow {
    /// From 1.
    pub line: i32,
    pub read: ReadRow,
    pub verdict: Verdict,
    pub transaction: Option<Uuid>,
}

pub(crate) async fn insert_import(
    tx: &mut Tx<'_>,
    household: Uuid,
    import: &Import,
    wanted: Option<&str>,
    file: &[u8],
) -> Result<(), DbError> {
    tx.execute(
        &INSERT_IMPORT,
        &[
            &household,
            &import.id,
            &import.account,
            &import.filename,
            &wanted,
            &file,
            &import.operation,
            &import.currency.code(),
            &import.version,
        ],
    )
    .await
}

pub(crate) async fn find_import(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    id: Uuid,
) -> Result<Option<Import>, DbError> {
    Ok(db.read_opt(ctx, freshness, &FIND_IMPORT, &[&household, &id]).await?.as_ref().map(import_of))
}

pub(crate) async fn read_import(
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
) -> Result<Option<Import>, DbError> {
    Ok(tx.row_opt(&FIND_IMPORT, &[&household, &id]).await?.as_ref().map(import_of))
}

/// The file, and which statement of it is wanted.
pub(crate) async fn find_file(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    id: Uuid,
) -> Result<Option<(Vec<u8>, Option<String>)>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_FILE, &[&household, &id]).await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

pub(crate) async fn update_import(tx: &mut Tx<'_>, household: Uuid, import: &Import) -> Result<(), DbError> {
    let (balance, date) = import.balance.unzip();
    let counts = &import.counts;
    tx.execute(
        &UPDATE_IMPORT,
        &[
            &household,
            &import.id,
            &import.state.name(),
            &import.version,
            &import.bank_account,
            &balance,
            &date,
            &counts.new,
            &counts.duplicate_of,
            &counts.probable_duplicate,
            &counts.error,
            &counts.imported,
        ],
    )
    .await
}

pub(crate) async fn delete_rows(tx: &mut Tx<'_>, household: Uuid, import: Uuid) -> Result<(), DbError> {
    tx.execute(&DELETE_ROWS, &[&household, &import]).await
}

pub(crate) async fn insert_rows(
    tx: &mut Tx<'_>,
    household: Uuid,
    import: Uuid,
    rows: &[ImportRow],
) -> Result<(), DbError> {
    let rows = rows.iter().map(|row| serde_json::to_value(InsertRow::of(row)).expect("plain data"));
    tx.execute(&INSERT_ROWS, &[&household, &import, &Value::Array(rows.collect())]).await
}

pub(crate) async fn list_rows(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    import: Uuid,
    after: i32,
    limit: i64,
) -> Result<Vec<ImportRow>, DbError> {
    let params: common::db::SqlParams<'_> = &[&household, &import, &after, &limit];
    Ok(db.read(ctx, Freshness::ReadYourWrites, &LIST_ROWS, params).await?.iter().map(row_of).collect())
}

pub(crate) async fn read_rows(
    tx: &mut Tx<'_>,
    household: Uuid,
    import: Uuid,
    limit: i64,
) -> Result<Vec<ImportRow>, DbError> {
    Ok(tx.rows(&LIST_ROWS, &[&household, &import, &0_i32, &limit]).await?.iter().map(row_of).collect())
}

pub(crate) async fn update_rows(
    tx: &mut Tx<'_>,
    household: Uuid,
    import: Uuid,
    rows: &[ImportRow],
) -> Result<(), DbError> {
    let rows = rows.iter().map(|row| {
        let (status, duplicate_of) = status_name(row.verdict.status);
        let (line, reason, transaction) = (row.line, &row.verdict.reason, row.transaction);
        serde_json::json!({"line": line, "status": status, "reason": reason, "duplicate_of": duplicate_of,
            "transaction": transaction})
    });
    tx.execute(&UPDATE_ROWS, &[&household, &import, &Value::Array(rows.collect())]).await
}

/// A row as `INSERT_ROWS` reads it.
#[derive(Serialize)]
struct InsertRow<'a> {
    line: i32,
    status: &'a str,
    reason: Option<&'a str>,
    duplicate_of: Option<Uuid>,
    date: Option<NaiveDate>,
    amount: Option<i64>,
    payee: &'a str,
    notes: &'a str,
    fitid: Option<&'a str>,
    nth: i32,
    raw_hash: String,
}

impl InsertRow<'_> {
    fn of(row: &ImportRow) -> InsertRow<'_> {
        let (status, duplicate_of) = status_name(row.verdict.status);
        let moved = row.read.row.as_ref().ok();
        let unreadable = row.read.row.as_ref().err();
        InsertRow {
            line: row.line,
            status,
            reason: unreadable.or(row.verdict.reason.as_ref()).map(String::as_str),
            duplicate_of,
            date: moved.map(|moved| moved.date),
            amount: moved.map(|moved| moved.amount),
            payee: &row.read.payee,
            notes: &row.read.notes,
            fitid: row.read.bank_id.as_deref(),
            nth: row.verdict.nth,
            raw_hash: row.read.raw_hash.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// The status as it is written, and the transaction that it names.
pub(crate) fn status_name(status: Status) -> (&'static str, Option<Uuid>) {
    match status {
        Status::New => ("new", None),
        Status::DuplicateOf(transaction) => ("duplicate_of", Some(transaction)),
        Status::ProbableDuplicate(transaction) => ("probable_duplicate", transaction),
        Status::Error => ("error", None),
    }
}

fn import_of(row: &Row) -> Import {
    Import {
        id: row.get(0),
        version: row.get(1),
        account: row.get(2),
        state: ImportState::from_name(row.get(3)).expect("the column has a check"),
        filename: row.get(4),
        operation: row.get(5),
        bank_account: row.get(6),
        currency: currency_of(row.get(7)),
        balance: row.get::<_, Option<i64>>(8).zip(row.get(9)),
        counts: Counts {
            new: row.get(10),
            duplicate_of: row.get(11),
            probable_duplicate: row.get(12),
            error: row.get(13),
            imported: row.get(14),
        },
    }
}

fn row_of(row: &Row) -> ImportRow {
    let (reason, duplicate_of): (Option<String>, Option<Uuid>) = (row.get(2), row.get(3));
    let status = match row.get(1) {
        "new" => Status::New,
        "duplicate_of" => Status::DuplicateOf(duplicate_of.unwrap_or_default()),
        "probable_duplicate" => Status::ProbableDuplicate(duplicate_of),
        _ => Status::Error,
    };
    let moved = row.get::<_, Option<NaiveDate>>(4).zip(row.get::<_, Option<i64>>(5));
    let raw_hash: &[u8] = row.get(10);
    ImportRow {
        line: row.get(0),
        read: ReadRow {
            row: moved.map(|(date, amount)| Moved { date, amount }).ok_or(reason.clone().unwrap_or_default()),
            payee: row.get(6),
            notes: row.get(7),
            bank_id: row.get(8),
            raw_hash: raw_hash.try_into().expect("SHA-256 has 32 bytes"),
        },
        // Whether the bank's id counts is judged anew with all rows.
        verdict: Verdict { status, reason, nth: row.get(9), bank_id_counts: false },
        transaction: row.get(11),
    }
}
