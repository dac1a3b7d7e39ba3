//! The console: pages for people who look after users, served to browsers at `/console`.
//!
//! | | |
//! |---|---|
//! | `door` | which requests come in: host, origin, cookie, role |
//! | `visits`, `attempts` | who is signed in to the console, and how often signing in may fail |
//! | `form` | what a browser sends, read strictly |
//! | `samples`, `chart` | what was counted in the last hour, and drawing it |
//! | `diary` | who has done what here, since the start |
//! | `pages` | one file for each page: what it asks for, and how that is shown |
//!
//! It decides nothing. What is read and written goes through the handlers of [`super::http`], with the caller
//! of the credential that was signed in with, so that a page can do what that credential can do there, and
//! histories have the same names.
//!
//! # Why no framework for the browser?
//!
//! A console is needed when something is wrong. Pages that are complete when they arrive work in any browser
//! and over a slow line, and there is nothing in them that a policy for content (CSP) would have to make an
//! exception for. One script, which the pages do without, puts new numbers in place of old ones.
//!
//! # What keeps a stranger's name from being markup?
//!
//! Everything in a page goes through `maud`, which escapes it, and every text from outside through
//! [`pages::name`] too, which shows characters that cannot be seen. Nothing is marked as escaped already.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware;
use axum::routing::{get, post};

use super::Authority;
use super::configuration::Issuer;
use super::credentials::{Access, Caller, Credentials, Role};
use crate::revocation::CutOffBy;

mod assets;
mod attempts;
mod chart;
mod diary;
mod door;
mod form;
mod pages;
mod samples;
mod visits;

use attempts::Attempts;
use diary::Diary;
use door::Need;
pub(super) use door::dress;
use pages::{
    act, audit, edges, entries, overview, search, sessions, sign_in, signals, token, users,
};
use samples::Samples;
use visits::{FormKey, Visits};

/// Whether there is a console, and how the cookie of its visitors is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleAccess {
    /// There is none.
    #[default]
    Off,
    /// The listener speaks TLS: the cookie is sent over nothing else.
    OverTls,
    /// It does not, and is on loopback, where browsers keep no prefix `__Host-` without TLS.
    OnLoopback,
}

/// What the console keeps, all of it in memory.
#[derive(Debug)]
pub(super) struct Console {
    credentials: Arc<Credentials>,
    has_tls: bool,
    /// Those that the authority is configured with, and what cut-offs of their tokens compare with.
    issuers: Vec<(String, CutOffBy)>,
    visits: Visits,
    attempts: Attempts,
    samples: Samples,
    diary: Diary,
}

/// Someone who is signed in to the console, as a request shows.
#[derive(Clone, Debug)]
struct Operator {
    caller: Caller,
    forms: FormKey,
}

impl Operator {
    /// Whether there is anything that this one may change.
    fn may_act(&self) -> bool {
        self.caller.role.includes(Role::Admin)
    }
}

impl Console {
    /// The console, if there is to be one and it can be told who comes.
    pub(super) fn of(
        wanted: ConsoleAccess,
        access: &Access,
        issuers: &[Issuer],
    ) -> Option<Arc<Self>> {
        let Access::Credentials(credentials) = access else {
            return None;
        };
        let has_tls = match wanted {
            ConsoleAccess::Off => return None,
            ConsoleAccess::OverTls => true,
            ConsoleAccess::OnLoopback => false,
        };
        Some(Arc::new(Self {
            credentials: Arc::clone(credentials),
            has_tls,
            issuers: issuers
                .iter()
                .map(|issuer| (issuer.issuer.clone(), issuer.cut_off_by))
                .collect(),
            visits: Visits::default(),
            attempts: Attempts::default(),
            samples: Samples::default(),
            diary: Diary::default(),
        }))
    }

    /// Starts what it does in the background.
    pub(super) fn begin(self: &Arc<Self>, authority: &Arc<Authority>) {
        samples::begin(self, authority);
    }

    /// Who has this cookie. Ends the visit of a credential that is not in the file any more.
    fn operator(&self, cookie: &str, shown: door::Shown, now: Instant) -> Option<Operator> {
        let visit = self.visits.find(cookie, shown.is_by_hand(), now)?;
        let caller = self.credentials.known(visit.credential);
        let caller = caller.filter(|caller| caller.role.includes(Role::Viewer));
        if caller.is_none() {
            self.visits.end(cookie);
        }
        Some(Operator {
            caller: caller?,
            forms: visit.forms,
        })
    }

    /// The cookie's name. With TLS, a browser takes one with this prefix from this host alone, and for
    /// all of it.
    const fn cookie_name(&self) -> &'static str {
        if self.has_tls {
            "__Host-portcullis"
        } else {
            "portcullis-console"
        }
    }

    fn set_cookie(&self, value: &str) -> Option<HeaderValue> {
        let name = self.cookie_name();
        let scope = if self.has_tls {
            "Path=/; Secure"
        } else {
            "Path=/console"
        };
        // Without an end, so that closing the browser is one.
        let end = if value.is_empty() { "; Max-Age=0" } else { "" };
        let cookie = format!("{name}={value}; {scope}; HttpOnly; SameSite=Strict{end}");
        HeaderValue::from_str(&cookie).ok()
    }
}

/// The pages, each under its path.
pub(super) fn router(authority: &Arc<Authority>, console: &Arc<Console>) -> Router<Arc<Authority>> {
    let behind = |need: Need| {
        let state = (Arc::clone(authority), Arc::clone(console), need);
        middleware::from_fn_with_state(state, door::admit)
    };
    let open = Router::new()
        .route(sign_in::PATH, get(sign_in::show).post(sign_in::enter))
        .route("/console/{*path}", get(pages::unknown))
        .route_layer(behind(Need::Nothing));
    let viewing = Router::new()
        .route(pages::HOME, get(overview::show))
        .route("/console/", get(overview::show))
        .route(overview::LIVE_PATH, get(overview::live))
        .route(search::PATH, get(search::show))
        .route(token::PATH, post(token::read))
        .route(users::PATH, get(users::show))
        .route(sessions::PATH, get(sessions::list))
        .route(sessions::ONE, get(sessions::one))
        .route(entries::PATH, get(entries::list))
        .route(entries::ONE, get(entries::one))
        .route(signals::PATH, get(signals::list))
        .route(edges::PATH, get(edges::list))
        .route(audit::PATH, get(audit::show))
        .route(sign_in::OUT, post(sign_in::leave))
        .route_layer(behind(Need::Role(Role::Viewer)));
    let acting = Router::new()
        .route(act::REVOKE, get(act::ask_revoke).post(act::revoke))
        .route(act::RESTORE, get(act::ask_restore).post(act::restore))
        .route_layer(behind(Need::Role(Role::Admin)));
    open.merge(viewing)
        .merge(acting)
        .merge(assets::router())
        .method_not_allowed_fallback(pages::not_this_method)
        .layer(axum::Extension(Arc::clone(console)))
}
