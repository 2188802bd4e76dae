//! L2: one Redis hash per stream, holding the fence beside the values; every write is one script on that one key, so
//! the same code runs on a cluster.

use std::time::Duration;

use redis::Script;
use uuid::Uuid;

use super::LOAD_TIMEOUT;
use crate::db::STALE_MAX;
use crate::redis_node::RedisNode;

/// A key lives this long after its last change: longer than any load and any standby's lag, so that its fence outlives
/// whatever could still try to put an older value there. A value's own expiry is a field inside.
const KEY_TTL: Duration = Duration::from_secs(15 * 60);

// A standby that is further behind answers nothing, so nothing older is ever put there.
const _: () = assert!(STALE_MAX.as_secs() + LOAD_TIMEOUT.as_secs() < KEY_TTL.as_secs() / 2);

/// Takes a value unless it was read before the fence. KEYS: the stream; ARGV: version, field, value, ttl in ms.
const PUT: &str = r"
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if tonumber(ARGV[1]) < fence then return 0 end
local old = redis.call('HGET', KEYS[1], 'v:' .. ARGV[2])
if not old or tonumber(old) <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'v:' .. ARGV[2], ARGV[1], 'd:' .. ARGV[2], ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1";

/// Raises the fence: the tombstone. Values below it go. KEYS: the stream; ARGV: version, ttl in ms.
const RAISE: &str = r"
local fence = tonumber(redis.call('HGET', KEYS[1], 'fence') or '0')
if tonumber(ARGV[1]) > fence then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'fence', ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1";

/// A value with its version. KEYS: the stream; ARGV: field.
const GET: &str = r"return redis.call('HMGET', KEYS[1], 'v:' .. ARGV[1], 'd:' .. ARGV[1])";

/// The Redis tier of every cache of a module.
#[derive(Clone)]
pub(super) struct Shared {
    redis: RedisNode,
    prefix: String,
    put: Script,
    raise: Script,
    get: Script,
}

impl Shared {
    /// `epoch` names the data set: a restored database starts a new one, for its numbers may start again.
    pub(super) fn new(redis: RedisNode, epoch: &str, module: &str) -> Self {
        Self {
            redis,
            prefix: format!("weir:{epoch}:{module}"),
            put: Script::new(PUT),
            raise: Script::new(RAISE),
            get: Script::new(GET),
        }
    }

    /// Each timeline has keys of its own: after a promotion or a restore a number may come again and be another change.
    fn key(&self, timeline: u32, stream: Uuid) -> String {
        format!("{}:{timeline}:cache:{{{stream}}}", self.prefix)
    }

    pub(super) async fn get(&self, timeline: u32, stream: Uuid, field: &str) -> Option<(i64, Vec<u8>)> {
        let key = self.key(timeline, stream);
        let found: (Option<i64>, Option<Vec<u8>>) =
            self.redis.run(&self.get, &key, &[field.as_bytes()]).await?;
        Some((found.0?, found.1?))
    }

    /// Whether the value was taken, or Redis is away and nobody knows of a newer one.
    pub(super) async fn put(
        &self,
        timeline: u32,
        stream: Uuid,
        field: &str,
        version: i64,
        value: &[u8],
    ) -> bool {
        let ttl = KEY_TTL.as_millis().to_string();
        let version = version.to_string();
        let arguments: [&[u8]; 4] = [version.as_bytes(), field.as_bytes(), value, ttl.as_bytes()];
        self.redis.run::<i64>(&self.put, &self.key(timeline, stream), &arguments).await != Some(0)
    }

    /// Whether the tombstone is there.
    pub(super) async fn raise(&self, timeline: u32, stream: Uuid, version: i64) -> bool {
        let ttl = KEY_TTL.as_millis().to_string();
        let version = version.to_string();
        let arguments: [&[u8]; 2] = [version.as_bytes(), ttl.as_bytes()];
        self.redis.run::<i64>(&self.raise, &self.key(timeline, stream), &arguments).await == Some(1)
    }

    /// Up to where the tombstones of this module have been written, by whichever process. Kept beside them, so that it
    /// is lost with them, and for as long as any value that was there then. The outer `None`: Redis did not answer.
    pub(super) async fn cursor(&self, timeline: u32) -> Option<Option<String>> {
        self.redis.get(&format!("{}:{timeline}:tombstones", self.prefix)).await
    }

    /// Whether it is there.
    pub(super) async fn set_cursor(&self, timeline: u32, cursor: &str) -> bool {
        self.redis.set(&format!("{}:{timeline}:tombstones", self.prefix), cursor, KEY_TTL).await
    }
}
