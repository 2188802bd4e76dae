//! Policies: what each layer allows. A set is made from the policy file at start and replaced as a whole.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, counter};

use super::address::AddressRange;
use super::token_bucket::TokenBucket;

/// What kind of work a request is. Policies price each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Looks only.
    Read,
    /// Changes one thing.
    Write,
    /// Carries or makes many things: an import, a batch of samples, a report over years.
    Bulk,
    /// Opens a stream or a socket, or subscribes to a channel.
    Stream,
    /// Proves who one is: a token is asked for or couldn't be verified.
    SignIn,
}

impl Class {
    /// Every class, in the order of their numbers.
    pub const ALL: [Class; 5] = [Class::Read, Class::Write, Class::Bulk, Class::Stream, Class::SignIn];

    /// As the policy file calls it.
    pub fn name(self) -> &'static str {
        match self {
            Class::Read => "read",
            Class::Write => "write",
            Class::Bulk => "bulk",
            Class::Stream => "stream",
            Class::SignIn => "sign_in",
        }
    }
}

/// What a policy counts under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// The caller's subject.
    Subject,
    /// The client's address, for requests without a valid token.
    Address,
    /// The resource that the request uses: one bucket for everybody.
    Resource,
}

impl Key {
    /// The layer that such a policy belongs to.
    pub fn layer(self) -> Layer {
        match self {
            Key::Subject | Key::Address => Layer::User,
            Key::Resource => Layer::Resource,
        }
    }
}

/// What a layer protects from, and so how its refusal is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// One caller's abuse: 429, the caller's quota is used up.
    User,
    /// A drowned resource: 503, the request is shed.
    Resource,
}

/// One named policy.
#[derive(Debug)]
pub struct Policy {
    pub(super) name: Arc<str>,
    pub(super) key: Key,
    pub(super) bucket: Option<TokenBucket>,
    pub(super) plans: HashMap<String, TokenBucket>,
    pub(super) overrides: HashMap<String, TokenBucket>,
    pub(super) costs: [u32; Class::ALL.len()],
    pub(super) concurrent: Option<u32>,
    pub(super) counters: Counters,
}

/// How often a policy decided what.
#[derive(Debug)]
pub(super) struct Counters {
    pub allowed: Counter,
    pub refused: Counter,
    pub refunded: Counter,
}

impl Counters {
    pub fn of(policy: &str) -> Self {
        let counter = |outcome: &'static str| {
            let policy = policy.to_owned();
            counter!("weir_limit_decisions_total", "policy" => policy, "outcome" => outcome)
        };
        Self { allowed: counter("allowed"), refused: counter("refused"), refunded: counter("refunded") }
    }
}

impl Policy {
    /// The rate of one key: its own override, else its plan's, else the policy's.
    pub(super) fn bucket_of(&self, key: &str, plan: &str) -> Option<&TokenBucket> {
        self.overrides.get(key).or_else(|| self.plans.get(plan)).or(self.bucket.as_ref())
    }

    /// What `units` pieces of work of this class cost. Zero is free and isn't counted.
    pub(super) fn cost_of(&self, class: Class, units: u32) -> u32 {
        self.costs[class as usize].saturating_mul(units)
    }
}

/// Every policy that is in force at one time.
#[derive(Debug)]
pub struct PolicySet {
    pub(super) policies: Vec<Policy>,
    pub(super) known_proxies: Vec<AddressRange>,
}

impl PolicySet {
    /// The policies that count under `key`, in the order of the file.
    pub(super) fn of(&self, key: Key) -> impl Iterator<Item = &Policy> {
        self.policies.iter().filter(move |policy| policy.key == key)
    }
}
