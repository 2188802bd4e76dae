//! Money: whole minor units inside, decimal strings outside. No float anywhere.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Largest amount of one transaction or split, in minor units: a thousand billion at two decimals.
pub const AMOUNT_MAX: i64 = 100_000_000_000_000;

/// An ISO 4217 code, which says how many decimals an amount has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The code, if it has the form of one.
    pub fn parse(code: &str) -> Option<Currency> {
        let code: [u8; 3] = code.as_bytes().try_into().ok()?;
        code.iter().all(u8::is_ascii_uppercase).then_some(Currency(code))
    }

    /// Three capital letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only capital letters get in")
    }

    /// Decimals of the minor unit (ISO 4217, the currencies that don't have two).
    pub fn scale(&self) -> u32 {
        match self.code() {
            "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
            | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
            "CLF" | "UYW" => 4,
            _ => 2,
        }
    }

    /// Minor units of a decimal amount; refuses decimals that the currency doesn't have, and what is too large.
    pub fn minor(&self, amount: Decimal) -> Result<i64, AmountError> {
        let amount = amount.normalize();
        if amount.scale() > self.scale() {
            return Err(AmountError::TooManyDecimals { allowed: self.scale() });
        }
        let mut scaled = amount;
        scaled.rescale(self.scale());
        if scaled.scale() != self.scale() {
            return Err(AmountError::TooLarge);
        }
        let minor = i64::try_from(scaled.mantissa()).map_err(|_| AmountError::TooLarge)?;
        if minor.unsigned_abs() > AMOUNT_MAX.unsigned_abs() {
            return Err(AmountError::TooLarge);
        }
        Ok(minor)
    }

    /// The decimal amount, with all decimals of the currency (`12.30`).
    pub fn decimal(&self, minor: i64) -> Decimal {
        Decimal::from_i128_with_scale(i128::from(minor), self.scale())
    }
}

impl TryFrom<String> for Currency {
    type Error = String;

    fn try_from(code: String) -> Result<Currency, String> {
        Currency::parse(&code).ok_or_else(|| "a currency is three capital letters (ISO 4217)".to_owned())
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> String {
        currency.code().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// Why an amount can't be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// More decimals than the currency has.
    #[error("more decimals than the currency's {allowed}")]
    TooManyDecimals {
        /// Decimals of the currency.
        allowed: u32,
    },
    /// Beyond `AMOUNT_MAX`.
    #[error("the amount is too large")]
    TooLarge,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    fn decimal(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn an_amount_takes_the_scale_of_its_currency() {
        assert_eq!(currency("CAD").minor(decimal("727.61")), Ok(72_761));
        assert_eq!(currency("CAD").minor(decimal("5")), Ok(500));
        assert_eq!(currency("CAD").minor(decimal("5.50000")), Ok(550));
        assert_eq!(currency("JPY").minor(decimal("1200.0")), Ok(1_200));
        assert_eq!(currency("KWD").minor(decimal("-0.005")), Ok(-5));
        assert_eq!(currency("CAD").decimal(-660).to_string(), "-6.60");
        assert_eq!(currency("JPY").decimal(1_200).to_string(), "1200");
    }

    #[test]
    fn decimals_that_the_currency_lacks_are_refused_not_rounded() {
        assert_eq!(currency("JPY").minor(decimal("0.5")), Err(AmountError::TooManyDecimals { allowed: 0 }));
        assert_eq!(
            currency("EUR").minor(decimal("1.00001")),
            Err(AmountError::TooManyDecimals { allowed: 2 })
        );
    }

    #[test]
    fn an_amount_has_a_bound() {
        assert_eq!(currency("EUR").minor(decimal("1000000000000.00")), Ok(AMOUNT_MAX));
        assert_eq!(currency("EUR").minor(decimal("1000000000000.01")), Err(AmountError::TooLarge));
        assert_eq!(currency("EUR").minor(Decimal::MAX), Err(AmountError::TooLarge));
    }

    #[test]
    fn only_three_capital_letters_are_a_currency() {
        for wrong in ["cad", "CA", "CADX", "C1D", ""] {
            assert_eq!(Currency::parse(wrong), None, "{wrong}");
        }
    }
}
