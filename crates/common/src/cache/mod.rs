//! L1 in the process, L2 in Redis, L3 a loader; each value fenced by its stream's number.
//!
//! An invalidation raises the fence of a stream and deletes nothing that a late fill could slip past. It comes from the
//! log: at once in the process that committed, by the tail in all others.

mod fence;
mod flight;
mod local;
mod shared;
mod tombstones;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use uuid::Uuid;

pub use self::fence::{Class, Versioned};
use self::flight::Flight;
use self::local::{Local, Slot};
use self::shared::Shared;
pub(crate) use self::tombstones::Tombstones;
use crate::context::Context;
use crate::db::{Db, DbError, Freshness};
use crate::events::log;
use crate::redis_node::RedisNode;

/// Streams that one cache keeps in the process by default.
const STREAMS_MAX: u64 = 100_000;
/// A load that takes longer is given up.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Loads that a caller joins before it reads by itself.
const JOINS_MAX: usize = 2;
/// A process whose tail has not answered for this long doesn't trust what it holds.
const TAIL_SILENCE_MAX: Duration = Duration::from_secs(1);
/// A lifetime is shortened by up to this share at random, so that what was loaded together doesn't expire together.
const TTL_JITTER: f64 = 0.1;

/// What a cache is for.
#[derive(Clone, Copy, Debug)]
pub struct CacheSpec {
    /// The name in keys and metrics.
    pub name: &'static str,
    /// The version of the value's shape; two releases may run side by side.
    pub schema: u16,
    /// What it promises.
    pub class: Class,
    /// How long a value lives at most.
    pub ttl: Duration,
}

/// All caches of a module. Clones share them.
#[derive(Clone)]
pub struct Caches {
    inner: Arc<CachesInner>,
}

struct CachesInner {
    db: Db,
    /// What is held belongs to this timeline of the writer; 0 before the tail's first look. A load carries the one that it
    /// began on, so that what was read before a promotion is never found after it.
    timeline: AtomicU32,
    shared: Option<Shared>,
    /// No tombstone is missing there that this process knows of.
    shared_is_whole: AtomicBool,
    /// The timeline of which L2 takes values from this process; 0: of none.
    shared_open_on: AtomicU32,
    opened: RwLock<Vec<Box<dyn Tier>>>,
    tail_looked: Mutex<Instant>,
}

/// A cache whose value type is forgotten: what an invalidation needs of it.
trait Tier: Send + Sync {
    fn invalidate(&self, stream: Uuid, version: i64);
    fn streams(&self) -> Vec<Uuid>;
    /// Frees what no timeline's loads and reads can find any more.
    fn forget(&self);
}

/// One type of value, keyed by its stream and a name within it.
pub struct Cache<V> {
    inner: Arc<CacheInner<V>>,
}

impl<V> Clone for Cache<V> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

struct CacheInner<V> {
    spec: CacheSpec,
    caches: Caches,
    local: Local<V>,
    flight: Flight<V>,
}

impl<V: Send + Sync + 'static> Tier for Arc<CacheInner<V>> {
    fn invalidate(&self, stream: Uuid, version: i64) {
        self.local.invalidate(self.caches.timeline(), stream, version);
    }

    fn streams(&self) -> Vec<Uuid> {
        self.local.streams(self.caches.timeline())
    }

    fn forget(&self) {
        self.local.forget();
    }
}

impl Caches {
    pub(crate) fn new(db: Db, redis: Option<RedisNode>, epoch: &str) -> Self {
        let shared = redis.map(|redis| Shared::new(redis, epoch, db.module()));
        let tail_looked = Mutex::new(Instant::now());
        let (timeline, shared_open_on) = (AtomicU32::new(0), AtomicU32::new(0));
        let (shared_is_whole, opened) = (AtomicBool::new(false), RwLock::default());
        let inner =
            CachesInner { db, timeline, shared, shared_is_whole, shared_open_on, opened, tail_looked };
        Self { inner: Arc::new(inner) }
    }

    /// A cache of this module. Once per name, at start.
    pub fn open<V>(&self, spec: CacheSpec) -> Cache<V>
    where
        V: Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let inner = Arc::new(CacheInner {
            spec,
            caches: self.clone(),
            local: Local::new(STREAMS_MAX),
            flight: Flight::default(),
        });
        self.inner.opened.write().push(Box::new(inner.clone()));
        Cache { inner }
    }

    /// Raises fences in this process, at once.
    pub(crate) fn invalidate(&self, stream: Uuid, version: i64) {
        for tier in self.inner.opened.read().iter() {
            tier.invalidate(stream, version);
        }
    }

    /// Whether what L2 holds is given out.
    fn trust_shared(&self, is_whole: bool) {
        self.inner.shared_is_whole.store(is_whole, Ordering::Release);
    }

    /// The tombstones' cursor is there: what is put beside it will be buried, whatever becomes of this process.
    fn open_shared(&self, timeline: u32) {
        self.inner.shared_open_on.store(timeline, Ordering::Release);
    }

    /// L2 takes nothing more from this process either.
    fn give_shared_up(&self) {
        self.inner.shared_open_on.store(0, Ordering::Release);
    }

    /// The timeline that what is held belongs to.
    pub(crate) fn timeline(&self) -> u32 {
        self.inner.timeline.load(Ordering::Acquire)
    }

    /// The writer is on another timeline: nothing that was cached before is given out any more. By now loads read at a
    /// position of the new one.
    pub(crate) fn start_over(&self, timeline: u32) {
        self.give_shared_up();
        self.trust_shared(false);
        self.inner.timeline.store(timeline, Ordering::Release);
        for tier in self.inner.opened.read().iter() {
            tier.forget();
        }
    }

    /// The tail has answered.
    pub(crate) fn tail_looked(&self) {
        *self.inner.tail_looked.lock() = Instant::now();
    }

    fn tail_is_silent(&self) -> bool {
        self.inner.tail_looked.lock().elapsed() > TAIL_SILENCE_MAX
    }

    /// Streams that something is held of.
    pub(crate) fn held(&self) -> Vec<Uuid> {
        self.inner.opened.read().iter().flat_map(|tier| tier.streams()).collect()
    }
}

impl<V> Cache<V>
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The value of `key` in `stream`, or that there is none. `load` is asked on a miss, at the freshness that it is
    /// told; it may run twice. Many callers of one key share one load, and none of them can cancel it.
    ///
    /// The answer is as new as the cache's class promises and as the caller's token demands.
    pub async fn get<L, F>(
        &self,
        ctx: &Context,
        stream: Uuid,
        key: &str,
        load: L,
    ) -> Result<Arc<Versioned<V>>, DbError>
    where
        L: Fn(Context, Freshness) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Versioned<V>, DbError>> + Send + 'static,
    {
        let cache = &*self.inner;
        let needed = cache.needed(ctx, stream).await?;
        let load = Arc::new(load);
        let joins = if needed.at_least.is_some() { JOINS_MAX } else { 0 };
        let at_least = needed.at_least.unwrap_or_default();
        for _ in 0..joins {
            let timeline = cache.caches.timeline();
            let slot = cache.local.slot(timeline, stream);
            if let Some(found) = slot.get(key)
                && found.version >= at_least
            {
                cache.count("l1");
                return Ok(found);
            }
            let loading = cache.flight.join((timeline, stream, key.into()), || {
                let (inner, ctx, key, load) =
                    (self.inner.clone(), ctx.clone(), Arc::<str>::from(key), load.clone());
                async move { inner.fill(&ctx, (timeline, stream), &key, &slot, needed, &*load).await }
            });
            let found =
                tokio::time::timeout_at(ctx.deadline(), loading).await.map_err(|_| DbError::Timeout)??;
            // A load that was joined may have begun before what this caller must see.
            if found.version >= at_least {
                return Ok(found);
            }
        }
        // No cached value and no shared load will do: this caller's own read.
        cache.count("l3");
        load(ctx.clone(), needed.freshness).await.map(Arc::new)
    }
}

/// What a caller must be given.
#[derive(Clone, Copy)]
struct Needed {
    /// A cached value must have at least this version; `None`: no cached value will do.
    at_least: Option<i64>,
    /// Where a load must read.
    freshness: Freshness,
}

impl<V> CacheInner<V>
where
    V: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    async fn needed(&self, ctx: &Context, stream: Uuid) -> Result<Needed, DbError> {
        let db = &self.caches.inner.db;
        if self.spec.class == Class::Strong {
            let at_least = log::head(db, ctx, Freshness::Strong, stream).await?;
            return Ok(Needed { at_least, freshness: Freshness::Strong });
        }
        let token = ctx.token();
        let seen = db.seen();
        // A token from ahead of this process may know of a change that no fence here knows of yet.
        let ahead = token.position(db.set()).is_some_and(|needs| {
            seen.is_none_or(|seen| (seen.timeline, seen.lsn) < (needs.timeline, needs.lsn))
        });
        Ok(match token.seq(stream) {
            _ if self.caches.tail_is_silent() => Needed { at_least: None, freshness: Freshness::Strong },
            Some(version) => Needed { at_least: Some(version), freshness: Freshness::ReadYourWrites },
            None if ahead => Needed { at_least: None, freshness: Freshness::ReadYourWrites },
            None => Needed { at_least: Some(0), freshness: Freshness::Seen },
        })
    }

    async fn fill<L, F>(
        &self,
        ctx: &Context,
        (timeline, stream): (u32, Uuid),
        key: &Arc<str>,
        slot: &Slot<V>,
        needed: Needed,
        load: &L,
    ) -> Result<Arc<Versioned<V>>, DbError>
    where
        L: Fn(Context, Freshness) -> F + Sync,
        F: Future<Output = Result<Versioned<V>, DbError>>,
    {
        let field = format!("{}/{}/{key}", self.spec.name, self.spec.schema);
        let ttl = self.spec.ttl.mul_f64(1.0 - TTL_JITTER * fastrand::f64());
        let shared = self.caches.inner.shared.as_ref();
        if let (Some(shared), Some(at_least)) = (shared, needed.at_least)
            && self.caches.inner.shared_is_whole.load(Ordering::Acquire)
            && let Some((version, bytes)) = shared.get(timeline, stream, &field).await
            && version >= at_least
            && let Ok(stored) = serde_json::from_slice::<Stored<V>>(&bytes)
            && stored.expires_at_ms > ctx.now().timestamp_millis()
        {
            let found = Arc::new(Versioned { version, value: stored.value });
            if slot.put(key, &found, ttl) {
                self.count("l2");
                return Ok(found);
            }
        }
        self.count("l3");
        let load_ctx = Context::background(ctx.clock().clone())
            .with_priority(ctx.priority())
            .with_deadline(LOAD_TIMEOUT);
        // An old token must not let a standby answer that is behind what was invalidated here already.
        let mut token = ctx.token();
        if let Some(seen) = self.caches.inner.db.seen() {
            token.add_position(seen);
        }
        load_ctx.observe(&token);
        let found = Arc::new(load(load_ctx.clone(), needed.freshness).await?);
        if self.offer(ctx, (timeline, stream), key, &field, slot, &found, ttl).await {
            return Ok(found);
        }
        // A fence refused it: it was read before a change. The writer knows the change.
        metrics::counter!("weir_cache_refused_total", "cache" => self.spec.name).increment(1);
        let found = Arc::new(load(load_ctx, Freshness::Strong).await?);
        self.offer(ctx, (timeline, stream), key, &field, slot, &found, ttl).await;
        Ok(found)
    }

    #[expect(clippy::too_many_arguments, reason = "one value on its way into two tiers")]
    async fn offer(
        &self,
        ctx: &Context,
        (timeline, stream): (u32, Uuid),
        key: &Arc<str>,
        field: &str,
        slot: &Slot<V>,
        found: &Arc<Versioned<V>>,
        ttl: Duration,
    ) -> bool {
        if let Some(shared) = &self.caches.inner.shared
            && timeline != 0
            && self.caches.inner.shared_open_on.load(Ordering::Acquire) == timeline
        {
            let expires_at_ms = ctx.now().timestamp_millis() + ttl.as_millis() as i64;
            let stored = Stored { expires_at_ms, value: found.value.as_ref() };
            let bytes = serde_json::to_vec(&stored).expect("a cached value is plain data");
            if !shared.put(timeline, stream, field, found.version, &bytes).await {
                return false;
            }
        }
        slot.put(key, found, ttl)
    }

    fn count(&self, tier: &'static str) {
        metrics::counter!("weir_cache_reads_total", "cache" => self.spec.name, "served_by" => tier)
            .increment(1);
    }
}

/// A value as it lies in Redis.
#[derive(Serialize, serde::Deserialize)]
struct Stored<V> {
    /// The value's own expiry: by Redis' clock the fence would leave with it.
    expires_at_ms: i64,
    value: Option<V>,
}
