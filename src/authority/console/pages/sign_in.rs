//! Signing in and out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use super::super::Console;
use super::super::diary::{Deed, Line};
use super::super::door::{cookie, to};
use super::super::form::{Asked, Sent, SentByAnyone};
use super::{Failed, Page};
use crate::authority::credentials::Role;
use crate::authority::http::Problem;
use crate::authority::server::Peer;
use crate::authority::{Authority, clock};

pub(in super::super) const PATH: &str = "/console/sign-in";

pub(in super::super) const OUT: &str = "/console/sign-out";

/// The form.
pub(in super::super) async fn show(Asked(asked): Asked) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["next"])?;
    Ok(page(StatusCode::OK, asked.given("next"), None))
}

/// The form, for someone whose visit was over when a form was sent.
pub(in super::super) fn again(next: Option<&str>) -> Page {
    let fault = "You are not signed in any more, and nothing was done. Sign in, and send it again.";
    page(StatusCode::UNAUTHORIZED, next, Some(fault))
}

/// Begins a visit, if the credential is one of people.
pub(in super::super) async fn enter(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    request: Request,
) -> Result<Response, Failed> {
    use axum::extract::FromRequest as _;

    let address = request.extensions().get::<Peer>().map(|peer| peer.0);
    let before = cookie(&console, request.headers()).map(str::to_owned);
    let (head, body) = request.into_parts();
    let asked = Request::from_parts(head.clone(), Body::empty());
    let request = Request::from_parts(head, body);
    let SentByAnyone(form) = SentByAnyone::from_request(request, &authority).await?;
    let now = Instant::now();
    let form = form.expect_only(&["credential", "next"])?;
    let secret = form.typed("credential").unwrap_or_default();
    let recognised = console.credentials.recognise(secret);
    let is_for_people = |role: Role| role.includes(Role::Viewer);
    let Some((id, caller)) = recognised.filter(|(_, caller)| is_for_people(caller.role)) else {
        let counted = address.map(|address| console.attempts.failed(address, now));
        if let Some(Err(wait)) = counted {
            let seconds = wait.as_secs() + 1;
            let problem = Problem::too_many_attempts(seconds);
            authority.tell_of_refusal(&asked, None, &problem);
            let wait = [("retry-after", seconds.to_string())];
            return Ok((wait, Failed(problem)).into_response());
        }
        console
            .diary
            .write(line(None, address, Deed::RefusedSignIn));
        let fault = "This is no credential with the role admin or viewer.";
        let page = page(StatusCode::UNAUTHORIZED, form.given("next"), Some(fault));
        return Ok(page.into_response());
    };
    // Of one browser, there is one visit.
    if let Some(before) = before {
        console.visits.end(&before);
    }
    let cookie = console.visits.begin(id, now);
    let cookie = cookie.map_err(|_| Problem::internal())?;
    let deed = line(Some(caller.name), address, Deed::SignedIn);
    console.diary.write(deed);
    let next = form.given("next").filter(|next| is_own(next));
    let mut response = to(next.unwrap_or(super::HOME));
    if let Some(cookie) = console.set_cookie(&cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// Ends the visit.
pub(in super::super) async fn leave(
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<super::Operator>,
    headers: HeaderMap,
    Sent(form): Sent,
) -> Result<Response, Failed> {
    form.expect_only(&[])?;
    if let Some(cookie) = cookie(&console, &headers) {
        console.visits.end(cookie);
    }
    let deed = line(Some(operator.caller.name), None, Deed::SignedOut);
    console.diary.write(deed);
    let mut response = to(PATH);
    if let Some(cookie) = console.set_cookie("") {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    Ok(response)
}

fn line(who: Option<Arc<str>>, address: Option<IpAddr>, deed: Deed) -> Line {
    Line {
        at: clock::now_milliseconds(),
        who,
        address,
        deed,
        entry: None,
    }
}

/// Whether a link leads to a page of the console, and not by way of `//` or `\` to another host.
fn is_own(next: &str) -> bool {
    let is_plain = next
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let rest = next.strip_prefix(super::HOME);
    is_plain && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

fn page(status: StatusCode, next: Option<&str>, fault: Option<&str>) -> Page {
    let body: Markup = html! {
        section.card.narrow {
            h1 { "Sign in" }
            @if let Some(fault) = fault {
                p.banner.bad role="alert" { (fault) }
            }
            form method="post" action=(PATH) {
                @if let Some(next) = next.filter(|next| is_own(next)) {
                    input type="hidden" name="next" value=(next);
                }
                label for="credential" { "Credential" }
                input #credential type="password" name="credential" autocomplete="current-password"
                    required autofocus spellcheck="false" maxlength="256";
                p.hint { "What " code { "portcullis credential" } " has printed, for the role "
                    code { "admin" } " or " code { "viewer" } "." }
                button type="submit" { "Sign in" }
            }
        }
    };
    Page::for_anyone(status, "Sign in", &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_to_no_other_site() {
        for next in ["/console", "/console/user?issuer=a&subject=b", "/console?x"] {
            assert!(is_own(next), "{next}");
        }
        for next in [
            "",
            "//evil.example",
            "/console.evil.example",
            "/\\evil.example",
            "/console/\\..",
            "https://evil.example/console",
            "/consolete",
            "/console/\nx",
            "/v1/stats",
            " /console",
        ] {
            assert!(!is_own(next), "{next}");
        }
    }
}
