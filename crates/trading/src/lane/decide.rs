//! What a batch of commands comes to, pure: each is answered from what was decided before, or by the matcher.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::command::{Ack, AckState, Answer, Command, Prior, Reply, Request, Swept, Target, texts};
use crate::error::Error;
use crate::matching::{Book, Effects, Funds, NewOrder, Refusal, Round};
use crate::model::{AccountId, CancelReason, Instrument, OrderId, OrderStatus};
use crate::store::lane::rows::{NewCommand, NewSwept};

/// A command of the batch whose caller owns the account.
#[derive(Clone, Debug)]
pub struct Task {
    /// Whose.
    pub account: AccountId,
    /// What.
    pub command: Command,
}

/// What the batch is decided under.
pub struct Numbers<'a> {
    /// The number that the instrument's event will have.
    pub seq: i64,
    /// The number that an account's event will have.
    pub account_seq: &'a (dyn Fn(AccountId) -> i64 + Sync),
    /// The number of the next trade.
    pub next_trade: i64,
    /// When.
    pub at: DateTime<Utc>,
}

/// What is known of ids: of earlier batches, and then of this one.
#[derive(Default)]
pub struct Known {
    /// Of client order ids.
    pub orders: HashMap<(AccountId, Arc<str>), Prior>,
    /// Of sweeps.
    pub sweeps: HashMap<(AccountId, Arc<str>), Swept>,
}

/// What the batch comes to.
pub struct Decision {
    /// One answer per task; `None` where the order is neither in the book nor of this batch: its row knows.
    pub answers: Vec<Option<Answer>>,
    /// The orders that those are about.
    pub unresolved: Vec<(usize, AccountId, OrderId)>,
    /// What is to be kept of orders.
    pub commands: Vec<NewCommand>,
    /// What is to be kept of sweeps.
    pub sweeps: Vec<NewSwept>,
    /// What happened.
    pub effects: Effects,
}

struct Deciding<'a> {
    instrument: &'a Instrument,
    numbers: &'a Numbers<'a>,
    round: Round<'a>,
    known: Known,
    commands: Vec<NewCommand>,
    sweeps: Vec<NewSwept>,
}

/// Decides the tasks one after the other. Fails when an account is needed that isn't locked, and then the book and the
/// funds are void.
pub fn decide(
    instrument: &Instrument,
    book: &mut Book,
    funds: &mut Funds,
    numbers: &Numbers<'_>,
    known: Known,
    tasks: &[Task],
) -> Result<Decision, Error> {
    let round = Round::new(instrument, book, funds, numbers.seq, numbers.at, numbers.next_trade);
    let mut deciding =
        Deciding { instrument, numbers, round, known, commands: Vec::new(), sweeps: Vec::new() };
    let mut answers = Vec::with_capacity(tasks.len());
    let mut unresolved = Vec::new();
    for (at, task) in tasks.iter().enumerate() {
        answers.push(match &task.command {
            Command::Place { client_id, request } => {
                Some(deciding.place(task.account, client_id, request)?)
            }
            Command::CancelAll { id, reason } => Some(deciding.cancel_all(task.account, id, *reason)?),
            Command::Cancel(target) => match deciding.cancel(task.account, target)? {
                Ok(answer) => Some(answer),
                Err(order) => {
                    unresolved.push((at, task.account, order));
                    None
                }
            },
        });
    }
    let effects = deciding.round.finish();
    unresolved.retain(|(at, account, id)| {
        let found = effects
            .orders
            .iter()
            .map(|changed| &changed.order)
            .find(|o| o.id == *id && o.account == *account);
        let Some(order) = found else { return true };
        let state = AckState::of(order, (numbers.account_seq)(*account), numbers.seq, numbers.at);
        answers[*at] = Some(over(order.id, &order.client_id, state));
        false
    });
    Ok(Decision { answers, unresolved, commands: deciding.commands, sweeps: deciding.sweeps, effects })
}

/// The answer to the cancel of an order that is over.
pub fn over(order: OrderId, client_id: &Arc<str>, state: AckState) -> Answer {
    match state.status {
        OrderStatus::Canceled => {
            Ok(Reply::Order(Ack { order, client_id: client_id.clone(), state, duplicate: true }))
        }
        status => Err(Error::NotOpen(status)),
    }
}

impl Deciding<'_> {
    fn place(
        &mut self,
        account: AccountId,
        client_id: &Arc<str>,
        request: &Request,
    ) -> Result<Answer, Error> {
        let key = (account, client_id.clone());
        if let Some(prior) = self.known.orders.get(&key) {
            return Ok(prior.answer(self.instrument.id, request));
        }
        let id = OrderId(Uuid::now_v7());
        let new = NewOrder {
            id,
            account,
            client_id: client_id.clone(),
            side: request.side,
            time_in_force: request.time_in_force,
            price: request.price,
            quantity: request.quantity,
        };
        let outcome = match self.round.place(new) {
            Ok(order) => {
                let numbers = self.numbers;
                let state = AckState::of(&order, (numbers.account_seq)(account), numbers.seq, numbers.at);
                Ok(Ack { order: id, client_id: client_id.clone(), state, duplicate: false })
            }
            Err(Refusal::Rejected(reason)) => Err(reason),
            Err(refusal) => return Err(void(refusal)),
        };
        let (text, result) = texts(request, &outcome)?;
        let order = outcome.as_ref().ok().map(|ack| ack.order);
        self.commands.push(NewCommand {
            account,
            client_id: client_id.clone(),
            order,
            request: text,
            result,
        });
        let (instrument, request) = (self.instrument.id, request.clone());
        let answer = outcome.clone().map(Reply::Order);
        self.known.orders.insert(key, Prior::Order { instrument, request, outcome });
        Ok(answer.map_err(|reason| Error::Rejected { reason, duplicate: false }))
    }

    fn cancel_all(
        &mut self,
        account: AccountId,
        id: &Arc<str>,
        reason: CancelReason,
    ) -> Result<Answer, Error> {
        let key = (account, id.clone());
        if let Some(swept) = self.known.sweeps.get(&key) {
            return Ok(Ok(Reply::Swept(Swept { duplicate: true, ..swept.clone() })));
        }
        let orders = self.round.open_orders(account);
        for order in &orders {
            self.round.cancel(account, *order, reason).map_err(void)?;
        }
        let numbers = self.numbers;
        let (next, before) = ((numbers.account_seq)(account), i64::from(orders.is_empty()));
        let swept = Swept {
            orders,
            seq: next - before,
            instrument_seq: numbers.seq - before,
            at: numbers.at,
            duplicate: false,
        };
        self.sweeps.push(NewSwept { account, id: id.clone(), swept: swept.clone() });
        self.known.sweeps.insert(key, swept.clone());
        Ok(Ok(Reply::Swept(swept)))
    }

    /// The inner `Err` names an order that must be looked for elsewhere.
    fn cancel(&mut self, account: AccountId, target: &Target) -> Result<Result<Answer, OrderId>, Error> {
        let id = match target {
            Target::Order(id) => *id,
            Target::Client(client_id) => {
                let known = || self.known.orders.get(&(account, client_id.clone())).and_then(Prior::order);
                match self.round.find_by_client_id(account, client_id).or_else(known) {
                    Some(id) => id,
                    None => return Ok(Ok(Err(Error::NotFound))),
                }
            }
        };
        match self.round.cancel(account, id, CancelReason::Requested) {
            Ok(order) => {
                let numbers = self.numbers;
                let state = AckState::of(&order, (numbers.account_seq)(account), numbers.seq, numbers.at);
                let ack = Ack { order: id, client_id: order.client_id, state, duplicate: false };
                Ok(Ok(Ok(Reply::Order(ack))))
            }
            Err(Refusal::NotOpen) => Ok(Err(id)),
            Err(refusal) => Err(void(refusal)),
        }
    }
}

/// `reach` named too few accounts, or the book isn't what the lane thinks.
fn void(refusal: Refusal) -> Error {
    Error::Broken(format!("the round is void: {refusal:?}"))
}
