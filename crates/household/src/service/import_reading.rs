//! The job behind an import: reads the file, judges its rows, keeps them for the preview. It may be run again from the
//! start at any point; what it wrote is written over.

use super::import_view::{ImportRowView, ImportView};
use super::imports::subject;
use super::{Household, writing::Writing};
use crate::error::{Error, not_a_statement};
use crate::import::matching::{ALIKE_DAYS_MAX, Existing, Incoming, Status, judge};
use crate::import::ofx::{self, FileError, Statement};
use crate::import::row::{ReadRow, read_amount, read_date, read_row};
use crate::model::{Currency, Role};
use crate::store::imports::{Counts, Import, ImportRow, ImportState};
use crate::store::transactions::EXISTING_MAX;
use crate::store::{imports, transactions};
use api::Problem;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use common::context::Context;
use common::db::{DbError, Freshness, Tx, TxOptions};
use common::jobs::operation::{Abandoned, Progress, Running, State, Stopped};
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

/// Rows that are written between two words on the progress.
const CHUNK_ROWS: usize = 500;
/// Rows that the operation's result shows; the list of rows has all of them.
const PREVIEW_ROWS_MAX: usize = 100;

/// The work of the operation. Its result is the preview.
pub(crate) async fn run(service: Arc<Household>, running: Running) -> Result<Value, Stopped> {
    let id =
        |name: &str| running.input[name].as_str().and_then(|id| id.parse::<Uuid>().ok()).unwrap_or_default();
    let (household, id) = (id("household"), id("import"));
    let ctx = running.step();
    let import = imports::find_import(&service.db, &ctx, Freshness::Strong, household, id).await?;
    let import = import.ok_or(Error::NotFound).map_err(Problem::from)?;
    if import.state != ImportState::Reading {
        // An earlier attempt got to its end, but not to the operation's.
        return preview(&service, &ctx, household, &import).await;
    }
    let reading = Reading { service: &service, running: &running, household, import };
    match reading.read().await {
        Ok(import) => preview(&service, &running.step(), household, &import).await,
        Err(Stopped::Retry(error)) => Err(Stopped::Retry(error)),
        Err(stopped) => {
            let state = match stopped {
                Stopped::Cancelled => ImportState::Cancelled,
                Stopped::Failed(_) | Stopped::Retry(_) => ImportState::Failed,
            };
            let (now, actor) = (running.step().now(), &*running.caller);
            let db = &reading.service.db;
            db.write(&running.step(), TxOptions::default(), |tx| {
                Box::pin(end_unread(tx, actor, now, household, id, state))
            })
            .await?;
            Err(stopped)
        }
    }
}

/// An operation that ended without its work takes its import with it.
pub(crate) async fn settle(tx: &mut Tx<'_>, abandoned: Abandoned) -> Result<(), DbError> {
    let id = |name: &str| {
        abandoned.input[name].as_str().and_then(|id| id.parse::<Uuid>().ok()).unwrap_or_default()
    };
    let state = match abandoned.state {
        State::Cancelled => ImportState::Cancelled,
        _ => ImportState::Failed,
    };
    end_unread(tx, &abandoned.caller, abandoned.at, id("household"), id("import"), state).await
}

/// Ends an import whose file was not read, whatever became of its member: it changes nothing else.
async fn end_unread(
    tx: &mut Tx<'_>,
    actor: &str,
    now: DateTime<Utc>,
    household: Uuid,
    id: Uuid,
    state: ImportState,
) -> Result<(), DbError> {
    let Some(mut writing) = Writing::open_to_end(tx, actor, now, household).await? else { return Ok(()) };
    let Some(mut import) = imports::read_import(tx, household, id).await? else { return Ok(()) };
    if import.state == ImportState::Reading {
        (import.state, import.version) = (state, writing.next());
        imports::update_import(tx, household, &import).await?;
        writing.put("import.changed", subject(id), &ImportView::of(household, &import), &[]);
        writing.append(tx).await?;
    }
    Ok(())
}

struct Reading<'r> {
    service: &'r Household,
    running: &'r Running,
    household: Uuid,
    import: Import,
}

impl Reading<'_> {
    async fn read(&self) -> Result<Import, Stopped> {
        let (ctx, id) = (self.running.step(), self.import.id);
        let (db, household) = (&self.service.db, self.household);
        let file = imports::find_file(db, &ctx, household, id).await?;
        let (file, wanted) = file.ok_or(Error::NotFound).map_err(Problem::from)?;
        // Some megabytes of text: not on a thread that answers requests.
        let statements = tokio::task::spawn_blocking(move || ofx::read(&file)).await;
        let statements = statements.map_err(|error| Stopped::Retry(error.into()))?;
        let currency = self.import.currency;
        let statement = choose(statements, wanted.as_deref(), currency)?;
        let read: Vec<ReadRow> = statement.rows.iter().map(|raw| read_row(raw, currency)).collect();
        let incoming: Vec<Incoming> = read.iter().map(incoming_of).collect();
        let (account, incoming) = (self.import.account, &incoming);
        let existing = db
            .write(&ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    imports::delete_rows(tx, household, id).await?;
                    existing_for(tx, household, account, incoming).await
                })
            })
            .await
            .map_err(Problem::from)?;
        let rows: Vec<ImportRow> = (1..)
            .zip(read)
            .zip(judge(incoming, &existing))
            .map(|((line, read), verdict)| ImportRow { line, read, verdict, transaction: None })
            .collect();
        self.keep(&rows).await?;
        self.finish(&statement, count(&rows)).await.map_err(|e| Problem::from(e).into())
    }

    /// Writes the rows in chunks, each a transaction of its own, so that none takes long.
    async fn keep(&self, rows: &[ImportRow]) -> Result<(), Stopped> {
        let (household, id) = (self.household, self.import.id);
        let progress =
            |done: usize| Progress { done: done as u64, total: Some(rows.len() as u64), unit: "rows" };
        self.running.progress(progress(0)).await?;
        for (chunk, n) in rows.chunks(CHUNK_ROWS).zip(0..) {
            let ctx = self.running.step();
            self.service
                .db
                .write(&ctx, TxOptions::default(), |tx| {
                    Box::pin(imports::insert_rows(tx, household, id, chunk))
                })
                .await?;
            self.running.progress(progress(n * CHUNK_ROWS + chunk.len())).await?;
        }
        Ok(())
    }

    /// The import as it was read, as a change by the one who started it.
    async fn finish(&self, statement: &Statement, counts: Counts) -> Result<Import, Error> {
        let ctx = self.running.step();
        let (now, actor) = (ctx.now(), &*self.running.caller);
        let (household, id) = (self.household, self.import.id);
        self.service
            .db
            .write(&ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    let mut writing = Writing::open_as(tx, actor, now, household, Role::Editor).await?;
                    let mut import = imports::read_import(tx, household, id).await?.ok_or(Error::NotFound)?;
                    if import.state != ImportState::Reading {
                        return Ok(import);
                    }
                    (import.state, import.counts, import.version) =
                        (ImportState::Ready, counts, writing.next());
                    import.bank_account = statement.bank_account.clone();
                    import.balance = balance_of(statement, import.currency);
                    imports::update_import(tx, household, &import).await?;
                    writing.put("import.changed", subject(id), &ImportView::of(household, &import), &[]);
                    writing.close(tx).await?;
                    Ok(import)
                })
            })
            .await
    }
}

/// The statement that is to be imported, if it can be.
fn choose(
    statements: Result<Vec<Statement>, FileError>,
    wanted: Option<&str>,
    currency: Currency,
) -> Result<Statement, Problem> {
    let statements = statements.map_err(|error| not_a_statement(error.to_string()))?;
    let named = || {
        let numbers: Vec<&str> = statements.iter().filter_map(|s| s.bank_account.as_deref()).collect();
        numbers.join(", ")
    };
    let chosen = match wanted {
        Some(wanted) => {
            statements.iter().find(|statement| statement.bank_account.as_deref() == Some(wanted)).ok_or_else(
                || not_a_statement(format!("the file has no statement of {wanted}, but of {}", named())),
            )?
        }
        None => match statements.as_slice() {
            [] => return Err(not_a_statement("the file has no statement of an account".to_owned())),
            [one] => one,
            _ => {
                let detail =
                    format!("the file has several statements: name one of {} as `statement`", named());
                return Err(not_a_statement(detail));
            }
        },
    };
    match &chosen.currency {
        Some(other) if other != currency.code() => {
            Err(not_a_statement(format!("the statement is in {other}, the account in {currency}")))
        }
        _ => Ok(chosen.clone()),
    }
}

fn balance_of(statement: &Statement, currency: Currency) -> Option<(i64, NaiveDate)> {
    let (amount, date) = statement.balance.as_ref()?;
    Some((currency.minor(read_amount(amount)?).ok()?, read_date(date)?))
}

/// A row as it is judged.
pub(crate) fn incoming_of(read: &ReadRow) -> Incoming {
    Incoming {
        moved: read.row.as_ref().ok().map(|row| (row.date, row.amount)),
        bank_id: read.bank_id.clone(),
        raw_hash: read.raw_hash,
    }
}

/// What rows are compared with.
pub(crate) async fn existing_for(
    tx: &mut Tx<'_>,
    household: Uuid,
    account: Uuid,
    rows: &[Incoming],
) -> Result<Vec<Existing>, Error> {
    let dates = || rows.iter().filter_map(|row| row.moved).map(|(date, _)| date);
    let (Some(first), Some(last)) = (dates().min(), dates().max()) else { return Ok(Vec::new()) };
    let near = TimeDelta::days(ALIKE_DAYS_MAX);
    let bank_ids: Vec<&str> = rows.iter().filter_map(|row| row.bank_id.as_deref()).collect();
    let existing =
        transactions::list_existing(tx, household, account, first - near, last + near, &bank_ids).await?;
    if existing.len() as i64 > EXISTING_MAX { Err(Error::ImportTooCrowded) } else { Ok(existing) }
}

fn count(rows: &[ImportRow]) -> Counts {
    let mut counts = Counts::default();
    for row in rows {
        *match row.verdict.status {
            Status::New => &mut counts.new,
            Status::DuplicateOf(_) => &mut counts.duplicate_of,
            Status::ProbableDuplicate(_) => &mut counts.probable_duplicate,
            Status::Error => &mut counts.error,
        } += 1;
    }
    counts
}

async fn preview(
    service: &Household,
    ctx: &Context,
    household: Uuid,
    import: &Import,
) -> Result<Value, Stopped> {
    let limit = PREVIEW_ROWS_MAX as i64;
    let rows = imports::list_rows(&service.db, ctx, household, import.id, 0, limit).await?;
    let rows: Vec<ImportRowView> = rows.iter().map(|row| ImportRowView::of(import, row)).collect();
    let path = format!("/v1/households/{household}/imports/{}", import.id);
    Ok(json!({
        "import": ImportView::of(household, import),
        "rows": rows,
        "links": {
            "rows": format!("{path}/rows"), "commit": format!("{path}:commit"), "revert": format!("{path}:revert"),
        },
    }))
}
