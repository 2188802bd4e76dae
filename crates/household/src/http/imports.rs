//! `/v1/households/{household_id}/imports`

use crate::error::Error;
use crate::import::FILE_BYTES_MAX;
use crate::service::{Decisions, Household, ImportRowView, ImportView, NewImport, READ_IMPORT};
use api::extract::body;
use api::operation::{OperationView, accepted};
use api::problem::kinds;
use api::{Ctx, IdempotencyKey, IfNoneMatch, Json, Page, PageRequest, Path, Problem, Query, RawBody, Reply};
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use uuid::Uuid;

const FORM: &str = "multipart/form-data";

/// Where a file goes.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Target {
    /// The account that it goes into.
    account_id: Uuid,
    /// Which statement, by the bank's account number (`ACCTID`), where the file has several.
    statement: Option<String>,
    /// How the file is called.
    filename: Option<String>,
}

/// Import a bank statement.
///
/// Takes an OFX file of either form (1.x SGML, 2.x XML) of at most 4 MiB and 5,000 rows, as the body or as the part `file`
/// of a form. Nothing is changed yet: the result of the operation is a preview, each row `new`, `duplicate_of`,
/// `probable_duplicate` or `error`, and `:commit` takes it in.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/imports", operation_id = "create_import", tag = "household",
    params(Target),
    request_body(content(
        (Vec<u8> = "application/x-ofx"), (Vec<u8> = "application/vnd.intu.qfx"), (Vec<u8> = "multipart/form-data"),
    )),
    responses((status = 202, description = "The operation that reads the file; `import_id` names the import", body = OperationView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-body-bytes-max" = json!(4259840)),
        ("x-deadline-ms" = json!(30000)),
        ("x-problems" = json!(["role-too-low"])),
    ),
)]
pub(super) async fn create_import(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path(household): Path<Uuid>,
    Query(target): Query<Target>,
    headers: HeaderMap,
    key: IdempotencyKey,
    RawBody(body): RawBody,
) -> Result<Reply, Problem> {
    let (file, filename) = file_of(&headers, body).await?;
    let filename = target.filename.or(filename).unwrap_or_default();
    let new = NewImport { account: target.account_id, statement: target.statement, filename, file };
    let (ctx, new) = (&ctx.0, &new);
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let import = Household::create_import(ctx, tx, household, new).await?;
            let more = [("import_id".to_owned(), import.id.to_string().into())];
            Ok::<_, Error>(accepted(
                import.operation_id.unwrap_or_default(),
                READ_IMPORT,
                more.into_iter().collect(),
            ))
        })
    })
    .await
}

/// Read an import.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/imports/{import_id}", operation_id = "get_import", tag = "household",
    responses((status = 200, description = "The import", body = ImportView)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn get_import(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, import)): Path<(Uuid, Uuid)>,
    seen: IfNoneMatch,
) -> Result<Reply, Problem> {
    let import = service.get_import(&ctx, household, import).await?;
    Ok(Reply::versioned(&seen, import.version, &import))
}

/// List the rows of an import's file.
#[utoipa::path(
    get, path = "/v1/households/{household_id}/imports/{import_id}/rows", operation_id = "list_import_rows",
    tag = "household",
    params(PageRequest),
    responses((status = 200, description = "A page of rows", body = Page<ImportRowView>)),
    extensions(
        ("x-scope" = json!("household:read")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("read-your-writes")),
    ),
)]
pub(super) async fn list_import_rows(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, import)): Path<(Uuid, Uuid)>,
    page: PageRequest,
) -> Result<Page<ImportRowView>, Problem> {
    let after: i32 = page.after()?.unwrap_or_default();
    let rows = service.list_import_rows(&ctx, household, import, after, page.rows()).await?;
    Ok(Page::of(rows, &page, |last| last.row))
}

/// Commit an import.
///
/// Makes transactions, all or none: of the rows that are new, unless a decision says otherwise.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/imports/{import_id}:commit", operation_id = "commit_import",
    tag = "household",
    request_body = Decisions,
    responses((status = 200, description = "The import", body = ImportView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-deadline-ms" = json!(30000)),
        ("x-problems" = json!(["role-too-low", "import-state", "import-too-crowded"])),
    ),
)]
pub(super) async fn commit_import(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, import)): Path<(Uuid, Uuid)>,
    key: IdempotencyKey,
    Json(decisions): Json<Decisions>,
) -> Result<Reply, Problem> {
    let (ctx, decisions) = (&ctx.0, &decisions);
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let import = Household::commit_import(ctx, tx, household, import, decisions).await?;
            Ok::<_, Error>(Reply::ok(&import).etag(import.version))
        })
    })
    .await
}

/// Revert an import.
///
/// Deletes the transactions that it made, those edited since too.
#[utoipa::path(
    post, path = "/v1/households/{household_id}/imports/{import_id}:revert", operation_id = "revert_import",
    tag = "household",
    responses((status = 200, description = "The import", body = ImportView)),
    extensions(
        ("x-scope" = json!("household:write")),
        ("x-idempotency" = json!("key")),
        ("x-precondition" = json!("none")),
        ("x-freshness" = json!("strong")),
        ("x-deadline-ms" = json!(30000)),
        ("x-problems" = json!(["role-too-low", "import-state"])),
    ),
)]
pub(super) async fn revert_import(
    State(service): State<Arc<Household>>,
    ctx: Ctx,
    Path((household, import)): Path<(Uuid, Uuid)>,
    key: IdempotencyKey,
) -> Result<Reply, Problem> {
    let ctx = &ctx.0;
    api::idempotency::once(ctx, &service.db, &key, move |tx| {
        Box::pin(async move {
            let import = Household::revert_import(ctx, tx, household, import).await?;
            Ok::<_, Error>(Reply::ok(&import).etag(import.version))
        })
    })
    .await
}

/// The file and its name, from a plain body or from a form.
async fn file_of(headers: &HeaderMap, body: Bytes) -> Result<(Vec<u8>, Option<String>), Problem> {
    body::require_media_type(headers, &["application/x-ofx", "application/vnd.intu.qfx", FORM])?;
    let form = headers
        .get(CONTENT_TYPE)
        .filter(|it| it.as_bytes().to_ascii_lowercase().starts_with(FORM.as_bytes()));
    let (file, filename) = match form {
        None => (body, None),
        Some(form) => {
            let malformed = |detail: String| Problem::of(&kinds::MALFORMED_REQUEST).detail(detail);
            let mut request = Request::new(body.into());
            request.headers_mut().insert(CONTENT_TYPE, form.clone());
            let mut parts =
                Multipart::from_request(request, &()).await.map_err(|e| malformed(e.body_text()))?;
            loop {
                let part = parts.next_field().await.map_err(|e| malformed(e.body_text()))?;
                let part = part.ok_or_else(|| malformed("the form has no part `file`".to_owned()))?;
                if part.name() == Some("file") {
                    let name = part.file_name().map(str::to_owned);
                    break (part.bytes().await.map_err(|e| malformed(e.body_text()))?, name);
                }
            }
        }
    };
    if file.len() > FILE_BYTES_MAX {
        let problem = Problem::of(&kinds::BODY_TOO_LARGE)
            .detail(format!("a file of at most {FILE_BYTES_MAX} bytes is taken"));
        return Err(problem.with("bytes_max", FILE_BYTES_MAX));
    }
    Ok((file.to_vec(), filename))
}
