//! What the module refuses, and the problem that each refusal is to the outside.

use crate::model::{Role, Violation};
use api::problem::kinds;
use api::{Problem, ProblemType, Stale};
use common::db::DbError;

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or the caller is no member (404).
    #[error("not found")]
    NotFound,
    /// The caller's role doesn't allow it (403).
    #[error("this needs the role {}", .0.name())]
    RoleTooLow(Role),
    /// Fields that break rules (422).
    #[error("{} fields break rules", .0.len())]
    Invalid(Vec<Violation>),
    /// Somebody else changed it first (412).
    #[error("version {} is the current one", .0.current_version)]
    Stale(Box<Stale>),
    /// Refused before it came to the rules.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The id is taken by something else (409).
    #[error("the id is taken")]
    IdTaken,
    /// There is a member with this subject already (409).
    #[error("the subject is a member already")]
    MemberExists,
    /// A household always has an owner (409).
    #[error("no owner would be left")]
    LastOwner,
    /// Something is posted to the account (409).
    #[error("the account has transactions")]
    AccountInUse,
    /// Something is posted to the category (409).
    #[error("the category has transactions")]
    CategoryInUse,
    /// The account has an opening entry (409).
    #[error("the account has an opening entry")]
    OpeningExists,
    /// The import's state doesn't allow it (409).
    #[error("the import is {0}")]
    ImportState(&'static str),
    /// The account has more transactions around the file's dates than an import is compared with (409).
    #[error("too many transactions to compare with")]
    ImportTooCrowded,
    /// The changes after `since` are no longer kept, or never were (410).
    #[error("the changes after that number are not kept")]
    ChangesReset {
        /// The number of the oldest change that is kept.
        floor: i64,
        /// The number of the newest.
        head: i64,
    },
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
}

macro_rules! problem_types {
    ($($name:ident = $status:literal, $code:literal, $title:literal, $explanation:literal;)*) => {
        $(const $name: ProblemType =
            ProblemType { code: $code, title: $title, status: $status, explanation: $explanation };)*
        /// The problems of this module's own.
        pub const PROBLEMS: &[&ProblemType] = &[$(&$name),*];
    };
}

problem_types! {
    ROLE_TOO_LOW = 403, "role-too-low", "The member's role doesn't allow this",
        "A viewer reads, an editor also writes what is about money, an owner also manages members and the household. \
         `role` names the least one that is needed. Ask an owner of the household.";
    ID_TAKEN = 409, "id-taken", "The id is taken",
        "There is, or was, something else under this id in the household. Repeating the very same creation is fine; for \
         something new take a new id.";
    MEMBER_EXISTS = 409, "member-exists", "The subject is a member already",
        "To change a member's role, PATCH the member.";
    LAST_OWNER = 409, "last-owner", "A household keeps an owner",
        "The only owner can neither leave nor take a lower role. Make another member an owner first.";
    ACCOUNT_IN_USE = 409, "account-in-use", "The account has transactions",
        "An account that has transactions can't be deleted, or its history would be lost. Close it: PATCH `closed` to true.";
    CATEGORY_IN_USE = 409, "category-in-use", "The category has transactions",
        "A category that has transactions can't be deleted. Archive it (PATCH `archived` to true), or give those \
         transactions another category first.";
    OPENING_EXISTS = 409, "opening-exists", "The account has an opening entry",
        "An account opens once. Change the opening entry that is there.";
    IMPORT_STATE = 409, "import-state", "The import's state doesn't allow this",
        "An import is read, then committed once, and may then be reverted once. `state` tells where it is.";
    IMPORT_TOO_CROWDED = 409, "import-too-crowded", "Too many transactions to compare with",
        "The account has more transactions around the file's dates than an import is compared with. Import the \
         statement in shorter periods.";
    CHANGES_RESET = 410, "changes-reset", "The changes from there on are not kept",
        "The number is older than the oldest change that is kept (`floor`), or is none that this household ever had. Read \
         everything again and go on from `head`.";
    NOT_A_STATEMENT = 422, "not-a-statement", "The file is no statement that can be imported",
        "The file is not OFX, has no statement of the account, is in another currency, or is too large. The detail says \
         which.";
}

/// A file that can't be imported, as the problem of its operation.
pub(crate) fn not_a_statement(detail: String) -> Problem {
    Problem::of(&NOT_A_STATEMENT).detail(detail)
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let detail = error.to_string();
        match error {
            Error::NotFound => Problem::of(&kinds::NOT_FOUND),
            Error::RoleTooLow(role) => Problem::of(&ROLE_TOO_LOW).detail(detail).with("role", role.name()),
            Error::Invalid(wrong) => wrong
                .into_iter()
                .fold(Problem::of(&kinds::VALIDATION_FAILED), |it, v| it.field(v.pointer, v.detail, v.code)),
            Error::Stale(stale) => Problem::from(*stale),
            Error::Refused(problem) => problem,
            Error::IdTaken => Problem::of(&ID_TAKEN),
            Error::MemberExists => Problem::of(&MEMBER_EXISTS),
            Error::LastOwner => Problem::of(&LAST_OWNER),
            Error::AccountInUse => Problem::of(&ACCOUNT_IN_USE),
            Error::CategoryInUse => Problem::of(&CATEGORY_IN_USE),
            Error::OpeningExists => Problem::of(&OPENING_EXISTS),
            Error::ImportState(state) => Problem::of(&IMPORT_STATE).detail(detail).with("state", state),
            Error::ImportTooCrowded => Problem::of(&IMPORT_TOO_CROWDED),
            Error::ChangesReset { floor, head } => {
                Problem::of(&CHANGES_RESET).with("floor", floor).with("head", head)
            }
            Error::Db(error) => error.into(),
        }
    }
}
