//! The two files of a LOBSTER sample: messages, and the ten-level book after each of them.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use rust_decimal::Decimal;

use crate::book::Side;

/// Levels a side in the book file.
pub const LEVELS: usize = 10;
/// Prices are in 1/10000 $.
const PRICE_SCALE: u32 = 4;
/// What stands for a level that isn't there: a price far beyond, with quantity 0.
const NO_QUANTITY: i64 = 0;

/// A recording: the book after the first message, and what came then.
#[derive(Debug)]
pub struct Recording {
    /// The book before the first step.
    pub first: Levels,
    /// Every further message with the book after it.
    pub steps: Vec<Step>,
}

/// One message and the book that it leads to.
#[derive(Clone, Debug)]
pub struct Step {
    /// What happened.
    pub event: Event,
    /// The ten best levels a side after it.
    pub after: Levels,
}

/// Up to ten levels a side, best first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Levels {
    /// Who buys.
    pub bids: Vec<(Decimal, Decimal)>,
    /// Who sells.
    pub asks: Vec<(Decimal, Decimal)>,
}

impl Levels {
    /// One side.
    pub fn of(&self, side: Side) -> &[(Decimal, Decimal)] {
        match side {
            Side::Buy => &self.bids,
            Side::Sell => &self.asks,
        }
    }
}

/// A message of the file.
#[derive(Clone, Debug)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The order's number at the exchange.
    pub order: u64,
    /// How many.
    pub quantity: Decimal,
    /// The order's limit.
    pub price: Decimal,
    /// The side of the order that rests.
    pub side: Side,
}

/// The file's types 1 to 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// 1: a limit order comes to rest.
    Placed,
    /// 2 and 3: a part of a resting order, or what is left of it, is taken off.
    TakenOff,
    /// 4: a resting order is executed.
    Executed,
    /// 5: an order that nobody saw is executed.
    ExecutedHidden,
}

impl Recording {
    /// Reads the files `*_message_10.csv` and `*_orderbook_10.csv` of a folder.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        Self::parse(&one_file(folder, "_message_10.csv")?, &one_file(folder, "_orderbook_10.csv")?)
    }

    /// From the text of the two files.
    pub fn parse(messages: &str, books: &str) -> anyhow::Result<Self> {
        let (messages, books): (Vec<_>, Vec<_>) = (messages.lines().collect(), books.lines().collect());
        if messages.len() != books.len() {
            bail!("{} messages and {} books don't belong together", messages.len(), books.len());
        }
        let Some((first, rest)) = books.split_first() else { bail!("there are no books") };
        let first = levels(first).context("book 1")?;
        let steps = messages.iter().skip(1).zip(rest).enumerate().map(|(at, (message, book))| {
            let (event, after) = (event(message), levels(book));
            let number = at + 2;
            Ok(Step {
                event: event.with_context(|| format!("message {number}"))?,
                after: after.with_context(|| format!("book {number}"))?,
            })
        });
        Ok(Self { first, steps: steps.collect::<anyhow::Result<_>>()? })
    }
}

fn one_file(folder: &Path, ending: &str) -> anyhow::Result<String> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok).map(|entry| entry.path());
    let mut found = entries.filter(|path| path.to_string_lossy().ends_with(ending));
    match (found.next(), found.next()) {
        (Some(path), None) => Ok(fs::read_to_string(path)?),
        (None, _) => bail!("there is no file *{ending}"),
        (Some(_), Some(_)) => bail!("there is more than one file *{ending}"),
    }
}

fn event(line: &str) -> anyhow::Result<Event> {
    let fields: Vec<&str> = line.trim().split(',').collect();
    let [_time, kind, order, quantity, price, direction] = fields[..] else {
        bail!("six fields are expected")
    };
    Ok(Event {
        kind: match kind {
            "1" => EventKind::Placed,
            "2" | "3" => EventKind::TakenOff,
            "4" => EventKind::Executed,
            "5" => EventKind::ExecutedHidden,
            other => bail!("type {other} can't be played"),
        },
        order: order.parse()?,
        quantity: quantity.parse()?,
        price: Decimal::new(price.parse()?, PRICE_SCALE).normalize(),
        side: match direction {
            "1" => Side::Buy,
            "-1" => Side::Sell,
            other => bail!("direction {other} is neither 1 nor -1"),
        },
    })
}

fn levels(line: &str) -> anyhow::Result<Levels> {
    let numbers: Vec<i64> = line.trim().split(',').map(str::parse).collect::<Result<_, _>>()?;
    if numbers.len() != 4 * LEVELS {
        bail!("{} numbers are expected, not {}", 4 * LEVELS, numbers.len());
    }
    let mut levels = Levels::default();
    for level in numbers.chunks_exact(4) {
        for (side, price, quantity) in
            [(&mut levels.asks, level[0], level[1]), (&mut levels.bids, level[2], level[3])]
        {
            if quantity != NO_QUANTITY {
                side.push((Decimal::new(price, PRICE_SCALE).normalize(), quantity.into()));
            }
        }
    }
    Ok(levels)
}
