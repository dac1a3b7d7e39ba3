//! Which requests come in, and what every answer has around it.
//!
//! A page of another site can have a browser send a form, with whatever cookies the browser has for this one.
//! Four things keep it out, and none of them counts on another: the cookie is `SameSite=Strict`; a request
//! that may change something has to say, in headers that only browsers set, that a page of this origin has sent
//! it; its form carries a token of the visit ([`super::form::Sent`]); and no page can be put into a frame.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, HeaderName, LOCATION, ORIGIN,
    REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::pages::{Failed, HOME};
use super::{Console, Operator};
use crate::authority::Authority;
use crate::authority::credentials::Role;
use crate::authority::http::Problem;
use crate::authority::http::visitor::expect_loopback_name;
use crate::authority::server::{ConnectionSlot, Interface};
use crate::percent;

/// Everything that a page needs comes from here, and none of it stands in the page.
const CONTENT_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; \
                              script-src 'self'; connect-src 'self'; form-action 'self'; \
                              frame-ancestors 'none'; base-uri 'none'";

const ALWAYS: [(HeaderName, &str); 6] = [
    (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    // What browsers did before `frame-ancestors`.
    (X_FRAME_OPTIONS, "DENY"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What a route needs of its caller.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    /// Nothing: it is where one signs in.
    Nothing,
    /// A visit with a credential that has this role.
    Role(Role),
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// A person has followed a link or sent a form.
    ByHand,
    /// The script has asked for new numbers.
    ByScript,
}

impl Shown {
    pub(super) const fn is_by_hand(self) -> bool {
        matches!(self, Self::ByHand)
    }

    fn of(request: &Request) -> Self {
        if request.uri().path() == super::pages::overview::LIVE_PATH {
            Self::ByScript
        } else {
            Self::ByHand
        }
    }
}

/// Admits a request to its page, and tells the page who asks.
pub(super) async fn admit(
    State((authority, console, need)): State<(Arc<Authority>, Arc<Console>, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    let refused = |request: &Request, operator: Option<&Operator>, problem: Problem| {
        authority.tell_of_refusal(request, operator.map(|it| &it.caller), &problem);
        Failed(problem).into_response()
    };
    if let Err(problem) = expect_own_host(&console, &request) {
        return refused(&request, None, problem);
    }
    let Need::Role(role) = need else {
        return next.run(request).await;
    };
    let slot = request.extensions().get::<Arc<ConnectionSlot>>().cloned();
    let now = Instant::now();
    let cookie = cookie(&console, request.headers());
    let operator = cookie.and_then(|it| console.operator(it, Shown::of(&request), now));
    let Some(operator) = operator else {
        if let Some(slot) = slot {
            slot.become_stranger();
        }
        return to_sign_in(&request);
    };
    if !operator.caller.role.includes(role) {
        return refused(&request, Some(&operator), Problem::forbidden(role));
    }
    let busy = slot.map(|slot| slot.begin(Interface::Operators, &operator.caller.name, now));
    let _busy = match busy.transpose() {
        Ok(busy) => busy,
        Err(full) => return Failed(Problem::too_many_connections(full.limit)).into_response(),
    };
    request.extensions_mut().insert(operator);
    next.run(request).await
}

/// Gives every answer under `/console` the headers that keep a browser from doing more with it than show it: also
/// those that are given before a request comes to a page.
pub(in crate::authority) async fn dress(request: Request, next: Next) -> Response {
    let rest = request.uri().path().strip_prefix(HOME);
    let is_of_console = rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let mut response = next.run(request).await;
    if !is_of_console {
        return response;
    }
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is the same for all, such as the style sheet, says so itself.
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// The cookie of a visit. None where there are two: one of them would be someone else's.
pub(super) fn cookie<'r>(console: &Console, headers: &'r HeaderMap) -> Option<&'r str> {
    let lines = headers.get_all(COOKIE).iter();
    let pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'));
    let mut found = pairs.filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == console.cookie_name()).then_some(value)
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Refuses what a page of another site has made the browser send.
fn expect_own_host(console: &Console, request: &Request) -> Result<(), Problem> {
    if !console.has_tls {
        expect_loopback_name(request)?;
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    if is_from_own_page(request.headers(), console.has_tls) {
        Ok(())
    } else {
        let detail = "expected a form that a page of the console has sent, as browsers say with \
                      `Sec-Fetch-Site` or `Origin`";
        Err(Problem::not_from_the_console(detail))
    }
}

/// Whether the browser says that a page of this origin has sent the request. Since no page tells where it was
/// (`Referrer-Policy`), browsers that send `Sec-Fetch-Site` have `Origin: null`.
fn is_from_own_page(headers: &HeaderMap, has_tls: bool) -> bool {
    let all = |name: &HeaderName| -> Vec<&[u8]> {
        let values = headers.get_all(name).iter();
        values.map(HeaderValue::as_bytes).collect()
    };
    let sites = all(&HeaderName::from_static("sec-fetch-site"));
    let origins = all(&ORIGIN);
    let hosts = all(&HOST);
    let scheme: &[u8] = if has_tls { b"https://" } else { b"http://" };
    let own: Vec<_> = hosts.iter().map(|host| [scheme, host].concat()).collect();
    match (&*sites, &*origins, &*own) {
        ([site], [] | [b"null"], [_]) => *site == b"same-origin",
        ([site], [origin], [own]) => *site == b"same-origin" && origin == own,
        ([], [origin], [own]) => origin == own,
        _ => false,
    }
}

/// Where one signs in, and comes back from to the page that was asked for. A form that was sent after the end of its
/// visit is not led on without a word: who has sent it would take it for done.
fn to_sign_in(request: &Request) -> Response {
    let path = request.uri().path();
    if request.method() == Method::POST && path != super::pages::sign_in::OUT {
        // What it asks about stands in its address, so that it can be asked for once more.
        let is_asked_again =
            [super::pages::act::REVOKE, super::pages::act::RESTORE].contains(&path);
        let next = request.uri().path_and_query().map(ToString::to_string);
        let next = next.filter(|_| is_asked_again);
        return super::pages::sign_in::again(next.as_deref()).into_response();
    }
    let mut location = super::pages::sign_in::PATH.to_owned();
    let asked = request.uri().path_and_query().map(ToString::to_string);
    let is_page = request.method() == Method::GET && Shown::of(request).is_by_hand();
    if let Some(asked) = asked.filter(|asked| is_page && asked != HOME) {
        location.push_str("?next=");
        location.push_str(&percent::encoded(&asked));
    }
    to(&location)
}

/// Has the browser load another page of the console, also after a form.
pub(super) fn to(location: &str) -> Response {
    let location = HeaderValue::from_str(location);
    let location = location.unwrap_or(HeaderValue::from_static(HOME));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_a_page_of_this_origin_may_send_a_form() {
        let host = ("host", "a.example:1");
        for (own, pairs) in [
            (true, &[host, ("sec-fetch-site", "same-origin")][..]),
            (
                true,
                &[host, ("sec-fetch-site", "same-origin"), ("origin", "null")],
            ),
            (
                true,
                &[
                    host,
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://a.example:1"),
                ],
            ),
            (true, &[host, ("origin", "https://a.example:1")]),
            (false, &[host]),
            (false, &[host, ("origin", "null")]),
            (false, &[host, ("origin", "http://a.example:1")]),
            (false, &[host, ("origin", "https://a.example")]),
            (false, &[host, ("origin", "https://b.example:1")]),
            (false, &[host, ("sec-fetch-site", "none")]),
            (
                false,
                &[
                    host,
                    ("sec-fetch-site", "same-site"),
                    ("origin", "https://a.example:1"),
                ],
            ),
            (
                false,
                &[
                    host,
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "https://a.example:1"),
                ],
            ),
            (
                false,
                &[
                    host,
                    ("sec-fetch-site", "same-origin"),
                    ("origin", "https://b.example"),
                ],
            ),
            (
                false,
                &[
                    host,
                    ("sec-fetch-site", "same-origin"),
                    ("sec-fetch-site", "cross-site"),
                ],
            ),
            (
                false,
                &[host, ("host", "b.example"), ("origin", "https://b.example")],
            ),
            (false, &[("origin", "https://")]),
        ] {
            assert_eq!(is_from_own_page(&headers(pairs), true), own, "{pairs:?}");
        }
        let plain = headers(&[host, ("origin", "http://a.example:1")]);
        assert!(is_from_own_page(&plain, false) && !is_from_own_page(&plain, true));
    }
}
