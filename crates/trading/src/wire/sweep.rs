//! Commands over several instruments, and the timers that give them, as clients write and read them.

use std::time::Duration;

use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::command::client_id;
use crate::model::AccountId;
use crate::service::{SweepDone, SweepRequest};

/// The longest time that a timer may be set to.
const DEAD_MAN_MS_MAX: u32 = 3_600_000;
/// The longest time that orders outlive their connection.
const GRACE_MS_MAX: u32 = 60_000;

/// What is to be taken off.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::Sweep)]
pub struct SweepBody {
    /// The client's own id for this sweep, unique among the account's sweeps for ever: 1 to 64 letters, digits, `.`, `_`,
    /// `:` or `-`.
    #[garde(custom(client_id))]
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "out-1")]
    pub sweep_id: String,
    /// Only on this instrument.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 32)))]
    pub instrument: Option<String>,
}

/// `args` of `orders.cancel_all`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::CancelAllArgs)]
pub struct CancelAllArgs {
    /// The account.
    #[garde(skip)]
    pub account: Uuid,
    /// The client's own id for this sweep, unique among the account's sweeps for ever: 1 to 64 letters, digits, `.`, `_`,
    /// `:` or `-`.
    #[garde(custom(client_id))]
    #[schema(pattern = "^[A-Za-z0-9._:-]{1,64}$", example = "out-1")]
    pub sweep_id: String,
    /// Only on this instrument.
    #[serde(default)]
    #[garde(inner(length(min = 1, max = 32)))]
    pub instrument: Option<String>,
}

/// When orders are taken off unless their owner is heard of.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::DeadManTimer)]
pub struct DeadManBody {
    /// In how many milliseconds, counted anew each time; 0 stops the timer.
    #[garde(range(max = DEAD_MAN_MS_MAX))]
    #[schema(maximum = 3_600_000, example = 30_000)]
    after_ms: u32,
}

/// `args` of `dead_man.set`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::DeadManArgs)]
pub struct DeadManArgs {
    /// The account.
    #[garde(skip)]
    pub account: Uuid,
    /// In how many milliseconds, counted anew each time; 0 stops the timer.
    #[garde(range(max = DEAD_MAN_MS_MAX))]
    #[schema(maximum = 3_600_000, example = 30_000)]
    after_ms: u32,
}

/// `args` of `cancel_on_disconnect.set`.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = trading::CancelOnDisconnectArgs)]
pub struct CancelOnDisconnectArgs {
    /// The account.
    #[garde(skip)]
    pub account: Uuid,
    /// Whether the account's orders are taken off when this socket ends.
    #[garde(skip)]
    pub enabled: bool,
    /// How long after that, in milliseconds: within it another socket may enable it anew, and they stay.
    #[serde(default)]
    #[garde(range(max = GRACE_MS_MAX))]
    #[schema(maximum = 60_000)]
    grace_ms: u32,
}

/// A timer as it is set.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::DeadMan)]
pub struct DeadMan {
    /// When it runs out; missing when it is stopped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fires_at: Option<DateTime<Utc>>,
}

/// Whether orders depend on a socket.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::CancelOnDisconnect)]
pub struct CancelOnDisconnect {
    /// They do.
    pub enabled: bool,
}

/// What a sweep has done.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::SweepResult)]
pub struct SweepResult {
    /// The client's own id.
    pub sweep_id: String,
    /// Instrument by instrument, where the account had open orders.
    pub instruments: Vec<SweptInstrument>,
    /// When it began.
    pub at: DateTime<Utc>,
    /// What this answer means: `committed`, on disk.
    pub durability: &'static str,
}

/// A sweep's part on one instrument.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = trading::SweptInstrument)]
pub struct SweptInstrument {
    /// The instrument's symbol.
    pub instrument: String,
    /// The orders that were taken off.
    pub order_ids: Vec<Uuid>,
    /// The number of the account's event.
    pub seq: i64,
    /// The number of the instrument's event.
    pub instrument_seq: i64,
    /// Whether an earlier command with the same id had done this.
    pub duplicate: bool,
}

impl From<SweepBody> for SweepRequest {
    fn from(body: SweepBody) -> Self {
        Self { id: body.sweep_id.into(), symbol: body.instrument }
    }
}

impl CancelAllArgs {
    /// The account, and what is to be swept.
    pub fn split(self) -> (AccountId, SweepRequest) {
        let body = SweepBody { sweep_id: self.sweep_id, instrument: self.instrument };
        (AccountId(self.account), body.into())
    }
}

impl DeadManBody {
    /// `None` stops the timer.
    pub fn after(&self) -> Option<Duration> {
        after(self.after_ms)
    }
}

impl DeadManArgs {
    /// `None` stops the timer.
    pub fn after(&self) -> Option<Duration> {
        after(self.after_ms)
    }
}

impl CancelOnDisconnectArgs {
    /// How long the orders outlive the socket.
    pub fn grace(&self) -> Duration {
        Duration::from_millis(self.grace_ms.into())
    }
}

fn after(ms: u32) -> Option<Duration> {
    (ms > 0).then(|| Duration::from_millis(ms.into()))
}

impl SweepResult {
    /// What came of the sweep with this id.
    pub fn of(id: &str, done: SweepDone) -> Self {
        let one =
            |(listing, swept): (std::sync::Arc<crate::service::Listing>, crate::lane::command::Swept)| {
                SweptInstrument {
                    instrument: listing.instrument.symbol.to_string(),
                    order_ids: swept.orders.into_iter().map(|order| order.0).collect(),
                    seq: swept.seq,
                    instrument_seq: swept.instrument_seq,
                    duplicate: swept.duplicate,
                }
            };
        Self {
            sweep_id: id.to_owned(),
            instruments: done.children.into_iter().map(one).collect(),
            at: done.sweep.at,
            durability: "committed",
        }
    }
}
