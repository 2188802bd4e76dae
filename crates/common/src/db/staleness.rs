//! How old a standby's data may be, without comparing clocks: what the writer's position was at which time of this process,
//! so that a standby's position is a time, too.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::token::Position;

/// Samples that are kept. Between equal positions one is enough: an idle writer takes no room.
const SAMPLES_MAX: usize = 1_024;
/// A bound is asked for this often within its own length.
const SAMPLES_PER_BOUND: u32 = 4;
/// However tight a bound is, the writer is asked no more often.
const SAMPLE_EVERY_MIN: Duration = Duration::from_millis(10);
/// A bound that nobody asked for since then is forgotten.
const WANTED_FOR: Duration = Duration::from_secs(10);

/// The writer's positions of late. A standby that has replayed up to one of them has all that was committed by the moment
/// before it was asked for.
pub(super) struct Staleness(Mutex<Samples>);

#[derive(Default)]
struct Samples {
    timeline: u32,
    /// In the order of both time and position.
    kept: VecDeque<Sample>,
    /// The tightest bound that is asked for, and when it was.
    tightest: Option<(Duration, Instant)>,
}

struct Sample {
    /// Taken before the writer was asked.
    at: Instant,
    lsn: u64,
}

impl Staleness {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// The writer's position, asked for at `at` or later. One of an earlier timeline is an old primary's, and no sample.
    pub(super) fn note(&self, at: Instant, position: Position) {
        let mut samples = self.0.lock();
        samples.follow(position.timeline);
        if position.timeline < samples.timeline {
            return;
        }
        match samples.kept.back_mut() {
            Some(last) if position.lsn < last.lsn => return,
            Some(last) if position.lsn == last.lsn => last.at = last.at.max(at),
            Some(last) if at < last.at => return,
            _ => samples.kept.push_back(Sample { at, lsn: position.lsn }),
        }
        if samples.kept.len() > SAMPLES_MAX {
            samples.kept.pop_front();
        }
    }

    /// The latest timeline that is known of.
    pub(super) fn timeline(&self) -> u32 {
        self.0.lock().timeline
    }

    /// There is this timeline: samples of an earlier one say nothing any more.
    pub(super) fn follow(&self, timeline: u32) {
        self.0.lock().follow(timeline);
    }

    /// Up to when everything committed is surely seen by who has replayed up to `lsn` on `timeline`. `None`: nobody knows.
    pub(super) fn seen_until(&self, timeline: u32, lsn: u64) -> Option<Instant> {
        let samples = self.0.lock();
        if timeline != samples.timeline {
            return None;
        }
        let after = samples.kept.partition_point(|sample| sample.lsn <= lsn);
        Some(samples.kept.get(after.checked_sub(1)?)?.at)
    }

    /// When the writer was last asked.
    pub(super) fn sampled_at(&self) -> Option<Instant> {
        self.0.lock().kept.back().map(|sample| sample.at)
    }

    /// Somebody reads with this bound.
    pub(super) fn want(&self, bound: Duration) {
        let mut samples = self.0.lock();
        let now = Instant::now();
        let wanted = samples.tightest.filter(|(_, at)| now < *at + WANTED_FOR);
        if wanted.is_none_or(|(tightest, _)| bound <= tightest) {
            samples.tightest = Some((bound, now));
        }
    }

    /// How often the writer is to be asked for the bounds that are wanted. `None`: nobody reads with one.
    pub(super) fn sample_every(&self) -> Option<Duration> {
        let (bound, at) = self.0.lock().tightest?;
        (at.elapsed() < WANTED_FOR).then(|| (bound / SAMPLES_PER_BOUND).max(SAMPLE_EVERY_MIN))
    }
}

impl Samples {
    fn follow(&mut self, timeline: u32) {
        if timeline > self.timeline {
            self.timeline = timeline;
            self.kept.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(timeline: u32, lsn: u64) -> Position {
        Position { set: 1, timeline, lsn }
    }

    #[test]
    fn a_position_is_as_old_as_the_last_sample_that_it_covers() {
        let (staleness, start) = (Staleness::new(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        for (ms, lsn) in [(0, 10), (50, 20), (100, 20), (150, 30)] {
            staleness.note(at(ms), position(1, lsn));
        }
        let seen = |lsn| staleness.seen_until(1, lsn);
        assert_eq!([seen(9), seen(10), seen(19)], [None, Some(at(0)), Some(at(0))]);
        assert_eq!([seen(20), seen(29), seen(99)], [Some(at(100)), Some(at(100)), Some(at(150))]);
    }

    #[test]
    fn what_an_old_primary_says_is_no_sample_and_a_new_one_starts_over() {
        let (staleness, start) = (Staleness::new(), Instant::now());
        staleness.note(start, position(1, 100));
        staleness.follow(2);
        assert_eq!(staleness.seen_until(1, 100), None);
        staleness.note(start, position(1, 200));
        assert_eq!([staleness.seen_until(1, 200), staleness.seen_until(2, 200)], [None, None]);
        staleness.note(start, position(2, 90));
        assert_eq!([staleness.seen_until(2, 90), staleness.seen_until(1, 90)], [Some(start), None]);
    }

    #[test]
    fn old_samples_leave_and_what_they_covered_is_not_known_any_more() {
        let (staleness, start) = (Staleness::new(), Instant::now());
        for n in 0..SAMPLES_MAX as u64 + 10 {
            staleness.note(start + Duration::from_millis(n), position(1, n));
        }
        assert_eq!(staleness.seen_until(1, 9), None);
        assert_eq!(staleness.seen_until(1, 10), Some(start + Duration::from_millis(10)));
    }
}
