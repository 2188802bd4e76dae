//! Rate limits. Named policies stand in one file; each request is decided once over all layers that it meets:
//! *user* (one caller's abuse, answered with 429) and *resource* (a database or downstream drowned, answered
//! with 503). What is decided here needs no I/O and no wait, and its memory is fixed at start.

mod address;
mod decision;
mod keys;
mod permit;
mod policy;
mod policy_file;
mod token_bucket;

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use metrics::{Counter, Gauge, counter, gauge};
use tokio::time::Instant;

use decision::Decider;
use keys::{KeyTable, Placed};
use permit::InUse;
use policy::PolicySet;

pub use address::{AddressRange, NotARange, client_address};
pub use decision::{Decision, Quota, Refusal, Request, Who};
pub use permit::Permit;
pub use policy::{Class, Key, Layer};
pub use policy_file::{Mistake, PolicyErrors};
pub use token_bucket::{BucketError, TokenBucket};

/// Keys that are told apart at one time, over all policies. At 40 bytes each the table takes 5 MiB.
pub const KEYS_MAX: usize = 131_072;

/// All limits of the process. Cheap to clone; clones share their counts.
#[derive(Clone, Debug)]
pub struct Limits(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    policies: ArcSwap<PolicySet>,
    table: KeyTable,
    in_use: InUse,
    start: Instant,
    keys: Gauge,
    evicted_full: Counter,
    evicted_indebted: Counter,
}

impl Limits {
    /// Reads the policies. Metrics are counted from here on, so their recorder is installed before.
    pub fn new(policy_file: &str) -> Result<Self, PolicyErrors> {
        Self::with_capacity(policy_file, KEYS_MAX)
    }

    /// The same with another number of keys.
    pub fn with_capacity(policy_file: &str, keys: usize) -> Result<Self, PolicyErrors> {
        Ok(Self(Arc::new(Shared {
            policies: ArcSwap::from_pointee(PolicySet::parse(policy_file)?),
            table: KeyTable::new(keys),
            in_use: InUse::default(),
            start: Instant::now(),
            keys: gauge!("weir_limit_table_keys"),
            evicted_full: counter!("weir_limit_table_evictions_total", "owed" => "nothing"),
            evicted_indebted: counter!("weir_limit_table_evictions_total", "owed" => "something"),
        })))
    }

    /// Replaces every policy at once, or none when the file has a mistake. What callers have used under a
    /// policy stays used where its name stays.
    pub fn reload(&self, policy_file: &str) -> Result<(), PolicyErrors> {
        self.0.policies.store(Arc::new(PolicySet::parse(policy_file)?));
        Ok(())
    }

    /// Decides one request over all layers. A refused one has cost nothing.
    pub fn check(&self, request: &Request<'_>) -> Decision {
        let now_ns = u64::try_from(self.0.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.check_at(request, now_ns)
    }

    /// Whose address a request without a valid token is counted under: `forwarded_for` are the values of
    /// `X-Forwarded-For` in their order, believed only as far as the policy file's `known_proxies` reach.
    pub fn client_address<'a>(
        &self,
        peer: IpAddr,
        forwarded_for: impl DoubleEndedIterator<Item = &'a str>,
    ) -> IpAddr {
        client_address(peer, forwarded_for, &self.0.policies.load().known_proxies)
    }

    fn check_at(&self, request: &Request<'_>, now_ns: u64) -> Decision {
        Decider {
            policies: &self.0.policies.load(),
            table: &self.0.table,
            in_use: &self.0.in_use,
            now_ns,
            placed: &|placed| self.0.count(placed),
        }
        .decide(request)
    }
}

impl Shared {
    fn count(&self, placed: Placed) {
        match placed {
            Placed::Known => {}
            Placed::Empty => self.keys.set(self.table.used() as f64),
            Placed::Full => self.evicted_full.increment(1),
            Placed::Indebted => self.evicted_indebted.increment(1),
        }
    }
}

#[cfg(test)]
mod tests;
