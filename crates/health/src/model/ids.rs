//! Ids that carry their bucket: a person and everything below it lives in one of 64, so that any id routes without a look-up.

use chrono::{DateTime, Utc};
use uuid::{Builder, Uuid};

/// How many buckets people are spread over.
pub const BUCKETS: u8 = 64;

/// Names ids made of a caller and an idempotency key, and nothing else.
const PERSON_NAMESPACE: Uuid = Uuid::from_u128(0x6a9d_1f0e_51c4_4c0b_9a54_3c1c_f4de_2b71);

/// The bucket of a person: the low six bits of the id's last byte, which are random in a v4 or v7 id and hashed in a v5 one.
pub fn bucket_of_person(person: Uuid) -> u8 {
    person.as_bytes()[15] % BUCKETS
}

/// The bucket that a device's id carries: the six bits beside the variant, in byte 8.
pub fn bucket_of_device(device: Uuid) -> u8 {
    device.as_bytes()[8] % BUCKETS
}

/// A person's id, from who makes it under which idempotency key: the same call makes the same id, whichever way it goes.
pub fn person_id(subject: &str, key: &str) -> Uuid {
    Uuid::new_v5(&PERSON_NAMESPACE, format!("{subject}\n{key}").as_bytes())
}

/// A new device's id: UUID v8 with the milliseconds of `now` in bytes 0-5 as v7 has them, the person's bucket in the low
/// six bits of byte 8 (the high two are the variant), and 68 random bits.
pub fn device_id(person: Uuid, now: DateTime<Utc>) -> Uuid {
    let mut bytes = *Uuid::new_v4().as_bytes();
    let millis = now.timestamp_millis().to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    bytes[8] = bucket_of_person(person);
    Builder::from_custom_bytes(bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_devices_id_carries_its_persons_bucket() {
        let now = "2026-11-24T08:00:00Z".parse().unwrap();
        for key in 0..200 {
            let person = person_id("alice", &key.to_string());
            let device = device_id(person, now);
            assert_eq!(bucket_of_device(device), bucket_of_person(person));
            assert_eq!((device.get_version_num(), device.get_variant()), (8, uuid::Variant::RFC4122));
            let made = device_id(person, now + chrono::TimeDelta::seconds(1));
            assert!(made > device, "ids of later devices sort behind");
        }
    }

    #[test]
    fn a_repeated_call_makes_the_same_person() {
        assert_eq!(person_id("alice", "k1"), person_id("alice", "k1"));
        assert_ne!(person_id("alice", "k1"), person_id("bob", "k1"));
        let buckets: std::collections::HashSet<_> =
            (0..2_000).map(|k| bucket_of_person(person_id("alice", &k.to_string()))).collect();
        assert_eq!(buckets.len(), usize::from(BUCKETS));
    }
}
