//! Units as UCUM names them and as devices write them, and the exact way from each to a metric's canonical one.

use rust_decimal::{Decimal, RoundingStrategy};

/// Digits after the point that a converted value keeps where the division does not end.
const CONVERTED_SCALE: u32 = 9;
/// A value beyond this, in either direction, is no measurement.
const VALUE_MAX: Decimal = decimal(1_000_000_000_000, 0);

/// A unit that a metric may be given in: canonical value = (given * numerator + shift) / denominator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// As UCUM writes it, or a synonym that devices and Open mHealth use.
    pub name: &'static str,
    numerator: Decimal,
    shift: Decimal,
    denominator: Decimal,
}

impl Unit {
    /// The canonical unit, or another name of it.
    pub const fn same(name: &'static str) -> Self {
        Self::ratio(name, Decimal::ONE, Decimal::ONE)
    }

    /// A unit that is `numerator / denominator` canonical ones.
    pub const fn ratio(name: &'static str, numerator: Decimal, denominator: Decimal) -> Self {
        Self { name, numerator, shift: Decimal::ZERO, denominator }
    }

    /// A unit whose zero lies elsewhere: `shift` is added before the division.
    pub const fn shifted(
        name: &'static str,
        numerator: Decimal,
        shift: Decimal,
        denominator: Decimal,
    ) -> Self {
        Self { name, numerator, shift, denominator }
    }

    /// The value in the canonical unit; `None` when it has more digits than a decimal holds.
    ///
    /// Exact wherever the result ends within 28 digits; a division that does not end is rounded half to even.
    pub fn to_canonical(&self, given: Decimal) -> Option<Decimal> {
        let scaled = given.checked_mul(self.numerator)?.checked_add(self.shift)?;
        if self.denominator == Decimal::ONE {
            return Some(scaled.normalize());
        }
        let divided = scaled.checked_div(self.denominator)?;
        Some(
            divided
                .round_dp_with_strategy(CONVERTED_SCALE, RoundingStrategy::MidpointNearestEven)
                .normalize(),
        )
    }
}

/// `digits / 10^scale`, as a constant.
pub const fn decimal(digits: i64, scale: u32) -> Decimal {
    let size = digits.unsigned_abs();
    Decimal::from_parts(size as u32, (size >> 32) as u32, 0, digits < 0, scale)
}

/// A decimal from the text that was sent, plain or with an exponent; `None` unless it is held exactly.
pub fn parse_decimal(text: &str) -> Option<Decimal> {
    let value = match text.contains(['e', 'E']) {
        true => Decimal::from_scientific(text).ok()?,
        false => Decimal::from_str_exact(text).ok()?,
    };
    (value.abs() <= VALUE_MAX).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_is_held_exactly_or_not_at_all() {
        assert_eq!(parse_decimal("72.50").unwrap().normalize().to_string(), "72.5");
        assert_eq!(parse_decimal("6.75e1").unwrap().normalize().to_string(), "67.5");
        assert_eq!(parse_decimal("-0.1").unwrap().to_string(), "-0.1");
        for refused in ["", "abc", "NaN", "0x10", "1e40", "1000000000001", "0.12345678901234567890123456789"]
        {
            assert_eq!(parse_decimal(refused), None, "{refused}");
        }
    }

    #[test]
    fn a_conversion_is_exact_where_it_can_be() {
        let pound = Unit::ratio("[lb_av]", decimal(45_359_237, 8), Decimal::ONE);
        assert_eq!(pound.to_canonical(decimal(150, 0)).unwrap().to_string(), "68.0388555");
        let fahrenheit = Unit::shifted("[degF]", decimal(5, 0), decimal(-160, 0), decimal(9, 0));
        assert_eq!(fahrenheit.to_canonical(decimal(986, 1)).unwrap().to_string(), "37");
        assert_eq!(fahrenheit.to_canonical(decimal(100, 0)).unwrap().to_string(), "37.777777778");
    }
}
