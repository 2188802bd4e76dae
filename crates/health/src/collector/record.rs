//! One transaction: lock devices, take source keys, lock persons' streams, write raw rows, then rollups, then the log.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use common::db::{DbError, Tx};
use common::events::{NewEvent, StreamKey, log};
use serde_json::json;
use uuid::Uuid;

use super::plan::{Plan, Written};
use super::{Answer, SAMPLES_RECORDED, Sender, Status, Submission, conflict_reason};
use crate::STREAM_KIND;
use crate::model::receipt::Receipt;
use crate::model::rollup::Rollup;
use crate::model::sample::{Item, Key, Reading};
use crate::model::time::{Horizon, bucket_start, local_day};
use crate::store::recording;
use crate::store::writing::{self, NewNumbering, NewQuarantine, NewSample, Origin, Writes};

/// The version of the shape of this event's body.
const SCHEMA: i16 = 1;

/// Records a batch.
pub async fn record(tx: &mut Tx<'_>, batch: &[Submission], horizon: Horizon) -> Result<Vec<Answer>, DbError> {
    let (devices, numberings) = recording::lock_devices(tx, &asked_numberings(batch)).await?;
    let numberings: HashMap<(Uuid, i32), Receipt> =
        numberings.into_iter().map(|n| ((n.device, n.epoch), n.receipt)).collect();
    let plan = Plan::new(batch, devices, numberings);
    let known = recording::look_up(tx, &plan.numbered, &plan.keyed).await?;
    let (mut answers, written) = plan.decide(&known, horizon.oldest);
    let mut people: Vec<Uuid> = written.iter().map(|w| w.submission.person).collect();
    people.extend(plan.changed_numberings().iter().map(|(_, _, person, _)| *person));
    people.sort_unstable();
    people.dedup();
    if people.is_empty() {
        return Ok(answers);
    }
    let heads = log::lock(tx, &people).await?;
    let zones = recording::list_zones(tx, &people).await?;
    let mut recorded = Recorded { changes: BTreeMap::new(), writes: Writes::default() };
    for person in &people {
        let head = heads.get(person).ok_or_else(|| missing(*person))?;
        recorded.changes.insert(*person, Change { seq: head + 1, ..Change::default() });
    }
    for written in &written {
        let zone =
            *zones.get(&written.submission.person).ok_or_else(|| missing(written.submission.person))?;
        recorded.add(written, zone);
    }
    recorded.number(&plan, batch);
    writing::write(tx, horizon.now, &recorded.writes).await?;
    let actors = Actors::of(batch);
    log::append(tx, horizon.now, recorded.events(&actors)).await?;
    for (submission, answer) in batch.iter().zip(&mut answers) {
        if let (Ok(outcome), Some(change)) = (answer, recorded.changes.get(&submission.person)) {
            outcome.change = Some(change.seq);
        }
    }
    Ok(answers)
}

fn asked_numberings(batch: &[Submission]) -> Vec<(Uuid, i32)> {
    let mut asked: Vec<(Uuid, i32)> = batch
        .iter()
        .filter_map(|submission| match &submission.sender {
            Sender::Device { device, epoch, .. } => Some((*device, *epoch)),
            Sender::Source(_) => None,
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    asked
}

fn missing(person: Uuid) -> DbError {
    DbError::row("health::collector::record", format!("person {person} has no stream or no row"))
}

/// What a batch changes of one person.
#[derive(Default)]
struct Change {
    /// The event's number.
    seq: i64,
    rows: i32,
    stored: u32,
    /// When the first and the last of what is stored began.
    span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    quarantined: u32,
    numberings: Vec<serde_json::Value>,
    more: Vec<serde_json::Value>,
}

struct Recorded<'a> {
    changes: BTreeMap<Uuid, Change>,
    writes: Writes<'a>,
}

impl<'a> Recorded<'a> {
    fn add(&mut self, written: &Written<'a>, zone: chrono_tz::Tz) {
        let Written { submission, item, status } = written;
        match &item.verdict {
            Ok(readings) if *status == Status::Stored => {
                for reading in readings {
                    self.add_sample(submission, item, reading, zone);
                }
            }
            _ => self.add_quarantine(submission, item, *status),
        }
    }

    fn add_sample(
        &mut self,
        submission: &'a Submission,
        item: &'a Item,
        reading: &'a Reading,
        zone: chrono_tz::Tz,
    ) {
        let change =
            self.changes.get_mut(&submission.person).expect("every person of the batch has a change");
        let canonical = reading.given_unit == reading.metric.unit();
        let as_given = canonical && reading.given_value == reading.value.to_string();
        self.writes.samples.push(NewSample {
            person: submission.person,
            metric: reading.metric.id,
            start: reading.start,
            end: reading.end,
            value: reading.value,
            given_value: (!as_given).then_some(reading.given_value.as_str()),
            given_unit: (!canonical).then_some(reading.given_unit.as_str()),
            statistic: reading.statistic.as_deref(),
            origin: origin(submission, item),
            hash: item.hash,
            change: change.seq,
            position: change.rows,
            skew_ms: submission.skew_ms(),
            extra: reading.extra.as_deref(),
        });
        change.rows += 1;
        change.stored += 1;
        let (first, last) = change.span.unwrap_or((reading.start, reading.start));
        change.span = Some((first.min(reading.start), last.max(reading.start)));
        if reading.is_rolled_up() {
            let (person, metric) = (submission.person, reading.metric.id);
            let quarter = (person, metric, bucket_start(reading.start));
            let day = (person, metric, zone.name(), local_day(reading.start, zone));
            let add = |rollup: &mut Rollup| rollup.add(reading.value, reading.start);
            let one = || Rollup::of(reading.value, reading.start);
            self.writes.quarters.entry(quarter).and_modify(add).or_insert_with(one);
            self.writes.days.entry(day).and_modify(add).or_insert_with(one);
        }
    }

    fn add_quarantine(&mut self, submission: &'a Submission, item: &'a Item, status: Status) {
        let change =
            self.changes.get_mut(&submission.person).expect("every person of the batch has a change");
        let reasons = match (&item.verdict, status) {
            (_, Status::Conflict) | (Ok(_), _) => json!([conflict_reason(&item.key)]),
            (Err(reasons), _) => json!(reasons),
        };
        self.writes.quarantine.push(NewQuarantine {
            person: submission.person,
            change: change.seq,
            position: change.rows,
            origin: origin(submission, item),
            status: status.as_str(),
            reasons,
            raw: &item.raw,
            hash: item.hash,
            skew_ms: submission.skew_ms(),
        });
        change.rows += 1;
        change.quarantined += 1;
    }

    fn number(&mut self, plan: &'a Plan<'a>, batch: &[Submission]) {
        for (device, epoch, person, receipt) in plan.changed_numberings() {
            let change = self.changes.get_mut(&person).expect("every person of the batch has a change");
            change.numberings.push(json!({
                "device": device,
                "epoch": epoch,
                "received": receipt.received().iter().collect::<Vec<_>>(),
                "waived": receipt.waived().iter().collect::<Vec<_>>(),
            }));
            if plan.began(device, epoch) {
                self.writes.epochs.push((device, epoch, change.seq));
            }
            let skew_ms = batch.iter().rev().filter(|s| s.is_of(device, epoch)).find_map(Submission::skew_ms);
            self.writes.numberings.push(NewNumbering { device, epoch, person, receipt, skew_ms });
        }
        for submission in batch.iter().filter(|submission| !submission.more.is_empty()) {
            if let Some(change) = self.changes.get_mut(&submission.person) {
                change.more.push(json!(submission.more));
            }
        }
        // Of several new numberings of a device the latest is its current one.
        self.writes.epochs.sort_unstable_by_key(|&(device, epoch, _)| (device, std::cmp::Reverse(epoch)));
        self.writes.epochs.dedup_by_key(|(device, ..)| *device);
    }

    fn events<'b>(&self, actors: &'b Actors<'b>) -> Vec<NewEvent<'b>> {
        self.changes
            .iter()
            .map(|(person, change)| {
                let (actor, subject) = actors.by_person[person];
                NewEvent {
                    stream: StreamKey { kind: STREAM_KIND, id: *person },
                    seq: change.seq,
                    actor,
                    subject,
                    kind: SAMPLES_RECORDED,
                    schema: SCHEMA,
                    // The rows themselves carry the event's number.
                    body: json!({
                        "stored": change.stored,
                        "span": change.span,
                        "quarantined": change.quarantined,
                        "numberings": change.numberings,
                        "more": change.more,
                    }),
                }
            })
            .collect()
    }
}

/// Who sent for each person first, and by what: an event names them.
struct Actors<'a> {
    by_person: HashMap<Uuid, (&'a str, &'a str)>,
}

impl<'a> Actors<'a> {
    fn of(batch: &'a [Submission]) -> Self {
        let mut by_person = HashMap::new();
        for submission in batch {
            by_person
                .entry(submission.person)
                .or_insert((submission.actor.as_str(), submission.source.as_str()));
        }
        Self { by_person }
    }
}

impl Submission {
    fn skew_ms(&self) -> Option<i64> {
        match self.sender {
            Sender::Device { skew_ms, .. } => skew_ms,
            Sender::Source(_) => None,
        }
    }

    fn is_of(&self, wanted_device: Uuid, wanted_epoch: i32) -> bool {
        matches!(self.sender, Sender::Device { device, epoch, .. } if device == wanted_device && epoch == wanted_epoch)
    }
}

fn origin<'a>(submission: &'a Submission, item: &'a Item) -> Origin<'a> {
    let device = match submission.sender {
        Sender::Device { device, epoch, .. } => Some((device, epoch)),
        Sender::Source(_) => None,
    };
    let (source, source_id, seq) = match &item.key {
        Key::Source(id) => (Some(submission.source.as_str()), Some(id.as_str()), None),
        Key::Seq(seq) => (None, None, Some(*seq)),
    };
    Origin { device: device.map(|(d, _)| d), epoch: device.map(|(_, e)| e), seq, source, source_id }
}
