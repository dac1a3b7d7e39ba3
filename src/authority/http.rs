//! The authority's HTTP interface.
//!
//! Every route is registered together with its description, so that the `OpenAPI` document at
//! `/v1/openapi.json` names exactly the routes that there are. The one of the listener for signals, where
//! there is one, is at `/v1/openapi-signals.json`.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::credentials::{Access, Caller, Permission, Role};
use super::server::{ConnectionSlot, Interface, Peer};
use super::signals::describe as describe_signals;
use super::{Authority, console};

pub(super) mod body;
pub(super) mod check;
mod description;
mod draining;
#[expect(unused_qualifications, reason = "what the description's macro makes")]
pub(super) mod edges;
mod encoding;
mod feed;
mod import;
pub(super) mod operations;
mod own_sessions;
mod precondition;
mod problem;
mod refusals;
#[expect(unused_qualifications, reason = "what the description's macro makes")]
pub(super) mod revocations;
#[expect(unused_qualifications, reason = "what the description's macro makes")]
pub(super) mod sessions;
mod sign_out;
#[expect(unused_qualifications, reason = "what the description's macro makes")]
pub(super) mod signals;
mod streams;
pub(super) mod users;
pub(super) mod visitor;

use description::Description;
pub(super) use description::operations_in;

pub use super::import::{Imported, LineFault};
pub use super::request::{EdgeWait, MAX_EDGE_WAIT, RestorationRequest, RevocationRequest};
pub(super) use check::is_revoked;
pub(super) use draining::drain;
pub use edges::{EdgeAnswer, EdgesAnswer, ReachAnswer, UnknownEdges};
pub use operations::{
    BackupAnswer, BackupRequest, FeedKeyAnswer, GenerationStats, MAX_OVERLAP, RotationRequest,
    Stats,
};
pub(super) use problem::Problem;
pub use problem::{ProblemBody, TLS_EXPECTED};
pub(super) use refusals::Refusals;
pub use revocations::{EntryAnswer, EventAnswer, ListAnswer, OutcomeName, RevocationAnswer};
pub use sessions::{SessionAnswer, SessionsAnswer, SightingAnswer, SuspicionAnswer};
pub(super) use sessions::{describe, written};
pub use signals::{SignalAnswer, SignalEffect, SignalsAnswer};
pub use streams::{
    MAX_VERIFICATION_WAIT, StreamAnswer, StreamFault, StreamRequest, StreamStatusName,
    StreamStatusRequest, StreamsAnswer, VerificationAnswer, VerificationRequest,
};
pub(super) use visitor::is_loopback;

/// What the description says of a 503 in answer to what is to be written.
const NOT_WRITTEN: &str = "Nothing was changed. Of a database that does not answer, it is not known: what was \
                           asked may be done or not, and asking again is safe";

const CONTENT_TYPE_JSON: (&str, &str) = ("content-type", "application/json");

/// The name of every caller where no credential is required.
const ANYBODY: &str = "anybody";

/// The interface of this authority.
pub(super) fn router(authority: Arc<Authority>) -> Router {
    let (mut router, document) = routes(&authority).split_for_parts();
    let document = description::complete(&document);
    router = router.route("/v1/openapi.json", described(document));
    if let Some(receivers) = &authority.signals {
        let document = describe_signals(receivers);
        router = router.route("/v1/openapi-signals.json", described(document));
    }
    if let Some(console) = &authority.console {
        router = router.merge(console::router(&authority, console));
    }
    router
        .fallback(async || Problem::not_found())
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(middleware::from_fn(encoding::expect_well_encoded))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&authority),
            expect_current,
        ))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&authority),
            count,
        ))
        .layer(middleware::from_fn(console::dress))
        .layer(middleware::from_fn(drain))
        .with_state(authority)
}

/// Answers only as long as what is in memory is recent enough. What was read before it was too old, and
/// would be answered after that, is not: a verdict from the past is worse than none.
async fn expect_current(
    State(authority): State<Arc<Authority>>,
    request: Request,
    next: Next,
) -> Response {
    if ["/healthz", "/readyz", "/metrics"].contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let check = || {
        let checked = authority.store.check_recent();
        checked.map_err(|error| Problem::not_current(&error))
    };
    if let Err(problem) = check() {
        return problem.into_response();
    }
    let response = next.run(request).await;
    match check() {
        Err(problem) if response.status().is_success() => problem.into_response(),
        _ => response,
    }
}

/// The route of a description.
fn described(document: String) -> MethodRouter<Arc<Authority>> {
    get(move || async move { ([CONTENT_TYPE_JSON], document) })
}

/// The answer to plain HTTP on a TLS listener.
pub(super) fn only_over_tls() -> Router {
    Router::new()
        .fallback(async || Problem::tls_expected())
        .layer(middleware::from_fn(drain))
}

fn routes(authority: &Arc<Authority>) -> OpenApiRouter<Arc<Authority>> {
    let door = |role, permission, interface| {
        let door = Door {
            role,
            permission,
            interface,
        };
        middleware::from_fn_with_state((Arc::clone(authority), door), require)
    };
    let guarded = |role, interface| door(role, None, interface);
    let for_users = |permission| door(Role::Edge, Some(permission), Interface::Edges);
    let admin = OpenApiRouter::new()
        .routes(routes!(revocations::revoke))
        .routes(routes!(revocations::restore))
        .routes(routes!(import::import))
        .routes(routes!(streams::create))
        .routes(routes!(streams::delete))
        .routes(routes!(streams::set_status))
        .routes(routes!(streams::verify))
        .routes(routes!(operations::rotate))
        .routes(routes!(operations::back_up))
        .route_layer(guarded(Role::Admin, Interface::Operators));
    let viewing = OpenApiRouter::new()
        .routes(routes!(revocations::list))
        .routes(routes!(revocations::entry))
        .routes(routes!(revocations::issuer))
        .routes(routes!(sessions::list))
        .routes(routes!(signals::list))
        .routes(routes!(edges::list))
        .routes(routes!(streams::list))
        .routes(routes!(operations::stats))
        .route_layer(guarded(Role::Viewer, Interface::Operators));
    let monitoring = OpenApiRouter::new()
        .routes(routes!(operations::metrics))
        .route_layer(guarded(Role::Scrape, Interface::Operators));
    let edge = OpenApiRouter::new()
        .routes(routes!(check::check))
        .routes(routes!(feed::manifest))
        .routes(routes!(feed::segment))
        .routes(routes!(feed::deltas))
        .routes(routes!(operations::keys))
        .route_layer(guarded(Role::Edge, Interface::Edges));
    let activity = OpenApiRouter::new()
        .routes(routes!(sessions::report))
        .route_layer(for_users(Permission::Activity));
    let sign_out = OpenApiRouter::new()
        .routes(routes!(sign_out::sign_out))
        .route_layer(for_users(Permission::SignOut));
    let own_sessions = OpenApiRouter::new()
        .routes(routes!(own_sessions::list))
        .routes(routes!(own_sessions::end))
        .route_layer(for_users(Permission::Sessions));
    OpenApiRouter::with_openapi(Description::openapi())
        .merge(admin)
        .merge(viewing)
        .merge(monitoring)
        .merge(edge)
        .merge(activity)
        .merge(sign_out)
        .merge(own_sessions)
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
}

/// What a route requires of its callers, and the interface it belongs to.
#[derive(Clone, Copy, Debug)]
struct Door {
    role: Role,
    permission: Option<Permission>,
    interface: Interface,
}

impl Door {
    /// Refuses a caller that lacks what is required.
    fn expect(self, caller: &Caller) -> Result<(), Problem> {
        if !caller.role.includes(self.role) {
            return Err(Problem::forbidden(self.role));
        }
        match self.permission {
            Some(needed) if !caller.may(needed) => Err(Problem::not_permitted(needed)),
            _ => Ok(()),
        }
    }
}

/// Admits a caller that may use the route, and tells the handler who it is.
async fn require(
    State((authority, door)): State<(Arc<Authority>, Door)>,
    mut request: Request,
    next: Next,
) -> Response {
    // Tests call handlers without a connection.
    let slot = request.extensions().get::<Arc<ConnectionSlot>>().cloned();
    let caller = match identify(&authority.access, door.interface, &request) {
        Ok(caller) => caller,
        Err(problem) => {
            if let Some(slot) = slot {
                slot.become_stranger();
            }
            return authority.refuse(&request, None, problem);
        }
    };
    if let Err(problem) = door.expect(&caller) {
        return authority.refuse(&request, Some(&caller), problem);
    }
    let busy = slot.map(|slot| slot.begin(door.interface, &caller.name, Instant::now()));
    let _busy = match busy.transpose() {
        Ok(busy) => busy,
        Err(full) => return Problem::too_many_connections(full.limit).into_response(),
    };
    request.extensions_mut().insert(caller);
    next.run(request).await
}

impl Authority {
    /// Answers a caller that may not do what it asks for.
    fn refuse(&self, request: &Request, caller: Option<&Caller>, problem: Problem) -> Response {
        self.tell_of_refusal(request, caller, &problem);
        problem.into_response()
    }

    /// Says in the log, once in a while, that a caller may not do what it asks for.
    pub(super) fn tell_of_refusal(
        &self,
        request: &Request,
        caller: Option<&Caller>,
        problem: &Problem,
    ) {
        let address = request.extensions().get::<Peer>().map(|peer| peer.0);
        if let Some(times) = self.refusals.take(problem.code(), address, Instant::now()) {
            let path = request.extensions().get::<MatchedPath>();
            tracing::warn!(
                code = problem.code(),
                address = address.map(tracing::field::display),
                credential = caller.map(|caller| &*caller.name),
                role = caller.map(|caller| caller.role.name()),
                route = path.map(MatchedPath::as_str),
                times,
                "refused a caller"
            );
        }
    }
}

fn identify(access: &Access, interface: Interface, request: &Request) -> Result<Caller, Problem> {
    match access {
        Access::Credentials(credentials) => bearer(request)
            .and_then(|secret| credentials.caller(secret))
            .ok_or_else(Problem::unauthorized),
        Access::Machine | Access::Everyone => {
            visitor::expect_no_other_site(request.headers())?;
            // Edges may use any host name.
            if interface == Interface::Operators && matches!(access, Access::Machine) {
                visitor::expect_loopback_name(request)?;
            }
            Ok(Caller {
                role: Role::Admin,
                permissions: Vec::new(),
                name: ANYBODY.into(),
            })
        }
    }
}

/// The secret of RFC 6750 section 2.1. None where two are shown, since a proxy
/// may go by the other.
pub(super) fn bearer(request: &Request) -> Option<&str> {
    let mut shown = request.headers().get_all("authorization").iter();
    let header = shown.next().filter(|_| shown.next().is_none());
    let header = header?.to_str().ok()?;
    let (scheme, secret) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret)
}

pub(super) async fn count(
    State(authority): State<Arc<Authority>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    let route = path.as_ref().map_or("none", MatchedPath::as_str);
    authority
        .metrics
        .answered(route, response.status().as_u16());
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn one_secret_is_shown_and_not_two() {
        let shown = |headers: &[&str]| {
            let mut request = Request::new(Body::empty());
            for value in headers {
                let value = value.parse().unwrap();
                request.headers_mut().append("authorization", value);
            }
            bearer(&request).map(str::to_owned)
        };
        assert_eq!(shown(&["bearer a"]).as_deref(), Some("a"));
        for headers in [
            &[][..],
            &["Basic a"],
            &["Bearer a", "Bearer b"],
            &["Bearer a", "Basic b"],
        ] {
            assert_eq!(shown(headers), None, "{headers:?}");
        }
    }
}
