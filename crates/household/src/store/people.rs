//! Households and their members.

use crate::model::{Currency, Household, HouseholdContent, Member, MemberContent, Role};
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use uuid::Uuid;

common::statements! {
    /// A new household.
    write INSERT_HOUSEHOLD = "INSERT INTO household (id, name, currency, zone, version) VALUES ($1, $2, $3, $4, $5)";
    /// A household by its id.
    read FIND_HOUSEHOLD = "SELECT id, version, name, currency, zone FROM household WHERE id = $1";
    /// The same with the number of its stream at which it is that.
    read FIND_HOUSEHOLD_AT = "SELECT h.id, h.version, h.name, h.currency, h.zone, s.head
        FROM household h JOIN stream s ON s.id = h.id WHERE h.id = $1";
    /// The households of a subject after an id, with the subject's role in each.
    read LIST_HOUSEHOLDS = "SELECT h.id, h.version, h.name, h.currency, h.zone, m.role
        FROM member m JOIN household h ON h.id = m.household
        WHERE m.subject = $1 AND m.household > $2 AND NOT m.deleted ORDER BY m.household LIMIT $3";
    /// A household's content.
    write UPDATE_HOUSEHOLD = "UPDATE household SET name = $2, currency = $3, zone = $4, version = $5 WHERE id = $1";
    /// A subject's role, and the number of the stream at which it is that.
    read FIND_ROLE = "SELECT s.head, m.role FROM stream s
        LEFT JOIN member m ON m.household = s.id AND m.subject = $2 AND NOT m.deleted WHERE s.id = $1";
    /// A member, a former one too.
    read FIND_MEMBER = "SELECT household, subject, version, role, deleted FROM member
        WHERE household = $1 AND subject = $2";
    /// Members after a subject.
    read LIST_MEMBERS = "SELECT household, subject, version, role, deleted FROM member
        WHERE household = $1 AND subject > $2 AND NOT deleted ORDER BY subject LIMIT $3";
    /// How many owners there are.
    read COUNT_OWNERS = "SELECT count(*) FROM member WHERE household = $1 AND role = 'owner' AND NOT deleted";
    /// A member as it is now, whether new, changed, gone or back.
    write PUT_MEMBER = "INSERT INTO member (household, subject, role, version, deleted) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (household, subject) DO UPDATE SET role = $3, version = $4, deleted = $5";
}

pub(crate) async fn insert_household(tx: &mut Tx<'_>, household: &Household) -> Result<(), DbError> {
    let content = &household.content;
    tx.execute(
        &INSERT_HOUSEHOLD,
        &[&household.id, &content.name, &content.currency.code(), &content.zone, &household.version],
    )
    .await
}

pub(crate) async fn update_household(tx: &mut Tx<'_>, household: &Household) -> Result<(), DbError> {
    let content = &household.content;
    tx.execute(
        &UPDATE_HOUSEHOLD,
        &[&household.id, &content.name, &content.currency.code(), &content.zone, &household.version],
    )
    .await
}

/// A household, and the number of the stream at which it is that.
pub(crate) async fn find_household(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    id: Uuid,
) -> Result<Option<(Household, i64)>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_HOUSEHOLD_AT, &[&id]).await?;
    Ok(row.map(|row| (household_of(&row), row.get(5))))
}

pub(crate) async fn read_household(tx: &mut Tx<'_>, id: Uuid) -> Result<Option<Household>, DbError> {
    Ok(tx.row_opt(&FIND_HOUSEHOLD, &[&id]).await?.as_ref().map(household_of))
}

pub(crate) async fn list_households(
    db: &Db,
    ctx: &Context,
    subject: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<(Household, Role)>, DbError> {
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_HOUSEHOLDS, &[&subject, &after, &limit]).await?;
    Ok(rows.iter().map(|row| (household_of(row), role_of(row.get(5)))).collect())
}

/// The stream's number and the subject's role; `None` when there is no such household.
pub(crate) async fn find_role(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    subject: &str,
) -> Result<Option<(i64, Option<Role>)>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_ROLE, &[&household, &subject]).await?;
    Ok(row.map(|row| (row.get(0), row.get::<_, Option<&str>>(1).map(role_of))))
}

/// The subject's role, after the household's lock.
pub(crate) async fn read_role(
    tx: &mut Tx<'_>,
    household: Uuid,
    subject: &str,
) -> Result<Option<Role>, DbError> {
    let row = tx.row_opt(&FIND_ROLE, &[&household, &subject]).await?;
    Ok(row.and_then(|row| row.get::<_, Option<&str>>(1).map(role_of)))
}

pub(crate) async fn find_member(
    db: &Db,
    ctx: &Context,
    freshness: Freshness,
    household: Uuid,
    subject: &str,
) -> Result<Option<Member>, DbError> {
    let row = db.read_opt(ctx, freshness, &FIND_MEMBER, &[&household, &subject]).await?;
    Ok(row.as_ref().map(member_of).and_then(|(member, deleted)| (!deleted).then_some(member)))
}

/// A member of now or of before, and whether it is one of before.
pub(crate) async fn read_member(
    tx: &mut Tx<'_>,
    household: Uuid,
    subject: &str,
) -> Result<Option<(Member, bool)>, DbError> {
    Ok(tx.row_opt(&FIND_MEMBER, &[&household, &subject]).await?.as_ref().map(member_of))
}

pub(crate) async fn list_members(
    db: &Db,
    ctx: &Context,
    household: Uuid,
    after: &str,
    limit: i64,
) -> Result<Vec<Member>, DbError> {
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_MEMBERS, &[&household, &after, &limit]).await?;
    Ok(rows.iter().map(|row| member_of(row).0).collect())
}

pub(crate) async fn count_owners(tx: &mut Tx<'_>, household: Uuid) -> Result<i64, DbError> {
    Ok(tx.row(&COUNT_OWNERS, &[&household]).await?.get(0))
}

pub(crate) async fn put_member(tx: &mut Tx<'_>, member: &Member, deleted: bool) -> Result<(), DbError> {
    let role = member.content.role.name();
    tx.execute(&PUT_MEMBER, &[&member.household_id, &member.subject, &role, &member.version, &deleted]).await
}

fn household_of(row: &Row) -> Household {
    Household {
        id: row.get(0),
        version: row.get(1),
        content: HouseholdContent { name: row.get(2), currency: currency_of(row.get(3)), zone: row.get(4) },
    }
}

fn member_of(row: &Row) -> (Member, bool) {
    let content = MemberContent { role: role_of(row.get(3)) };
    let member = Member { household_id: row.get(0), subject: row.get(1), version: row.get(2), content };
    (member, row.get(4))
}

pub(super) fn currency_of(code: &str) -> Currency {
    Currency::parse(code).expect("the column has a check")
}

fn role_of(name: &str) -> Role {
    Role::from_name(name).expect("the column has a check")
}
