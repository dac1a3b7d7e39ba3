//! What pages refer to: the style sheet, the script and the icon, each under its own path. They are in the
//! program, so that there is nothing to install and nothing that another server could change.

use std::sync::Arc;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

use crate::authority::Authority;
use crate::authority::store::to_hex;

pub(super) const STYLE: &str = "/console/style.css";
pub(super) const SCRIPT: &str = "/console/live.js";
pub(super) const ICON: &str = "/console/icon.svg";

const ALL: [(&str, &str, &str); 3] = [
    (
        STYLE,
        "text/css; charset=utf-8",
        include_str!("assets/style.css"),
    ),
    (
        SCRIPT,
        "text/javascript; charset=utf-8",
        include_str!("assets/live.js"),
    ),
    (ICON, "image/svg+xml", include_str!("assets/icon.svg")),
];

/// Their routes, which need no visit: the page for signing in looks like the others.
pub(super) fn router() -> Router<Arc<Authority>> {
    ALL.into_iter()
        .fold(Router::new(), |router, (path, kind, text)| {
            let hash = Sha256::digest(text);
            let tag = format!("\"{}\"", to_hex(hash.get(..8).unwrap_or_default()));
            router.route(
                path,
                get(move |headers: HeaderMap| async move { answer(&headers, kind, text, &tag) }),
            )
        })
}

/// The text, unless the browser has it already.
fn answer(headers: &HeaderMap, kind: &'static str, text: &'static str, tag: &str) -> Response {
    let known = headers.get_all(IF_NONE_MATCH).iter();
    let is_known = known
        .filter_map(|line| line.to_str().ok())
        .any(|line| line.split(',').any(|known| known.trim() == tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
    };
    let answered = response.headers_mut();
    // Asked for anew with each page, and sent anew after an upgrade only.
    answered.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        answered.insert(ETAG, tag);
    }
    response
}
