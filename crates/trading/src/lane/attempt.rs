//! One transaction of a lane: lock, read, decide, write. Committed or not, it leaves nothing behind but rows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use common::db::{DbError, Tx};
use common::events::NewEvent;

use super::command::{AckState, Answer, Command, Prior, Target};
use super::decide::{self, Decision, Known, Numbers, Task, decide};
use super::memory::Memory;
use crate::error::Error;
use crate::events::{
    ACTOR_MATCHER, AccountChange, BalancePart, FillPart, InstrumentPart, MATCHED, Matched, OrderPart, SCHEMA,
    TRADED, account_stream, instrument_stream,
};
use crate::matching::{Effects, Funds};
use crate::model::{AccountId, Instrument, Side};
use crate::store::lane::rows::{Batch, write};
use crate::store::lane::{Locked, list_closed_orders, lock};

/// What an attempt comes to once it is committed.
pub struct Done {
    /// One per task.
    pub answers: Vec<Answer>,
    /// The book after it.
    pub memory: Memory,
    /// The number of the instrument's event, if there was one.
    pub seq: Option<i64>,
    /// Whether another process had written since this one did last.
    pub met_others: bool,
}

/// Why an attempt is given up before it wrote anything.
pub enum Stopped {
    /// The database's reason.
    Db(DbError),
    /// The book was not what it was thought to be, so too few accounts were locked. Again, with this one.
    Extend(Box<Memory>),
    /// A rule of the matcher was broken.
    Broken(Error),
}

impl From<DbError> for Stopped {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Self {
        match error {
            Error::Db(error) => Self::Db(error),
            error => Self::Broken(error),
        }
    }
}

/// Runs the tasks in `tx`. `memory` is the lane's, if it has one.
pub async fn attempt(
    tx: &mut Tx<'_>,
    instrument: &Instrument,
    memory: Option<Memory>,
    tasks: &[Task],
    at: DateTime<Utc>,
) -> Result<Done, Stopped> {
    let accounts: BTreeSet<AccountId> = match &memory {
        Some(memory) => memory.reach(tasks),
        None => tasks.iter().map(|task| task.account).collect(),
    };
    let sorted: Vec<AccountId> = accounts.iter().copied().collect();
    let mut locked = lock(tx, instrument, &sorted, &keys(tasks), &sweeps(tasks)).await?;
    let remembered = memory.is_some();
    let (mut memory, is_new) = recall(tx, instrument, memory, locked.head).await?;
    if is_new && !memory.reach(tasks).is_subset(&accounts) {
        return Err(Stopped::Extend(Box::new(memory)));
    }
    let known = read_known(&mut locked)?;
    let heads = std::mem::take(&mut locked.account_heads);
    let account_seq = |account: AccountId| heads.get(&account).map_or(0, |head| head + 1);
    let numbers =
        Numbers { seq: locked.head + 1, account_seq: &account_seq, next_trade: memory.next_trade, at };
    let mut funds = locked.funds;
    let decision = decide(&memory.instrument, &mut memory.book, &mut funds, &numbers, known, tasks)?;
    let Decision { answers, unresolved, commands, sweeps, effects } = decision;
    let batch = Batch {
        instrument: &memory.instrument,
        seq: numbers.seq,
        at,
        effects: &effects,
        account_seq: &account_seq,
        holding: &|account| funds.get(account).copied().unwrap_or_default(),
        commands: &commands,
        sweeps: &sweeps,
    };
    let seq = (!effects.is_empty()).then_some(numbers.seq);
    let events = match seq {
        Some(_) => events(&memory.instrument, &numbers, &effects, &funds)?,
        None => Vec::new(),
    };
    write(tx, &batch, events).await?;
    if seq.is_some() {
        memory.version = numbers.seq;
        memory.next_trade += effects.trades.len() as i64;
    }
    let answers = resolve(tx, instrument, answers, unresolved).await?;
    Ok(Done { answers, memory, seq, met_others: remembered && is_new })
}

/// The book as of `head`, and whether it differs from what the lane remembered: another process wrote meanwhile, or nothing
/// was remembered.
async fn recall(
    tx: &mut Tx<'_>,
    instrument: &Instrument,
    memory: Option<Memory>,
    head: i64,
) -> Result<(Memory, bool), DbError> {
    if let Some(mut memory) = memory {
        if memory.version == head {
            return Ok((memory, false));
        }
        if memory.catch_up(tx, head).await? {
            return Ok((memory, true));
        }
    }
    Ok((Memory::load(tx, instrument.id, head).await?, true))
}

/// The client ids that the tasks are about, each once.
fn keys(tasks: &[Task]) -> Vec<(AccountId, Arc<str>)> {
    let key = |task: &Task| match &task.command {
        Command::Place { client_id, .. } | Command::Cancel(Target::Client(client_id)) => {
            Some((task.account, client_id.clone()))
        }
        Command::Cancel(Target::Order(_)) | Command::CancelAll { .. } => None,
    };
    tasks.iter().filter_map(key).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The sweeps among the tasks, each once.
fn sweeps(tasks: &[Task]) -> Vec<(AccountId, Arc<str>)> {
    let key = |task: &Task| match &task.command {
        Command::CancelAll { id, .. } => Some((task.account, id.clone())),
        Command::Place { .. } | Command::Cancel(_) => None,
    };
    tasks.iter().filter_map(key).collect::<BTreeSet<_>>().into_iter().collect()
}

fn read_known(locked: &mut Locked) -> Result<Known, Error> {
    let read = |(key, decided): (&(AccountId, Arc<str>), _)| Ok((key.clone(), Prior::read(&key.1, decided)?));
    let orders = locked.decided.iter().map(read).collect::<Result<_, Error>>()?;
    Ok(Known { orders, sweeps: std::mem::take(&mut locked.swept) })
}

/// Answers the cancels of orders that were over before this batch, from their rows.
async fn resolve(
    tx: &mut Tx<'_>,
    instrument: &Instrument,
    answers: Vec<Option<Answer>>,
    unresolved: Vec<(usize, AccountId, crate::model::OrderId)>,
) -> Result<Vec<Answer>, DbError> {
    let mut found = HashMap::new();
    if !unresolved.is_empty() {
        let keys: Vec<_> = unresolved.iter().map(|(_, account, id)| (*account, *id)).collect();
        for closed in list_closed_orders(tx, instrument.id, &keys).await? {
            found.insert((closed.account, closed.id), closed);
        }
    }
    let wanted: HashMap<usize, _> =
        unresolved.into_iter().map(|(at, account, id)| (at, (account, id))).collect();
    let resolved = answers.into_iter().enumerate().map(|(at, answer)| {
        answer.unwrap_or_else(|| match wanted.get(&at).and_then(|key| found.get(key)) {
            Some(closed) => decide::over(closed.id, &closed.client_id, AckState::from(closed)),
            None => Err(Error::NotFound),
        })
    });
    Ok(resolved.collect())
}

/// One event of the instrument, and one of each account that was touched.
fn events(
    instrument: &Instrument,
    numbers: &Numbers<'_>,
    effects: &Effects,
    funds: &Funds,
) -> Result<Vec<NewEvent<'static>>, Error> {
    let body = |part: Result<serde_json::Value, serde_json::Error>| {
        part.map_err(|error| Error::Broken(format!("an event can't be written: {error}")))
    };
    let mut changes: HashMap<AccountId, AccountChange> = HashMap::new();
    for changed in &effects.orders {
        changes.entry(changed.order.account).or_default().orders.push(OrderPart::of(&changed.order));
    }
    for trade in &effects.trades {
        for side in [Side::Buy, Side::Sell] {
            let (party, sells, takes) = (trade.party(side), side == Side::Sell, side == trade.taker_side);
            changes.entry(party.account).or_default().fills.push(FillPart(
                trade.number,
                party.order.0,
                sells,
                takes,
                trade.price,
                trade.quantity,
                trade.notional,
                party.fee,
            ));
        }
    }
    let event = |stream, seq, kind, body| NewEvent {
        stream,
        seq,
        actor: ACTOR_MATCHER,
        subject: "orders",
        kind,
        schema: SCHEMA,
        body,
    };
    for (account, is_base) in effects.balances() {
        let holding = funds.get(account).copied().unwrap_or_default();
        let (asset, has) =
            if is_base { (&instrument.base, holding.base) } else { (&instrument.quote, holding.quote) };
        let balance = BalancePart(asset.code.to_string(), asset.scale, has.available, has.held);
        changes.entry(account).or_default().balances.push(balance);
    }
    let mut events = Vec::with_capacity(changes.len() + 1);
    let matched = body(serde_json::to_value(Matched::of(effects)))?;
    events.push(event(instrument_stream(instrument.id), numbers.seq, MATCHED, matched));
    for (account, mut change) in changes {
        change.instrument = Some(InstrumentPart::of(instrument, numbers.seq));
        let seq = (numbers.account_seq)(account);
        events.push(event(account_stream(account), seq, TRADED, body(serde_json::to_value(change))?));
    }
    Ok(events)
}
