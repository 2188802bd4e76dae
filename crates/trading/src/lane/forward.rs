//! A batch on its way to the lane's owner, over the fleet's internal port, and its answers on their way back.

use std::sync::Arc;
use std::time::Duration;

use api::FieldError;
use api::peers::PeerError;
use chrono::{DateTime, Utc};
use common::context::{Caller, Context, Priority};
use common::db::{DbError, Token};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::Lane;
use super::command::{Answer, Command, Item, Reply};
use super::ownership::{Owner, Ownership};
use crate::error::Error;
use crate::matching::Rejection;
use crate::model::{AccountId, OrderStatus};
use crate::store::lane::owner::LaneOwner;

/// Where a process takes the batches of others, below its internal port; the instrument's symbol follows.
pub const PATH: &str = "/internal/trading/lanes/";
/// How long the owner may take. What is carried out here after that must still be in time for its clients.
const ANSWER_WITHIN: Duration = Duration::from_secs(6);

/// A batch as the owner is told it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forwarded {
    items: Vec<ForwardedItem>,
}

/// One command with its caller.
#[derive(Debug, Serialize, Deserialize)]
struct ForwardedItem {
    subject: Arc<str>,
    account: AccountId,
    command: Command,
    /// When the caller waits no more. A time and no span: whoever reads this late must not begin.
    until: DateTime<Utc>,
    trace_id: Arc<str>,
}

/// The owner's answers, in the order of the commands.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answered {
    answers: Vec<Result<Reply, Refused>>,
    /// What a read must have seen, of all of them together.
    token: String,
}

/// An [`Error`] of a lane on the wire between processes.
#[derive(Debug, Serialize, Deserialize)]
enum Refused {
    NotFound,
    Rejected { reason: Rejection, duplicate: bool },
    ClientIdConflict(Vec<FieldError>),
    Voided,
    NotOpen(OrderStatus),
    LaneFull,
    NoTurn,
    Unknown,
    Undone { is_busy: bool },
    Broken(String),
}

impl Ownership {
    /// Has the owner carry a batch out. What fails as [`PeerError::Lost`] may have been done.
    pub(super) async fn forward(
        &self,
        owner: &LaneOwner,
        symbol: &str,
        items: &[Item],
    ) -> Result<Vec<Answer>, PeerError> {
        let peers = self.peers.as_ref().expect("another owner is found among peers only");
        let forwarded = Forwarded { items: items.iter().map(ForwardedItem::of).collect() };
        let path = format!("{PATH}{symbol}");
        let answered: Answered = peers.call(&owner.address, &path, &forwarded, ANSWER_WITHIN).await?;
        metrics::counter!("weir_trading_commands_forwarded_total").increment(items.len() as u64);
        let token = Token::decode(&answered.token).unwrap_or_default();
        let mut answers = answered.answers.into_iter();
        let answers = items.iter().map(|item| match answers.next() {
            Some(Ok(reply)) => {
                item.ctx.wrote(&token);
                Ok(reply)
            }
            Some(Err(refused)) => Err(refused.into()),
            None => Err(Error::Unknown),
        });
        Ok(answers.collect())
    }
}

impl Lane {
    /// Carries out a batch of another process in this lane; `None` when this process doesn't own it.
    pub async fn carry_out(&self, ctx: &Context, forwarded: Forwarded) -> Result<Option<Answered>, DbError> {
        if self.ownership.find(ctx).await? != Owner::This {
            return Ok(None);
        }
        let contexts: Vec<Context> = forwarded.items.iter().map(|item| item.context(ctx)).collect();
        let items = contexts.iter().zip(forwarded.items);
        // Queued one by one in their order; then they are waited for together.
        let queued: Vec<_> =
            items.map(|(ctx, item)| self.submit(ctx, item.account, item.command, None)).collect();
        let answers =
            join_all(queued).await.into_iter().map(|answer| answer.map_err(Refused::from)).collect();
        let mut token = Token::default();
        contexts.iter().filter_map(Context::written_token).for_each(|written| token.merge(&written));
        Ok(Some(Answered { answers, token: token.encode() }))
    }
}

impl ForwardedItem {
    fn of(item: &Item) -> Self {
        Self {
            subject: item.ctx.caller().subject.clone(),
            account: item.account,
            command: item.command.clone(),
            until: item.ctx.now() + item.ctx.remaining(),
            trace_id: item.ctx.trace_id().into(),
        }
    }

    fn context(&self, ctx: &Context) -> Context {
        let within = (self.until - ctx.now()).to_std().unwrap_or_default();
        let caller = Caller { subject: self.subject.clone(), ..Caller::system() };
        ctx.with_caller(caller)
            .with_trace(self.trace_id.clone())
            .with_priority(Priority::Critical)
            .child(Token::default(), within)
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound => Self::NotFound,
            Error::Rejected { reason, duplicate } => Self::Rejected { reason, duplicate },
            Error::ClientIdConflict(fields) => Self::ClientIdConflict(fields),
            Error::NotOpen(status) => Self::NotOpen(status),
            Error::Voided => Self::Voided,
            Error::LaneFull => Self::LaneFull,
            Error::NoTurn => Self::NoTurn,
            Error::Unknown => Self::Unknown,
            Error::Undone(error) => Self::Undone { is_busy: matches!(error, DbError::Busy) },
            error => Self::Broken(error.to_string()),
        }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotFound => Self::NotFound,
            Refused::Rejected { reason, duplicate } => Self::Rejected { reason, duplicate },
            Refused::ClientIdConflict(fields) => Self::ClientIdConflict(fields),
            Refused::NotOpen(status) => Self::NotOpen(status),
            Refused::Voided => Self::Voided,
            Refused::LaneFull => Self::LaneFull,
            Refused::NoTurn => Self::NoTurn,
            Refused::Unknown => Self::Unknown,
            Refused::Undone { is_busy } => {
                Self::Undone(if is_busy { DbError::Busy } else { DbError::Timeout })
            }
            Refused::Broken(detail) => Self::Broken(detail),
        }
    }
}
