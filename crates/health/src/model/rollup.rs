//! What a bucket of time says about a metric: a sum that any order of arrival gives the same.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

/// Count, sum, least, greatest and last of the samples that began within a bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollup {
    /// How many samples.
    pub count: i64,
    /// Their sum.
    pub sum: Decimal,
    /// The least value.
    pub min: Decimal,
    /// The greatest value.
    pub max: Decimal,
    /// The value of the sample that began last; of several at that instant, the greatest.
    pub last: Decimal,
    /// When that one began.
    pub last_at: DateTime<Utc>,
}

impl Rollup {
    /// Of one sample.
    pub fn of(value: Decimal, start: DateTime<Utc>) -> Self {
        Self { count: 1, sum: value, min: value, max: value, last: value, last_at: start }
    }

    /// Takes another one in. The upsert in `store` says the same in SQL.
    pub fn add(&mut self, value: Decimal, start: DateTime<Utc>) {
        self.count += 1;
        self.sum += value;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        (self.last_at, self.last) = (self.last_at, self.last).max((start, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_gives_the_same() {
        let at = |s: i64| DateTime::from_timestamp(s, 0).unwrap();
        let samples = [(5, 60), (1, 80), (9, 70), (9, 71)].map(|(t, v)| (Decimal::from(v), at(t)));
        let forward = fold(samples.iter());
        assert_eq!(forward, fold(samples.iter().rev()));
        assert_eq!((forward.count, forward.sum, forward.min), (4, 281.into(), 60.into()));
        assert_eq!((forward.max, forward.last, forward.last_at), (80.into(), 71.into(), at(9)));
    }

    fn fold<'a>(mut samples: impl Iterator<Item = &'a (Decimal, DateTime<Utc>)>) -> Rollup {
        let &(value, start) = samples.next().unwrap();
        samples.fold(Rollup::of(value, start), |mut all, &(value, start)| {
            all.add(value, start);
            all
        })
    }
}
