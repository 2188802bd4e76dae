//! Accounts and categories.

use super::people::currency_of;
use crate::model::{Account, AccountContent, AccountKind, Category, CategoryContent, CategoryKind, Known};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use uuid::Uuid;

common::statements! {
    /// An account, a deleted one too.
    read FIND_ACCOUNT = "SELECT household, id, version, name, kind, currency, closed, deleted FROM account
        WHERE household = $1 AND id = $2";
    /// Accounts after an id.
    read LIST_ACCOUNTS = "SELECT household, id, version, name, kind, currency, closed, deleted FROM account
        WHERE household = $1 AND id > $2 AND NOT deleted ORDER BY id LIMIT $3";
    /// An account as it is now.
    write PUT_ACCOUNT = "INSERT INTO account (household, id, name, kind, currency, closed, version, deleted)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (household, id) DO UPDATE SET name = $3, kind = $4, closed = $6, version = $7, deleted = $8";
    /// A category, a deleted one too.
    read FIND_CATEGORY = "SELECT household, id, version, name, kind, archived, deleted FROM category
        WHERE household = $1 AND id = $2";
    /// Categories after an id.
    read LIST_CATEGORIES = "SELECT household, id, version, name, kind, archived, deleted FROM category
        WHERE household = $1 AND id > $2 AND NOT deleted ORDER BY id LIMIT $3";
    /// A category as it is now.
    write PUT_CATEGORY = "INSERT INTO category (household, id, name, kind, archived, version, deleted)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (household, id) DO UPDATE SET name = $3, archived = $5, version = $6, deleted = $7";
    /// What the rules of a transaction have to know of its accounts.
    read KNOWN_ACCOUNTS = "SELECT id, currency, closed FROM account
        WHERE household = $1 AND id = ANY($2) AND NOT deleted";
    /// What the rules of a transaction have to know of its categories.
    read KNOWN_CATEGORIES = "SELECT id, kind FROM category WHERE household = $1 AND id = ANY($2) AND NOT deleted";
    /// Whether anything is posted to an account or category.
    read IS_POSTED_TO = "SELECT EXISTS (SELECT FROM posting WHERE household = $1 AND owner = $2)";
}

pub(crate) async fn find_account(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    id: Uuid,
) -> Result<Option<Account>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_ACCOUNT, &[&household, &id]).await?;
    Ok(row.as_ref().map(account_of).and_then(|(account, deleted)| (!deleted).then_some(account)))
}

/// An account, and whether it is deleted.
pub(crate) async fn read_account(
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
) -> Result<Option<(Account, bool)>, DbError> {
    Ok(tx.row_opt(&FIND_ACCOUNT, &[&household, &id]).await?.as_ref().map(account_of))
}

pub(crate) async fn list_accounts(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Account>, DbError> {
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_ACCOUNTS, &[&household, &after, &limit]).await?;
    Ok(rows.iter().map(|row| account_of(row).0).collect())
}

pub(crate) async fn put_account(tx: &mut Tx<'_>, account: &Account, deleted: bool) -> Result<(), DbError> {
    let content = &account.content;
    tx.execute(
        &PUT_ACCOUNT,
        &[
            &account.household_id,
            &account.id,
            &content.name,
            &content.kind.name(),
            &content.currency.code(),
            &content.closed,
            &account.version,
            &deleted,
        ],
    )
    .await
}

pub(crate) async fn find_category(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    id: Uuid,
) -> Result<Option<Category>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_CATEGORY, &[&household, &id]).await?;
    Ok(row.as_ref().map(category_of).and_then(|(category, deleted)| (!deleted).then_some(category)))
}

/// A category, and whether it is deleted.
pub(crate) async fn read_category(
    tx: &mut Tx<'_>,
    household: Uuid,
    id: Uuid,
) -> Result<Option<(Category, bool)>, DbError> {
    Ok(tx.row_opt(&FIND_CATEGORY, &[&household, &id]).await?.as_ref().map(category_of))
}

pub(crate) async fn list_categories(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Category>, DbError> {
    let rows =
        db.read(ctx, Freshness::ReadYourWrites, &LIST_CATEGORIES, &[&household, &after, &limit]).await?;
    Ok(rows.iter().map(|row| category_of(row).0).collect())
}

pub(crate) async fn put_category(tx: &mut Tx<'_>, category: &Category, deleted: bool) -> Result<(), DbError> {
    let content = &category.content;
    tx.execute(
        &PUT_CATEGORY,
        &[
            &category.household_id,
            &category.id,
            &content.name,
            &content.kind.name(),
            &content.archived,
            &category.version,
            &deleted,
        ],
    )
    .await
}

/// What the rules have to know of these accounts and categories.
pub(crate) async fn read_known(
    tx: &mut Tx<'_>,
    household: Uuid,
    accounts: &[Uuid],
    categories: &[Uuid],
) -> Result<Known, DbError> {
    let answers = tx
        .pipeline(&[
            (&KNOWN_ACCOUNTS, &[&household, &accounts]),
            (&KNOWN_CATEGORIES, &[&household, &categories]),
        ])
        .await?;
    Ok(Known {
        accounts: answers[0].iter().map(|row| (row.get(0), (currency_of(row.get(1)), row.get(2)))).collect(),
        categories: answers[1].iter().map(|row| (row.get(0), category_kind_of(row.get(1)))).collect(),
    })
}

pub(crate) async fn is_posted_to(tx: &mut Tx<'_>, household: Uuid, owner: Uuid) -> Result<bool, DbError> {
    Ok(tx.row(&IS_POSTED_TO, &[&household, &owner]).await?.get(0))
}

fn account_of(row: &Row) -> (Account, bool) {
    let content = AccountContent {
        name: row.get(3),
        kind: AccountKind::from_name(row.get(4)).expect("written by AccountKind::name"),
        currency: currency_of(row.get(5)),
        closed: row.get(6),
    };
    (Account { household_id: row.get(0), id: row.get(1), version: row.get(2), content }, row.get(7))
}

fn category_of(row: &Row) -> (Category, bool) {
    let content =
        CategoryContent { name: row.get(3), kind: category_kind_of(row.get(4)), archived: row.get(5) };
    (Category { household_id: row.get(0), id: row.get(1), version: row.get(2), content }, row.get(6))
}

fn category_kind_of(name: &str) -> CategoryKind {
    CategoryKind::from_name(name).expect("the column has a check")
}
