//! An import becomes transactions, all in one transaction of the database, or is taken back the same way. The verdicts are
//! found again under the lock: two phones may have imported the same file meanwhile.

use super::import_reading::{existing_for, incoming_of};
use super::import_view::ImportView;
use super::imports::subject;
use super::transactions::{self as about, TransactionView};
use super::{Household, writing::Writing};
use crate::error::Error;
use crate::import::ROWS_MAX;
use crate::import::matching::{Incoming, Status, Verdict, judge};
use crate::import::row::Row;
use crate::model::{
    Currency, Known, Role, Source, SourceKey, SplitContent, Transaction, TransactionContent, TransactionKind,
    Violation, moves,
};
use crate::store::imports::{Import, ImportRow, ImportState};
use crate::store::{accounts, imports, transactions};
use common::context::Context;
use common::db::Tx;
use garde::Validate;
use serde::Deserialize;
use std::collections::HashMap;
use utoipa::ToSchema;
use uuid::Uuid;

/// What is to be done with rows; those not named go in when they are new.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decisions {
    /// One for each row that isn't left to the default.
    #[serde(default)]
    #[garde(length(max = ROWS_MAX))]
    pub decisions: Vec<DecisionOnRow>,
}

/// What is to be done with a row.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionOnRow {
    /// The row's number, from 1.
    pub row: i32,
    /// Whether it goes in; null leaves it to the default.
    #[serde(default)]
    pub import: Option<bool>,
    /// What it was for.
    #[serde(default)]
    pub category_id: Option<Uuid>,
}

impl Household {
    /// Makes transactions of an import's rows, all or none.
    pub async fn commit_import(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        id: Uuid,
        decisions: &Decisions,
    ) -> Result<ImportView, Error> {
        let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
        let mut import = find_in_state(tx, household, id, ImportState::Ready).await?;
        let mut rows = imports::read_rows(tx, household, id, ROWS_MAX as i64).await?;
        let decided = check_decisions(decisions, &rows)?;
        let categories: Vec<Uuid> = decided.values().filter_map(|decision| decision.category_id).collect();
        let known = accounts::read_known(tx, household, &[import.account], &categories).await?;
        let incoming: Vec<Incoming> = rows.iter().map(|row| incoming_of(&row.read)).collect();
        let existing = existing_for(tx, household, import.account, &incoming).await?;
        let mut made = Vec::new();
        for (row, now) in rows.iter_mut().zip(judge(&incoming, &existing)) {
            let decision = decided.get(&row.line).copied();
            if goes_in(row.verdict.status, now.status, decision.and_then(|decision| decision.import)) {
                let category = decision.and_then(|decision| decision.category_id);
                let mut transaction = transaction_of(&import, row, &now, category, &known)?;
                transaction.version = writing.next();
                row.transaction = Some(transaction.id);
                let view = TransactionView::of(household, &transaction);
                writing.put(
                    about::CREATED,
                    about::subject(transaction.id),
                    &view,
                    &moves(None, Some(&transaction)),
                );
                made.push(transaction);
            }
            row.verdict = now;
        }
        transactions::put_transactions(tx, household, &made).await?;
        imports::update_rows(tx, household, id, &rows).await?;
        import.counts.imported = made.len() as i32;
        finish(tx, writing, &mut import, ImportState::Committed).await
    }

    /// Takes back what an import made, edited since or not.
    pub async fn revert_import(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        id: Uuid,
    ) -> Result<ImportView, Error> {
        let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
        let mut import = find_in_state(tx, household, id, ImportState::Committed).await?;
        let mut gone = transactions::list_imported(tx, household, id, ROWS_MAX as i64).await?;
        for transaction in &mut gone {
            let moved = moves(Some(transaction), None);
            transaction.version = writing.next();
            writing.delete(about::DELETED, about::subject(transaction.id), &moved);
        }
        transactions::delete_transactions(tx, household, &gone).await?;
        import.counts.imported = 0;
        finish(tx, writing, &mut import, ImportState::Reverted).await
    }
}

async fn find_in_state(
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
    state: ImportState,
) -> Result<Import, Error> {
    let import = imports::read_import(tx, household, id).await?.ok_or(Error::NotFound)?;
    if import.state == state { Ok(import) } else { Err(Error::ImportState(import.state.name())) }
}

async fn finish(
    tx: &mut Tx<'_>,
    mut writing: Writing<'_>,
    import: &mut Import,
    state: ImportState,
) -> Result<ImportView, Error> {
    (import.state, import.version) = (state, writing.next());
    let household = writing.household;
    imports::update_import(tx, household, import).await?;
    let view = ImportView::of(household, import);
    writing.put("import.changed", subject(import.id), &view, &[]);
    writing.close(tx).await?;
    Ok(view)
}

/// One decision per row at most, on rows that there are and that can be read.
fn check_decisions<'d>(
    decisions: &'d Decisions,
    rows: &[ImportRow],
) -> Result<HashMap<i32, &'d DecisionOnRow>, Vec<Violation>> {
    let status: HashMap<i32, Status> = rows.iter().map(|row| (row.line, row.verdict.status)).collect();
    let mut decided = HashMap::new();
    let mut wrong = Vec::new();
    for (n, decision) in decisions.decisions.iter().enumerate() {
        let pointer = format!("/decisions/{n}/row");
        match status.get(&decision.row) {
            None => wrong.push(Violation::new(pointer, "unknown-row", "there is no such row")),
            Some(Status::Error) if decision.import == Some(true) => {
                wrong.push(Violation::new(pointer, "unreadable-row", "the row can't be read"));
            }
            Some(_) => {
                if decided.insert(decision.row, decision).is_some() {
                    wrong.push(Violation::new(pointer, "repeated", "a row that was decided on before"));
                }
            }
        }
    }
    if wrong.is_empty() { Ok(decided) } else { Err(wrong) }
}

/// Whether a row goes in, given what it was said to be in the preview and what it is now.
fn goes_in(shown: Status, now: Status, decision: Option<bool>) -> bool {
    match (decision, now) {
        (_, Status::Error) | (Some(false), _) => false,
        // By default what was shown as new and still is.
        (None, now) => shown == Status::New && now == Status::New,
        // A duplicate goes in only for one who was told that it is one.
        (Some(true), now) => now == Status::New || shown != Status::New,
    }
}

fn transaction_of(
    import: &Import,
    row: &ImportRow,
    verdict: &Verdict,
    category: Option<Uuid>,
    known: &Known,
) -> Result<Transaction, Vec<Violation>> {
    let Ok(Row { date, amount }) = row.read.row else { return Err(Vec::new()) };
    let currency: Currency = import.currency;
    let kind = if amount < 0 { TransactionKind::Expense } else { TransactionKind::Income };
    let size = currency.decimal(amount.abs());
    let content = TransactionContent {
        kind,
        date,
        account_id: import.account,
        amount: size,
        to_account_id: None,
        to_amount: None,
        payee: row.read.payee.clone(),
        notes: row.read.notes.clone(),
        cleared: true,
        splits: vec![SplitContent { id: None, category_id: category, amount: size, note: String::new() }],
    };
    let mut transaction = content.resolve(Uuid::now_v7(), known, None).map_err(|wrong| {
        let at = |violation: Violation| Violation {
            pointer: format!("/rows/{}{}", row.line, violation.pointer),
            ..violation
        };
        wrong.into_iter().map(at).collect::<Vec<_>>()
    })?;
    // A duplicate that was wanted all the same must not stand in for the one that is there.
    let own = verdict.status == Status::New;
    transaction.source = Some(Source {
        import: import.id,
        row: row.line,
        bank_id: row.read.bank_id.clone().filter(|_| own && verdict.bank_id_counts),
        key: own.then_some(SourceKey { account: import.account, date, amount, nth: verdict.nth }),
    });
    Ok(transaction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_default_new_rows_go_in_and_duplicates_do_not() {
        let there = Status::DuplicateOf(Uuid::nil());
        let perhaps = Status::ProbableDuplicate(None);
        for (shown, now, decision, expected) in [
            (Status::New, Status::New, None, true),
            (there, there, None, false),
            (perhaps, perhaps, None, false),
            (Status::New, Status::New, Some(false), false),
            (perhaps, perhaps, Some(true), true),
            (there, there, Some(true), true),
            // Somebody else imported it between preview and commit.
            (Status::New, there, None, false),
            (Status::New, there, Some(true), false),
            // What it was a duplicate of is gone: still not by default.
            (there, Status::New, None, false),
            (there, Status::New, Some(true), true),
            (Status::Error, Status::Error, Some(true), false),
        ] {
            assert_eq!(goes_in(shown, now, decision), expected, "{shown:?} {now:?} {decision:?}");
        }
    }
}
