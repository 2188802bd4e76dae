//! Accounts and categories: the same four writes on either, since all that differs is what they say and when they are
//! in use.

use super::{Changed, Household, Revision, find, writing::Writing};
use crate::error::Error;
use crate::model::{Account, AccountContent, AccountKind, Category, CategoryContent, CategoryKind, Currency};
use crate::model::{Content, Role, Violation};
use crate::store::accounts;
use common::context::Context;
use common::db::{DbError, Tx, TxOptions};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// An account to create.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct NewAccount {
    /// An id of the client's own.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// What sort of account it is.
    pub kind: AccountKind,
    /// ISO 4217; it can't change later.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
}

/// A category to create.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct NewCategory {
    /// An id of the client's own.
    #[serde(default)]
    pub id: Option<Uuid>,
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// Expense or income; it can't change later.
    pub kind: CategoryKind,
}

impl NewAccount {
    pub(crate) fn content(&self) -> AccountContent {
        AccountContent { name: self.name.clone(), kind: self.kind, currency: self.currency, closed: false }
    }
}

impl NewCategory {
    pub(crate) fn content(&self) -> CategoryContent {
        CategoryContent { name: self.name.clone(), kind: self.kind, archived: false }
    }
}

/// What stands below a household under an id and has postings.
pub(crate) trait Item: Serialize + Send + Sync + Sized {
    type Said: Content;
    const NAME: &'static str;
    const CREATED: &'static str;
    const CHANGED: &'static str;
    const DELETED: &'static str;
    const IN_USE: fn() -> Error;

    fn make(household: Uuid, id: Uuid, version: i64, content: Self::Said) -> Self;
    fn version(&self) -> i64;
    fn content(&self) -> &Self::Said;
    fn check(content: &Self::Said, before: Option<&Self::Said>) -> Result<(), Vec<Violation>>;
    /// An item, and whether it is deleted.
    fn read(
        tx: &mut Tx<'_>,
        household: Uuid,
        id: Uuid,
    ) -> impl Future<Output = Result<Option<(Self, bool)>, DbError>> + Send;
    fn write(&self, tx: &mut Tx<'_>, deleted: bool) -> impl Future<Output = Result<(), DbError>> + Send;
}

impl Item for Account {
    type Said = AccountContent;
    const NAME: &'static str = "account";
    const CREATED: &'static str = "account.created";
    const CHANGED: &'static str = "account.changed";
    const DELETED: &'static str = "account.deleted";
    const IN_USE: fn() -> Error = || Error::AccountInUse;

    fn make(household_id: Uuid, id: Uuid, version: i64, content: AccountContent) -> Account {
        Account { id, household_id, version, content }
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn content(&self) -> &AccountContent {
        &self.content
    }

    fn check(content: &AccountContent, before: Option<&AccountContent>) -> Result<(), Vec<Violation>> {
        content.check(before)
    }

    async fn read(tx: &mut Tx<'_>, household: Uuid, id: Uuid) -> Result<Option<(Account, bool)>, DbError> {
        accounts::read_account(tx, household, id).await
    }

    async fn write(&self, tx: &mut Tx<'_>, deleted: bool) -> Result<(), DbError> {
        accounts::put_account(tx, self, deleted).await
    }
}

impl Item for Category {
    type Said = CategoryContent;
    const NAME: &'static str = "category";
    const CREATED: &'static str = "category.created";
    const CHANGED: &'static str = "category.changed";
    const DELETED: &'static str = "category.deleted";
    const IN_USE: fn() -> Error = || Error::CategoryInUse;

    fn make(household_id: Uuid, id: Uuid, version: i64, content: CategoryContent) -> Category {
        Category { id, household_id, version, content }
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn content(&self) -> &CategoryContent {
        &self.content
    }

    fn check(content: &CategoryContent, before: Option<&CategoryContent>) -> Result<(), Vec<Violation>> {
        content.check(before)
    }

    async fn read(tx: &mut Tx<'_>, household: Uuid, id: Uuid) -> Result<Option<(Category, bool)>, DbError> {
        accounts::read_category(tx, household, id).await
    }

    async fn write(&self, tx: &mut Tx<'_>, deleted: bool) -> Result<(), DbError> {
        accounts::put_category(tx, self, deleted).await
    }
}

fn subject<I: Item>(id: Uuid) -> String {
    format!("{}/{id}", I::NAME)
}

async fn create<I: Item>(
    ctx: &Context,
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Option<Uuid>,
    content: I::Said,
) -> Result<(I, bool), Error> {
    I::check(&content, None)?;
    let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
    if let Some(id) = id
        && let Some((there, deleted)) = I::read(tx, household, id).await?
    {
        return if !deleted && *there.content() == content {
            Ok((there, false))
        } else {
            Err(Error::IdTaken)
        };
    }
    let id = id.unwrap_or_else(Uuid::now_v7);
    let item = I::make(household, id, writing.next(), content);
    item.write(tx, false).await?;
    writing.put(I::CREATED, subject::<I>(id), &item, &[]);
    writing.close(tx).await?;
    Ok((item, true))
}

async fn update<I: Item>(
    ctx: &Context,
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
    revision: &Revision,
) -> Result<Changed<I>, Error> {
    let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
    let there = find_live::<I>(tx, household, id).await?;
    let (about, shown) = (subject::<I>(id), serde_json::json!(there));
    let wanted = writing.settle(tx, &about, revision, there.version(), there.content(), &shown).await?;
    let (content, merged) = wanted.check(|it| I::check(&it, Some(there.content())).map(|()| it))?;
    if content == *there.content() {
        return Ok(Changed { resource: there, merged });
    }
    let item = I::make(household, id, writing.next(), content);
    item.write(tx, false).await?;
    writing.put(I::CHANGED, about, &item, &[]);
    writing.close(tx).await?;
    Ok(Changed { resource: item, merged })
}

async fn delete<I: Item>(
    ctx: &Context,
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
    version: i64,
) -> Result<(), Error> {
    let mut writing = Writing::open(tx, ctx, household, Role::Editor).await?;
    let there = find_live::<I>(tx, household, id).await?;
    let about = subject::<I>(id);
    writing.check_version(tx, &about, version, there.version(), there.content()).await?;
    if accounts::is_posted_to(tx, household, id).await? {
        return Err(I::IN_USE());
    }
    I::make(household, id, writing.next(), there.content().clone()).write(tx, true).await?;
    writing.delete(I::DELETED, about, &[]);
    writing.close(tx).await
}

async fn find_live<I: Item>(tx: &mut Tx<'_>, household: Uuid, id: Uuid) -> Result<I, Error> {
    match I::read(tx, household, id).await? {
        Some((item, false)) => Ok(item),
        Some((_, true)) | None => Err(Error::NotFound),
    }
}

impl Household {
    /// Creates an account. The same again gives what is there; `true`: it is new.
    pub async fn create_account(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        new: &NewAccount,
    ) -> Result<(Account, bool), Error> {
        create(ctx, tx, household, new.id, new.content()).await
    }

    /// An account.
    pub async fn get_account(&self, ctx: &Context, household: Uuid, id: Uuid) -> Result<Account, Error> {
        self.role(ctx, household).await?;
        find(|freshness| accounts::find_account(&self.db, ctx, freshness, household, id)).await
    }

    /// Accounts after an id.
    pub async fn list_accounts(
        &self,
        ctx: &Context,
        household: Uuid,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Account>, Error> {
        self.role(ctx, household).await?;
        Ok(accounts::list_accounts(&self.db, ctx, household, after, limit).await?)
    }

    /// Changes an account.
    pub async fn update_account(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        revision: &Revision,
    ) -> Result<Changed<Account>, Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| Box::pin(update(ctx, tx, household, id, revision)))
            .await
    }

    /// Deletes an account that nothing is posted to.
    pub async fn delete_account(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        version: i64,
    ) -> Result<(), Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(delete::<Account>(ctx, tx, household, id, version))
            })
            .await
    }

    /// Creates a category. The same again gives what is there; `true`: it is new.
    pub async fn create_category(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        new: &NewCategory,
    ) -> Result<(Category, bool), Error> {
        create(ctx, tx, household, new.id, new.content()).await
    }

    /// A category.
    pub async fn get_category(&self, ctx: &Context, household: Uuid, id: Uuid) -> Result<Category, Error> {
        self.role(ctx, household).await?;
        find(|freshness| accounts::find_category(&self.db, ctx, freshness, household, id)).await
    }

    /// Categories after an id.
    pub async fn list_categories(
        &self,
        ctx: &Context,
        household: Uuid,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Category>, Error> {
        self.role(ctx, household).await?;
        Ok(accounts::list_categories(&self.db, ctx, household, after, limit).await?)
    }

    /// Changes a category.
    pub async fn update_category(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        revision: &Revision,
    ) -> Result<Changed<Category>, Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| Box::pin(update(ctx, tx, household, id, revision)))
            .await
    }

    /// Deletes a category that nothing is posted to.
    pub async fn delete_category(
        &self,
        ctx: &Context,
        household: Uuid,
        id: Uuid,
        version: i64,
    ) -> Result<(), Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(delete::<Category>(ctx, tx, household, id, version))
            })
            .await
    }
}
