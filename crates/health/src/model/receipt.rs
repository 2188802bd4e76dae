//! What a device's numbering says: which numbers have arrived, which never will, and what may be deleted or is asked for.

use chrono::{DateTime, Utc};

use super::ranges::Ranges;

/// The greatest sequence number: the last integer that every JSON reader holds exactly.
pub const SEQ_MAX: i64 = (1 << 53) - 1;
/// A device with more gaps than this has to close some first.
pub const GAPS_MAX: usize = 100;
/// Received and waived take this many ranges at most; then the oldest waived numbers count as received.
const RANGES_MAX: usize = 1_000;
/// Where numbering begins, unless the device says otherwise by `first_seq`.
const FIRST_SEQ: i64 = 1;

/// The state of one numbering: a device in one epoch.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Receipt {
    received: Ranges,
    /// The newest start within each range of `received`, in the same order; `None` where only quarantine holds it.
    newest: Vec<Option<DateTime<Utc>>>,
    waived: Ranges,
}

impl Receipt {
    /// As it was stored; `None` when the parts do not fit together.
    pub fn restore(received: Ranges, newest: Vec<Option<DateTime<Utc>>>, waived: Ranges) -> Option<Self> {
        (received.len() == newest.len()).then_some(Self { received, newest, waived })
    }

    /// All that has arrived, stored or in quarantine.
    pub fn received(&self) -> &Ranges {
        &self.received
    }

    /// The newest start within each range of [`Receipt::received`].
    pub fn newest(&self) -> &[Option<DateTime<Utc>>] {
        &self.newest
    }

    /// What the device no longer has or never had, and has not sent after all.
    pub fn waived(&self) -> &Ranges {
        &self.waived
    }

    /// Whether `seq` has arrived before.
    pub fn has(&self, seq: i64) -> bool {
        self.received.contains(seq)
    }

    /// Notes an arrival. `start` is the sample's, or `None` for what went to quarantine.
    pub fn receive(&mut self, seq: i64, start: Option<DateTime<Utc>>) {
        self.join(seq, seq, start);
        if self.waived.contains(seq) {
            self.waived = self.waived.minus(&[(seq, seq)].into_iter().collect());
        }
    }

    /// Notes the device's word that it does not have these numbers; what has arrived stays so.
    pub fn waive(&mut self, low: i64, high: i64) {
        let told: Ranges = [(low, high)].into_iter().collect();
        self.waived = self.waived.union(&told.minus(&self.received));
    }

    /// The greatest number that has arrived.
    pub fn highest(&self) -> Option<i64> {
        self.received.last()
    }

    /// What must exist, has not arrived and was not waived.
    pub fn missing(&self) -> Ranges {
        match self.known().last() {
            Some(last) => self.known().gaps(FIRST_SEQ, last),
            None => Ranges::default(),
        }
    }

    /// Everything up to this number is on disk or was waived.
    pub fn safe_to_delete_through(&self) -> Option<i64> {
        let known = self.known();
        let last = known.last()?;
        let first_gap = known.gaps(FIRST_SEQ, last).iter().next();
        let safe = first_gap.map_or(last, |(low, _)| low - 1);
        (safe >= FIRST_SEQ || known.contains(safe)).then_some(safe)
    }

    /// Up to this start nothing is known to be missing; `None` when that can be said of no time. The newest start
    /// before the first gap, or of all when there is no gap.
    pub fn complete_at(&self) -> Option<DateTime<Utc>> {
        let first_gap = self.missing().iter().next().map_or(i64::MAX, |(low, _)| low);
        let before = self.received.iter().zip(&self.newest).filter(|((low, _), _)| *low < first_gap);
        before.filter_map(|(_, newest)| *newest).max()
    }

    /// The newest start of all.
    pub fn newest_at(&self) -> Option<DateTime<Utc>> {
        self.newest.iter().copied().max().flatten()
    }

    /// Keeps the row small for a device that has lost single samples for years: the oldest waived numbers are taken
    /// for received. If one of them turns up after all it is reported as a conflict, and kept as every conflict is.
    pub fn fold(&mut self) {
        while self.received.len() > RANGES_MAX {
            let Some((low, high)) = self.waived.iter().next() else { return };
            self.waived = self.waived.minus(&[(low, high)].into_iter().collect());
            self.join(low, high, None);
        }
    }

    /// Adds a range to `received` and keeps `newest` in step: whatever it overlaps or touches becomes one range.
    fn join(&mut self, low: i64, high: i64, newest: Option<DateTime<Utc>>) {
        let before = self.received.iter().take_while(|&(_, h)| h < low - 1).count();
        let joined = self.received.iter().skip(before).take_while(|&(l, _)| l <= high + 1).count();
        let of_all = self.newest[before..before + joined].iter().copied().chain([newest]).max().flatten();
        self.newest.splice(before..before + joined, [of_all]);
        self.received.insert(low, high);
    }

    fn known(&self) -> Ranges {
        self.received.union(&self.waived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: u32) -> Option<DateTime<Utc>> {
        format!("2026-11-24T{hour:02}:00:00Z").parse().ok()
    }

    fn receipt(seqs: impl IntoIterator<Item = i64>) -> Receipt {
        let mut receipt = Receipt::default();
        seqs.into_iter().for_each(|seq| receipt.receive(seq, at(seq as u32 % 24)));
        receipt
    }

    fn list(ranges: Ranges) -> Vec<(i64, i64)> {
        ranges.iter().collect()
    }

    #[test]
    fn deletion_is_safe_up_to_the_first_gap() {
        let mut receipt = receipt((401..=479).chain(483..=504));
        assert_eq!(list(receipt.missing()), [(1, 400), (480, 482)]);
        assert_eq!(receipt.safe_to_delete_through(), None);
        receipt.waive(1, 400);
        assert_eq!(list(receipt.missing()), [(480, 482)]);
        assert_eq!(receipt.safe_to_delete_through(), Some(479));
        assert_eq!(receipt.highest(), Some(504));
        receipt.waive(480, 481);
        receipt.receive(482, at(3));
        assert_eq!((list(receipt.missing()), receipt.safe_to_delete_through()), (vec![], Some(504)));
    }

    #[test]
    fn what_was_waived_and_turns_up_after_all_is_new() {
        let mut receipt = receipt([1, 2, 5]);
        receipt.waive(1, 4);
        assert_eq!(list(receipt.waived().clone()), [(3, 4)], "what has arrived is not waived");
        assert!(!receipt.has(3));
        receipt.receive(3, at(9));
        assert!(receipt.has(3));
        assert_eq!(list(receipt.waived().clone()), [(4, 4)]);
    }

    #[test]
    fn completeness_ends_where_the_first_gap_begins() {
        let mut receipt = receipt([1, 2, 3]);
        assert_eq!(receipt.complete_at(), at(3));
        receipt.receive(5, at(5));
        assert_eq!((receipt.complete_at(), receipt.newest_at()), (at(3), at(5)));
        receipt.receive(4, None);
        assert_eq!(receipt.complete_at(), at(5));
        assert_eq!(receipt.newest().len(), 1);
    }

    #[test]
    fn numbers_may_start_at_nought_and_nothing_is_safe_before_anything_came() {
        assert_eq!(Receipt::default().safe_to_delete_through(), None);
        assert_eq!(receipt([0]).safe_to_delete_through(), Some(0));
        assert_eq!(receipt([2]).safe_to_delete_through(), None);
        assert_eq!(receipt([0, 1]).safe_to_delete_through(), Some(1));
    }

    #[test]
    fn a_row_stays_bounded_however_often_single_samples_are_lost() {
        let mut receipt = receipt((0..3_000).map(|n| n * 2 + 1));
        receipt.waive(1, 6_000);
        receipt.fold();
        assert_eq!(receipt.received().len(), RANGES_MAX);
        assert_eq!(receipt.newest().len(), RANGES_MAX);
        assert!(receipt.missing().is_empty());
        assert!(receipt.has(2), "the oldest was folded in");
        assert!(!receipt.has(5_998), "the newest was not");
    }
}
