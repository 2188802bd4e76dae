//! The book's checksum in Kraken's form, by which a client proves its copy of the book after every message.

use std::fmt::Write;

/// Levels of each side that are covered.
pub const CHECKSUM_LEVELS: usize = 10;

/// CRC32 over the best asks from low to high, then the best bids from high to low: of each level its price, then its
/// quantity, as written with all decimals but without point and leading zeros - which is how the units are written.
pub fn checksum(bids: impl Iterator<Item = (i64, i64)>, asks: impl Iterator<Item = (i64, i64)>) -> u32 {
    let mut text = String::with_capacity(CHECKSUM_LEVELS * 2 * 24);
    for (price, quantity) in asks.take(CHECKSUM_LEVELS).chain(bids.take(CHECKSUM_LEVELS)) {
        write!(text, "{price}{quantity}").expect("a String takes everything");
    }
    crc32fast::hash(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_come_first_and_only_ten_levels_count() {
        let asks = [(50_005, 100), (50_010, 7)];
        let bids = [(49_995, 250)];
        let found = checksum(bids.into_iter(), asks.into_iter());
        assert_eq!(found, crc32fast::hash(b"5000510050010749995250"));
        let many = (0..30).map(|n| (100 + n, 1));
        assert_eq!(checksum(many.clone(), many.clone()), checksum(many.clone().take(10), many.take(10)));
    }

    #[test]
    fn the_checksum_of_text_is_the_standard_crc32() {
        assert_eq!(checksum(std::iter::empty(), [(123_456, 789)].into_iter()), 0xCBF4_3926);
    }
}
