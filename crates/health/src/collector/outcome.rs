//! What became of a request and of each of its items.

use common::db::Token;

use super::Submission;
use crate::model::receipt::Receipt;
use crate::model::sample::{Item, Key, Reading, Reason};

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is a sample now.
    Stored,
    /// It came before, with the same content.
    Duplicate,
    /// Its key came before with other content. Nothing was overwritten; it is kept in quarantine.
    Conflict,
    /// It could not be accepted; it is kept in quarantine.
    Quarantined,
    /// It is older than what is kept; it is in quarantine, so that nothing is deleted that was never kept.
    Expired,
}

impl Status {
    /// What a verdict leads to when the key is new.
    pub fn of(verdict: &Result<Vec<Reading>, Vec<Reason>>) -> Self {
        match verdict {
            Ok(_) => Self::Stored,
            Err(reasons) if reasons.iter().all(|reason| reason.code == "expired") => Self::Expired,
            Err(_) => Self::Quarantined,
        }
    }

    /// Its name in rows and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Quarantined => "quarantined",
            Self::Expired => "expired",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Stored, Self::Conflict, Self::Quarantined, Self::Expired]
            .into_iter()
            .find(|s| s.as_str() == name)
    }
}

/// An item's result.
#[derive(Clone, Debug)]
pub struct ItemResult {
    /// Its key.
    pub key: Key,
    /// What became of it.
    pub status: Status,
    /// For a duplicate: what became of it the first time, where that is known.
    pub original: Option<Status>,
    /// Why it was not accepted.
    pub reasons: Vec<Reason>,
    /// Pointers to fields that are kept but not understood.
    pub unknown_fields: Vec<String>,
}

/// A request's result. Everything named in it is on disk.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// One for each item, in their order.
    pub results: Vec<ItemResult>,
    /// The numbering that the request spoke of, as it is now.
    pub receipt: Option<Receipt>,
    /// The number of the person's event that brought something new; `None` when nothing was.
    pub change: Option<i64>,
    /// How far a read has to see.
    pub token: Token,
}

impl Outcome {
    pub(super) fn for_submission(submission: &Submission, receipt: Option<Receipt>) -> Self {
        let results = Vec::with_capacity(submission.items.len());
        Self { results, receipt, change: None, token: Token::default() }
    }

    pub(super) fn add(&mut self, item: &Item, status: Status, original: Option<Status>) {
        let accepted = status == Status::Stored || original == Some(Status::Stored);
        let reasons = match (status, &item.verdict) {
            (Status::Conflict, _) => vec![conflict_reason(&item.key)],
            (_, Err(reasons)) if !accepted => reasons.clone(),
            _ => Vec::new(),
        };
        let unknown_fields = item.unknown_fields.clone();
        self.results.push(ItemResult { key: item.key.clone(), status, original, reasons, unknown_fields });
    }

    /// The results of a request's first part and of the rest.
    pub(super) fn join(mut self, rest: Self) -> Self {
        self.results.extend(rest.results);
        self.token.merge(&rest.token);
        Self { receipt: rest.receipt, change: rest.change.or(self.change), ..self }
    }
}

/// Why a key that came before with other content is not taken.
pub(super) fn conflict_reason(key: &Key) -> Reason {
    let pointer = if matches!(key, Key::Seq(_)) { "/seq" } else { "/source_id" };
    Reason::new(pointer, "conflict", "this key came before with other content, which was not overwritten")
}
