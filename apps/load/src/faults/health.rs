//! Samples over HTTP: devices that send their numbers again until they are told that they may forget them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::insist::Insistent;
use super::tally::Tally;
use crate::world::{Gate, World};

const DEVICES: usize = 3;
/// Samples in a request.
const BATCH: i64 = 20;
/// Between two requests of a device.
const PACE: Duration = Duration::from_millis(120);
/// Of so many requests one is sent a second time although it was answered.
const AGAIN_EVERY: u64 = 7;

/// Devices at work.
pub struct Flow {
    devices: Vec<JoinHandle<anyhow::Result<Device>>>,
}

struct Device {
    client: Insistent,
    person: String,
    path: String,
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
            let path = format!("/v1/health/devices/{}", device.text_at("/id")?);
            let mut device = Device { client, person, path, sent: 0, began, token: String::new() };
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
        Ok(Self { devices })
    }

    /// Holds what is there to what was acknowledged.
    pub async fn end(self, _: &World) -> anyhow::Result<()> {
        for device in self.devices {
            device.await??.check().await?;
        }
        Ok(())
    }
}

impl Device {
    async fn send(&mut self, tally: &Tally) -> anyhow::Result<()> {
        let path = format!("{}/samples", self.path);
        let samples: Vec<Value> = (1..=BATCH).map(|n| self.sample(self.sent + n)).collect();
        let body = json!({"samples": samples});
        let answer = self.client.send(&reqwest::Method::POST, &path, &[], Some(&body)).await?.ok()?;
        let is_taken = |result: &Value| result["status"] == "stored" || result["status"] == "duplicate";
        let results = answer.body["results"].as_array().cloned().unwrap_or_default();
        anyhow::ensure!(results.iter().all(is_taken), "{}", answer.body);
        if (self.sent / BATCH).unsigned_abs().is_multiple_of(AGAIN_EVERY) {
            let again = self.client.send(&reqwest::Method::POST, &path, &[], Some(&body)).await?.ok()?;
            let results = again.body["results"].as_array().cloned().unwrap_or_default();
            if !results.iter().all(|result| result["status"] == "duplicate") {
                tally.find(&tally.doubled, || format!("sent again: {}", again.body));
            }
        }
        self.sent += BATCH;
        self.token = answer.header("consistency-token").to_owned();
        if answer.body["safe_to_delete_through"].as_i64() < Some(self.sent) {
            tally.find(&tally.lost, || format!("after {}: {}", self.sent, answer.body));
        }
        tally.samples.add(BATCH as u64);
        Ok(())
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
