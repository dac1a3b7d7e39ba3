//! What makes it doubtful that a revocation does what is meant: said where it is asked for, and after it.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Console;
use super::{Failed, name};
use crate::authority::Authority;
use crate::authority::http::revocations::known_issuer;
use crate::authority::http::sessions::{self, SessionsQuery};

/// A warning where the clocks of edges differ from this authority's by more than clocks may. As the HTTP
/// interface has it in `clock_difference`, and for cut-offs alone: they are compared with when tokens were issued.
pub(super) fn of_clocks(authority: &Authority) -> Markup {
    let verdict = authority.clocks.verdict(Instant::now());
    let seconds = verdict.seconds();
    let side = if seconds < 0 { "behind" } else { "ahead" };
    html! {
        @if verdict.is_off {
            p.banner.bad role="alert" {
                "The clocks of edges are " (seconds.unsigned_abs()) " seconds " (side) " of this authority's. \
                 A cut-off goes by this clock, so that it may refuse fewer tokens than it should, or more: set \
                 the clocks right, then sign the user out once more."
            }
        }
    }
}

/// A warning about an issuer that nothing here has ever had to do with, and the link to the same at one that is
/// alike. It is most often mistyped, and then nothing is refused.
pub(super) async fn of_issuer(
    authority: &Arc<Authority>,
    console: &Console,
    issuer: &str,
    at: impl Fn(&str) -> String,
) -> Result<Markup, Failed> {
    if console.issuers.iter().any(|(known, _)| known == issuer) {
        return Ok(html! {});
    }
    let answer = known_issuer(authority, issuer.to_owned()).await?;
    let is_known = answer.known || is_in_use(authority, issuer).await;
    Ok(html! {
        @if !is_known {
            p.banner.bad role="alert" {
                "Nothing of the issuer " (name(issuer)) " was ever revoked here, and no edge has reported a \
                 session of it. If it is mistyped, no token is refused."
                @if let Some(similar) = &answer.similar {
                    " Did you mean " a href=(at(similar)) { (name(similar)) } "?"
                }
            }
        }
    })
}

/// Whether edges have reported a session. Without the registry, that is not known.
async fn is_in_use(authority: &Arc<Authority>, issuer: &str) -> bool {
    let query = SessionsQuery {
        issuer: Some(issuer.to_owned()),
        include_ended: true,
        limit: Some(1),
        ..SessionsQuery::default()
    };
    let found = sessions::list(State(Arc::clone(authority)), Ok(Query(query))).await;
    found.is_ok_and(|found| !found.0.sessions.is_empty())
}
