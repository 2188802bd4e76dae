//! `/v1/households/{household_id}/members`

use super::answers::{changed, created, patch};
use crate::error::Error;
use crate::model::{Member, MemberContent};
use crate::service::{Household, NewMember};
use api::{
    Ctx, IdempotencyKey, IfMatch, IfNoneMatch, Json, MergePatch, Page, PageRequest, Path, Prefer, Problem,
    Reply,
};
use axum::extract::State;
use std::fmt::Write;
use std::sync::Arc;
use uuid::Uuid;

/// List the members of a household.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/members", operation_id = "list_members", tag = "household",
    params(PageRequest),
    responses((status = 200, description = "A page of members", body = Page<Member>)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_members(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    page: PageRequest,
) -> Result<Page<Member>, Problem> {
    let after: String = page.after()?.unwrap_or_default();
    let found = service.list_members(&ctx, household, &after, page.rows()).await?;
    Ok(Page::of(found, &page, |last| last.subject.clone()))
}

/// Add a member.
///
/// Whoever calls with this subject from then on has the role.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/members", operation_id = "add_member", tag = "household",
    request_body = NewMember,
    responses((status = 201, description = "The member", body = Member)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "member-exists"])),
    ),
)]
pub(super) async fn add_member(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    key: IdempotencyKey,
    Json(new): Json<NewMember>,
) -> Result<Reply, Problem> {
    let (ctx, new) = (&ctx.0, &new);
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let (member, is_new) = Household::add_member(ctx, tx, household, new).await?;
            let location = format!("/v1/households/{household}/members/{}", segment(&member.subject));
            Ok::<_, Error>(created(location, member.version, &member, is_new))
        })
    })
    .await
}

/// Read a member.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/members/{subject}", operation_id = "get_member", tag = "household",
    responses((status = 200, description = "The member", body = Member)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_member(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, subject)): Path<(Uuid, String)>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let member = service.get_member(&ctx, household, &subject).await?;
    Ok(Reply::versioned(&seen, member.version, &member))
}

/// Change a member's role.
#[utoipa::path(
    patch, path = "/v1/households/{household_id}/members/{subject}", operation_id = "update_member", tag = "household",
    request_body(content = MemberContent, content_type = "application/merge-patch+json"),
    responses((status = 200, description = "The member", body = Member)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "last-owner"])),
    ),
)]
pub(super) async fn update_member(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, subject)): Path<(Uuid, String)>,
    version: IfMatch,
    prefer: Prefer,
    body: MergePatch,
) -> Result<Reply, Problem> {
    let member = service.update_member(&ctx, household, &subject, &patch(version, prefer, body)).await?;
    Ok(changed(member.resource.version, &member))
}

/// Remove a member.
///
/// An owner removes anyone, everyone themselves.
#[utoipa::path(
    delete, path = "/v1/households/{household_id}/members/{subject}", operation_id = "remove_member", tag = "household",
    responses((status = 204, description = "Gone")),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-precondition" = json!("version")),
        ("x-freshness" = json!("strong")),
        ("x-problems" = json!(["role-too-low", "last-owner"])),
    ),
)]
pub(super) async fn remove_member(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, subject)): Path<(Uuid, String)>,
    IfMatch(version): IfMatch,
) -> Result<Reply, Problem> {
    service.remove_member(&ctx, household, &subject, version).await?;
    Ok(Reply::no_content())
}

/// A subject as a segment of a path.
fn segment(subject: &str) -> String {
    subject.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("a string takes all"),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::segment;

    #[test]
    fn a_subject_is_one_segment_whatever_it_contains() {
        assert_eq!(segment("auth0|a/b é"), "auth0%7Ca%2Fb%20%C3%A9");
    }
}
