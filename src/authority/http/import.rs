//! `/v1/import`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::{Extension, Json};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::body::{BODY_TIMEOUT, expect_type};
use super::{Problem, ProblemBody};
use crate::authority::Authority;
use crate::authority::credentials::Caller;
use crate::authority::import::{Import, Imported};
use crate::authority::request::RevocationRequest;

/// Revokes everything that the lines name, or nothing when one of them is wrong or does not arrive.
/// Each line is a `RevocationRequest`. Once the last one has been read, all of them are carried
/// out, even if the caller hangs up.
#[utoipa::path(
    post,
    path = "/v1/import",
    security(("admin" = [])),
    request_body(content = Vec<RevocationRequest>, content_type = "application/x-ndjson",
                 description = "One of these on each line, and no list around them"),
    responses(
        (status = 200, body = Imported),
        (status = 409, description = "Another import is being read or carried out", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "Lines are wrong; nothing was revoked", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 503, description = "The store failed. Nothing was revoked, unless all lines had \
          been read: then they may be carried out as soon as the store can be written to. To send \
          them again does no harm", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn import(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Imported>, Problem> {
    expect_type(&request, "application/x-ndjson")?;
    let mut import = Import::begin(&authority, caller.name.to_string()).await;
    let mut body = request.into_body();
    // Read here and not in a task that outlives the connection: when the connection is lost, this
    // is dropped together with the import, and a part of the lines is never taken for all of them.
    // Read to the end even after a failure, since a caller that is still sending does not read the
    // answer.
    let broke_off = loop {
        match timeout(BODY_TIMEOUT, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let (Ok(bytes), Ok(open)) = (frame.into_data(), &mut import)
                    && let Err(error) = open.take(&bytes).await
                {
                    import = Err(error.into());
                }
            }
            Ok(None) => break None,
            Ok(Some(Err(error))) => break Some(Problem::invalid(error.to_string())),
            Err(_) => break Some(Problem::timeout()),
        }
    };
    let import = import?;
    if let Some(problem) = broke_off {
        import.give_up().await?;
        return Err(problem);
    }
    Ok(Json(import.finish().await?))
}
