//! What a recording transaction locks and looks up before it writes.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use common::context::Context;
use common::db::{Db, DbError, Tx};
use uuid::Uuid;

use super::people::{numbering_of, zone_of};
use crate::model::person::Numbering;

common::statements! {
    /// Locks devices in the order of their ids.
    write LOCK_DEVICES = "SELECT id, person, epoch FROM device WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE";
    /// The numberings that a batch goes on with.
    read FIND_NUMBERINGS = "SELECT r.device, r.epoch, r.received::text, r.newest, r.waived::text
        FROM unnest($1::uuid[], $2::int[]) AS k (device, epoch) JOIN receipt r ON r.device = k.device AND r.epoch = k.epoch";
    /// Which of these keys are stored with this very content. Only the month of the start is looked at.
    read FIND_STORED = "SELECT k.ord FROM unnest($1::uuid[], $2::smallint[], $3::timestamptz[], $4::uuid[], $5::int[], $6::bigint[],
            $7::uuid[]) WITH ORDINALITY AS k (person, metric, start_at, device, epoch, seq, hash, ord)
        CROSS JOIN LATERAL (SELECT FROM sample s WHERE s.person = k.person AND s.metric = k.metric AND s.start_at = k.start_at
            AND s.device = k.device AND s.epoch = k.epoch AND s.seq = k.seq AND s.hash = k.hash LIMIT 1) found";
    /// What of this content is in quarantine, under whichever key.
    read FIND_QUARANTINED = "SELECT q.hash, q.device, q.epoch, q.seq, q.source, q.source_id, q.status
        FROM unnest($1::uuid[], $2::uuid[]) AS k (person, hash) JOIN quarantine q ON q.person = k.person AND q.hash = k.hash";
    /// Takes keys that are free, in their order. The others are not in the answer.
    write INSERT_SOURCE_KEYS = "INSERT INTO source_key (person, source, source_id, hash, status)
        SELECT person, source, source_id, hash, status FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[])
            AS k (person, source, source_id, hash, status) ORDER BY person, source, source_id
        ON CONFLICT (person, source, source_id) DO NOTHING RETURNING person, source, source_id";
    /// Keys, taken now or before.
    read FIND_SOURCE_KEYS = "SELECT s.person, s.source, s.source_id, s.hash, s.status
        FROM unnest($1::uuid[], $2::text[], $3::text[]) AS k (person, source, source_id)
        JOIN source_key s ON s.person = k.person AND s.source = k.source AND s.source_id = k.source_id";
    /// Where people's days begin and end, after the lock of their streams.
    read LIST_ZONES = "SELECT id, zone FROM person WHERE id = ANY($1)";
    /// The partition of a month, made by the owner's function.
    write ENSURE_MONTH = "SELECT ensure_sample_month($1)";
}

/// The key of something without a number: the person, what the source is called, and the id there.
pub type SourceKey = (Uuid, String, String);

/// A locked device.
#[derive(Clone, Copy, Debug)]
pub struct LockedDevice {
    /// Whom it measures.
    pub person: Uuid,
    /// Its current numbering.
    pub epoch: i32,
}

/// Locks devices and reads the numberings that are asked for, in this order and one round trip.
pub async fn lock_devices(
    tx: &mut Tx<'_>,
    numberings: &[(Uuid, i32)],
) -> Result<(HashMap<Uuid, LockedDevice>, Vec<Numbering>), DbError> {
    let mut ids: Vec<Uuid> = numberings.iter().map(|(device, _)| *device).collect();
    let epochs: Vec<i32> = numberings.iter().map(|(_, epoch)| *epoch).collect();
    let asked = ids.clone();
    ids.sort_unstable();
    ids.dedup();
    let answers = tx.pipeline(&[(&LOCK_DEVICES, &[&ids]), (&FIND_NUMBERINGS, &[&asked, &epochs])]).await?;
    let locked = answers[0]
        .iter()
        .map(|row| (row.get(0), LockedDevice { person: row.get(1), epoch: row.get(2) }))
        .collect();
    let found = answers[1].iter().map(numbering_of).collect::<Result<_, _>>()?;
    Ok((locked, found))
}

/// Locks one device, before the stream of its person.
pub async fn lock_device(tx: &mut Tx<'_>, device: Uuid) -> Result<(), DbError> {
    tx.rows(&LOCK_DEVICES, &[&[device].as_slice()]).await.map(drop)
}

/// A numbered item that was received before: is this its content?
#[derive(Clone, Debug)]
pub struct Numbered {
    /// The person.
    pub person: Uuid,
    /// The metric, as far as it is known.
    pub metric: Option<i16>,
    /// The start, as far as it is known.
    pub start: Option<DateTime<Utc>>,
    /// Device, epoch and number.
    pub device: (Uuid, i32, i64),
    /// Its content.
    pub hash: Uuid,
}

/// An item keyed by its source that wants its key.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// The key.
    pub key: SourceKey,
    /// Its content.
    pub hash: Uuid,
    /// What becomes of it if the key is free.
    pub status: &'static str,
}

/// What is known of a batch's keys.
#[derive(Debug, Default)]
pub struct Known {
    /// Which of the numbered ones are stored with the same content.
    pub stored: HashSet<usize>,
    /// Statuses in quarantine, by content and key.
    pub quarantined: HashMap<(Uuid, QuarantineKey), String>,
    /// Keys that were free and are now taken.
    pub taken: HashSet<SourceKey>,
    /// Content and status of the keys that were not free.
    pub keys: HashMap<SourceKey, (Uuid, String)>,
}

/// How quarantine knows an item.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QuarantineKey {
    /// By number.
    Numbered(Uuid, i32, i64),
    /// By source.
    Source(String, String),
}

/// Takes the free source keys (sorted by the statement) and looks up what has come before, in one round trip. `keyed` has
/// each key once.
pub async fn look_up(tx: &mut Tx<'_>, numbered: &[Numbered], keyed: &[Keyed]) -> Result<Known, DbError> {
    if numbered.is_empty() && keyed.is_empty() {
        return Ok(Known::default());
    }
    let people: Vec<Uuid> = numbered.iter().map(|n| n.person).collect();
    let metrics: Vec<Option<i16>> = numbered.iter().map(|n| n.metric).collect();
    let starts: Vec<Option<DateTime<Utc>>> = numbered.iter().map(|n| n.start).collect();
    let devices: Vec<Uuid> = numbered.iter().map(|n| n.device.0).collect();
    let epochs: Vec<i32> = numbered.iter().map(|n| n.device.1).collect();
    let seqs: Vec<i64> = numbered.iter().map(|n| n.device.2).collect();
    let hashes: Vec<Uuid> = numbered.iter().map(|n| n.hash).collect();
    let owners: Vec<Uuid> = keyed.iter().map(|k| k.key.0).collect();
    let sources: Vec<&str> = keyed.iter().map(|k| k.key.1.as_str()).collect();
    let source_ids: Vec<&str> = keyed.iter().map(|k| k.key.2.as_str()).collect();
    let contents: Vec<Uuid> = keyed.iter().map(|k| k.hash).collect();
    let statuses: Vec<&str> = keyed.iter().map(|k| k.status).collect();
    let mut of_content: Vec<(Uuid, Uuid)> =
        numbered.iter().map(|n| (n.person, n.hash)).chain(keyed.iter().map(|k| (k.key.0, k.hash))).collect();
    of_content.sort_unstable();
    of_content.dedup();
    let (content_people, content_hashes): (Vec<Uuid>, Vec<Uuid>) = of_content.into_iter().unzip();
    let answers = tx
        .pipeline(&[
            (&INSERT_SOURCE_KEYS, &[&owners, &sources, &source_ids, &contents, &statuses]),
            (&FIND_SOURCE_KEYS, &[&owners, &sources, &source_ids]),
            (&FIND_STORED, &[&people, &metrics, &starts, &devices, &epochs, &seqs, &hashes]),
            (&FIND_QUARANTINED, &[&content_people, &content_hashes]),
        ])
        .await?;
    let mut known = Known {
        taken: answers[0].iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect(),
        ..Default::default()
    };
    for row in &answers[1] {
        known.keys.insert((row.get(0), row.get(1), row.get(2)), (row.get(3), row.get(4)));
    }
    for key in &known.taken {
        known.keys.remove(key);
    }
    known.stored = answers[2].iter().map(|row| row.get::<_, i64>(0) as usize - 1).collect();
    for row in &answers[3] {
        let key = match (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5)) {
            (_, _, _, Some(source), Some(id)) => QuarantineKey::Source(source, id),
            (Some(device), Some(epoch), Some(seq), _, _) => QuarantineKey::Numbered(device, epoch, seq),
            _ => continue,
        };
        known.quarantined.insert((row.get(0), key), row.get(6));
    }
    Ok(known)
}

/// Where people's days begin and end.
pub async fn list_zones(tx: &mut Tx<'_>, people: &[Uuid]) -> Result<HashMap<Uuid, Tz>, DbError> {
    let rows = tx.rows(&LIST_ZONES, &[&people]).await?;
    rows.iter().map(|row| Ok((row.get(0), zone_of(row.get(1))?))).collect()
}

/// Makes the partition of a month. Cheap when it is there.
pub async fn ensure_month(db: &Db, ctx: &Context, first: NaiveDate) -> Result<(), DbError> {
    let first = &first;
    db.write(ctx, Default::default(), |tx| Box::pin(async move { tx.execute(&ENSURE_MONTH, &[first]).await }))
        .await
}
