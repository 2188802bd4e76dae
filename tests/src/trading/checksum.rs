//! The book's checksum against one that a venue computed, where the sample is at hand, and against one of our own.

use serde_json::Value;
use trading::matching::checksum;
use trading::model::parse_decimal;

use crate::harness::sample;

/// Ten levels a side with the checksum that the rule gives by hand: `crc32` of the digits below.
const FIXTURE: &str = r#"{"data":[{
    "bids":[{"price":"100.4","qty":"0.00000500"},{"price":"100.3","qty":"12.50000000"}],
    "asks":[{"price":"100.5","qty":"0.10000000"},{"price":"101.0","qty":"3.00000000"}],
    "checksum":167531246}]}"#;
/// Each level's price and quantity without point and leading zeros, asks first.
const FIXTURE_DIGITS: &[u8] = b"1005100000001010300000000100450010031250000000";

fn levels(side: &Value) -> Vec<(i64, i64)> {
    let units = |value: &Value, scale| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        parse_decimal(&text, scale).unwrap()
    };
    side.as_array()
        .unwrap()
        .iter()
        .map(|level| (units(&level["price"], 1), units(&level["qty"], 8)))
        .collect()
}

fn checksum_of(book: &Value) -> u32 {
    checksum(levels(&book["bids"]).into_iter(), levels(&book["asks"]).into_iter())
}

#[test]
fn the_checksum_is_the_one_of_the_written_digits() {
    let snapshot: Value = serde_json::from_str(FIXTURE).unwrap();
    let book = &snapshot["data"][0];
    assert_eq!(checksum_of(book), crc32(FIXTURE_DIGITS));
    assert_eq!(checksum_of(book), book["checksum"]);
}

#[test]
fn the_checksum_is_the_one_that_the_venue_computed() {
    let Some(file) = sample("trading/kraken_book_snapshot.json") else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let snapshot: Value = serde_json::from_str(&text).unwrap();
    let book = &snapshot["data"][0];
    assert_eq!(checksum_of(book), book["checksum"]);
}

/// By the book: bit by bit, reflected, polynomial 0xEDB88320.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32, byte: &u8| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0xEDB8_8320 & (sum & 1).wrapping_neg()))
    };
    !bytes.iter().fold(u32::MAX, step)
}
