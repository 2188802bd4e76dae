//! People and their devices: made, changed and listed.

use api::{Stale, merge_disjoint};
use chrono_tz::Tz;
use common::context::Context;
use common::db::Tx;
use common::events::{NewEvent, log};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Health, is_owner, person_stream};
use crate::collector::SAMPLES_RECORDED;
use crate::error::Error;
use crate::model::ids;
use crate::model::person::{Device, Numbering, Person};
use crate::store::{people, recording};

/// The version of the shape of these events' bodies.
const SCHEMA: i16 = 1;

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

/// An edit of the version that the caller knew.
#[derive(Clone, Copy, Debug)]
pub struct Revision {
    /// That version.
    pub seen: i64,
    /// Whether it may be merged with what others did since.
    pub lenient: bool,
}

/// Something after an edit.
#[derive(Clone, Debug)]
pub struct Edited<T> {
    /// As it is now.
    pub resource: T,
    /// Whether the edit was merged with somebody else's.
    pub merged: bool,
}

impl Health {
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
        log::create(tx, person_stream(id)).await?;
        people::insert_person(tx, &person).await?;
        let event = event(ctx, id, 1, "", "person_created", json!(details));
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(person)
    }

    /// Changes a person. One who moves has its days made anew.
    pub async fn update_person(
        &self,
        ctx: &Context,
        tx: &mut Tx<'_>,
        id: Uuid,
        revision: Revision,
        change: impl Fn(&PersonDetails) -> Result<PersonDetails, Error>,
    ) -> Result<Edited<Person>, Error> {
        let heads = log::lock(tx, &[id]).await?;
        let head = *heads.get(&id).ok_or(Error::NotFound)?;
        let person = people::find_person_in(tx, id).await?.filter(|p| is_owner(ctx, &p.subject));
        let person = person.ok_or(Error::NotFound)?;
        let current = person.details();
        let base = match person.version == revision.seen {
            true => None,
            false => self.base(tx, id, "", revision.seen).await?,
        };
        let (details, merged) = settle(revision, person.version, base, &current, change)?;
        if details == current {
            return Ok(Edited { resource: person, merged });
        }
        let moved = details.zone != current.zone;
        let body = json!(details);
        let person = Person { name: details.name, zone: details.zone, version: head + 1, ..person };
        people::update_person(tx, &person, moved).await?;
        let event = event(ctx, id, person.version, "", "person_updated", body);
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(Edited { resource: person, merged })
    }

    /// What a person (without a subject) or a device was made at this number, as long as that is kept.
    async fn base<D: DeserializeOwned>(
        &self,
        tx: &mut Tx<'_>,
        person: Uuid,
        subject: &str,
        seen: i64,
    ) -> Result<Option<D>, Error> {
        let event = log::read_in(tx, person_stream(person), seen.saturating_sub(1), 1).await?.pop();
        let told = event.filter(|event| event.subject == subject && event.kind != SAMPLES_RECORDED);
        Ok(told.and_then(|event| serde_json::from_value(event.body).ok()))
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
        let subject = device_subject(device.id);
        let event = event(ctx, person, device.version, &subject, "device_registered", json!(details));
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(device)
    }

    /// Changes a device, whose person is the caller's.
    pub async fn update_device(
        &self,
        ctx: &Context,
        tx: &mut Tx<'_>,
        device: &Device,
        revision: Revision,
        change: impl Fn(&DeviceDetails) -> Result<DeviceDetails, Error>,
    ) -> Result<Edited<Device>, Error> {
        let (id, person) = (device.id, device.person);
        recording::lock_device(tx, id).await?;
        let heads = log::lock(tx, &[person]).await?;
        let head = *heads.get(&person).ok_or(Error::NotFound)?;
        let device = people::find_device_in(tx, id).await?.ok_or(Error::NotFound)?;
        let (current, subject) = (device.details(), device_subject(id));
        let base = match device.version == revision.seen {
            true => None,
            false => self.base(tx, person, &subject, revision.seen).await?,
        };
        let (details, merged) = settle(revision, device.version, base, &current, change)?;
        if details == current {
            return Ok(Edited { resource: device, merged });
        }
        let body = json!(details);
        let DeviceDetails { manufacturer, model, serial } = details;
        let device = Device { manufacturer, model, serial, version: head + 1, ..device };
        people::update_device(tx, &device).await?;
        let event = event(ctx, person, device.version, &subject, "device_updated", body);
        log::append(tx, ctx.now(), vec![event]).await?;
        Ok(Edited { resource: device, merged })
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
}

impl<T> Edited<T> {
    /// The same of another view of it.
    pub fn map<U>(self, view: impl FnOnce(T) -> U) -> Edited<U> {
        Edited { resource: view(self.resource), merged: self.merged }
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

fn device_subject(device: Uuid) -> String {
    format!("devices/{device}")
}

/// What an edit comes to, and whether it was merged. `base` is what the caller knew, as long as that is kept.
fn settle<D>(
    revision: Revision,
    version: i64,
    base: Option<D>,
    current: &D,
    change: impl Fn(&D) -> Result<D, Error>,
) -> Result<(D, bool), Error>
where
    D: Serialize + DeserializeOwned,
{
    if version == revision.seen {
        return Ok((change(current)?, false));
    }
    let yours = json!(change(base.as_ref().unwrap_or(current))?);
    let (base, current) = (base.map(|base| json!(base)), json!(current));
    if revision.lenient
        && let Some(base) = &base
        && let Ok(merged) = merge_disjoint(base, &yours, &current)
        && let Ok(details) = serde_json::from_value(merged)
    {
        return Ok((details, true));
    }
    Err(Error::Stale(Box::new(Stale { current_version: version, base, yours, current })))
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
        stream: person_stream(person),
        seq,
        actor: &ctx.caller().subject,
        subject,
        kind,
        schema: SCHEMA,
        body,
    }
}
