//! Who is measured and by what.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use super::receipt::Receipt;

/// Somebody whose measurements are kept, owned by a token's subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Its id; the low six bits of the last byte are the bucket.
    pub id: Uuid,
    /// Whose it is.
    pub subject: String,
    /// For people.
    pub name: String,
    /// Where its days begin and end.
    pub zone: Tz,
    /// The number of the event that last changed it.
    pub version: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// Something that measures a person.
#[derive(Clone, Debug, PartialEq)]
pub struct Device {
    /// Its id, which carries the person's bucket.
    pub id: Uuid,
    /// Whom it measures.
    pub person: Uuid,
    /// Who made it.
    pub manufacturer: String,
    /// What the maker calls it.
    pub model: String,
    /// The maker's number of it.
    pub serial: String,
    /// The current numbering; a factory reset begins the next one.
    pub epoch: i32,
    /// The number of the person's event that last changed it.
    pub version: i64,
    /// When it was registered.
    pub created_at: DateTime<Utc>,
}

/// What has arrived of one numbering of a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Numbering {
    /// The device.
    pub device: Uuid,
    /// Which of its numberings.
    pub epoch: i32,
    /// What has arrived.
    pub receipt: Receipt,
}
