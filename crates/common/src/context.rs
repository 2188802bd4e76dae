//! What every call that does I/O carries: deadline, priority, caller, freshness token, clock, trace.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::db::Token;

/// How long a background call may take when nobody says otherwise.
const BACKGROUND_DEADLINE: Duration = Duration::from_secs(30);

/// Who asks, as the access token says it.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The token's `sub`: the key of ownership everywhere.
    pub subject: Arc<str>,
    /// What the token allows.
    pub scopes: Arc<[String]>,
    /// The plan that picks the caller's quota.
    pub plan: Arc<str>,
    /// When the token ends; sockets and streams end with it. `None` for the system itself.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Caller {
    /// The program itself: jobs, projectors, tails.
    pub fn system() -> Self {
        Self { subject: "system".into(), scopes: [].into(), plan: "system".into(), expires_at: None }
    }

    /// Whether the token carries `scope`.
    pub fn has_scope(&self, scope: &str) -> bool {
        self.scopes.iter().any(|s| s == scope)
    }
}

/// What is shed last. The order is the order of importance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Jobs, projections, warm-up: the first to wait.
    Background,
    /// Reads and ordinary writes.
    Normal,
    /// Orders and what else must go on when all else is shed.
    Critical,
}

/// The wall clock, or one that a test turns.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Microseconds that a test has turned the clock forward by.
    turned_us: Arc<AtomicI64>,
}

impl Clock {
    /// The time in UTC, cut to the microsecond that PostgreSQL keeps.
    #[expect(clippy::disallowed_methods, reason = "the one place that may ask the machine")]
    pub fn now(&self) -> DateTime<Utc> {
        let micros = Utc::now().timestamp_micros() + self.turned_us.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(micros).expect("a clock within 262,000 years of now")
    }

    /// Turns the clock of everything that shares it.
    pub fn turn(&self, by: TimeDelta) {
        self.turned_us.fetch_add(by.num_microseconds().unwrap_or(0), Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Shared {
    caller: Caller,
    clock: Clock,
    trace_id: Arc<str>,
    wait: Duration,
    freshness: Mutex<FreshnessState>,
}

#[derive(Debug, Default)]
struct FreshnessState {
    token: Token,
    written: bool,
}

/// One request's, message's or job's surroundings. Cheap to clone; clones share the freshness token.
#[derive(Clone, Debug)]
pub struct Context {
    shared: Arc<Shared>,
    deadline: Instant,
    priority: Priority,
}

/// What a `Context` is made of at the edge.
#[derive(Debug)]
pub struct ContextParts {
    /// Who asks.
    pub caller: Caller,
    /// When the answer is no longer of use.
    pub deadline: Instant,
    /// What is shed last.
    pub priority: Priority,
    /// What the caller has already seen or written.
    pub token: Token,
    /// How long a read may wait to become fresh (`Prefer: wait=`).
    pub wait: Duration,
    /// The clock of the program.
    pub clock: Clock,
    /// The trace's id, 32 hex digits.
    pub trace_id: Arc<str>,
}

impl From<ContextParts> for Context {
    fn from(parts: ContextParts) -> Self {
        Self {
            shared: Arc::new(Shared {
                caller: parts.caller,
                clock: parts.clock,
                trace_id: parts.trace_id,
                wait: parts.wait,
                freshness: Mutex::new(FreshnessState { token: parts.token, written: false }),
            }),
            deadline: parts.deadline,
            priority: parts.priority,
        }
    }
}

impl Context {
    /// For work that no caller waits for: lowest priority, 30 s, an empty token.
    pub fn background(clock: Clock) -> Self {
        ContextParts {
            caller: Caller::system(),
            deadline: Instant::now() + BACKGROUND_DEADLINE,
            priority: Priority::Background,
            token: Token::default(),
            wait: Duration::ZERO,
            clock,
            trace_id: "0".repeat(32).into(),
        }
        .into()
    }

    /// When the answer is no longer of use.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left until the deadline; zero when it has passed.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The same, but over after `within` at the latest (never later than before).
    pub fn with_deadline(&self, within: Duration) -> Self {
        Self { deadline: self.deadline.min(Instant::now() + within), ..self.clone() }
    }

    /// The same on behalf of another caller.
    pub fn with_caller(&self, caller: Caller) -> Self {
        ContextParts {
            caller,
            deadline: self.deadline,
            priority: self.priority,
            token: self.token(),
            wait: self.shared.wait,
            clock: self.shared.clock.clone(),
            trace_id: self.shared.trace_id.clone(),
        }
        .into()
    }

    /// The same as a part of another trace.
    pub fn with_trace(&self, trace_id: Arc<str>) -> Self {
        ContextParts {
            caller: self.shared.caller.clone(),
            deadline: self.deadline,
            priority: self.priority,
            token: self.token(),
            wait: self.shared.wait,
            clock: self.shared.clock.clone(),
            trace_id,
        }
        .into()
    }

    /// The same at another priority.
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { priority, ..self.clone() }
    }

    /// The same caller and trace with a token and deadline of its own: one message of a socket.
    pub fn child(&self, token: Token, within: Duration) -> Self {
        ContextParts {
            caller: self.shared.caller.clone(),
            deadline: Instant::now() + within,
            priority: self.priority,
            token,
            wait: self.shared.wait,
            clock: self.shared.clock.clone(),
            trace_id: self.shared.trace_id.clone(),
        }
        .into()
    }

    /// What is shed last.
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Who asks.
    pub fn caller(&self) -> &Caller {
        &self.shared.caller
    }

    /// The clock of the program.
    pub fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    /// The time in UTC, by the program's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.shared.clock.now()
    }

    /// What the caller sent, merged with what was written or observed since.
    pub fn token(&self) -> Token {
        self.shared.freshness.lock().token.clone()
    }

    /// The token to give back: present once something was written.
    pub fn written_token(&self) -> Option<Token> {
        let state = self.shared.freshness.lock();
        state.written.then(|| state.token.clone())
    }

    /// Reads from here on see at least `token`.
    pub fn observe(&self, token: &Token) {
        self.shared.freshness.lock().token.merge(token);
    }

    /// As `observe`, for what this call itself has committed: the caller is given the token back.
    pub fn wrote(&self, token: &Token) {
        let mut state = self.shared.freshness.lock();
        state.token.merge(token);
        state.written = true;
    }

    /// How long a read may wait to become fresh.
    pub fn wait(&self) -> Duration {
        self.shared.wait
    }

    /// The trace's id, 32 hex digits.
    pub fn trace_id(&self) -> &str {
        &self.shared.trace_id
    }
}
