//! Samples by both doors in turn: devices that send their numbers again until they are told that they may forget them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::insist::{ANSWER_WITHIN, Insistent};
use super::tally::Tally;
use crate::client::{Error, Socket};
use crate::world::{Gate, World};

const DEVICES: usize = 3;
/// Samples in a request.
const BATCH: i64 = 20;
/// Between two requests of a device.
const PACE: Duration = Duration::from_millis(120);
/// Behind a socket's failure or refusal, before the next try.
const PAUSE: Duration = Duration::from_millis(40);
/// Where health's socket is.
const SOCKET: &str = "/v1/health/ws";
/// Of so many requests one is sent a second time although it was answered.
const AGAIN_EVERY: u64 = 7;

/// Devices at work.
pub struct Flow {
    devices: Vec<JoinHandle<anyhow::Result<Device>>>,
    tally: Arc<Tally>,
}

struct Device {
    client: Insistent,
    person: String,
    path: String,
    id: String,
    socket: Option<Socket>,
    /// The last number that was acknowledged.
    sent: i64,
    began: DateTime<Utc>,
    token: String,
}

impl Flow {
    /// Registers devices and starts to send.
    pub async fn start(
        gates: Arc<[Gate]>,
        tally: Arc<Tally>,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut devices = Vec::new();
        for n in 0..DEVICES {
            let client =
                Insistent::sign_in(gates.clone(), tally.clone(), &format!("wearer-{n}"), &[]).await?;
            let ada = json!({"name": "Ada", "zone": "Europe/Berlin"});
            let person = client.post("/v1/health/people", "ada", &ada).await?.ok()?;
            let began = person.text_at("/created_at")?.parse::<DateTime<Utc>>()? - TimeDelta::days(3);
            let person = format!("/v1/health/people/{}", person.text_at("/id")?);
            let strap = json!({"model": "H10"});
            let device = client.post(&format!("{person}/devices"), "strap", &strap).await?.ok()?;
            let id = device.text_at("/id")?.to_owned();
            let path = format!("/v1/health/devices/{id}");
            let (socket, sent, token) = (None, 0, String::new());
            let mut device = Device { client, person, path, id, socket, sent, began, token };
            let (tally, stop) = (tally.clone(), stop.clone());
            devices.push(tokio::spawn(async move {
                let mut pace = tokio::time::interval(PACE);
                while !stop.is_cancelled() {
                    pace.tick().await;
                    device.send(&tally).await?;
                }
                Ok(device)
            }));
        }
        Ok(Self { devices, tally })
    }

    /// Holds what is there to what was acknowledged.
    pub async fn end(self, world: &World) -> anyhow::Result<()> {
        for device in self.devices {
            device.await??.check().await?;
        }
        let tally = &self.tally;
        let operator = Insistent::sign_in(world.gates(), tally.clone(), "operator", &["operator"]).await?;
        let invariants = operator.get("/v1/health/invariants?limit=100", "").await?.body;
        if invariants["ok"] != true {
            tally.find(&tally.broken, || format!("invariants: {invariants}"));
        }
        Ok(())
    }
}

impl Device {
    async fn send(&mut self, tally: &Tally) -> anyhow::Result<()> {
        let samples: Vec<Value> = (1..=BATCH).map(|n| self.sample(self.sent + n)).collect();
        let body = json!({"samples": samples});
        let nth = (self.sent / BATCH).unsigned_abs();
        let by_socket = nth % 2 == 1;
        let (answer, token) = self.record(&body, by_socket, tally).await?;
        let is_taken = |result: &Value| result["status"] == "stored" || result["status"] == "duplicate";
        let results = answer["results"].as_array().cloned().unwrap_or_default();
        anyhow::ensure!(results.iter().all(is_taken), "{answer}");
        if nth.is_multiple_of(AGAIN_EVERY) {
            // By the other door: both know the same numbers.
            let (again, _) = self.record(&body, !by_socket, tally).await?;
            let results = again["results"].as_array().cloned().unwrap_or_default();
            if !results.iter().all(|result| result["status"] == "duplicate") {
                tally.find(&tally.doubled, || format!("sent again: {again}"));
            }
        }
        self.sent += BATCH;
        self.token = token;
        if answer["safe_to_delete_through"].as_i64() < Some(self.sent) {
            tally.find(&tally.lost, || format!("after {}: {answer}", self.sent));
        }
        tally.samples.add(BATCH as u64);
        Ok(())
    }

    /// Sends until the answer is definite; gives it with its consistency token.
    async fn record(
        &mut self,
        body: &Value,
        by_socket: bool,
        tally: &Tally,
    ) -> anyhow::Result<(Value, String)> {
        if !by_socket {
            let path = format!("{}/samples", self.path);
            let answer = self.client.send(&reqwest::Method::POST, &path, &[], Some(body)).await?.ok()?;
            let token = answer.header("consistency-token").to_owned();
            return Ok((answer.body, token));
        }
        let mut args = body.clone();
        args["device"] = json!(self.id);
        loop {
            let asked = async { self.socket().await?.call("samples.send", &args).await };
            match tokio::time::timeout(ANSWER_WITHIN, asked).await {
                Ok(Ok(frame)) => return Ok((frame.parse()?, frame.token.unwrap_or_default())),
                Ok(Err(Error::Refused(error))) if error.retry == "never" => {
                    return Err(Error::Refused(error).into());
                }
                // The socket is well; the service asks for a pause.
                Ok(Err(Error::Refused(_))) => {}
                Ok(Err(_)) | Err(_) => {
                    self.socket = None;
                    self.client.turn_away();
                }
            }
            tally.repeated.add(1);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn socket(&mut self) -> Result<Socket, Error> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let opened = Socket::open(&self.client.gate().sockets, SOCKET, Some(self.client.token())).await?;
        self.socket = Some(opened.clone());
        Ok(opened)
    }

    /// One every ten seconds.
    fn sample(&self, seq: i64) -> Value {
        let start = self.began + TimeDelta::seconds(10 * seq);
        json!({"seq": seq, "metric": "heart_rate", "value": (60 + seq % 40).to_string(), "unit": "/min",
            "start": start.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)})
    }

    async fn check(self) -> anyhow::Result<()> {
        let tally = self.client.tally();
        let mut seen = BTreeSet::new();
        let samples = format!("{}/samples?metric=heart_rate", self.person);
        for sample in self.client.list(&samples, &self.token).await? {
            let seq = sample["seq"].as_i64().unwrap_or_default();
            if !seen.insert(seq) {
                tally.find(&tally.doubled, || format!("sample {seq} is there twice"));
            }
        }
        let missing = (1..=self.sent).filter(|seq| !seen.contains(seq)).count();
        if missing > 0 {
            tally.find(&tally.lost, || format!("{missing} samples of {} are not there", self.path));
        }
        if seen.len() as i64 > self.sent {
            tally.find(&tally.doubled, || format!("{} samples, {} were sent", seen.len(), self.sent));
        }
        for resolution in ["15m", "1d"] {
            let series = format!("{}/series?metric=heart_rate&resolution={resolution}", self.person);
            let buckets = self.client.list(&series, &self.token).await?;
            let counted: i64 = buckets.iter().filter_map(|bucket| bucket["count"].as_i64()).sum();
            if counted != self.sent {
                tally.find(&tally.broken, || {
                    format!("the {resolution} series of {} counts {counted}, not {}", self.person, self.sent)
                });
            }
        }
        Ok(())
    }
}
