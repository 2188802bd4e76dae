//! An event stream as a client reads it.

use serde_json::Value;

use super::User;

/// An open stream.
pub struct Events {
    response: reqwest::Response,
    received: Vec<u8>,
    /// The number that a browser would send as `Last-Event-ID`.
    pub last_event_id: i64,
}

/// What came under one name.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// `event:`
    pub event: String,
    /// `id:`
    pub id: Option<i64>,
    /// `data:`
    pub data: Value,
}

impl Events {
    /// Opens a stream, after a number where one is given, and reads where it goes on.
    pub async fn open(user: &User, path: &str, after: Option<i64>) -> Self {
        let after = after.map(|after| after.to_string());
        let headers: Vec<_> = after.iter().map(|after| ("Last-Event-ID", &**after)).collect();
        let response = user.open(path, &headers).await;
        let (status, headers) = (response.status(), response.headers().clone());
        assert_eq!(status, 200, "{}", response.text().await.unwrap());
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        let mut events = Self { response, received: Vec::new(), last_event_id: 0 };
        assert_eq!(events.next().await.unwrap().event, "position");
        events
    }

    /// The next event; `None` when the stream is over, or its connection is.
    pub async fn next(&mut self) -> Option<Sent> {
        loop {
            if let Some(end) = self.received.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.received.drain(..end + 2).collect();
                let block = String::from_utf8(block).unwrap();
                let field = |name: &str| {
                    let mut lines = block.lines();
                    lines.find_map(|line| Some(line.strip_prefix(name)?.trim_start().to_owned()))
                };
                let Some(event) = field("event:") else { continue };
                let id = field("id:").map(|id| id.parse().unwrap());
                self.last_event_id = id.unwrap_or(self.last_event_id);
                let data = serde_json::from_str(&field("data:").unwrap()).unwrap();
                return Some(Sent { event, id, data });
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.received.extend_from_slice(&chunk);
        }
    }

    /// The next event, which must be of this name.
    #[track_caller]
    pub fn expect(&mut self, event: &'static str) -> impl Future<Output = Sent> {
        let caller = std::panic::Location::caller();
        async move {
            let sent = self.next().await.unwrap_or_else(|| panic!("the stream is over at {caller}"));
            assert_eq!(sent.event, event, "{sent:?} at {caller}");
            sent
        }
    }
}
