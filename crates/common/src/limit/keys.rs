//! The bounded table of keys. It is allocated once, holds `capacity` keys, and never grows.
//!
//! A key hashes to one set of sixteen slots. A new key takes, in this order: an empty slot; the slot of a key
//! that has its full burst again (forgetting it changes nothing); the slot of the key that has used the
//! smallest share of its burst. So a flood of keys that were never seen before pushes out one another, for
//! each has used little, and a limited caller, who has used all, stays. One is pushed out only when sixteen
//! limited callers meet in one set.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::token_bucket::{Level, Standing, TokenBucket};

/// Slots per set: wide enough that sixteen limited callers seldom meet, narrow enough to scan.
const WAYS: usize = 16;

/// Marks a slot that was never used. Hashes avoid it.
const EMPTY: u64 = 0;

/// A key's place and identity: a keyed hash, so that nobody can choose whom to collide with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(u64);

/// What happened to the table when a key was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    /// The key was known.
    Known,
    /// It took an empty slot.
    Empty,
    /// It took the slot of a key that had its full burst again.
    Full,
    /// It took the slot of a key that still owed something.
    Indebted,
}

#[derive(Debug)]
struct Set {
    hashes: [u64; WAYS],
    levels: [Level; WAYS],
}

/// Every key of every policy, in bounded memory.
#[derive(Debug)]
pub struct KeyTable {
    sets: Box<[Mutex<Set>]>,
    used: AtomicUsize,
    hasher: RandomState,
}

impl KeyTable {
    /// A table of at least `capacity` keys (rounded up to a power of two).
    pub fn new(capacity: usize) -> Self {
        let sets = capacity.div_ceil(WAYS).next_power_of_two();
        let empty = || Mutex::new(Set { hashes: [EMPTY; WAYS], levels: [Level::default(); WAYS] });
        Self {
            sets: (0..sets).map(|_| empty()).collect(),
            used: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The place of `key` under the policy called `policy`.
    pub fn hash(&self, policy: &str, key: &[u8]) -> KeyHash {
        KeyHash(self.hasher.hash_one((policy, key)).max(EMPTY + 1))
    }

    /// Takes `cost` tokens from `key`'s bucket, or none; and says what it did to the table.
    pub fn take(
        &self,
        key: KeyHash,
        bucket: &TokenBucket,
        cost: u32,
        now_ns: u64,
    ) -> (Result<Standing, Standing>, Placed) {
        let mut set = self.set(key).lock();
        let (slot, placed) = set.place(key, now_ns);
        if placed == Placed::Empty {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
        (bucket.take(&mut set.levels[slot], now_ns, cost), placed)
    }

    /// Gives `cost` tokens back. `None` when the key was pushed out since: it has its full burst then.
    pub fn refund(&self, key: KeyHash, bucket: &TokenBucket, cost: u32, now_ns: u64) -> Option<Standing> {
        let mut set = self.set(key).lock();
        let slot = set.find(key)?;
        Some(bucket.refund(&mut set.levels[slot], now_ns, cost))
    }

    /// Slots that hold a key.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn set(&self, key: KeyHash) -> &Mutex<Set> {
        let index = key.0 as usize & (self.sets.len() - 1);
        &self.sets[index]
    }
}

impl Set {
    fn find(&self, key: KeyHash) -> Option<usize> {
        self.hashes.iter().position(|&hash| hash == key.0)
    }

    /// The key's slot; a new key's is cleared for it.
    fn place(&mut self, key: KeyHash, now_ns: u64) -> (usize, Placed) {
        if let Some(slot) = self.find(key) {
            return (slot, Placed::Known);
        }
        let (slot, placed) = match self.hashes.iter().position(|&hash| hash == EMPTY) {
            Some(slot) => (slot, Placed::Empty),
            None => self.victim(now_ns),
        };
        self.hashes[slot] = key.0;
        self.levels[slot] = Level::default();
        (slot, placed)
    }

    fn victim(&self, now_ns: u64) -> (usize, Placed) {
        if let Some(slot) = self.levels.iter().position(|level| level.is_full(now_ns)) {
            return (slot, Placed::Full);
        }
        let mut least = 0;
        for slot in 1..WAYS {
            if self.levels[slot].owes_less_than(&self.levels[least], now_ns) {
                least = slot;
            }
        }
        (least, Placed::Indebted)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn key(table: &KeyTable, n: usize) -> KeyHash {
        table.hash("p", &n.to_le_bytes())
    }

    fn exhaust(table: &KeyTable, key: KeyHash, bucket: &TokenBucket, now: u64) {
        while table.take(key, bucket, 1, now).0.is_ok() {}
    }

    #[test]
    fn a_flood_of_new_keys_neither_grows_it_nor_frees_a_limited_caller() {
        let table = KeyTable::new(16_384);
        let capacity = table.sets.len() * WAYS;
        let bucket = TokenBucket::new(100, 60, 20).unwrap();
        let limited = 1_000;
        for n in 0..limited {
            exhaust(&table, key(&table, n), &bucket, 0);
        }
        for n in 0..500_000 {
            assert!(table.take(key(&table, 1_000_000 + n), &bucket, 1, 0).0.is_ok());
        }
        assert!(table.used() <= capacity);
        let freed = (0..limited).filter(|&n| table.take(key(&table, n), &bucket, 1, 0).0.is_ok()).count();
        assert_eq!(freed, 0, "a set holds one limited caller on average, sixteen never meet");
    }

    #[test]
    fn a_key_that_is_full_again_goes_before_one_that_owes() {
        let table = KeyTable::new(WAYS);
        let slow = TokenBucket::new(1, 3_600, 10).unwrap();
        let fast = TokenBucket::new(1, 1, 1).unwrap();
        let paid = key(&table, 0);
        exhaust(&table, paid, &fast, 0);
        for n in 1..WAYS {
            assert!(table.take(key(&table, n), &slow, 1, 0).0.is_ok());
        }
        // The fast key had used its whole burst and the others a tenth, but it has it back by now.
        let (_, placed) = table.take(key(&table, 99), &slow, 1, SECOND);
        assert_eq!(placed, Placed::Full);
        assert_eq!(table.take(key(&table, 1), &slow, 1, SECOND).1, Placed::Known);
        // Nobody is full now: the one that owes the smallest share goes, which is the newest.
        assert!(table.take(key(&table, 99), &slow, 1, SECOND).0.is_ok());
        let (_, placed) = table.take(paid, &fast, 1, SECOND);
        assert_eq!(placed, Placed::Indebted);
    }

    #[test]
    fn a_refund_of_a_key_that_was_pushed_out_is_nothing() {
        let table = KeyTable::new(WAYS);
        let bucket = TokenBucket::new(1, 60, 5).unwrap();
        assert!(table.refund(key(&table, 1), &bucket, 1, 0).is_none());
        assert_eq!(table.used(), 0);
    }

    #[test]
    fn concurrent_callers_of_one_key_get_exactly_the_burst() {
        let table = KeyTable::new(1_024);
        let bucket = TokenBucket::new(1, 3_600, 1_000).unwrap();
        let keys: Vec<_> = (0..4).map(|n| key(&table, n)).collect();
        let barrier = Barrier::new(8);
        let admitted: Vec<Vec<usize>> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        keys.iter()
                            .map(|&key| (0..500).filter(|_| table.take(key, &bucket, 1, 7).0.is_ok()).count())
                            .collect()
                    })
                })
                .collect();
            workers.into_iter().map(|worker| worker.join().unwrap()).collect()
        });
        for n in 0..keys.len() {
            assert_eq!(admitted.iter().map(|counts| counts[n]).sum::<usize>(), 1_000);
        }
    }

    proptest! {
        #[test]
        fn with_room_for_all_each_key_has_a_bucket_of_its_own(
            calls in prop::collection::vec((0usize..16, 0u64..SECOND / 2), 1..300),
        ) {
            let table = KeyTable::new(4_096);
            let bucket = TokenBucket::new(3, 2, 4).unwrap();
            let mut alone = [Level::default(); 16];
            let mut now = 0;
            for (n, step) in calls {
                now += step;
                let expected = bucket.take(&mut alone[n], now, 1);
                prop_assert_eq!(table.take(key(&table, n), &bucket, 1, now).0, expected);
            }
        }

        #[test]
        fn it_never_holds_more_than_its_capacity(
            capacity in 1usize..200, keys in prop::collection::vec(any::<usize>(), 0..2_000),
        ) {
            let table = KeyTable::new(capacity);
            let bucket = TokenBucket::new(1, 1, 2).unwrap();
            for (now, n) in keys.into_iter().enumerate() {
                let _ = table.take(key(&table, n), &bucket, 1, now as u64);
            }
            prop_assert!(table.used() <= table.sets.len() * WAYS);
        }
    }
}
