//! One decision over all layers. Each layer takes what the request costs there; when a later one refuses,
//! what the earlier ones took is given back, so a refused request costs nothing anywhere.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::address::address_key;
use super::keys::{KeyHash, KeyTable, Placed};
use super::permit::{InUse, Permit};
use super::policy::{Class, Key, Layer, Policy, PolicySet};
use super::token_bucket::{Standing, TokenBucket};

/// When a resource has no permit left it isn't known when one comes back: this is the least time to wait.
const SHED_WAIT: Duration = Duration::from_secs(1);

/// Refused callers come back spread over this part of their wait, so that they don't all come at once.
const JITTER_DIVISOR: u32 = 4;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub who: Who<'a>,
    /// What kind of work it is.
    pub class: Class,
    /// How many pieces of such work, such as the items of a batch. At least 1.
    pub units: u32,
    /// What the work is done on, if it gets that far.
    pub resource: Option<&'a str>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// A caller whose token was verified.
    Subject {
        /// The token's subject.
        subject: &'a str,
        /// The plan that picks the quota.
        plan: &'a str,
    },
    /// A client without a valid token, by the address from [`super::Limits::client_address`].
    Address(IpAddr),
}

/// The answer: where the caller stands, and whether it may go on.
#[derive(Debug)]
pub struct Decision {
    /// The caller's quotas after this decision, in the order of the policy file. For headers.
    pub quotas: Vec<Quota>,
    /// The permit, to be held until the work is done, or why not.
    pub outcome: Result<Permit, Refusal>,
}

/// One of the caller's quotas and what is left of it.
#[derive(Clone, Debug)]
pub struct Quota {
    policy: Arc<str>,
    standing: Standing,
}

impl Quota {
    /// The policy's name.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Units per window.
    pub fn quantity(&self) -> u32 {
        self.standing.bucket().quantity()
    }

    /// The window in seconds.
    pub fn window_s(&self) -> u32 {
        self.standing.bucket().window_s()
    }

    /// Units that are left now.
    pub fn remaining(&self) -> u32 {
        self.standing.remaining()
    }

    /// Seconds until nothing of it is used any more, rounded up.
    pub fn reset_s(&self) -> u64 {
        let after = self.standing.full_after();
        after.as_secs() + u64::from(after.subsec_nanos() > 0)
    }
}

/// Why a request may not go on.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The policy that refused.
    pub policy: Arc<str>,
    /// Its layer: a quota of the caller's, or a resource that has no more to give.
    pub layer: Layer,
    /// When it is worth coming back: when the tokens are there, and a random part more.
    pub retry_after: Duration,
}

/// What a policy has taken and may have to give back.
struct Taken<'p> {
    policy: &'p Policy,
    bucket: TokenBucket,
    key: KeyHash,
    cost: u32,
    standing: Standing,
}

/// One decision under way.
pub(super) struct Decider<'p> {
    pub policies: &'p PolicySet,
    pub table: &'p KeyTable,
    pub in_use: &'p InUse,
    pub now_ns: u64,
    /// Told of each key that the table places.
    pub placed: &'p dyn Fn(Placed),
}

impl<'p> Decider<'p> {
    /// Asks the user layer, then the resource layer.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let mut taken = Vec::new();
        let mut permit = Permit::default();
        let outcome = self.ask_layers(request, &mut taken, &mut permit);
        if outcome.is_err() {
            self.give_back(&mut taken);
        }
        let mut quotas: Vec<Quota> = taken.iter().filter_map(Taken::quota).collect();
        let outcome = match outcome {
            Ok(()) => Ok(permit),
            Err(Refused { refusal, quota }) => {
                quotas.extend(quota);
                Err(refusal)
            }
        };
        Decision { quotas, outcome }
    }

    fn ask_layers(
        &self,
        request: &Request<'_>,
        taken: &mut Vec<Taken<'p>>,
        permit: &mut Permit,
    ) -> Result<(), Refused> {
        match request.who {
            Who::Subject { subject, plan } => {
                self.ask(Key::Subject, subject, plan, request, taken, permit)?;
            }
            Who::Address(address) => {
                self.ask(Key::Address, &address_key(address), "", request, taken, permit)?;
            }
        }
        match request.resource {
            Some(resource) => self.ask(Key::Resource, resource, "", request, taken, permit),
            None => Ok(()),
        }
    }

    fn ask(
        &self,
        kind: Key,
        key: &str,
        plan: &str,
        request: &Request<'_>,
        taken: &mut Vec<Taken<'p>>,
        permit: &mut Permit,
    ) -> Result<(), Refused> {
        for policy in self.policies.of(kind) {
            let cost = policy.cost_of(request.class, request.units.max(1));
            if cost == 0 {
                continue;
            }
            if let Some(bucket) = policy.bucket_of(key, plan) {
                taken.push(self.take(policy, bucket, key, cost)?);
            }
            if let Some(limit) = policy.concurrent
                && !self.in_use.take(&policy.name, key, limit, permit)
            {
                return Err(refuse(policy, SHED_WAIT, None));
            }
            policy.counters.allowed.increment(1);
        }
        Ok(())
    }

    fn take(
        &self,
        policy: &'p Policy,
        bucket: &TokenBucket,
        key: &str,
        cost: u32,
    ) -> Result<Taken<'p>, Refused> {
        let hash = self.table.hash(&policy.name, key.as_bytes());
        let (answer, placed) = self.table.take(hash, bucket, cost, self.now_ns);
        (self.placed)(placed);
        match answer {
            Ok(standing) => Ok(Taken { policy, bucket: *bucket, key: hash, cost, standing }),
            Err(standing) => Err(refuse(policy, standing.wait_for(cost), Some(standing))),
        }
    }

    fn give_back(&self, taken: &mut [Taken<'p>]) {
        for entry in taken {
            if let Some(standing) = self.table.refund(entry.key, &entry.bucket, entry.cost, self.now_ns) {
                entry.standing = standing;
            }
            entry.policy.counters.refunded.increment(1);
        }
    }
}

impl Taken<'_> {
    /// A resource's bucket is everybody's: it is no quota of the caller's.
    fn quota(&self) -> Option<Quota> {
        quota(self.policy, self.standing)
    }
}

struct Refused {
    refusal: Refusal,
    quota: Option<Quota>,
}

fn refuse(policy: &Policy, wait: Duration, standing: Option<Standing>) -> Refused {
    policy.counters.refused.increment(1);
    let layer = policy.key.layer();
    let refusal = Refusal { policy: policy.name.clone(), layer, retry_after: with_jitter(wait) };
    Refused { refusal, quota: standing.and_then(|standing| quota(policy, standing)) }
}

fn quota(policy: &Policy, standing: Standing) -> Option<Quota> {
    (policy.key.layer() == Layer::User).then(|| Quota { policy: policy.name.clone(), standing })
}

fn with_jitter(wait: Duration) -> Duration {
    let most = u64::try_from((wait / JITTER_DIVISOR).as_nanos()).unwrap_or(u64::MAX - 1);
    wait + Duration::from_nanos(fastrand::u64(0..=most))
}
