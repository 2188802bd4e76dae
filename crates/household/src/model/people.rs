//! The household itself and who may do what in it.

use super::{Content, Currency, Violation, check_text, zone};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

const NAME_CHARS_MAX: usize = 100;
const SUBJECT_CHARS_MAX: usize = 200;

/// What a member may do. Ordered: each may do what the one before may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Reads and writes what is about money.
    Editor,
    /// All of it, members included.
    Owner,
}

impl Role {
    /// As the database writes it.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Editor => "editor",
            Role::Owner => "owner",
        }
    }

    /// Reads what the database wrote.
    pub fn from_name(name: &str) -> Option<Role> {
        [Role::Viewer, Role::Editor, Role::Owner].into_iter().find(|role| role.name() == name)
    }
}

/// What may be said of a household.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct HouseholdContent {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// ISO 4217: the currency that it thinks in.
    #[schema(value_type = String, example = "CAD")]
    pub currency: Currency,
    /// IANA zone: says what today is.
    #[schema(example = "America/Toronto")]
    pub zone: String,
}

impl HouseholdContent {
    /// Checks the content.
    pub fn check(&self) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        check_text(&mut wrong, "/name", &self.name, 1, NAME_CHARS_MAX);
        if zone(&self.zone).is_none() {
            wrong.push(Violation::new("/zone", "unknown-zone", "not the name of an IANA zone"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

impl Content for HouseholdContent {
    const READ_ONLY: &'static [&'static str] = &["id", "version", "role"];
}

/// A household.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Household {
    /// Its id.
    pub id: Uuid,
    /// Number of the event that last changed it.
    pub version: i64,
    /// What is said of it.
    #[serde(flatten)]
    pub content: HouseholdContent,
}

/// What may be said of a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct MemberContent {
    /// What the member may do.
    pub role: Role,
}

impl Content for MemberContent {
    const READ_ONLY: &'static [&'static str] = &["household_id", "subject", "version"];
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Member {
    /// The household.
    pub household_id: Uuid,
    /// The subject of the member's tokens.
    pub subject: String,
    /// Number of the event that last changed it.
    pub version: i64,
    /// What the member may do.
    #[serde(flatten)]
    pub content: MemberContent,
}

impl Member {
    /// Checks a subject that is to become a member.
    pub fn check_subject(subject: &str) -> Result<(), Vec<Violation>> {
        let mut wrong = Vec::new();
        check_text(&mut wrong, "/subject", subject, 1, SUBJECT_CHARS_MAX);
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }
}

/// Whether an owner is left when a member with role `before` becomes `after` (`None`: goes).
pub fn check_owner_stays(owners: i64, before: Role, after: Option<Role>) -> bool {
    before != Role::Owner || after == Some(Role::Owner) || owners > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_owner_neither_goes_nor_steps_down() {
        assert!(!check_owner_stays(1, Role::Owner, None));
        assert!(!check_owner_stays(1, Role::Owner, Some(Role::Editor)));
        assert!(check_owner_stays(2, Role::Owner, None));
        assert!(check_owner_stays(1, Role::Owner, Some(Role::Owner)));
        assert!(check_owner_stays(1, Role::Viewer, None));
    }

    #[test]
    fn a_role_may_what_the_lower_ones_may() {
        assert!(Role::Owner > Role::Editor && Role::Editor > Role::Viewer);
        assert_eq!(Role::from_name("editor"), Some(Role::Editor));
        assert_eq!(Role::from_name("boss"), None);
    }
}
