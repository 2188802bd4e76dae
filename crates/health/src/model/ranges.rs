//! Sets of sequence numbers as sorted, disjoint, never touching ranges: what a device's receipt is made of.

use std::fmt::Write;

/// A set of numbers as inclusive ranges, ascending, with at least one number missing between any two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(i64, i64)>);

impl Ranges {
    /// The ranges, both ends included.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i64, i64)> + '_ {
        self.0.iter().copied()
    }

    /// How many ranges it takes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it holds no number.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The greatest number.
    pub fn last(&self) -> Option<i64> {
        self.0.last().map(|&(_, high)| high)
    }

    /// Whether it holds `number`.
    pub fn contains(&self, number: i64) -> bool {
        let after = self.0.partition_point(|&(low, _)| low <= number);
        after > 0 && self.0[after - 1].1 >= number
    }

    /// Adds all numbers from `low` to `high`, both included.
    pub fn insert(&mut self, low: i64, high: i64) {
        // All that overlap or touch become one.
        let from = self.0.partition_point(|&(_, h)| h < low.saturating_sub(1));
        let to = self.0.partition_point(|&(l, _)| l <= high.saturating_add(1));
        if from == to {
            self.0.insert(from, (low, high));
        } else {
            let merged = (low.min(self.0[from].0), high.max(self.0[to - 1].1));
            self.0.splice(from..to, [merged]);
        }
    }

    /// All numbers of either.
    pub fn union(&self, other: &Ranges) -> Ranges {
        let mut both = self.clone();
        for (low, high) in other.iter() {
            both.insert(low, high);
        }
        both
    }

    /// The numbers from `low` to `high` that it does not hold.
    pub fn gaps(&self, low: i64, high: i64) -> Ranges {
        let mut gaps = Vec::new();
        let mut next = low;
        for (l, h) in self.iter().filter(|&(_, h)| h >= low) {
            if l > high {
                break;
            }
            if l > next {
                gaps.push((next, l - 1));
            }
            next = next.max(h + 1);
        }
        if next <= high {
            gaps.push((next, high));
        }
        Ranges(gaps)
    }

    /// The numbers that it holds and `other` does not.
    pub fn minus(&self, other: &Ranges) -> Ranges {
        Ranges(self.iter().flat_map(|(low, high)| other.gaps(low, high).0).collect())
    }

    /// As PostgreSQL writes an `int8multirange`: `{[1,5),[7,9)}`.
    pub fn to_sql(&self) -> String {
        let mut text = String::from("{");
        for (i, (low, high)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(text, "{comma}[{low},{})", high + 1);
        }
        text.push('}');
        text
    }

    /// Reads PostgreSQL's canonical form; `None` for anything else.
    pub fn from_sql(text: &str) -> Option<Ranges> {
        let inner = text.strip_prefix('{')?.strip_suffix('}')?;
        if inner.is_empty() {
            return Some(Ranges::default());
        }
        let parts = inner.strip_prefix('[')?.strip_suffix(')')?.split("),[");
        parts
            .map(|part| {
                let (low, end) = part.split_once(',')?;
                Some((low.parse().ok()?, end.parse::<i64>().ok()? - 1))
            })
            .collect::<Option<Vec<_>>>()
            .map(Ranges)
    }
}

impl FromIterator<(i64, i64)> for Ranges {
    fn from_iter<I: IntoIterator<Item = (i64, i64)>>(ranges: I) -> Self {
        let mut all = Ranges::default();
        for (low, high) in ranges {
            all.insert(low, high);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn ranges(list: &[(i64, i64)]) -> Ranges {
        list.iter().copied().collect()
    }

    #[test]
    fn touching_ranges_become_one() {
        let mut set = ranges(&[(1, 2), (4, 5), (8, 9)]);
        set.insert(3, 3);
        assert_eq!(set, ranges(&[(1, 5), (8, 9)]));
        set.insert(0, 20);
        assert_eq!(set.to_sql(), "{[0,21)}");
        assert_eq!(Ranges::from_sql("{[0,21),[30,31)}").unwrap(), ranges(&[(0, 20), (30, 30)]));
        assert_eq!(Ranges::from_sql("{}").unwrap(), Ranges::default());
        assert_eq!(Ranges::from_sql("{[1,"), None);
    }

    #[test]
    fn they_agree_with_plain_sets_under_any_operations() {
        let random = fastish(7);
        let (mut a, mut plain_a) = (Ranges::default(), BTreeSet::new());
        let (mut b, mut plain_b) = (Ranges::default(), BTreeSet::new());
        for (step, n) in random.take(600).enumerate() {
            let (low, high) = (i64::from(n % 90), i64::from(n % 90 + n / 90 % 5));
            let (set, plain) = if step % 2 == 0 { (&mut a, &mut plain_a) } else { (&mut b, &mut plain_b) };
            if step % 100 < 2 {
                *set = Ranges::default();
                plain.clear();
            }
            set.insert(low, high);
            plain.extend(low..=high);
            assert_eq!(flat(&a.union(&b)), plain_a.union(&plain_b).copied().collect());
            assert_eq!(flat(&a.minus(&b)), plain_a.difference(&plain_b).copied().collect());
            assert_eq!(flat(&a.gaps(10, 60)), (10..=60).filter(|n| !plain_a.contains(n)).collect());
            assert_eq!(Ranges::from_sql(&a.to_sql()).unwrap(), a);
            assert!((0..95).all(|n| a.contains(n) == plain_a.contains(&n)));
            assert!(a.0.windows(2).all(|w| w[0].1 + 1 < w[1].0), "never touching: {a:?}");
        }
    }

    fn flat(set: &Ranges) -> BTreeSet<i64> {
        set.iter().flat_map(|(low, high)| low..=high).collect()
    }

    fn fastish(mut seed: u32) -> impl Iterator<Item = u32> {
        std::iter::repeat_with(move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 16
        })
    }
}
