//! People, devices and what has arrived from each.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use common::context::Context;
use common::db::{Db, DbError, Freshness, Row, Tx};
use uuid::Uuid;

use crate::model::person::{Device, Numbering, Person};
use crate::model::ranges::Ranges;
use crate::model::receipt::Receipt;

/// Numberings of a device that are listed, the latest first.
const NUMBERINGS_MAX: i64 = 100;

common::statements! {
    /// A person by id.
    read FIND_PERSON = "SELECT id, subject, name, zone, version, created_at FROM person WHERE id = $1";
    /// A subject's people, by id.
    read LIST_PEOPLE = "SELECT id, subject, name, zone, version, created_at FROM person
        WHERE subject = $1 AND id > $2 ORDER BY id LIMIT $3";
    /// A person that starts.
    write INSERT_PERSON = "INSERT INTO person (id, subject, name, zone, version, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    /// A changed person, under the lock of its stream.
    write UPDATE_PERSON = "UPDATE person SET name = $2, zone = $3, version = $4 WHERE id = $1";
    /// A device with its person's owner.
    read FIND_DEVICE = "SELECT d.id, d.person, d.manufacturer, d.model, d.serial, d.epoch, d.version, d.created_at, p.subject
        FROM device d JOIN person p ON p.id = d.person WHERE d.id = $1";
    /// A person's devices, by id.
    read LIST_DEVICES = "SELECT id, person, manufacturer, model, serial, epoch, version, created_at FROM device
        WHERE person = $1 AND id > $2 ORDER BY id LIMIT $3";
    /// A device that starts; nothing happens when the id is taken.
    write INSERT_DEVICE = "INSERT INTO device (id, person, manufacturer, model, serial, epoch, version, created_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING RETURNING id";
    /// A changed device, under its lock.
    write UPDATE_DEVICE = "UPDATE device SET manufacturer = $2, model = $3, serial = $4, version = $5 WHERE id = $1";
    /// A device's numberings, the latest first.
    read LIST_NUMBERINGS = "SELECT device, epoch, received::text, newest, waived::text FROM receipt
        WHERE device = $1 ORDER BY epoch DESC LIMIT $2";
    /// A person's days in another zone, made of the quarters of an hour.
    write INSERT_DAYS_OF_ZONE = "INSERT INTO rollup_1d (person, metric, zone, day, count, sum, min, max, last, last_at)
        SELECT person, metric, $2, (bucket AT TIME ZONE $2)::date, sum(count)::bigint, sum(sum), min(min), max(max),
            (array_agg(last ORDER BY last_at DESC, last DESC))[1], max(last_at)
        FROM rollup_15m WHERE person = $1 GROUP BY person, metric, (bucket AT TIME ZONE $2)::date";
    /// A person's days in the zone that it left.
    write DELETE_DAYS = "DELETE FROM rollup_1d WHERE person = $1";
}

/// A person by id. That there is none is only believed of the writer, for a standby may not have it yet.
pub async fn find_person(db: &Db, ctx: &Context, id: Uuid) -> Result<Option<Person>, DbError> {
    match db.read_opt(ctx, Freshness::ReadYourWrites, &FIND_PERSON, &[&id]).await? {
        Some(row) => person_of(&row).map(Some),
        None => find_person_now(db, ctx, id).await,
    }
}

/// A person by id, as it is at the writer.
pub async fn find_person_now(db: &Db, ctx: &Context, id: Uuid) -> Result<Option<Person>, DbError> {
    let row = db.read_opt(ctx, Freshness::Strong, &FIND_PERSON, &[&id]).await?;
    row.as_ref().map(person_of).transpose()
}

/// A person inside a transaction, after its stream was locked.
pub async fn find_person_in(tx: &mut Tx<'_>, id: Uuid) -> Result<Option<Person>, DbError> {
    tx.row_opt(&FIND_PERSON, &[&id]).await?.as_ref().map(person_of).transpose()
}

/// Up to `limit` of a subject's people after an id.
pub async fn list_people(
    db: &Db,
    ctx: &Context,
    subject: &str,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Person>, DbError> {
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_PEOPLE, &[&subject, &after, &limit]).await?;
    rows.iter().map(person_of).collect()
}

/// A new person.
pub async fn insert_person(tx: &mut Tx<'_>, person: &Person) -> Result<(), DbError> {
    let Person { id, subject, name, zone, version, created_at } = person;
    tx.execute(&INSERT_PERSON, &[id, subject, name, &zone.name(), version, created_at]).await
}

/// A changed person. With `moved` its days are made anew in its zone.
pub async fn update_person(tx: &mut Tx<'_>, person: &Person, moved: bool) -> Result<(), DbError> {
    let Person { id, name, zone, version, .. } = person;
    tx.execute(&UPDATE_PERSON, &[id, name, &zone.name(), version]).await?;
    if moved {
        tx.pipeline(&[(&DELETE_DAYS, &[id]), (&INSERT_DAYS_OF_ZONE, &[id, &zone.name()])]).await?;
    }
    Ok(())
}

/// A device and whose person it measures. As with people, only the writer says that there is none.
pub async fn find_device(db: &Db, ctx: &Context, id: Uuid) -> Result<Option<(Device, String)>, DbError> {
    let mut row = db.read_opt(ctx, Freshness::ReadYourWrites, &FIND_DEVICE, &[&id]).await?;
    if row.is_none() {
        row = db.read_opt(ctx, Freshness::Strong, &FIND_DEVICE, &[&id]).await?;
    }
    Ok(row.map(|row| (device_of(&row), row.get(8))))
}

/// The same inside a transaction.
pub async fn find_device_in(tx: &mut Tx<'_>, id: Uuid) -> Result<Option<Device>, DbError> {
    Ok(tx.row_opt(&FIND_DEVICE, &[&id]).await?.as_ref().map(device_of))
}

/// Up to `limit` of a person's devices after an id.
pub async fn list_devices(
    db: &Db,
    ctx: &Context,
    person: Uuid,
    after: Uuid,
    limit: i64,
) -> Result<Vec<Device>, DbError> {
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_DEVICES, &[&person, &after, &limit]).await?;
    Ok(rows.iter().map(device_of).collect())
}

/// A new device; false when its id is taken.
pub async fn insert_device(tx: &mut Tx<'_>, device: &Device) -> Result<bool, DbError> {
    let Device { id, person, manufacturer, model, serial, epoch, version, created_at } = device;
    let made = tx
        .row_opt(&INSERT_DEVICE, &[id, person, manufacturer, model, serial, epoch, version, created_at])
        .await?;
    Ok(made.is_some())
}

/// A changed device.
pub async fn update_device(tx: &mut Tx<'_>, device: &Device) -> Result<(), DbError> {
    let Device { id, manufacturer, model, serial, version, .. } = device;
    tx.execute(&UPDATE_DEVICE, &[id, manufacturer, model, serial, version]).await
}

/// A device's numberings, the latest first, at most 100.
pub async fn list_numberings(db: &Db, ctx: &Context, device: Uuid) -> Result<Vec<Numbering>, DbError> {
    let rows = db.read(ctx, Freshness::ReadYourWrites, &LIST_NUMBERINGS, &[&device, &NUMBERINGS_MAX]).await?;
    rows.iter().map(numbering_of).collect()
}

fn person_of(row: &Row) -> Result<Person, DbError> {
    let zone: &str = row.get(3);
    Ok(Person {
        id: row.get(0),
        subject: row.get(1),
        name: row.get(2),
        zone: zone_of(zone)?,
        version: row.get(4),
        created_at: row.get(5),
    })
}

/// A zone's name from a row.
pub(super) fn zone_of(name: &str) -> Result<Tz, DbError> {
    name.parse().map_err(|_| DbError::row(FIND_PERSON.0.name, format!("no zone {name}")))
}

fn device_of(row: &Row) -> Device {
    Device {
        id: row.get(0),
        person: row.get(1),
        manufacturer: row.get(2),
        model: row.get(3),
        serial: row.get(4),
        epoch: row.get(5),
        version: row.get(6),
        created_at: row.get(7),
    }
}

/// A numbering from (device, epoch, received, newest, waived).
pub(super) fn numbering_of(row: &Row) -> Result<Numbering, DbError> {
    let (received, waived): (&str, &str) = (row.get(2), row.get(4));
    let newest: Vec<Option<DateTime<Utc>>> = row.get(3);
    let receipt = Ranges::from_sql(received)
        .zip(Ranges::from_sql(waived))
        .and_then(|(received, waived)| Receipt::restore(received, newest, waived));
    let unreadable = || DbError::row(LIST_NUMBERINGS.0.name, "received and newest do not fit");
    Ok(Numbering { device: row.get(0), epoch: row.get(1), receipt: receipt.ok_or_else(unreadable)? })
}
