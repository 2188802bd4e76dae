//! What becomes of each item of a batch, decided in memory: first by the devices' numberings, then by what was looked up.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{Outcome, Refusal, Sender, Status, Submission};
use crate::model::receipt::{GAPS_MAX, Receipt};
use crate::model::sample::{Item, Key};
use crate::store::recording::{Keyed, Known, LockedDevice, Numbered, QuarantineKey, SourceKey};

/// What is known of an item so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Its number is new.
    New,
    /// The same number came earlier in this batch: the item at (submission, item).
    Earlier(usize, usize),
    /// Its number was received before; the index into what is looked up.
    Numbered(usize),
    /// It is keyed by its source; the index into the keys that are wanted.
    Keyed(usize),
}

/// A batch, sorted by what has to be looked up.
pub struct Plan<'a> {
    submissions: &'a [Submission],
    /// For each submission its items' places, or why all of it is refused.
    places: Vec<Result<Vec<Place>, Refusal>>,
    /// Numbered items that were received before.
    pub numbered: Vec<Numbered>,
    /// Keys by source that are wanted, each once.
    pub keyed: Vec<Keyed>,
    /// Who came first to each wanted key.
    first_of_key: Vec<(usize, usize)>,
    /// The numberings after the batch, and whether each changed.
    numberings: HashMap<(Uuid, i32), (Receipt, bool)>,
    devices: HashMap<Uuid, LockedDevice>,
}

/// An item that is written, with what becomes of it.
pub struct Written<'a> {
    /// Whose it is.
    pub submission: &'a Submission,
    /// The item.
    pub item: &'a Item,
    /// Stored, or one of quarantine's.
    pub status: Status,
}

impl<'a> Plan<'a> {
    /// Sorts the batch by the numberings as they are under the devices' locks.
    pub fn new(
        submissions: &'a [Submission],
        devices: HashMap<Uuid, LockedDevice>,
        numberings: HashMap<(Uuid, i32), Receipt>,
    ) -> Self {
        let mut plan = Self {
            submissions,
            places: Vec::with_capacity(submissions.len()),
            numbered: Vec::new(),
            keyed: Vec::new(),
            first_of_key: Vec::new(),
            numberings: numberings.into_iter().map(|(key, receipt)| (key, (receipt, false))).collect(),
            devices,
        };
        let mut earlier: HashMap<(Uuid, i32, i64), (usize, usize)> = HashMap::new();
        let mut wanted: HashMap<SourceKey, usize> = HashMap::new();
        for (index, submission) in submissions.iter().enumerate() {
            let places = match plan.number(index, submission, &mut earlier) {
                Ok(mut places) => {
                    plan.key(index, submission, &mut places, &mut wanted);
                    Ok(places)
                }
                Err(refusal) => Err(refusal),
            };
            plan.places.push(places);
        }
        plan
    }

    /// Runs a submission through its device's numbering; refused, it leaves no trace.
    fn number(
        &mut self,
        index: usize,
        submission: &Submission,
        earlier: &mut HashMap<(Uuid, i32, i64), (usize, usize)>,
    ) -> Result<Vec<Place>, Refusal> {
        let mut places = vec![Place::New; submission.items.len()];
        let Sender::Device { device, epoch, first_seq, gone, .. } = &submission.sender else {
            return Ok(places);
        };
        if self.devices.get(device).is_none_or(|locked| locked.person != submission.person) {
            return Err(Refusal::NotFound);
        }
        let before =
            self.numberings.get(&(*device, *epoch)).map(|(receipt, _)| receipt.clone()).unwrap_or_default();
        let mut receipt = before.clone();
        if let Some(first) = first_seq.filter(|first| *first > 1) {
            receipt.waive(1, first - 1);
        }
        gone.iter().for_each(|&(low, high)| receipt.waive(low, high));
        let mut numbered = Vec::new();
        let mut arrived: HashMap<i64, usize> = HashMap::new();
        for (position, item) in submission.items.iter().enumerate() {
            let Key::Seq(seq) = item.key else { continue };
            let number = (*device, *epoch, seq);
            if let Some(&(submission, item)) = earlier.get(&number) {
                places[position] = Place::Earlier(submission, item);
            } else if let Some(&item) = arrived.get(&seq) {
                places[position] = Place::Earlier(index, item);
            } else if receipt.has(seq) {
                places[position] = Place::Numbered(self.numbered.len() + numbered.len());
                numbered.push(Numbered {
                    person: submission.person,
                    metric: item.metric.map(|metric| metric.id),
                    start: item.start,
                    device: number,
                    hash: item.hash,
                });
            } else {
                let start = item.verdict.as_ref().ok().and(item.start);
                receipt.receive(seq, start);
                arrived.insert(seq, position);
            }
        }
        let gaps = receipt.missing().len();
        if gaps > GAPS_MAX && gaps > before.missing().len() {
            return Err(Refusal::TooManyGaps { gaps });
        }
        receipt.fold();
        earlier
            .extend(arrived.into_iter().map(|(seq, position)| ((*device, *epoch, seq), (index, position))));
        self.numbered.append(&mut numbered);
        let entry = self.numberings.entry((*device, *epoch)).or_default();
        entry.1 |= receipt != before || self.devices.get(device).is_some_and(|locked| locked.epoch < *epoch);
        entry.0 = receipt;
        Ok(places)
    }

    /// Notes the source keys that a submission wants.
    fn key(
        &mut self,
        index: usize,
        submission: &Submission,
        places: &mut [Place],
        wanted: &mut HashMap<SourceKey, usize>,
    ) {
        for (position, item) in submission.items.iter().enumerate() {
            let Key::Source(id) = &item.key else { continue };
            let key = (submission.person, submission.source.clone(), id.clone());
            places[position] = Place::Keyed(*wanted.entry(key.clone()).or_insert_with(|| {
                self.keyed.push(Keyed { key, hash: item.hash, status: Status::of(&item.verdict).as_str() });
                self.first_of_key.push((index, position));
                self.keyed.len() - 1
            }));
        }
    }

    /// Decides about every item, now that its key was looked up. Gives each submission's outcome, without the events'
    /// numbers, and what is to be written.
    pub fn decide(
        &self,
        known: &Known,
        oldest: chrono::DateTime<chrono::Utc>,
    ) -> (Vec<Result<Outcome, Refusal>>, Vec<Written<'a>>) {
        let mut outcomes = Vec::with_capacity(self.submissions.len());
        let mut written = Vec::new();
        // Conflicts of this very batch, which quarantine does not show yet.
        let mut conflicts: HashSet<(Uuid, QuarantineKey, Uuid)> = HashSet::new();
        for (index, (submission, places)) in self.submissions.iter().zip(&self.places).enumerate() {
            let places = match places {
                Ok(places) => places,
                Err(refusal) => {
                    outcomes.push(Err(refusal.clone()));
                    continue;
                }
            };
            let mut outcome = Outcome::for_submission(submission, self.numbering(submission));
            for (position, (item, place)) in submission.items.iter().zip(places).enumerate() {
                let decided = self.decide_item(item, *place, (index, position), known, oldest);
                let (status, original) = match decided {
                    Decided::New(status) => {
                        written.push(Written { submission, item, status });
                        (status, None)
                    }
                    Decided::Duplicate(original) => (Status::Duplicate, original),
                    Decided::Conflict(seen) => {
                        let key = (submission.person, quarantine_key(submission, item), item.hash);
                        if !seen && conflicts.insert(key) {
                            written.push(Written { submission, item, status: Status::Conflict });
                        }
                        (Status::Conflict, None)
                    }
                };
                outcome.add(item, status, original);
            }
            outcomes.push(Ok(outcome));
        }
        (outcomes, written)
    }

    fn decide_item(
        &self,
        item: &Item,
        place: Place,
        at: (usize, usize),
        known: &Known,
        oldest: chrono::DateTime<chrono::Utc>,
    ) -> Decided {
        let submission = &self.submissions[at.0];
        let quarantined = || known.quarantined.get(&(item.hash, quarantine_key(submission, item)));
        match place {
            Place::New => Decided::New(Status::of(&item.verdict)),
            Place::Earlier(submission, earlier) => {
                let first = &self.submissions[submission].items[earlier];
                match first.hash == item.hash {
                    true => Decided::Duplicate(Some(Status::of(&first.verdict))),
                    false => Decided::Conflict(false),
                }
            }
            Place::Numbered(index) if known.stored.contains(&index) => {
                Decided::Duplicate(Some(Status::Stored))
            }
            Place::Numbered(_) => match quarantined().map(String::as_str) {
                Some("conflict") => Decided::Conflict(true),
                Some(status) => Decided::Duplicate(Status::parse(status)),
                // What is past retention may have been dropped since it was received.
                None if item.start.is_some_and(|start| start < oldest) => Decided::Duplicate(None),
                None => Decided::Conflict(false),
            },
            Place::Keyed(index) => {
                let wanted = &self.keyed[index];
                if self.first_of_key[index] == at && known.taken.contains(&wanted.key) {
                    return Decided::New(Status::of(&item.verdict));
                }
                let (hash, status) = match known.keys.get(&wanted.key) {
                    Some((hash, status)) => (*hash, status.as_str()),
                    None => (wanted.hash, wanted.status),
                };
                match hash == item.hash {
                    true => Decided::Duplicate(Status::parse(status)),
                    false => Decided::Conflict(quarantined().is_some()),
                }
            }
        }
    }

    /// The numbering that a submission spoke of, after the batch.
    fn numbering(&self, submission: &Submission) -> Option<Receipt> {
        let Sender::Device { device, epoch, .. } = &submission.sender else { return None };
        self.numberings.get(&(*device, *epoch)).map(|(receipt, _)| receipt.clone())
    }

    /// Numberings that changed: device, epoch and person, sorted.
    pub fn changed_numberings(&self) -> Vec<(Uuid, i32, Uuid, &Receipt)> {
        let mut changed: Vec<_> = self
            .numberings
            .iter()
            .filter(|(_, (_, changed))| *changed)
            .filter_map(|((device, epoch), (receipt, _))| {
                Some((*device, *epoch, self.devices.get(device)?.person, receipt))
            })
            .collect();
        changed.sort_unstable_by_key(|(device, epoch, ..)| (*device, *epoch));
        changed
    }

    /// Devices whose current numbering is older than one that was sent.
    pub fn began(&self, device: Uuid, epoch: i32) -> bool {
        self.devices.get(&device).is_some_and(|locked| locked.epoch < epoch)
    }
}

enum Decided {
    New(Status),
    /// With what became of it the first time, where that is still known.
    Duplicate(Option<Status>),
    /// Whether quarantine has it already.
    Conflict(bool),
}

/// How quarantine knows an item of a submission.
pub fn quarantine_key(submission: &Submission, item: &Item) -> QuarantineKey {
    match (&item.key, &submission.sender) {
        (Key::Seq(seq), Sender::Device { device, epoch, .. }) => {
            QuarantineKey::Numbered(*device, *epoch, *seq)
        }
        (Key::Seq(seq), Sender::Source(source)) => {
            QuarantineKey::Source((*source).to_owned(), seq.to_string())
        }
        (Key::Source(id), _) => QuarantineKey::Source(submission.source.clone(), id.clone()),
    }
}
