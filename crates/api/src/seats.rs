//! Places that a subject has for what it keeps open: so many sockets, so many event streams.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// The places of all subjects in this process. Clones share them.
#[derive(Clone)]
pub(crate) struct Seats(Arc<Inner>);

struct Inner {
    per_subject_max: usize,
    taken: Mutex<HashMap<Arc<str>, usize>>,
}

impl Seats {
    pub(crate) fn new(per_subject_max: usize) -> Self {
        Self(Arc::new(Inner { per_subject_max, taken: Mutex::default() }))
    }

    /// How many places a subject has.
    pub(crate) fn per_subject_max(&self) -> usize {
        self.0.per_subject_max
    }

    /// A place of the subject's, while there is one.
    pub(crate) fn take(&self, subject: &Arc<str>) -> Option<Seat> {
        let mut all = self.0.taken.lock();
        let taken = all.get(subject).copied().unwrap_or_default();
        if taken >= self.0.per_subject_max {
            return None;
        }
        all.insert(subject.clone(), taken + 1);
        Some(Seat { seats: self.clone(), subject: subject.clone() })
    }
}

/// One of a subject's places; free again when this is dropped.
pub(crate) struct Seat {
    seats: Seats,
    subject: Arc<str>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut all = self.seats.0.taken.lock();
        if let Some(taken) = all.get_mut(&self.subject) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.subject);
            }
        }
    }
}
