//! What a module declares about a stream, and the messages that every stream has. [`crate::asyncapi`] writes the document
//! from both.

use serde::Serialize;
use utoipa::ToSchema;

use crate::socket::MessageKind;

/// The first message.
pub(crate) const POSITION: &str = "position";
/// Something was left out.
pub(crate) const RESET: &str = "reset";
/// The last message.
pub(crate) const END: &str = "end";

/// A module's event stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamDocument {
    /// The stream's name, unique in the program.
    pub name: &'static str,
    /// Where it is opened with an access token.
    pub address: &'static str,
    /// Where it is opened with a ticket.
    pub ticket_address: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// The parameters of the address, each with a sentence.
    pub parameters: &'static [(&'static str, &'static str)],
    /// What is sent on it, beside what every stream sends.
    pub messages: &'static [MessageKind],
}

/// Where the stream goes on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamPosition)]
pub struct PositionData {
    /// What follows comes after this number.
    pub seq: i64,
}

/// Not everything after the client's number can be told.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamReset)]
pub struct ResetData {
    /// Read everything anew; what follows comes after this number.
    pub head: i64,
}

/// The last message of a stream.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StreamEnd)]
pub struct EndData {
    /// Why it ends.
    pub reason: EndReason,
    /// The number that the client was brought to.
    pub resume_from: i64,
}

/// Why a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// The access token has ended: resume with a new one.
    TokenEnded,
    /// The caller may no longer read this.
    AccessEnded,
    /// The process stops: resume, on another.
    GoingAway,
    /// Something went wrong here: resume later.
    Broken,
}

impl EndReason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::TokenEnded => "token-ended",
            Self::AccessEnded => "access-ended",
            Self::GoingAway => "going-away",
            Self::Broken => "broken",
        }
    }
}
