//! Concurrent permits: how much of a resource is in use at this moment. Nobody waits here; who finds none is
//! refused.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::RwLock;

/// Resources are named by the program, so there are few. More than this many share one count.
const RESOURCES_MAX: usize = 256;

/// How many permits are out, for each policy and resource. It outlives a reload of the policies.
#[derive(Debug, Default)]
pub(super) struct InUse(RwLock<HashMap<PolicyAndResource, Arc<AtomicU32>>>);

type PolicyAndResource = (Arc<str>, Box<str>);

/// The right to use what was asked for, until it is dropped. Keep it until the answer's body has been sent.
#[must_use = "dropping a permit says that the work is done"]
#[derive(Debug, Default)]
pub struct Permit {
    held: Vec<Arc<AtomicU32>>,
}

impl InUse {
    /// Adds a permit of `resource` to `permit`, unless `limit` of them are out.
    pub fn take(&self, policy: &Arc<str>, resource: &str, limit: u32, permit: &mut Permit) -> bool {
        let count = self.count(policy, resource);
        let taken = count
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |held| (held < limit).then(|| held + 1))
            .is_ok();
        if taken {
            permit.held.push(count);
        }
        taken
    }

    fn count(&self, policy: &Arc<str>, resource: &str) -> Arc<AtomicU32> {
        let key = (policy.clone(), Box::from(resource));
        if let Some(count) = self.0.read().get(&key) {
            return count.clone();
        }
        let mut counts = self.0.write();
        let key = if counts.len() < RESOURCES_MAX { key } else { (policy.clone(), Box::from("")) };
        counts.entry(key).or_default().clone()
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        for count in &self.held {
            count.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_come_back_when_they_are_dropped_and_never_exceed_the_limit() {
        let in_use = InUse::default();
        let policy: Arc<str> = "database".into();
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let mut permit = Permit::default();
                        if in_use.take(&policy, "a", 3, &mut permit) {
                            most.fetch_max(permit.held[0].load(Ordering::Acquire), Ordering::AcqRel);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::Acquire) <= 3);
        assert_eq!(in_use.count(&policy, "a").load(Ordering::Acquire), 0);
    }

    #[test]
    fn more_resources_than_it_can_name_share_one_count() {
        let in_use = InUse::default();
        let policy: Arc<str> = "database".into();
        for n in 0..2 * RESOURCES_MAX {
            in_use.count(&policy, &n.to_string());
        }
        assert!(in_use.0.read().len() <= RESOURCES_MAX + 1);
    }
}
