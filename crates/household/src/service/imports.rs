//! Bank statements come in: a file is taken with the import that it belongs to, read by a job, and shown as a preview.

use super::import_view::{ImportRowView, ImportView};
use super::{Household, find, writing::Writing};
use crate::error::Error;
use crate::model::{Role, Violation};
use crate::store::imports::{Counts, Import, ImportState};
use crate::store::{accounts, imports};
use common::context::Context;
use common::db::Tx;
use common::jobs::operation;
use serde_json::json;
use uuid::Uuid;

/// The kind of the operation that reads a file.
pub(crate) const READ_IMPORT: &str = "household.read_import";
/// Longest name of a file that is kept.
const FILENAME_CHARS_MAX: usize = 200;

/// An import to start.
#[derive(Debug, Clone)]
pub struct NewImport {
    /// The account that it goes into.
    pub account: Uuid,
    /// Which statement, by the bank's account number, where the file has several.
    pub statement: Option<String>,
    /// How the file is called.
    pub filename: String,
    /// The file.
    pub file: Vec<u8>,
}

pub(crate) fn subject(id: Uuid) -> String {
    format!("import/{id}")
}

impl Household {
    /// Takes a file and starts the operation that reads it; gives the import, which names the operation.
    pub async fn create_import(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        new: &NewImport,
    ) -> Result<ImportView, Error> {
        let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
        let wrong = |code, detail| Error::Invalid(vec![Violation::new("/query/account_id", code, detail)]);
        let account = match accounts::read_account(tx, household, new.account).await? {
            Some((account, false)) if !account.content.closed => account,
            Some((_, false)) => return Err(wrong("account-closed", "the account is closed")),
            Some((_, true)) | None => return Err(wrong("unknown-account", "no such account")),
        };
        let id = Uuid::now_v7();
        let input = json!({"household": household, "import": id});
        let operation = operation::create(tx, ctx, READ_IMPORT, &input).await?;
        let import = Import {
            id,
            version: writing.next(),
            account: account.id,
            state: ImportState::Reading,
            filename: new.filename.chars().filter(|c| *c != '\0').take(FILENAME_CHARS_MAX).collect(),
            operation: Some(operation),
            bank_account: None,
            currency: account.content.currency,
            balance: None,
            counts: Counts::default(),
        };
        imports::insert_import(tx, household, &import, new.statement.as_deref(), &new.file).await?;
        let view = ImportView::of(household, &import);
        writing.put("import.created", subject(id), &view, &[]);
        writing.close(tx).await?;
        Ok(view)
    }

    /// An import.
    pub async fn get_import(&self, ctx: &Context, household: Uuid, id: Uuid) -> Result<ImportView, Error> {
        Ok(ImportView::of(household, &self.find_import(ctx, household, id).await?))
    }

    /// The rows of an import's file after a row.
    pub async fn list_import_rows(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        after: i32,
        limit: i64,
    ) -> Result<Vec<ImportRowView>, Error> {
        let import = self.find_import(ctx, household, id).await?;
        let rows = imports::list_rows(&self.db, ctx, household, id, after, limit).await?;
        Ok(rows.iter().map(|row| ImportRowView::of(&import, row)).collect())
    }

    async fn find_import(&self, ctx: &Context, household: Uuid, id: Uuid) -> Result<Import, Error> {
        self.role(ctx, household).await?;
        find(|freshness| imports::find_import(&self.db, ctx, freshness, household, id)).await
    }
}
