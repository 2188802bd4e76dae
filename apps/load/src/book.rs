//! An instrument's book as a client keeps it from the `book` channel, proved by the checksum of every message.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::client::{Error, Frame};

/// Levels a side that the checksum covers, in Kraken's form.
const CHECKED_LEVELS: usize = 10;

/// Which side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who buys: the best price is the highest.
    Buy,
    /// Who sells: the best price is the lowest.
    Sell,
}

impl Side {
    /// The other one.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }

    /// As the API writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
}

/// A book by levels.
#[derive(Clone, Debug, Default)]
pub struct Book {
    seq: i64,
    bids: BTreeMap<Decimal, Level>,
    asks: BTreeMap<Decimal, Level>,
}

/// A level and how it was written, which is what the checksum is taken over.
#[derive(Clone, Debug)]
struct Level {
    quantity: Decimal,
    price_text: String,
    quantity_text: String,
}

#[derive(Deserialize)]
struct Update {
    bids: Vec<(String, String)>,
    asks: Vec<(String, String)>,
    checksum: u32,
}

impl Book {
    /// The number of the stream that it is after.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// Takes a message of the channel. An error when the checksum doesn't agree.
    pub fn apply(&mut self, frame: &Frame) -> Result<(), Error> {
        let update: Update = frame.parse()?;
        if frame.kind == "snapshot" {
            self.bids.clear();
            self.asks.clear();
        }
        set(&mut self.bids, update.bids)?;
        set(&mut self.asks, update.asks)?;
        self.seq = frame.seq.ok_or_else(|| Error::Shape("seq".to_owned()))?;
        if self.checksum() == update.checksum {
            Ok(())
        } else {
            Err(Error::Shape(format!(
                "checksum of this book: {} is not {}",
                update.checksum,
                self.checksum()
            )))
        }
    }

    /// The best levels of a side, price and quantity.
    pub fn best(&self, side: Side, levels: usize) -> Vec<(Decimal, Decimal)> {
        self.levels(side).take(levels).map(|(price, level)| (*price, level.quantity)).collect()
    }

    fn levels(&self, side: Side) -> Box<dyn Iterator<Item = (&Decimal, &Level)> + '_> {
        match side {
            Side::Buy => Box::new(self.bids.iter().rev()),
            Side::Sell => Box::new(self.asks.iter()),
        }
    }

    /// CRC32 over the ten best asks from low to high, then the ten best bids from high to low: price, then
    /// quantity, each without its point and its leading zeros.
    pub fn checksum(&self) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        for (_, level) in
            [Side::Sell, Side::Buy].into_iter().flat_map(|side| self.levels(side).take(CHECKED_LEVELS))
        {
            for text in [&level.price_text, &level.quantity_text] {
                let digits: String = text.chars().filter(|c| *c != '.').collect();
                hasher.update(digits.trim_start_matches('0').as_bytes());
            }
        }
        hasher.finalize()
    }
}

fn set(side: &mut BTreeMap<Decimal, Level>, levels: Vec<(String, String)>) -> Result<(), Error> {
    let number = |text: &str| text.parse::<Decimal>().map_err(|_| Error::Shape(format!("number in {text}")));
    for (price_text, quantity_text) in levels {
        let (price, quantity) = (number(&price_text)?, number(&quantity_text)?);
        if quantity.is_zero() {
            side.remove(&price);
        } else {
            side.insert(price, Level { quantity, price_text, quantity_text });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: &str, seq: i64, bids: &str, asks: &str, checksum: u32) -> Frame {
        let text = format!(
            r#"{{"ch":"book:X","seq":{seq},"type":"{kind}","data":{{"bids":{bids},"asks":{asks},"checksum":{checksum}}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    /// Asks low to high, then bids high to low, as one text.
    fn crc(text: &str) -> u32 {
        crc32fast::hash(text.as_bytes())
    }

    #[test]
    fn a_snapshot_and_deltas_make_the_book() {
        let mut book = Book::default();
        let asks = r#"[["5.10","3"],["5.20","0.40"]]"#;
        let checksum = crc(&["5103", "52040", "4001", "902"].concat());
        book.apply(&frame("snapshot", 4, r#"[["0.90","2"],["4.00","1"]]"#, asks, checksum)).unwrap();
        let checksum = crc(&["52040", "4005", "902"].concat());
        book.apply(&frame("delta", 6, r#"[["4.00","5"]]"#, r#"[["5.10","0"]]"#, checksum)).unwrap();
        assert_eq!(book.seq(), 6);
        assert_eq!(book.best(Side::Buy, 1), [(Decimal::from(4), Decimal::from(5))]);
        assert_eq!(book.best(Side::Sell, 10), [(Decimal::new(520, 2), Decimal::new(40, 2))]);
    }

    #[test]
    fn a_wrong_checksum_is_noticed() {
        let mut book = Book::default();
        book.apply(&frame("snapshot", 1, "[]", r#"[["1","1"]]"#, 7)).unwrap_err();
    }
}
