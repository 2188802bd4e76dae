//! The process's Redis: short time-outs and a breaker, so that without it everything goes on at its own speed.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, RedisError, Script};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A Redis that takes longer than this is treated as gone.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// After a failure nobody asks it for this long.
const BREAK: Duration = Duration::from_millis(500);
/// Between two attempts to subscribe.
const RESUBSCRIBE_PAUSE: Duration = Duration::from_millis(250);

/// A connection to Redis that may be absent. Clones share it.
#[derive(Clone)]
pub struct RedisNode {
    client: Client,
    manager: ConnectionManager,
    broken_until: Arc<Mutex<Option<Instant>>>,
}

impl RedisNode {
    /// Whether the address could be one.
    pub fn check(url: &str) -> Result<(), RedisError> {
        Client::open(url).map(drop)
    }

    /// Connects when it is first used; an unreachable Redis is no error.
    pub fn open(url: &str) -> Result<Self, RedisError> {
        let client = Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_number_of_retries(1);
        let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
        Ok(Self { client, manager, broken_until: Arc::default() })
    }

    /// Runs a script; `None` when Redis did not answer, which is counted and otherwise of no consequence.
    pub(crate) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        key: &str,
        arguments: &[&[u8]],
    ) -> Option<T> {
        let mut call = script.key(key);
        for argument in arguments {
            call.arg(*argument);
        }
        let mut manager = self.manager.clone();
        self.ask(async move { call.invoke_async(&mut manager).await }).await
    }

    /// Says "look" to everyone who listens on `channel`.
    pub(crate) async fn publish(&self, channel: &str, message: &str) {
        let mut manager = self.manager.clone();
        let mut command = redis::cmd("PUBLISH");
        command.arg(channel).arg(message);
        let _: Option<i64> = self.ask(async move { command.query_async(&mut manager).await }).await;
    }

    /// A plain value, if there is one. The outer `None`: Redis did not answer.
    pub(crate) async fn get(&self, key: &str) -> Option<Option<String>> {
        let mut manager = self.manager.clone();
        let mut command = redis::cmd("GET");
        command.arg(key);
        self.ask::<Option<String>>(async move { command.query_async(&mut manager).await }).await
    }

    /// Sets a plain value that goes after `ttl`. Whether Redis has it.
    pub(crate) async fn set(&self, key: &str, value: &str, ttl: Duration) -> bool {
        let mut manager = self.manager.clone();
        let mut command = redis::cmd("SET");
        command.arg(key).arg(value).arg("PX").arg(ttl.as_millis() as u64);
        self.ask::<()>(async move { command.query_async(&mut manager).await }).await.is_some()
    }

    async fn ask<T>(&self, call: impl Future<Output = Result<T, RedisError>>) -> Option<T> {
        if self.is_broken() {
            return None;
        }
        match tokio::time::timeout(RESPONSE_TIMEOUT, call).await {
            Ok(Ok(value)) => return Some(value),
            Ok(Err(error)) => tracing::debug!(%error, "redis failed"),
            Err(_) => tracing::debug!("redis did not answer in time"),
        }
        metrics::counter!("weir_redis_errors_total").increment(1);
        *self.broken_until.lock() = Some(Instant::now() + BREAK);
        None
    }

    fn is_broken(&self) -> bool {
        self.broken_until.lock().is_some_and(|until| until > Instant::now())
    }

    /// Calls `notify` for each message of `channel` that this process did not send itself, until the shutdown.
    pub(crate) async fn listen(
        self,
        channel: String,
        own: String,
        notify: Arc<Notify>,
        shutdown: CancellationToken,
    ) {
        let listen = async {
            loop {
                if let Err(error) = self.listen_once(&channel, &own, &notify).await {
                    tracing::debug!(%error, "the hints' subscription ended");
                }
                tokio::time::sleep(RESUBSCRIBE_PAUSE).await;
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = listen => {}
        }
    }

    async fn listen_once(&self, channel: &str, own: &str, notify: &Notify) -> Result<(), RedisError> {
        let mut hints = self.client.get_async_pubsub().await?;
        hints.subscribe(channel).await?;
        // What was said while nobody listened is made up for by a look.
        notify.notify_one();
        let mut messages = hints.into_on_message();
        while let Some(message) = messages.next().await {
            if message.get_payload_bytes() != own.as_bytes() {
                notify.notify_one();
            }
        }
        Ok(())
    }
}
