//! What a row of a statement says: date, amount and names, each with a clear word when it can't be read; and its hash.

use super::ofx::RawRow;
use crate::model::{Currency, NOTES_CHARS_MAX, PAYEE_CHARS_MAX, YEARS};
use aws_lc_rs::digest;
use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;

/// Longest bank id that is taken for one.
const BANK_ID_CHARS_MAX: usize = 255;

/// A row that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The date part of `DTPOSTED` as the file gives it, in whatever zone: no bank means another day than it writes.
    pub date: NaiveDate,
    /// Minor units; below zero goes out.
    pub amount: i64,
}

/// What is kept of every row, readable or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadRow {
    /// Date and amount, or the reason why not.
    pub row: Result<Row, String>,
    /// Who it was.
    pub payee: String,
    /// What else it says.
    pub notes: String,
    /// `FITID`.
    pub bank_id: Option<String>,
    /// SHA-256 over the raw fields, before anything touched them.
    pub raw_hash: [u8; 32],
}

/// Reads a row of a statement in this currency.
pub fn read_row(raw: &RawRow, currency: Currency) -> ReadRow {
    let name = ["NAME", "PAYEE.NAME", "PAYEE"].into_iter().find_map(|name| raw.field(name));
    let memo = raw.field("MEMO");
    let payee = shorten(name.or(memo).unwrap_or_default(), PAYEE_CHARS_MAX);
    let notes = shorten(memo.unwrap_or_default(), NOTES_CHARS_MAX);
    ReadRow {
        row: date_and_amount(raw, currency),
        notes: if notes == payee { String::new() } else { notes },
        payee,
        bank_id: raw.field("FITID").filter(|id| id.chars().count() <= BANK_ID_CHARS_MAX).map(str::to_owned),
        raw_hash: hash(raw),
    }
}

fn date_and_amount(raw: &RawRow, currency: Currency) -> Result<Row, String> {
    if raw.cut_off {
        return Err("the file ends inside this row".to_owned());
    }
    if let Some(other) = raw.field("CURRENCY.CURSYM").filter(|code| *code != currency.code()) {
        return Err(format!("the amount is in {other}, the account in {currency}"));
    }
    let date = raw.field("DTPOSTED").ok_or("DTPOSTED is missing: the row has no date")?;
    let date = read_date(date).ok_or_else(|| format!("DTPOSTED is not a date: {date}"))?;
    let amount = raw.field("TRNAMT").ok_or("TRNAMT is missing: the row has no amount")?;
    let decimal = read_amount(amount).ok_or_else(|| format!("TRNAMT is not an amount: {amount}"))?;
    let minor = currency.minor(decimal).map_err(|error| format!("TRNAMT {amount}: {error}"))?;
    if minor == 0 {
        return Err("TRNAMT is zero: nothing was moved".to_owned());
    }
    Ok(Row { date, amount: minor })
}

/// The date part of an OFX date and time (`20090401122017.000[-5:EST]`), or of one written with dashes.
pub fn read_date(text: &str) -> Option<NaiveDate> {
    let digits: String = match text.as_bytes() {
        [_, _, _, _, b'-' | b'/', _, _, b'-' | b'/', _, _, ..] => {
            text.chars().take(10).filter(char::is_ascii_digit).collect()
        }
        _ => text.chars().take(8).collect(),
    };
    if digits.len() != 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let date = NaiveDate::parse_from_str(&digits, "%Y%m%d").ok()?;
    YEARS.contains(&date.year()).then_some(date)
}

/// An amount with a point or a comma before the decimals, perhaps with marks between the thousands.
pub fn read_amount(text: &str) -> Option<Decimal> {
    let text: String = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '\'' | '\u{a0}')).collect();
    let (points, commas) = (text.matches('.').count(), text.matches(',').count());
    let plain = match (points, commas) {
        (_, 0) if points <= 1 => text,
        // Three digits behind a lone comma are thousands, as in 1,234; fewer or more are decimals.
        (0, 1) if text.split(',').nth(1).is_some_and(|digits| digits.len() != 3) => text.replace(',', "."),
        (0, _) => text.replace(',', ""),
        (_, 0) => text.replace('.', ""),
        _ if text.rfind('.') > text.rfind(',') && points == 1 => text.replace(',', ""),
        _ if text.rfind(',') > text.rfind('.') && commas == 1 => text.replace('.', "").replace(',', "."),
        _ => return None,
    };
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    Decimal::from_str_exact(plain.strip_prefix('+').unwrap_or(&plain)).ok()
}

/// One space between words, and no longer than what is kept.
fn shorten(text: &str, chars_max: usize) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(chars_max).collect()
}

fn hash(raw: &RawRow) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for (name, text) in &raw.fields {
        for part in [name, text] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
    }
    context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(fields: &[(&str, &str)]) -> RawRow {
        let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        RawRow { fields, cut_off: false }
    }

    fn reason(fields: &[(&str, &str)]) -> String {
        read_row(&raw(fields), Currency::parse("CAD").unwrap()).row.unwrap_err()
    }

    #[test]
    fn a_date_is_the_one_that_the_file_writes() {
        for (text, date) in [
            ("20090401122017.000[-5:EST]", "2009-04-01"),
            ("20090401235959[+14]", "2009-04-01"),
            ("20180804093914:014", "2018-08-04"),
            ("20130525000000.000[-:EST]", "2013-05-25"),
            ("2013-05-25", "2013-05-25"),
        ] {
            assert_eq!(read_date(text), Some(date.parse().unwrap()), "{text}");
        }
        for text in ["", "00000000", "20120231", "2012023", "0", "2012é123", "99991231"] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }

    #[test]
    fn an_amount_is_read_as_people_write_it() {
        for (text, amount) in [
            ("-6.60", "-6.60"),
            ("+200.00", "200.00"),
            ("1,234.56", "1234.56"),
            ("1.234,56", "1234.56"),
            ("-12,3", "-12.3"),
            ("1,234", "1234"),
            ("1.234.567", "1234567"),
            ("1'234.50", "1234.50"),
            ("1 234,50", "1234.50"),
            (".5", "0.5"),
        ] {
            assert_eq!(read_amount(text), Some(amount.parse().unwrap()), "{text}");
        }
        for text in ["", "-", "abc", "1e5", "1.2.3,4,5", "--1", "12-", "1_0"] {
            assert_eq!(read_amount(text), None, "{text}");
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_says_why() {
        assert!(reason(&[("TRNAMT", "1.00")]).starts_with("DTPOSTED is missing"));
        assert!(reason(&[("DTPOSTED", "20120231"), ("TRNAMT", "1.00")]).contains("20120231"));
        assert!(reason(&[("DTPOSTED", "20120201")]).starts_with("TRNAMT is missing"));
        assert!(reason(&[("DTPOSTED", "20120201"), ("TRNAMT", "1.00001")]).contains("more decimals"));
        assert!(reason(&[("DTPOSTED", "20120201"), ("TRNAMT", "0.00")]).contains("zero"));
        let foreign = [("DTPOSTED", "20120201"), ("TRNAMT", "1"), ("CURRENCY.CURSYM", "USD")];
        assert!(reason(&foreign).contains("in USD"));
    }

    #[test]
    fn the_hash_covers_every_raw_field() {
        let cad = Currency::parse("CAD").unwrap();
        let hash = |fields: &[(&str, &str)]| read_row(&raw(fields), cad).raw_hash;
        let one = [("FITID", "1"), ("MEMO", "a  b")];
        assert_eq!(hash(&one), hash(&one));
        assert_ne!(hash(&one), hash(&[("FITID", "1"), ("MEMO", "a b")]));
        assert_ne!(hash(&one), hash(&[("FITID", "2"), ("MEMO", "a  b")]));
    }
}
