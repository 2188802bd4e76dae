//! People: made, listed, read and changed.

use std::sync::Arc;

use api::{
    Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem,
    Reply,
};
use axum::extract::State;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::after_id;
use crate::Health;
use crate::error::Error;
use crate::model::person::Person as PersonModel;
use crate::service::{Edited, PersonDetails, Revision};

/// Somebody whose measurements are kept.
#[derive(Debug, Serialize, ToSchema)]
pub struct Person {
    id: Uuid,
    /// The number of the change that made this version.
    version: i64,
    name: String,
    /// Where the person's days begin and end, as the IANA database names it.
    zone: String,
    created_at: DateTime<Utc>,
}

/// What a client says of a person.
#[derive(Debug, Serialize, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    #[garde(length(chars, min = 1, max = 100), custom(no_nul))]
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// As the IANA database names it, such as `Europe/Berlin`.
    #[garde(custom(known_zone))]
    #[schema(examples("Europe/Berlin"))]
    zone: String,
}

/// Create a person.
///
/// The person belongs to the caller. The same `Idempotency-Key` makes the same person.
#[utoipa::path(
    post, path = "/v1/health/people", operation_id = "create_person", tag = "health",
    request_body = NewPerson,
    responses((status = 201, description = "The person", body = Person)),
    extensions(
        ("x-scope" = json!("health:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
    ),
)]
pub async fn create_person(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    key: IdempotencyKey,
    Json(new): Json<NewPerson>,
) -> Result<Reply, Problem> {
    let details = new.details()?;
    let (health, ctx, key_text, details) = (&*health, &ctx.0, key.as_str(), &details);
    api::idempotency::once(ctx, health.db(), &key, move |tx| {
        Box::pin(async move {
            let person = health.create_person(ctx, tx, key_text, details).await?;
            let location = format!("/v1/health/people/{}", person.id);
            let version = person.version;
            Ok::<_, Error>(Reply::created(location, &Person::from(person)).etag(version))
        })
    })
    .await
}

/// List the caller's people.
#[utoipa::path(
    get, path = "/v1/health/people", operation_id = "list_people", tag = "health",
    params(PageRequest),
    responses((status = 200, description = "People by id", body = Page<Person>)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn list_people(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    page: PageRequest,
) -> Result<Page<Person>, Problem> {
    let people = health.list_people(&ctx, after_id(&page)?, page.rows()).await?;
    Ok(Page::of(people, &page, |last| last.id).map(Person::from))
}

/// Get a person.
#[utoipa::path(
    get, path = "/v1/health/people/{person}", operation_id = "get_person", tag = "health",
    params(("person" = Uuid, Path, description = "The person")),
    responses((status = 200, description = "The person", body = Person)),
    extensions(
        ("x-scope" = json!("health:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub async fn get_person(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(person): Path<Uuid>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let person = health.own_person(&ctx, person).await?;
    Ok(Reply::versioned(&seen, person.version, &Person::from(person)))
}

/// Change a person.
///
/// Who moves to another zone has its days made anew there. With `Prefer: handling=lenient` a stale change is merged with
/// what others did, when it touches other fields.
#[utoipa::path(
    patch, path = "/v1/health/people/{person}", operation_id = "update_person", tag = "health",
    params(("person" = Uuid, Path, description = "The person")),
    request_body(content = NewPerson, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The changed person", body = Person)),
    extensions(
        ("x-scope" = json!("health:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
    ),
)]
pub async fn update_person(
    State(health): State<Arc<Health>>,
    ctx: Ctx,
    Path(id): Path<Uuid>,
    IfMatch(seen): IfMatch,
    prefer: Prefer,
    patch: MergePatch,
) -> Result<Reply, Problem> {
    let (shared, context, patch) = (&*health, &ctx.0, &patch);
    let revision = Revision { seen, lenient: prefer.lenient };
    let person = health
        .db()
        .write(&ctx, Default::default(), |tx| {
            Box::pin(async move {
                let change = |was: &PersonDetails| {
                    let changed = patch.apply(&NewPerson::from(was)).map_err(Error::Problem)?;
                    changed.details().map_err(Error::Problem)
                };
                shared.update_person(context, tx, id, revision, change).await
            })
        })
        .await?;
    Ok(edited(person.map(Person::from), |person| person.version))
}

/// 200, and whether the edit was merged.
pub(super) fn edited<T: Serialize>(edited: Edited<T>, version: impl Fn(&T) -> i64) -> Reply {
    let reply = Reply::ok(&edited.resource).etag(version(&edited.resource));
    if edited.merged { reply.preference_applied() } else { reply }
}

impl NewPerson {
    fn details(self) -> Result<PersonDetails, Problem> {
        let unknown = |_| Problem::internal(format!("the zone {} was valid a moment ago", self.zone));
        Ok(PersonDetails { zone: self.zone.parse().map_err(unknown)?, name: self.name })
    }
}

impl From<&PersonDetails> for NewPerson {
    fn from(details: &PersonDetails) -> Self {
        Self { name: details.name.clone(), zone: details.zone.name().to_owned() }
    }
}

impl From<PersonModel> for Person {
    fn from(person: PersonModel) -> Self {
        let PersonModel { id, version, name, zone, created_at, .. } = person;
        Self { id, version, name, zone: zone.name().to_owned(), created_at }
    }
}

/// The database keeps no NUL in text.
pub fn no_nul(text: &str, (): &()) -> garde::Result {
    if text.contains('\0') { Err(garde::Error::new("must not contain NUL")) } else { Ok(()) }
}

fn known_zone(text: &str, (): &()) -> garde::Result {
    match text.parse::<chrono_tz::Tz>() {
        Ok(_) => Ok(()),
        Err(_) => Err(garde::Error::new("is no time zone of the IANA database")),
    }
}
