//! A client that doesn't give up: the same request again, at the other process if need be, until somebody says what
//! became of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use super::tally::Tally;
use crate::client::{Answer, Caller, Error};
use crate::world::Gate;

/// How long an answer is waited for. The network may have swallowed it.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(40);
/// Tries before something must be wrong: minutes.
const TRIES_MAX: usize = 2_000;

/// One subject at all gates.
#[derive(Clone)]
pub struct Insistent {
    gates: Arc<[Gate]>,
    token: String,
    at: Arc<AtomicUsize>,
    tally: Arc<Tally>,
}

impl Insistent {
    /// Signs in, with these scopes (all modules' when empty).
    pub async fn sign_in(
        gates: Arc<[Gate]>,
        tally: Arc<Tally>,
        subject: &str,
        scopes: &[&str],
    ) -> anyhow::Result<Self> {
        let mut request = serde_json::json!({"sub": subject, "plan": "market-maker", "ttl_s": 86_400});
        if !scopes.is_empty() {
            request["scopes"] = serde_json::json!(scopes);
        }
        let token = gates[0].http.caller_by(&request).await?.token().to_owned();
        Ok(Self { gates, token, at: Arc::default(), tally })
    }

    /// The access token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The way in that is used next.
    pub fn gate(&self) -> &Gate {
        &self.gates[self.at.load(Ordering::Relaxed) % self.gates.len()]
    }

    /// From now on by another way.
    pub fn turn_away(&self) {
        self.at.fetch_add(1, Ordering::Relaxed);
    }

    /// Repeats a request as it stands until it has a definite answer: one that says that it was, or that it will not be,
    /// carried out.
    pub async fn send(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        Ok(self.send_counted(method, path, headers, body).await?.0)
    }

    /// The same, and how often it was sent.
    pub async fn send_counted(
        &self,
        method: &Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<(Answer, usize)> {
        self.repeat(path, |caller| {
            let method = method.clone();
            async move { caller.send(method, path, headers, body).await }
        })
        .await
    }

    async fn repeat<F>(&self, what: &str, ask: impl Fn(Caller) -> F) -> anyhow::Result<(Answer, usize)>
    where
        F: Future<Output = Result<Answer, Error>>,
    {
        for tries in 1..=TRIES_MAX {
            let asked = ask(self.gate().http.caller_with(&self.token));
            match tokio::time::timeout(ANSWER_WITHIN, asked).await {
                Ok(Ok(answer)) if is_definite(&answer) => return Ok((answer, tries)),
                Ok(Err(error @ (Error::Header(_) | Error::Json(_)))) => return Err(error.into()),
                Ok(Ok(_) | Err(_)) | Err(_) => {
                    self.tally.repeated.add(1);
                    self.turn_away();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        anyhow::bail!("{what} has no definite answer after {TRIES_MAX} tries")
    }

    /// `POST` under a key, or of a thing that is its own key.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(&Method::POST, path, &[("idempotency-key", key)], Some(body)).await
    }

    /// `POST` of a file under a key.
    pub async fn post_file(
        &self,
        path: &str,
        key: &str,
        media_type: &str,
        file: String,
    ) -> anyhow::Result<Answer> {
        let headers = [("idempotency-key", key), ("content-type", media_type)];
        self.repeat(path, |caller| {
            let file = file.clone();
            async move { caller.post_file(path, &headers, file).await }
        })
        .await
        .map(|(answer, _)| answer)
    }

    /// `GET`, at least as fresh as this token says; an empty one asks for nothing.
    pub async fn get(&self, path: &str, token: &str) -> anyhow::Result<Answer> {
        let fresh = [("consistency-token", token), ("prefer", "wait=2")];
        let headers = if token.is_empty() { &fresh[1..] } else { &fresh[..] };
        Ok(self.send(&Method::GET, path, headers, None).await?.ok()?)
    }

    /// Every page of a list.
    pub async fn list(&self, path: &str, token: &str) -> anyhow::Result<Vec<Value>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{separator}limit=100{cursor}"), token).await?.body;
            items.extend(page["items"].as_array().cloned().unwrap_or_default());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(items),
            }
        }
    }

    /// The same subject at one gate alone.
    pub fn only_at(&self, gate: &Gate) -> Self {
        Self { gates: Arc::from([gate.clone()]), ..self.clone() }
    }

    /// The same subject, once for each gate.
    pub fn at_each_gate(&self) -> Vec<Self> {
        self.gates.iter().map(|gate| self.only_at(gate)).collect()
    }

    /// Where findings go.
    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }
}

/// 5xx, 429 and 409 `in-flight` leave it open; all else is the answer.
fn is_definite(answer: &Answer) -> bool {
    let in_flight = answer.status == 409 && answer.body["code"] == "idempotency-in-flight";
    !(answer.status.is_server_error() || answer.status == 429 || answer.status == 408 || in_flight)
}
