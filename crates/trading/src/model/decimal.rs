//! Amounts between the wire and the rows: a decimal string outside, whole units of `10^-scale` in an `i64` inside.

use std::fmt;

use serde::{Serialize, Serializer};

/// Digits before and after the point together that are read; more can't fit an `i64`.
const DIGITS_MAX: usize = 18;

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// Not digits with at most one point between them.
    #[error("is not a decimal number such as \"12.50\"")]
    Malformed,
    /// More decimals than the scale has.
    #[error("has more than {0} decimals")]
    TooPrecise(u8),
    /// Out of the range that is kept.
    #[error("is too large")]
    TooLarge,
}

/// Reads `"585.94"` at scale 2 as 58594. No sign, no exponent, no spaces; zeros beyond the scale are let pass.
pub fn parse_decimal(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return Err(DecimalError::Malformed);
    }
    let part = part.trim_end_matches('0');
    if part.len() > usize::from(scale) {
        return Err(DecimalError::TooPrecise(scale));
    }
    let whole = whole.trim_start_matches('0');
    if whole.len() + usize::from(scale) > DIGITS_MAX {
        return Err(DecimalError::TooLarge);
    }
    let padding = std::iter::repeat_n(b'0', usize::from(scale) - part.len());
    let value = whole.bytes().chain(part.bytes()).chain(padding);
    Ok(value.fold(0i64, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

/// An amount as it is written: all decimals of its scale, in JSON a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    /// Whole units of `10^-scale`.
    pub units: i64,
    /// Decimals.
    pub scale: u8,
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.units < 0 { "-" } else { "" };
        let units = self.units.unsigned_abs();
        if self.scale == 0 {
            return write!(f, "{sign}{units}");
        }
        let one = 10u64.pow(u32::from(self.scale));
        write!(f, "{sign}{}.{:0width$}", units / one, units % one, width = usize::from(self.scale))
    }
}

impl Serialize for Decimal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_amount_is_read_in_whole_minor_units() {
        for (text, scale, units) in [
            ("585.94", 2, 58_594),
            ("585.9", 2, 58_590),
            ("585", 2, 58_500),
            ("0.00000001", 8, 1),
            ("007", 0, 7),
            ("1.500", 1, 15),
            ("18", 0, 18),
            ("18.0", 0, 18),
        ] {
            assert_eq!(parse_decimal(text, scale), Ok(units), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", " 1", "1.2.3", "１"] {
            assert_eq!(parse_decimal(text, 2), Err(DecimalError::Malformed), "{text}");
        }
        assert_eq!(parse_decimal("1.005", 2), Err(DecimalError::TooPrecise(2)));
        assert_eq!(parse_decimal("99999999999999999", 2), Err(DecimalError::TooLarge));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(units in 0i64..1_000_000_000_000_000_000, scale in 0u8..=12) {
            prop_assert_eq!(parse_decimal(&Decimal { units, scale }.to_string(), scale), Ok(units));
        }
    }
}
