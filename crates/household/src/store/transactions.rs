//! Transactions with their splits, and what they post.

use crate::import::matching::Existing;
use crate::model::{Currency, Side, Source, SourceKey, Split, Transaction, TransactionKind, postings};
use chrono::NaiveDate;
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

/// Most transactions of an account that an import is compared with.
pub(crate) const EXISTING_MAX: i64 = 100_000;

macro_rules! columns {
    () => {
        "t.id, t.version, t.kind, t.date, t.account, t.amount, t.currency, t.to_account, t.to_amount, t.to_currency, t.payee,
            t.notes, t.cleared, t.splits, t.import, t.import_line, t.source_account, t.source_fitid, t.source_date,
            t.source_amount, t.source_nth, t.deleted"
    };
}

common::statements! {
    /// A transaction, a deleted one too.
    read FIND_TRANSACTION = concat!("SELECT ", columns!(), " FROM transaction t WHERE t.household = $1 AND t.id = $2");
    /// Transactions from the newest date, before a place in that order.
    read LIST_TRANSACTIONS = concat!("SELECT ", columns!(), " FROM transaction t
        WHERE t.household = $1 AND t.date >= $2 AND t.date < $3 AND (t.date, t.id) < ($4, $5) AND NOT t.deleted
        ORDER BY t.date DESC, t.id DESC LIMIT $6");
    /// The same of one account or category.
    read LIST_TRANSACTIONS_OF = concat!("SELECT ", columns!(), " FROM posting p
        JOIN transaction t ON t.household = p.household AND t.id = p.transaction
        WHERE p.household = $1 AND p.date >= $2 AND p.date < $3 AND (p.date, p.transaction) < ($4, $5) AND p.owner = $7
            AND ($8::uuid IS NULL OR EXISTS (SELECT FROM posting q
                WHERE q.household = p.household AND q.transaction = p.transaction AND q.owner = $8))
        ORDER BY p.date DESC, p.transaction DESC LIMIT $6");
    /// The transactions that an import made and that are still there.
    read LIST_IMPORTED = concat!("SELECT ", columns!(), " FROM transaction t
        WHERE t.household = $1 AND t.import = $2 AND NOT t.deleted ORDER BY t.import_line LIMIT $3");
    /// Transactions as they are now, whole.
    write PUT_TRANSACTIONS = "INSERT INTO transaction (household, id, kind, date, account, amount, currency, to_account,
            to_amount, to_currency, payee, notes, cleared, splits, import, import_line, source_account, source_fitid,
            source_date, source_amount, source_nth, version, deleted)
        SELECT $1, id, kind, date, account, amount, currency, to_account, to_amount, to_currency, payee, notes, cleared,
            splits, import, import_line, source_account, source_fitid, source_date, source_amount, source_nth, version, $3
        FROM jsonb_to_recordset($2) AS new (id uuid, kind text, date date, account uuid, amount bigint, currency text,
            to_account uuid, to_amount bigint, to_currency text, payee text, notes text, cleared boolean, splits jsonb,
            import uuid, import_line integer, source_account uuid, source_fitid text, source_date date,
            source_amount bigint, source_nth integer, version bigint)
        ON CONFLICT (household, id) DO UPDATE SET kind = excluded.kind, date = excluded.date, account = excluded.account,
            amount = excluded.amount, currency = excluded.currency, to_account = excluded.to_account,
            to_amount = excluded.to_amount, to_currency = excluded.to_currency, payee = excluded.payee,
            notes = excluded.notes, cleared = excluded.cleared, splits = excluded.splits, version = excluded.version,
            deleted = excluded.deleted";
    /// Takes whole transactions out of the books.
    write DELETE_POSTINGS = "DELETE FROM posting WHERE household = $1 AND transaction = ANY($2)";
    /// Puts whole transactions into the books.
    write INSERT_POSTINGS = "INSERT INTO posting (household, transaction, ledger, owner, currency, amount, date)
        SELECT $1, transaction, ledger, owner, currency, amount, date
        FROM unnest($2::uuid[], $3::text[], $4::uuid[], $5::text[], $6::bigint[], $7::date[])
            AS new (transaction, ledger, owner, currency, amount, date)";
    /// Whether an account has an opening entry other than this transaction.
    read HAS_OPENING = "SELECT EXISTS (SELECT FROM transaction
        WHERE household = $1 AND account = $2 AND kind = 'opening' AND NOT deleted AND id <> $3)";
    /// What an import is compared with: by hand and near, imported and near, imported under one of the bank's ids.
    read LIST_EXISTING = "SELECT t.id, p.date, p.amount, NULL::integer AS nth, NULL::text AS fitid
            FROM posting p JOIN transaction t ON t.household = p.household AND t.id = p.transaction
            WHERE p.household = $1 AND p.owner = $2 AND p.date >= $3 AND p.date <= $4 AND t.kind <> 'opening'
                AND t.source_account IS DISTINCT FROM $2
        UNION ALL SELECT id, source_date, source_amount, source_nth, source_fitid FROM transaction
            WHERE household = $1 AND source_account = $2 AND source_date >= $3 AND source_date <= $4 AND NOT deleted
        UNION ALL SELECT id, source_date, source_amount, source_nth, source_fitid FROM transaction
            WHERE household = $1 AND source_account = $2 AND source_fitid = ANY($5) AND NOT deleted
                AND (source_date < $3 OR source_date > $4)
        LIMIT $6";
}

/// Which transactions are asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Filter {
    pub account: Option<Uuid>,
    pub category: Option<Uuid>,
    /// Included.
    pub from: NaiveDate,
    /// Excluded.
    pub to: NaiveDate,
}

pub(crate) async fn find_transaction(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    id: Uuid,
) -> Result<Option<Transaction>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_TRANSACTION, &[&household, &id]).await?;
    Ok(row.as_ref().map(transaction_of).and_then(|(transaction, deleted)| (!deleted).then_some(transaction)))
}

/// A transaction, and whether it is deleted.
pub(crate) async fn read_transaction(
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
) -> Result<Option<(Transaction, bool)>, DbError> {
    Ok(tx.row_opt(&FIND_TRANSACTION, &[&household, &id]).await?.as_ref().map(transaction_of))
}

/// Newest first, before `(date, id)`.
pub(crate) async fn list_transactions(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    filter: Filter,
    before: (NaiveDate, Uuid),
    limit: i64,
) -> Result<Vec<Transaction>, DbError> {
    let freshness = Freshness::ReadYourWrites;
    let (date, id) = before;
    let (from, to) = (filter.from, filter.to);
    // A category is the narrower of the two.
    let (owner, also) = match (filter.category, filter.account) {
        (Some(category), account) => (Some(category), account),
        (None, account) => (account, None),
    };
    let rows = match owner {
        None => {
            db.read(ctx, freshness, &LIST_TRANSACTIONS, &[&household, &from, &to, &date, &id, &limit]).await?
        }
        Some(owner) => {
            let params: common::db::SqlParams<'_> =
                &[&household, &from, &to, &date, &id, &limit, &owner, &also];
            db.read(ctx, freshness, &LIST_TRANSACTIONS_OF, params).await?
        }
    };
    Ok(rows.iter().map(|row| transaction_of(row).0).collect())
}

/// What an import made, in the order of its file.
pub(crate) async fn list_imported(
    tx: &mut Tx<'_>,
    household: Uuid,
    import: Uuid,
    limit: i64,
) -> Result<Vec<Transaction>, DbError> {
    let rows = tx.rows(&LIST_IMPORTED, &[&household, &import, &limit]).await?;
    Ok(rows.iter().map(|row| transaction_of(row).0).collect())
}

/// Writes transactions and what they post, in one round trip, whether they were there before or not.
pub(crate) async fn put_transactions(
    tx: &mut Tx<'_>,
    household: Uuid,
    transactions: &[Transaction],
) -> Result<(), DbError> {
    let rows = rows_of(transactions);
    let ids: Vec<Uuid> = transactions.iter().map(|t| t.id).collect();
    let lines: Vec<_> = transactions
        .iter()
        .flat_map(|t| postings(t).into_iter().map(move |line| (t.id, t.date, line)))
        .collect();
    let transaction: Vec<Uuid> = lines.iter().map(|(id, ..)| *id).collect();
    let ledger: Vec<&str> = lines.iter().map(|(_, _, line)| line.ledger.name()).collect();
    let owner: Vec<Uuid> = lines.iter().map(|(_, _, line)| line.owner).collect();
    let currency: Vec<&str> = lines.iter().map(|(_, _, line)| line.currency.code()).collect();
    let amount: Vec<i64> = lines.iter().map(|(_, _, line)| line.amount).collect();
    let date: Vec<NaiveDate> = lines.iter().map(|(_, date, _)| *date).collect();
    tx.pipeline(&[
        (&DELETE_POSTINGS, &[&household, &ids]),
        (&PUT_TRANSACTIONS, &[&household, &rows, &false]),
        (&INSERT_POSTINGS, &[&household, &transaction, &ledger, &owner, &currency, &amount, &date]),
    ])
    .await
    .map(drop)
}

/// Takes transactions away; their rows stay as tombstones with the version of the deletion.
pub(crate) async fn delete_transactions(
    tx: &mut Tx<'_>,
    household: Uuid,
    transactions: &[Transaction],
) -> Result<(), DbError> {
    let rows = rows_of(transactions);
    let ids: Vec<Uuid> = transactions.iter().map(|t| t.id).collect();
    tx.pipeline(&[(&DELETE_POSTINGS, &[&household, &ids]), (&PUT_TRANSACTIONS, &[&household, &rows, &true])])
        .await
        .map(drop)
}

pub(crate) async fn has_opening(
    tx: &mut Tx<'_>,
    household: Uuid,
    account: Uuid,
    besides: Uuid,
) -> Result<bool, DbError> {
    Ok(tx.row(&HAS_OPENING, &[&household, &account, &besides]).await?.get(0))
}

/// What an import into an account is compared with; more than `EXISTING_MAX` means that there is more.
pub(crate) async fn list_existing(
    tx: &mut Tx<'_>,
    household: Uuid,
    account: Uuid,
    from: NaiveDate,
    to: NaiveDate,
    bank_ids: &[&str],
) -> Result<Vec<Existing>, DbError> {
    let limit = EXISTING_MAX + 1;
    let rows = tx.rows(&LIST_EXISTING, &[&household, &account, &from, &to, &bank_ids, &limit]).await?;
    let existing = |row: &Row| Existing {
        transaction: row.get(0),
        date: row.get(1),
        amount: row.get(2),
        nth: row.get(3),
        bank_id: row.get(4),
    };
    Ok(rows.iter().map(existing).collect())
}

/// A row as `PUT_TRANSACTIONS` reads it.
#[derive(Serialize)]
struct PutRow<'a> {
    id: Uuid,
    kind: &'a str,
    date: NaiveDate,
    account: Uuid,
    amount: i64,
    currency: &'a str,
    to_account: Option<Uuid>,
    to_amount: Option<i64>,
    to_currency: Option<&'a str>,
    payee: &'a str,
    notes: &'a str,
    cleared: bool,
    splits: &'a [Split],
    import: Option<Uuid>,
    import_line: Option<i32>,
    source_account: Option<Uuid>,
    source_fitid: Option<&'a str>,
    source_date: Option<NaiveDate>,
    source_amount: Option<i64>,
    source_nth: Option<i32>,
    version: i64,
}

fn rows_of(transactions: &[Transaction]) -> Value {
    let row = |t: &Transaction| {
        let (to, source) = (t.to.as_ref(), t.source.as_ref());
        let key = source.and_then(|source| source.key.as_ref());
        let row = PutRow {
            id: t.id,
            kind: t.kind.name(),
            date: t.date,
            account: t.account,
            amount: t.amount,
            currency: t.currency.code(),
            to_account: to.map(|to| to.account),
            to_amount: to.map(|to| to.amount),
            to_currency: to.map(|to| to.currency.code()),
            payee: &t.payee,
            notes: &t.notes,
            cleared: t.cleared,
            splits: &t.splits,
            import: source.map(|source| source.import),
            import_line: source.map(|source| source.row),
            source_account: key.map(|key| key.account),
            source_fitid: source.and_then(|source| source.bank_id.as_deref()),
            source_date: key.map(|key| key.date),
            source_amount: key.map(|key| key.amount),
            source_nth: key.map(|key| key.nth),
            version: t.version,
        };
        serde_json::to_value(row).expect("plain data")
    };
    Value::Array(transactions.iter().map(row).collect())
}

fn transaction_of(row: &Row) -> (Transaction, bool) {
    let currency = |code: &str| Currency::parse(code).expect("written by Currency::code");
    let splits: Value = row.get(13);
    let to = row.get::<_, Option<Uuid>>(7).map(|account| Side {
        account,
        amount: row.get(8),
        currency: currency(row.get(9)),
    });
    let key = row.get::<_, Option<Uuid>>(16).map(|account| SourceKey {
        account,
        date: row.get(18),
        amount: row.get(19),
        nth: row.get(20),
    });
    let source = row.get::<_, Option<Uuid>>(14).map(|import| Source {
        import,
        row: row.get(15),
        bank_id: row.get(17),
        key,
    });
    let transaction = Transaction {
        id: row.get(0),
        version: row.get(1),
        kind: TransactionKind::from_name(row.get(2)).expect("the column has a check"),
        date: row.get(3),
        account: row.get(4),
        amount: row.get(5),
        currency: currency(row.get(6)),
        to,
        payee: row.get(10),
        notes: row.get(11),
        cleared: row.get(12),
        splits: serde_json::from_value(splits).expect("written by rows_of"),
        source,
    };
    (transaction, row.get(21))
}
