//! Households and members: who may see a household, and as what.

use super::{Changed, Household, Revision, find, writing::Writing};
use crate::error::Error;
use crate::model::{self, HouseholdContent, Member, MemberContent, Role, check_owner_stays};
use crate::store::people;
use common::cache::Versioned;
use common::context::Context;
use common::db::{Tx, TxOptions};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Under which ids of new households are derived from (caller, key).
const HOUSEHOLD_IDS: Uuid = Uuid::from_u128(0x5f0e_6a3c_2b1d_4f7a_9c58_3e1f_77d0_a4b2);

/// A household to create.
pub type NewHousehold = HouseholdContent;

/// A member to add.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct NewMember {
    /// The subject of the member's tokens.
    pub subject: String,
    /// What the member may do.
    pub role: Role,
}

/// A household as the caller sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HouseholdView {
    /// The household.
    #[serde(flatten)]
    pub household: model::Household,
    /// What the caller may do in it.
    pub role: Role,
}

fn member_subject(subject: &str) -> String {
    format!("member/{subject}")
}

impl Household {
    /// The id of the household that this caller creates with this key: a repetition can't make a second one.
    pub fn new_household_id(ctx: &Context, key: &str) -> Uuid {
        let name = [ctx.caller().subject.as_bytes(), b"\0", key.as_bytes()].concat();
        Uuid::new_v5(&HOUSEHOLD_IDS, &name)
    }

    /// Creates a household whose owner is the caller. The same again gives what is there; `true`: it is new.
    pub async fn create_household(
        ctx: &Context,
        tx: &mut Tx<'_>,
        id: Uuid,
        new: &NewHousehold,
    ) -> Result<(HouseholdView, bool), Error> {
        new.check()?;
        if let Some(household) = people::read_household(tx, id).await? {
            let role = people::read_role(tx, id, &ctx.caller().subject).await?.ok_or(Error::IdTaken)?;
            return match household.content == *new {
                true => Ok((HouseholdView { household, role }, false)),
                false => Err(Error::IdTaken),
            };
        }
        let mut writing = Writing::create(tx, ctx, id).await?;
        let household = model::Household { id, version: writing.next(), content: new.clone() };
        people::insert_household(tx, &household).await?;
        writing.put("household.created", "household".to_owned(), &household, &[]);
        let content = MemberContent { role: Role::Owner };
        let subject = writing.actor.to_owned();
        let member = Member { household_id: id, subject, version: writing.next(), content };
        people::put_member(tx, &member, false).await?;
        writing.put("member.added", member_subject(&member.subject), &member, &[]);
        writing.close(tx).await?;
        Ok((HouseholdView { household, role: Role::Owner }, true))
    }

    /// A household.
    pub async fn get_household(&self, ctx: &Context, id: Uuid) -> Result<HouseholdView, Error> {
        let role = self.role(ctx, id).await?;
        let db = self.db.clone();
        let load = move |ctx: Context, freshness| {
            let db = db.clone();
            async move {
                let found = people::find_household(&db, &ctx, freshness, id).await?;
                let version = found.as_ref().map_or(0, |(_, head)| *head);
                Ok(Versioned { version, value: found.map(|(it, _)| (it.version, it.content)) })
            }
        };
        let found = self.households.get(ctx, id, "household", load).await?;
        let household = match found.value.clone() {
            Some((version, content)) => model::Household { id, version, content },
            // It has a member, so there is one: it is newer than what was cached.
            None => find(|freshness| people::find_household(&self.db, ctx, freshness, id)).await?.0,
        };
        Ok(HouseholdView { household, role })
    }

    /// The caller's households after an id.
    pub async fn list_households(
        &self,
        ctx: &Context,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<HouseholdView>, Error> {
        let found = people::list_households(&self.db, ctx, &ctx.caller().subject, after, limit).await?;
        Ok(found.into_iter().map(|(household, role)| HouseholdView { household, role }).collect())
    }

    /// Changes a household.
    pub async fn update_household(
        &self,
        ctx: &Context,
        id: Uuid,
        revision: &Revision,
    ) -> Result<Changed<HouseholdView>, Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    let mut writing = Writing::open(tx, ctx, id, Role::Owner).await?;
                    let role = writing.role;
                    let mut household = people::read_household(tx, id).await?.ok_or(Error::NotFound)?;
                    let shown = serde_json::json!(HouseholdView { household: household.clone(), role });
                    let wanted = writing
                        .settle(tx, "household", revision, household.version, &household.content, &shown)
                        .await?;
                    let (content, merged) = wanted.check(|content| content.check().map(|()| content))?;
                    if content != household.content {
                        household = model::Household { id, version: writing.next(), content };
                        people::update_household(tx, &household).await?;
                        writing.put("household.changed", "household".to_owned(), &household, &[]);
                        writing.close(tx).await?;
                    }
                    Ok(Changed { resource: HouseholdView { household, role }, merged })
                })
            })
            .await
    }

    /// Adds a member. The same again gives who is there; `true`: is new.
    pub async fn add_member(
        ctx: &Context,
        tx: &mut Tx<'_>,
        household: Uuid,
        new: &NewMember,
    ) -> Result<(Member, bool), Error> {
        Member::check_subject(&new.subject)?;
        let mut writing = Writing::open(tx, ctx, household, Role::Owner).await?;
        match people::read_member(tx, household, &new.subject).await? {
            Some((member, false)) if member.content.role == new.role => return Ok((member, false)),
            Some((_, false)) => return Err(Error::MemberExists),
            Some((_, true)) | None => {}
        }
        let content = MemberContent { role: new.role };
        let subject = new.subject.clone();
        let member = Member { household_id: household, subject, version: writing.next(), content };
        people::put_member(tx, &member, false).await?;
        writing.put("member.added", member_subject(&member.subject), &member, &[]);
        writing.close(tx).await?;
        Ok((member, true))
    }

    /// A member.
    pub async fn get_member(&self, ctx: &Context, household: Uuid, subject: &str) -> Result<Member, Error> {
        self.role(ctx, household).await?;
        find(|freshness| people::find_member(&self.db, ctx, freshness, household, subject)).await
    }

    /// Members after a subject.
    pub async fn list_members(
        &self,
        ctx: &Context,
        household: Uuid,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Member>, Error> {
        self.role(ctx, household).await?;
        Ok(people::list_members(&self.db, ctx, household, after, limit).await?)
    }

    /// Changes a member's role.
    pub async fn update_member(
        &self,
        ctx: &Context,
        household: Uuid,
        subject: &str,
        revision: &Revision,
    ) -> Result<Changed<Member>, Error> {
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    let mut writing = Writing::open(tx, ctx, household, Role::Owner).await?;
                    let mut member = find_live_member(tx, household, subject).await?;
                    let shown = serde_json::json!(member);
                    let about = member_subject(subject);
                    let wanted =
                        writing.settle(tx, &about, revision, member.version, &member.content, &shown).await?;
                    let (content, merged) = wanted.check(Ok)?;
                    if content != member.content {
                        let owners = people::count_owners(tx, household).await?;
                        if !check_owner_stays(owners, member.content.role, Some(content.role)) {
                            return Err(Error::LastOwner);
                        }
                        member = Member { version: writing.next(), content, ..member };
                        people::put_member(tx, &member, false).await?;
                        writing.put("member.changed", about, &member, &[]);
                        writing.close(tx).await?;
                    }
                    Ok(Changed { resource: member, merged })
                })
            })
            .await
    }

    /// Removes a member: an owner anyone, everyone themselves.
    pub async fn remove_member(
        &self,
        ctx: &Context,
        household: Uuid,
        subject: &str,
        version: i64,
    ) -> Result<(), Error> {
        let leaves = *subject == *ctx.caller().subject;
        let needed = if leaves { Role::Viewer } else { Role::Owner };
        self.db
            .write(ctx, TxOptions::default(), |tx| {
                Box::pin(async move {
                    let mut writing = Writing::open(tx, ctx, household, needed).await?;
                    let mut member = find_live_member(tx, household, subject).await?;
                    let about = member_subject(subject);
                    writing.check_version(tx, &about, version, member.version, &member.content).await?;
                    let owners = people::count_owners(tx, household).await?;
                    if !check_owner_stays(owners, member.content.role, None) {
                        return Err(Error::LastOwner);
                    }
                    member.version = writing.next();
                    people::put_member(tx, &member, true).await?;
                    writing.delete("member.removed", about, &[]);
                    writing.close(tx).await
                })
            })
            .await
    }
}

async fn find_live_member(tx: &mut Tx<'_>, household: Uuid, subject: &str) -> Result<Member, Error> {
    match people::read_member(tx, household, subject).await? {
        Some((member, false)) => Ok(member),
        Some((_, true)) | None => Err(Error::NotFound),
    }
}
