//! The use cases of health. Who may see what is decided here, in [`Health::own_person`] and [`Health::own_device`].

use api::Stale;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use common::DataPath;
use common::context::{Clock, Context};
use common::db::{Db, Tx};
use common::events::{NewEvent, StreamKey, log};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::collector::{Collectors, Outcome, Sender, Submission};
use crate::error::Error;
use crate::model::catalogue::Metric;
use crate::model::ids;
use crate::model::person::{Device, Numbering, Person};
use crate::model::sample::read_item;
use crate::model::time::{Horizon, local_day};
use crate::openmhealth;
use crate::store::people;
use crate::store::reading::{self, BucketRow, Complete, QuarantineRow, SamplePlace, SampleRow, Stretch};
use crate::{Config, STREAM_KIND};

/// The version of the shape of these events' bodies.
const SCHEMA: i16 = 1;

/// The module. It is shared by all of its routes.
pub struct Health {
    db: Db,
    clock: Clock,
    collectors: Collectors,
    config: Config,
}

/// What a client says of a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PersonDetails {
    /// For people.
    pub name: String,
    /// Where its days begin and end.
    pub zone: Tz,
}

/// What a client says of a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceDetails {
    /// Who made it.
    pub manufacturer: String,
    /// What the maker calls it.
    pub model: String,
    /// The maker's number of it.
    pub serial: String,
}

/// A device's request.
#[derive(Debug)]
pub struct DeviceBatch {
    /// Which of its numberings.
    pub epoch: i32,
    /// It never had what lies before.
    pub first_seq: Option<i64>,
    /// It no longer has these, both ends included.
    pub gone: Vec<(i64, i64)>,
    /// What its clock said when it sent this.
    pub sent_at: Option<DateTime<Utc>>,
    /// Each exactly as it was sent.
    pub samples: Vec<Box<RawValue>>,
    /// What else the request carried.
    pub more: serde_json::Map<String, serde_json::Value>,
}

impl Health {
    pub(crate) fn new(data_path: &DataPath, config: Config) -> Self {
        Self {
            db: data_path.db.clone(),
            clock: data_path.clock.clone(),
            collectors: Collectors::start(data_path, config.retention_years),
            config,
        }
    }

    /// The module's view of its database set.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// A person of the caller's; anybody else's is not there.
    pub async fn own_person(&self, ctx: &Context, id: Uuid) -> Result<Person, Error> {
        let person = people::find_person(&self.db, ctx, id).await?;
        person.filter(|person| is_owner(ctx, &person.subject)).ok_or(Error::NotFound)
    }

    /// A device of one of the caller's people; anybody else's is not there.
    pub async fn own_device(&self, ctx: &Context, id: Uuid) -> Result<Device, Error> {
        let device = people::find_device(&self.db, ctx, id).await?;
        let own = device.filter(|(_, subject)| is_owner(ctx, subject));
        own.map(|(device, _)| device).ok_or(Error::NotFound)
    }

    /// Makes a person of the caller's. The same caller and key make the same person, for ever.
    pub async fn create_person(
        &self,
        ctx: &Context,
        tx: &mut Tx<'_>,
        key: &str,
        details: &PersonDetails,
    ) -> Result<Person, Error> {
        let subject = &*ctx.caller().subject;
        let id = ids::person_id(subject, key);
        if let Some(person) = people::find_person_in(tx, id).await? {
            return Ok(person);
        }
        let person = Person {
            id,
            subject: subject.to_owned(),
            name: details.name.clone(),
            zone: details.zone,
            version: 1,
            created_at: ctx.now(),
        };
        log::create(tx, stream(id)).await?;
        people::insert_person(tx, &person).await?;
        let event = event(ctx, id, 1, "", "person_created", json!(details));
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(person)
    }

    /// Changes a person from the version that the caller has seen. One who moves has its days made anew.
    pub async fn update_person(
        &self,
        ctx: &Context,
        tx: &mut Tx<'_>,
        id: Uuid,
        seen: i64,
        change: impl Fn(&PersonDetails) -> Result<PersonDetails, Error>,
    ) -> Result<Person, Error> {
        let heads = log::lock(tx, &[id]).await?;
        let head = *heads.get(&id).ok_or(Error::NotFound)?;
        let person = people::find_person_in(tx, id).await?.filter(|p| is_owner(ctx, &p.subject));
        let person = person.ok_or(Error::NotFound)?;
        let current = person.details();
        if person.version != seen {
            let base = log::read_in(tx, stream(id), seen - 1, 1).await?.pop();
            let base = base.filter(|event| event.kind.starts_with("person_")).map(|event| event.body);
            let was = base.clone().and_then(|base| serde_json::from_value(base).ok());
            let yours = json!(change(&was.unwrap_or_else(|| current.clone()))?);
            let stale = Stale { current_version: person.version, base, yours, current: json!(current) };
            return Err(Error::Stale(Box::new(stale)));
        }
        let details = change(&current)?;
        if details == current {
            return Ok(person);
        }
        let moved = details.zone != current.zone;
        let body = json!(details);
        let person = Person { name: details.name, zone: details.zone, version: head + 1, ..person };
        people::update_person(tx, &person, moved).await?;
        let event = event(ctx, id, person.version, "", "person_updated", body);
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(person)
    }

    /// The caller's people after an id.
    pub async fn list_people(&self, ctx: &Context, after: Uuid, limit: i64) -> Result<Vec<Person>, Error> {
        Ok(people::list_people(&self.db, ctx, &ctx.caller().subject, after, limit).await?)
    }

    /// Registers a device of a person. An id of the client's own has to carry the person's bucket; the same id with the
    /// same details is the same device.
    pub async fn create_device(
        &self,
        ctx: &Context,
        tx: &mut Tx<'_>,
        person: Uuid,
        id: Option<Uuid>,
        details: &DeviceDetails,
    ) -> Result<Device, Error> {
        let bucket = ids::bucket_of_person(person);
        if id.is_some_and(|id| ids::bucket_of_device(id) != bucket) {
            return Err(Error::WrongBucket { byte: 0x80 | bucket });
        }
        let heads = log::lock(tx, &[person]).await?;
        let head = *heads.get(&person).ok_or(Error::NotFound)?;
        let device = Device {
            id: id.unwrap_or_else(|| ids::device_id(person, ctx.now())),
            person,
            manufacturer: details.manufacturer.clone(),
            model: details.model.clone(),
            serial: details.serial.clone(),
            epoch: 1,
            version: head + 1,
            created_at: ctx.now(),
        };
        if !people::insert_device(tx, &device).await? {
            let there = people::find_device_in(tx, device.id).await?;
            let same = |there: &Device| there.person == person && there.details() == *details;
            return there.filter(same).ok_or(Error::DeviceExists);
        }
        let subject = format!("devices/{}", device.id);
        let event = event(ctx, person, device.version, &subject, "device_registered", json!(details));
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(device)
    }

    /// A person's devices after an id.
    pub async fn list_devices(
        &self,
        ctx: &Context,
        person: Uuid,
        after: Uuid,
        limit: i64,
    ) -> Result<Vec<Device>, Error> {
        Ok(people::list_devices(&self.db, ctx, person, after, limit).await?)
    }

    /// What has arrived of each of a device's numberings, the latest first.
    pub async fn list_numberings(&self, ctx: &Context, device: Uuid) -> Result<Vec<Numbering>, Error> {
        Ok(people::list_numberings(&self.db, ctx, device).await?)
    }

    /// Records what a device sends. When this returns, everything named in the outcome is on disk.
    pub async fn record_samples(
        &self,
        ctx: &Context,
        device: &Device,
        batch: DeviceBatch,
    ) -> Result<Outcome, Error> {
        let now = ctx.now();
        let horizon = Horizon::new(now, self.config.retention_years);
        let sender = Sender::Device {
            device: device.id,
            epoch: batch.epoch,
            first_seq: batch.first_seq,
            gone: batch.gone,
            skew_ms: batch.sent_at.map(|sent| (sent - now).num_milliseconds()),
        };
        let items = batch.samples.iter().map(|sent| read_item(sent, &horizon)).collect();
        let mut submission = Submission::new(device.person, &ctx.caller().subject, sender, items);
        submission.more = batch.more;
        self.collectors.submit(ctx, submission).await
    }

    /// Records Open mHealth data points of a person.
    pub async fn record_data_points(
        &self,
        ctx: &Context,
        person: &Person,
        points: &[Box<RawValue>],
    ) -> Result<Outcome, Error> {
        let horizon = Horizon::new(ctx.now(), self.config.retention_years);
        let items = points.iter().map(|sent| openmhealth::read_point(sent, person.zone, &horizon)).collect();
        let sender = Sender::Source(openmhealth::SOURCE);
        let submission = Submission::new(person.id, &ctx.caller().subject, sender, items);
        self.collectors.submit(ctx, submission).await
    }

    /// Raw samples of a metric.
    pub async fn list_samples(
        &self,
        ctx: &Context,
        person: &Person,
        metric: &Metric,
        stretch: &Stretch,
        after: Option<SamplePlace>,
    ) -> Result<Complete<SampleRow>, Error> {
        Ok(reading::list_samples(&self.db, ctx, (person.id, metric.id), stretch, after).await?)
    }

    /// Quarters of an hour that begin within the stretch.
    pub async fn list_quarters(
        &self,
        ctx: &Context,
        person: &Person,
        metric: &Metric,
        stretch: &Stretch,
    ) -> Result<Complete<BucketRow<DateTime<Utc>>>, Error> {
        Ok(reading::list_quarters(&self.db, ctx, (person.id, metric.id), stretch).await?)
    }

    /// Days in the person's zone that the stretch touches, after a day that was given out already.
    pub async fn list_days(
        &self,
        ctx: &Context,
        person: &Person,
        metric: &Metric,
        stretch: &Stretch,
        after: Option<NaiveDate>,
    ) -> Result<Complete<BucketRow<NaiveDate>>, Error> {
        let from =
            after.and_then(|day| day.succ_opt()).unwrap_or_else(|| local_day(stretch.from, person.zone));
        // The end is excluded: a stretch that ends at midnight does not touch the day that begins there.
        let last = local_day(stretch.to - chrono::TimeDelta::microseconds(1), person.zone);
        let days = (from, last.succ_opt().unwrap_or(last), stretch.limit);
        Ok(reading::list_days(&self.db, ctx, (person.id, metric.id, person.zone.name()), days).await?)
    }

    /// What of a person's data could not be accepted, in the order of arrival.
    pub async fn list_quarantine(
        &self,
        ctx: &Context,
        person: Uuid,
        after: (i64, i32),
        limit: i64,
    ) -> Result<Vec<QuarantineRow>, Error> {
        Ok(reading::list_quarantine(&self.db, ctx, person, after, limit).await?)
    }

    /// The clock that the module goes by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl Person {
    /// What a client may say of it.
    pub fn details(&self) -> PersonDetails {
        PersonDetails { name: self.name.clone(), zone: self.zone }
    }
}

impl Device {
    fn details(&self) -> DeviceDetails {
        let Self { manufacturer, model, serial, .. } = self.clone();
        DeviceDetails { manufacturer, model, serial }
    }
}

fn is_owner(ctx: &Context, subject: &str) -> bool {
    *ctx.caller().subject == *subject
}

fn stream(person: Uuid) -> StreamKey {
    StreamKey { kind: STREAM_KIND, id: person }
}

fn event<'a>(
    ctx: &'a Context,
    person: Uuid,
    seq: i64,
    subject: &'a str,
    kind: &'a str,
    body: serde_json::Value,
) -> NewEvent<'a> {
    NewEvent {
        stream: stream(person),
        seq,
        actor: &ctx.caller().subject,
        subject,
        kind,
        schema: SCHEMA,
        body,
    }
}
