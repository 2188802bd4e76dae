//! The use cases of health. Who may see what is decided here, in [`Health::own_person`] and [`Health::own_device`].

mod invariants;
mod people;
mod recording;

use chrono::{DateTime, NaiveDate, Utc};
use common::DataPath;
use common::context::{Clock, Context};
use common::db::Db;
use common::events::{Feeds, StreamKey};
use uuid::Uuid;

pub use self::people::{DeviceDetails, Edited, PersonDetails, Revision};
pub use self::recording::DeviceBatch;
use crate::collector::Collectors;
use crate::error::Error;
use crate::model::catalogue::Metric;
use crate::model::person::{Device, Person};
use crate::model::time::local_day;
use crate::store;
use crate::store::reading::{self, BucketRow, Complete, QuarantineRow, SamplePlace, SampleRow, Stretch};
use crate::{Config, STREAM_KIND};

/// The module. It is shared by all of its routes.
pub struct Health {
    db: Db,
    feeds: Feeds,
    clock: Clock,
    collectors: Collectors,
    config: Config,
}

impl Health {
    pub(crate) fn new(data_path: &DataPath, config: Config) -> Self {
        Self {
            db: data_path.db.clone(),
            feeds: data_path.feeds.clone(),
            clock: data_path.clock.clone(),
            collectors: Collectors::start(data_path, config.retention_years),
            config,
        }
    }

    /// The module's view of its database set.
    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Its people's streams, to be followed.
    pub fn feeds(&self) -> &Feeds {
        &self.feeds
    }

    /// A person of the caller's; anybody else's is not there.
    pub async fn own_person(&self, ctx: &Context, id: Uuid) -> Result<Person, Error> {
        let person = store::people::find_person(&self.db, ctx, id).await?;
        person.filter(|person| is_owner(ctx, &person.subject)).ok_or(Error::NotFound)
    }

    /// The same as it is at the writer.
    pub async fn own_person_now(&self, ctx: &Context, id: Uuid) -> Result<Person, Error> {
        let person = store::people::find_person_now(&self.db, ctx, id).await?;
        person.filter(|person| is_owner(ctx, &person.subject)).ok_or(Error::NotFound)
    }

    /// A device of one of the caller's people; anybody else's is not there.
    pub async fn own_device(&self, ctx: &Context, id: Uuid) -> Result<Device, Error> {
        let device = store::people::find_device(&self.db, ctx, id).await?;
        let own = device.filter(|(_, subject)| is_owner(ctx, subject));
        own.map(|(device, _)| device).ok_or(Error::NotFound)
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

fn is_owner(ctx: &Context, subject: &str) -> bool {
    *ctx.caller().subject == *subject
}

/// A person's stream.
pub fn person_stream(person: Uuid) -> StreamKey {
    StreamKey { kind: STREAM_KIND, id: person }
}
