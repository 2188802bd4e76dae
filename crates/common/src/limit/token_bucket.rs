//! The token bucket as GCRA, in whole numbers: no rounding, so what it admits is exact.
//!
//! A key's state is the *debt* it has run up, counted in ticks. One token is `window / gcd` ticks and every
//! nanosecond pays back `quantity / gcd` of them, so both are whole for every rate.

use std::time::Duration;

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// The largest debt, in ticks. Four times as much still fits a `u64`, so that sums need no checks.
const CAPACITY_MAX: u64 = u64::MAX / 4;

/// What one policy gives one key: `quantity` tokens per window, never more than `burst` at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenBucket {
    quantity: u32,
    window_s: u32,
    burst: u32,
    token_ticks: u64,
    ticks_per_nano: u32,
}

/// Why a rate can't be kept exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketError {
    /// A quantity, window or burst of nothing.
    #[error("quantity, window_s and burst must each be at least 1")]
    Zero,
    /// The state wouldn't fit its 64 bits.
    #[error("burst x window_s is too large to be counted exactly; take a smaller burst or window")]
    TooLarge,
}

/// One key's state under one policy. The rate is kept beside it, so that a table of many policies can tell
/// how indebted each of its keys is, and so that a changed rate takes over what was used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Level {
    debt: u64,
    at_ns: u64,
    token_ticks: u64,
    ticks_per_nano: u32,
    burst: u32,
}

/// Where a key stands after a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    bucket: TokenBucket,
    debt: u64,
}

impl TokenBucket {
    /// `quantity` tokens per `window_s` seconds, at most `burst` at once.
    pub fn new(quantity: u32, window_s: u32, burst: u32) -> Result<Self, BucketError> {
        if quantity == 0 || window_s == 0 || burst == 0 {
            return Err(BucketError::Zero);
        }
        let window_ns = u64::from(window_s) * NANOS_PER_SECOND;
        let divisor = gcd(window_ns, u64::from(quantity));
        let token_ticks = window_ns / divisor;
        match token_ticks.checked_mul(u64::from(burst)) {
            Some(capacity) if capacity <= CAPACITY_MAX => {}
            _ => return Err(BucketError::TooLarge),
        }
        let ticks_per_nano =
            u32::try_from(u64::from(quantity) / divisor).expect("a quotient of a u32 fits a u32");
        Ok(Self { quantity, window_s, burst, token_ticks, ticks_per_nano })
    }

    /// Tokens per window.
    pub fn quantity(&self) -> u32 {
        self.quantity
    }

    /// The window in seconds.
    pub fn window_s(&self) -> u32 {
        self.window_s
    }

    /// The most that can be taken at once.
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Takes `cost` tokens at `now_ns` or none. `Err` says where the key stands, and leaves it there.
    ///
    /// A cost above the burst counts as the whole burst: it could never pass otherwise. A clock that stands
    /// still or steps back gives nothing.
    pub fn take(&self, level: &mut Level, now_ns: u64, cost: u32) -> Result<Standing, Standing> {
        let debt = self.settle(level, now_ns);
        let after = debt + self.ticks(cost);
        if after > self.capacity() {
            return Err(Standing { bucket: *self, debt });
        }
        level.debt = after;
        Ok(Standing { bucket: *self, debt: after })
    }

    /// Gives `cost` tokens back, as if they had never been taken.
    pub fn refund(&self, level: &mut Level, now_ns: u64, cost: u32) -> Standing {
        let debt = self.settle(level, now_ns);
        level.debt = debt.saturating_sub(self.ticks(cost));
        Standing { bucket: *self, debt: level.debt }
    }

    /// Brings the state to `now_ns` and to this rate, and answers its debt.
    fn settle(&self, level: &mut Level, now_ns: u64) -> u64 {
        if level.token_ticks != self.token_ticks {
            level.debt = rescale(level.debt, level.token_ticks, self.token_ticks);
            level.token_ticks = self.token_ticks;
        }
        level.ticks_per_nano = self.ticks_per_nano;
        level.burst = self.burst;
        level.debt = level.debt_at(now_ns).min(self.capacity());
        level.at_ns = level.at_ns.max(now_ns);
        level.debt
    }

    fn capacity(&self) -> u64 {
        self.token_ticks * u64::from(self.burst)
    }

    fn ticks(&self, cost: u32) -> u64 {
        self.token_ticks * u64::from(cost.min(self.burst))
    }
}

impl Level {
    /// Whether the key has its full burst again: forgetting it then changes nothing.
    pub fn is_full(&self, now_ns: u64) -> bool {
        self.debt_at(now_ns) == 0
    }

    /// Whether this key has used a smaller share of its burst than `other` of its own.
    pub fn owes_less_than(&self, other: &Level, now_ns: u64) -> bool {
        let mine = u128::from(self.debt_at(now_ns)) * u128::from(other.capacity());
        let theirs = u128::from(other.debt_at(now_ns)) * u128::from(self.capacity());
        mine < theirs
    }

    fn debt_at(&self, now_ns: u64) -> u64 {
        let paid = u128::from(now_ns.saturating_sub(self.at_ns)) * u128::from(self.ticks_per_nano);
        self.debt.saturating_sub(u64::try_from(paid).unwrap_or(u64::MAX))
    }

    fn capacity(&self) -> u64 {
        self.token_ticks * u64::from(self.burst)
    }
}

impl Standing {
    /// The rate that was decided by.
    pub fn bucket(&self) -> &TokenBucket {
        &self.bucket
    }

    /// Whole tokens left.
    pub fn remaining(&self) -> u32 {
        let left = (self.bucket.capacity() - self.debt) / self.bucket.token_ticks;
        u32::try_from(left).expect("at most the burst, which is a u32")
    }

    /// How long until the full burst is there again.
    pub fn full_after(&self) -> Duration {
        self.time_for(self.debt)
    }

    /// How long until `cost` tokens are there; zero when they are.
    pub fn wait_for(&self, cost: u32) -> Duration {
        self.time_for((self.debt + self.bucket.ticks(cost)).saturating_sub(self.bucket.capacity()))
    }

    /// Rounded up: after it the ticks are certainly paid.
    fn time_for(&self, ticks: u64) -> Duration {
        Duration::from_nanos(ticks.div_ceil(u64::from(self.bucket.ticks_per_nano)))
    }
}

/// The same number of tokens in ticks of another size, rounded up.
fn rescale(debt: u64, from: u64, to: u64) -> u64 {
    if debt == 0 || from == 0 {
        return 0;
    }
    let scaled = (u128::from(debt) * u128::from(to)).div_ceil(u128::from(from));
    u64::try_from(scaled).unwrap_or(CAPACITY_MAX)
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = NANOS_PER_SECOND;

    #[test]
    fn a_burst_passes_at_once_and_then_one_token_per_interval() {
        let bucket = TokenBucket::new(7, 60, 3).unwrap();
        let mut level = Level::default();
        for left in (0..3).rev() {
            assert_eq!(bucket.take(&mut level, 5, 1).unwrap().remaining(), left);
        }
        let standing = bucket.take(&mut level, 5, 1).unwrap_err();
        // 60 s / 7 isn't whole: 8,571,428,571 and 3/7 nanoseconds, so the token is there one later.
        assert_eq!(standing.wait_for(1), Duration::from_nanos(8_571_428_572));
        assert!(bucket.take(&mut level, 5 + 8_571_428_571, 1).is_err());
        assert!(bucket.take(&mut level, 5 + 8_571_428_572, 1).is_ok());
        // The fraction isn't lost: seven tokens take 60 s to the nanosecond.
        assert!(bucket.take(&mut level, 5 + 60 * SECOND, 3).is_ok());
        assert!(bucket.take(&mut level, 5 + 60 * SECOND, 1).is_err());
    }

    #[test]
    fn a_refused_call_costs_nothing() {
        let bucket = TokenBucket::new(1, 1, 1).unwrap();
        let mut level = Level::default();
        assert!(bucket.take(&mut level, 0, 1).is_ok());
        for now in 0..1_000 {
            assert!(bucket.take(&mut level, now, 1).is_err());
        }
        assert!(bucket.take(&mut level, SECOND, 1).is_ok());
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing() {
        let bucket = TokenBucket::new(1, 1, 1).unwrap();
        let mut level = Level::default();
        assert!(bucket.take(&mut level, 10 * SECOND, 1).is_ok());
        assert!(bucket.take(&mut level, 0, 1).is_err());
        assert!(bucket.take(&mut level, 11 * SECOND - 1, 1).is_err());
        assert!(bucket.take(&mut level, 11 * SECOND, 1).is_ok());
    }

    #[test]
    fn a_cost_above_the_burst_counts_as_the_burst() {
        let bucket = TokenBucket::new(10, 1, 5).unwrap();
        let mut level = Level::default();
        assert_eq!(bucket.take(&mut level, 0, 9).unwrap().remaining(), 0);
        assert_eq!(bucket.refund(&mut level, 0, 9).remaining(), 5);
    }

    #[test]
    fn a_changed_rate_keeps_the_tokens_that_were_used() {
        let mut level = Level::default();
        let slow = TokenBucket::new(10, 60, 10).unwrap();
        assert_eq!(slow.take(&mut level, 0, 6).unwrap().remaining(), 4);
        let fast = TokenBucket::new(70, 1, 20).unwrap();
        assert_eq!(fast.take(&mut level, 0, 1).unwrap().remaining(), 13);
        let tiny = TokenBucket::new(1, 3_600, 2).unwrap();
        assert!(tiny.take(&mut level, 0, 1).is_err(), "what was used is more than the new burst");
        assert!(tiny.take(&mut level, 3_600 * SECOND, 1).is_ok(), "but never more than one burst is owed");
    }

    #[test]
    fn rates_that_cannot_be_exact_are_refused() {
        assert_eq!(TokenBucket::new(0, 1, 1), Err(BucketError::Zero));
        assert_eq!(TokenBucket::new(1, 86_400, u32::MAX), Err(BucketError::TooLarge));
        assert!(TokenBucket::new(1_000_000, 86_400, 1_000_000).is_ok());
    }

    /// Tokens as a fraction over `ticks`, the plain way: a reference in 128 bits.
    struct Reference {
        tokens: u128,
        at: u64,
    }

    impl Reference {
        fn take(&mut self, rate: (u32, u32, u32), now: u64, cost: u32) -> bool {
            let (quantity, window_s, burst) = rate;
            let unit = u128::from(window_s) * u128::from(SECOND);
            let gained = u128::from(now.saturating_sub(self.at)) * u128::from(quantity);
            self.tokens = (self.tokens + gained).min(u128::from(burst) * unit);
            self.at = self.at.max(now);
            let price = u128::from(cost.min(burst)) * unit;
            let pays = self.tokens >= price;
            if pays {
                self.tokens -= price;
            }
            pays
        }
    }

    fn rates() -> impl Strategy<Value = (u32, u32, u32)> {
        (1u32..2_000, 1u32..4_000, 1u32..50)
    }

    proptest! {
        #[test]
        fn decides_as_a_plain_bucket_of_fractions_does(
            rate in rates(),
            calls in prop::collection::vec((0u64..3 * SECOND, any::<bool>(), 1u32..8), 1..200),
        ) {
            let bucket = TokenBucket::new(rate.0, rate.1, rate.2).unwrap();
            let start = 1_000 * SECOND;
            let mut level = Level { at_ns: start, ..Level::default() };
            let mut reference =
                Reference { tokens: u128::from(rate.2) * u128::from(rate.1) * u128::from(SECOND), at: start };
            let mut now = start;
            for (step, back, cost) in calls {
                now = if back { now.saturating_sub(step / 4) } else { now + step };
                let expected = reference.take(rate, now, cost);
                prop_assert_eq!(bucket.take(&mut level, now, cost).is_ok(), expected);
            }
        }

        #[test]
        fn never_admits_more_than_burst_plus_rate_in_any_window(
            rate in rates(),
            steps in prop::collection::vec(0u64..SECOND, 1..300),
        ) {
            let bucket = TokenBucket::new(rate.0, rate.1, rate.2).unwrap();
            let mut level = Level::default();
            let mut now = 0;
            let mut admitted = Vec::new();
            for step in steps {
                now += step;
                if bucket.take(&mut level, now, 1).is_ok() {
                    admitted.push(now);
                }
            }
            for (i, from) in admitted.iter().enumerate() {
                for (count, to) in admitted[i..].iter().enumerate() {
                    let earned = u128::from(to - from) * u128::from(rate.0)
                        / (u128::from(rate.1) * u128::from(SECOND));
                    prop_assert!((count as u128) < u128::from(rate.2) + earned + u128::from(count == 0));
                }
            }
        }

        #[test]
        fn what_it_says_to_wait_is_exactly_enough(
            rate in rates(), cost in 1u32..8, lead in 0u64..SECOND,
        ) {
            let bucket = TokenBucket::new(rate.0, rate.1, rate.2).unwrap();
            let mut level = Level::default();
            while bucket.take(&mut level, lead, 1).is_ok() {}
            let wait = bucket.take(&mut level, lead, cost).unwrap_err().wait_for(cost);
            let wait = u64::try_from(wait.as_nanos()).unwrap();
            prop_assert!(wait > 0);
            prop_assert!(bucket.take(&mut level, lead + wait - 1, cost).is_err());
            prop_assert!(bucket.take(&mut level, lead + wait, cost).is_ok());
        }

        #[test]
        fn a_refund_leaves_it_as_if_nothing_had_been_taken(
            rate in rates(), used in 0u32..20, cost in 1u32..8, step in 0u64..2 * SECOND,
        ) {
            let bucket = TokenBucket::new(rate.0, rate.1, rate.2).unwrap();
            let mut plain = Level::default();
            for _ in 0..used {
                let _ = bucket.take(&mut plain, 0, 1);
            }
            let mut refunded = plain;
            if bucket.take(&mut refunded, 0, cost).is_ok() {
                bucket.refund(&mut refunded, step, cost);
            }
            prop_assert_eq!(refunded.debt_at(step), plain.debt_at(step));
        }
    }
}
