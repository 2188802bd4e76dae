//! Plays a recording and compares ten levels a side after every event.
//!
//! The recording has no message for what happens beyond its ten levels. So a level that comes into sight, or that
//! should have and is gone, may differ, and there alone the replay places or cancels the difference itself.
//! A price that was in sight before is never corrected.

use std::collections::{BTreeMap, HashMap};

use rust_decimal::Decimal;

use super::lobster::{Event, EventKind, LEVELS, Levels, Step};
use crate::book::Side;

/// Differences that are kept with their particulars; the rest are counted.
const DETAILS_MAX: usize = 20;

/// Where a recording is played.
pub trait Venue {
    /// Places an order that rests.
    fn place(&mut self, order: &Resting) -> impl Future<Output = anyhow::Result<()>>;
    /// Takes a resting order off, and says what was left of it: zero when it was filled before.
    fn cancel(&mut self, order: &Resting) -> impl Future<Output = anyhow::Result<Decimal>>;
    /// Takes from the side of the book that `side` rests on, at `price` or better, at once or not at all.
    fn take(
        &mut self,
        side: Side,
        price: Decimal,
        quantity: Decimal,
    ) -> impl Future<Output = anyhow::Result<()>>;
    /// The best levels after everything so far.
    fn book(&mut self) -> impl Future<Output = anyhow::Result<Levels>>;
}

/// An order that was placed.
#[derive(Clone, Debug)]
pub struct Resting {
    /// Unique in the run.
    pub number: u64,
    /// Which way.
    pub side: Side,
    /// The limit.
    pub price: Decimal,
    /// All of it when it was placed.
    pub quantity: Decimal,
}

/// What a run has found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Levels that were compared.
    pub compared: u64,
    /// Of these, how many differed.
    pub differing: u64,
    /// How often a level that came into sight was placed or cancelled by the replay itself.
    pub corrected: u64,
    /// The first differences, for a person.
    pub details: Vec<String>,
}

/// A run under way.
pub struct Player<V> {
    venue: V,
    /// The recording's orders by their number at the exchange.
    recorded: BTreeMap<u64, Resting>,
    /// What stood there before the recording and what came into sight, by price, oldest first.
    unrecorded: HashMap<(bool, Decimal), Vec<Resting>>,
    before: Levels,
    number: u64,
    events: u64,
    outcome: Outcome,
}

impl<V: Venue> Player<V> {
    /// Places the first book.
    pub async fn start(venue: V, first: &Levels) -> anyhow::Result<Self> {
        // The first book is the one after the first message.
        let mut player = Self {
            venue,
            recorded: BTreeMap::new(),
            unrecorded: HashMap::new(),
            before: first.clone(),
            number: 0,
            events: 1,
            outcome: Outcome::default(),
        };
        for side in [Side::Buy, Side::Sell] {
            for (price, quantity) in first.of(side) {
                player.place_unrecorded(side, *price, *quantity).await?;
            }
        }
        Ok(player)
    }

    /// Plays one event, settles what came into sight, and compares.
    pub async fn play(&mut self, step: &Step) -> anyhow::Result<()> {
        self.events += 1;
        self.act(&step.event).await?;
        for side in [Side::Buy, Side::Sell] {
            self.settle(side, step.after.of(side)).await?;
        }
        let found = self.venue.book().await?;
        for side in [Side::Buy, Side::Sell] {
            self.compare(side, found.of(side), step.after.of(side));
        }
        self.before = step.after.clone();
        Ok(())
    }

    /// What was found so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What was found.
    pub fn into_outcome(self) -> Outcome {
        self.outcome
    }

    async fn act(&mut self, event: &Event) -> anyhow::Result<()> {
        let Event { kind, order, quantity, price, side } = *event;
        match kind {
            EventKind::Placed => {
                let resting = self.next_order(side, price, quantity);
                self.venue.place(&resting).await?;
                self.recorded.insert(order, resting);
                Ok(())
            }
            EventKind::TakenOff => self.take_off(order, side, price, quantity).await,
            EventKind::Executed => self.venue.take(side, price, quantity).await,
            EventKind::ExecutedHidden => Ok(()),
        }
    }

    /// From the order, or from what stood there before the recording.
    async fn take_off(
        &mut self,
        order: u64,
        side: Side,
        price: Decimal,
        quantity: Decimal,
    ) -> anyhow::Result<()> {
        let missing = self.take_off_recorded(order, quantity).await?;
        self.take_off_unrecorded(side, price, missing).await.map(|_| ())
    }

    /// Takes this much off an order of the recording; gives what couldn't be.
    async fn take_off_recorded(&mut self, order: u64, quantity: Decimal) -> anyhow::Result<Decimal> {
        if quantity.is_zero() {
            return Ok(quantity);
        }
        let Some(resting) = self.recorded.remove(&order) else { return Ok(quantity) };
        let left = self.venue.cancel(&resting).await?;
        let taken = left.min(quantity);
        if left > taken {
            let rest = self.next_order(resting.side, resting.price, left - taken);
            self.venue.place(&rest).await?;
            self.recorded.insert(order, rest);
        }
        Ok(quantity - taken)
    }

    /// Takes this much off the unrecorded orders at a price, the oldest first; gives what couldn't be.
    async fn take_off_unrecorded(
        &mut self,
        side: Side,
        price: Decimal,
        quantity: Decimal,
    ) -> anyhow::Result<Decimal> {
        let mut missing = quantity;
        while missing > Decimal::ZERO {
            let orders = self.unrecorded.entry((side == Side::Buy, price)).or_default();
            if orders.is_empty() {
                break;
            }
            let oldest = orders.remove(0);
            let left = self.venue.cancel(&oldest).await?;
            let taken = left.min(missing);
            missing -= taken;
            if left > taken {
                self.place_unrecorded(side, price, left - taken).await?;
            }
        }
        Ok(missing)
    }

    /// Places or cancels the difference at prices that were out of sight before this event.
    async fn settle(&mut self, side: Side, expected: &[(Decimal, Decimal)]) -> anyhow::Result<()> {
        let Some((horizon, _)) = self.before.of(side).get(LEVELS - 1).copied() else { return Ok(()) };
        let beyond = |price: Decimal| is_worse(side, price, horizon);
        loop {
            // A level that is gone may bring the next one into sight.
            let found = self.venue.book().await?;
            let last = expected.get(LEVELS - 1).map(|(price, _)| *price);
            let gone = found.of(side).iter().copied().find(|(price, _)| {
                let in_sight = last.is_none_or(|last| is_worse(side, last, *price));
                beyond(*price) && in_sight && !expected.iter().any(|(known, _)| known == price)
            });
            let Some((price, quantity)) = gone else { break };
            self.correct(side, price, quantity, Decimal::ZERO).await?;
        }
        let found = self.venue.book().await?;
        for (price, quantity) in expected.iter().filter(|(price, _)| beyond(*price)) {
            let there =
                found.of(side).iter().find(|(known, _)| known == price).map_or(Decimal::ZERO, |(_, it)| *it);
            if there != *quantity {
                self.correct(side, *price, there, *quantity).await?;
            }
        }
        Ok(())
    }

    async fn correct(
        &mut self,
        side: Side,
        price: Decimal,
        from: Decimal,
        to: Decimal,
    ) -> anyhow::Result<()> {
        self.outcome.corrected += 1;
        if to > from {
            return self.place_unrecorded(side, price, to - from).await;
        }
        let mut missing = self.take_off_unrecorded(side, price, from - to).await?;
        let recorded = self.recorded.iter().filter(|(_, it)| it.side == side && it.price == price);
        for order in recorded.map(|(order, _)| *order).collect::<Vec<_>>() {
            missing = self.take_off_recorded(order, missing).await?;
        }
        anyhow::ensure!(missing.is_zero(), "{missing} at {price} belong to nobody");
        Ok(())
    }

    async fn place_unrecorded(
        &mut self,
        side: Side,
        price: Decimal,
        quantity: Decimal,
    ) -> anyhow::Result<()> {
        let resting = self.next_order(side, price, quantity);
        self.venue.place(&resting).await?;
        self.unrecorded.entry((side == Side::Buy, price)).or_default().push(resting);
        Ok(())
    }

    fn next_order(&mut self, side: Side, price: Decimal, quantity: Decimal) -> Resting {
        self.number += 1;
        Resting { number: self.number, side, price, quantity }
    }

    fn compare(&mut self, side: Side, found: &[(Decimal, Decimal)], expected: &[(Decimal, Decimal)]) {
        for level in 0..LEVELS {
            let (found, expected) = (found.get(level), expected.get(level));
            self.outcome.compared += 1;
            if found == expected {
                continue;
            }
            self.outcome.differing += 1;
            if self.outcome.details.len() < DETAILS_MAX {
                let text = |level: Option<&(Decimal, Decimal)>| match level {
                    Some((price, quantity)) => format!("{quantity} at {price}"),
                    None => "nothing".to_owned(),
                };
                let (event, side, level) = (self.events, side.name(), level + 1);
                let detail = format!(
                    "event {event}, {side} level {level}: {}, expected {}",
                    text(found),
                    text(expected)
                );
                self.outcome.details.push(detail);
            }
        }
    }
}

/// Whether a price lies deeper in its side of the book than another.
fn is_worse(side: Side, price: Decimal, than: Decimal) -> bool {
    match side {
        Side::Buy => price < than,
        Side::Sell => price > than,
    }
}
