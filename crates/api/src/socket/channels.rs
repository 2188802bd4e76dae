//! The subscriptions of one socket: which there are, where each stands, and what comes next on any of them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream::{AbortHandle, Abortable, BoxStream, SelectAll};
use tokio::time::{Duration, Instant};

use super::protocol::{Channel, ChannelEnd, ChannelMessage};

/// What a channel yields: a message, its end with a reason, or `None` when its stream is over.
type Item = Option<Result<ChannelMessage, ChannelEnd>>;

/// The subscriptions of one socket.
#[derive(Default)]
pub(super) struct Channels {
    by_name: HashMap<Arc<str>, Entry>,
    streams: SelectAll<Abortable<Named>>,
    serial: u64,
}

struct Entry {
    serial: u64,
    /// The name as JSON, for the frames.
    json: Arc<str>,
    /// `None` while the module is still opening it.
    open: Option<Open>,
}

struct Open {
    last: Option<i64>,
    sent_at: Instant,
    abort: AbortHandle,
}

/// What a frame of a channel starts with.
pub(super) struct Sent {
    pub json: Arc<str>,
    pub prev: Option<i64>,
}

impl Channels {
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Keeps a place for a subscription; the number given tells it from an earlier one of the same name.
    pub fn reserve(&mut self, name: Arc<str>) -> u64 {
        self.serial += 1;
        let json = serde_json::to_string(&*name).expect("a string is JSON");
        self.by_name.insert(name, Entry { serial: self.serial, json: json.into(), open: None });
        self.serial
    }

    /// The name as JSON if the place is still kept: the client may have unsubscribed meanwhile.
    pub fn reserved(&self, name: &str, serial: u64) -> Option<Arc<str>> {
        self.by_name.get(name).filter(|entry| entry.serial == serial).map(|entry| entry.json.clone())
    }

    /// Starts to follow `channel` on a place that is still kept.
    pub fn open(&mut self, name: &Arc<str>, channel: Channel, now: Instant) {
        let Some(entry) = self.by_name.get_mut(name) else { return };
        let (abort, registration) = AbortHandle::new_pair();
        entry.open = Some(Open { last: channel.start, sent_at: now, abort });
        let named = Named { name: name.clone(), stream: Some(channel.messages) };
        self.streams.push(Abortable::new(named, registration));
    }

    /// Forgets a subscription. False when there is none.
    pub fn close(&mut self, name: &str) -> bool {
        let Some(entry) = self.by_name.remove(name) else { return false };
        if let Some(open) = entry.open {
            open.abort.abort();
        }
        true
    }

    /// Forgets a place that a failed subscription had kept.
    pub fn release(&mut self, name: &str, serial: u64) {
        if self.reserved(name, serial).is_some() {
            self.by_name.remove(name);
        }
    }

    /// The next thing on any channel.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<(Arc<str>, Item)> {
        match self.streams.poll_next_unpin(cx) {
            Poll::Ready(Some(item)) => Poll::Ready(item),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Notes that `seq` is sent. `None` when the subscription is gone.
    pub fn sent(&mut self, name: &str, seq: i64, now: Instant) -> Option<Sent> {
        let entry = self.by_name.get_mut(name)?;
        let open = entry.open.as_mut()?;
        open.sent_at = now;
        Some(Sent { json: entry.json.clone(), prev: open.last.replace(seq) })
    }

    /// The channels that were silent for `after`, each with its last number; they count as sent now.
    pub fn silent(&mut self, after: Duration, now: Instant) -> Vec<(Arc<str>, Option<i64>)> {
        let mut silent = Vec::new();
        for entry in self.by_name.values_mut() {
            if let Some(open) = &mut entry.open
                && open.sent_at + after <= now
            {
                open.sent_at = now;
                silent.push((entry.json.clone(), open.last));
            }
        }
        silent
    }

    /// When the next channel will have been silent for `after`.
    pub fn next_silence(&self, after: Duration) -> Option<Instant> {
        self.by_name.values().filter_map(|entry| entry.open.as_ref()).map(|open| open.sent_at + after).min()
    }
}

/// A channel's stream with its name beside each item and one `None` at its end.
struct Named {
    name: Arc<str>,
    stream: Option<BoxStream<'static, Result<ChannelMessage, ChannelEnd>>>,
}

impl Stream for Named {
    type Item = (Arc<str>, Item);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(None) };
        let item = std::task::ready!(stream.poll_next_unpin(cx));
        if !matches!(item, Some(Ok(_))) {
            self.stream = None;
        }
        Poll::Ready(Some((self.name.clone(), item)))
    }
}
