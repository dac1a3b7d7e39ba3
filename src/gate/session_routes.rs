//! The routes that the gate serves itself: signing out, and a user's own sessions.
//!
//! A request for one of them is decided as any other. If it is admitted with a token, it does not go
//! on to the upstream: it waits for a [`SessionCall`] to the authority, and is answered with what that
//! has brought. The authority verifies the token itself, and nothing but its proof makes the gate say
//! that a user is signed out.
//!
//! # Which paths are session routes?
//!
//! The configured ones as they are written. A path that can be read as one of them and is not one is
//! refused as ambiguous, like a path that can be read as one under another rule (`Policy::only_rule`):
//! an upstream that answers such a request would let the user believe that he is signed out.
//!
//! # What does an ordinary request pay?
//!
//! A look at the beginning of its path where there are session routes.

mod answer;
mod call;
mod origin;

pub use call::SessionCall;

pub(super) use origin::is_own_page;

use super::path;
use super::reason::Service;
use super::request::Request;
use crate::revocation::wire::sign_out::SignOutScope;

/// The session routes of a configuration, at least one.
#[derive(Debug)]
pub(super) struct SessionRoutes {
    pub(super) sign_out: Option<SignOutRoute>,
    /// `sessions`.
    pub(super) sessions: Option<At>,
}

/// `sign_out`.
#[derive(Debug)]
pub(super) struct SignOutRoute {
    pub(super) at: At,
    /// The methods that sign out.
    pub(super) methods: Vec<&'static str>,
    /// Whether a user may sign out of his other sessions.
    pub(super) others: bool,
    /// Whether a user may sign out of all sessions.
    pub(super) everywhere: bool,
    /// Where a browser is sent that has sent a form.
    pub(super) end_session_redirect: Option<String>,
}

/// Where a route is, and from where it may be used.
#[derive(Debug)]
pub(super) struct At {
    pub(super) path: String,
    /// The sites whose pages may act for users, besides the gate's own.
    pub(super) origins: Vec<String>,
}

/// The session route that a request is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Route<'r> {
    /// Signing out.
    SignOut(&'r SignOutRoute),
    /// The user's sessions.
    Sessions,
    /// One of them, by its id.
    Session(&'r At, &'r [u8]),
}

impl SessionRoutes {
    /// The route that a target, a path with or without a query, is for.
    pub(super) fn of<'r>(&'r self, target: &'r [u8]) -> Option<Route<'r>> {
        let sign_out = self.sign_out.as_ref();
        if let Some(route) = sign_out
            && let Some([]) = below(&route.at.path, target)
        {
            return Some(Route::SignOut(route));
        }
        let route = self.sessions.as_ref()?;
        Some(match below(&route.path, target)? {
            [] => Route::Sessions,
            [_, id @ ..] => Route::Session(route, id),
        })
    }

    /// Whether two readings of a path are the same for the session routes.
    pub(super) fn are_alike(&self, one: &[u8], other: &[u8]) -> bool {
        let route = |path| self.of(path).map(Route::key);
        route(one) == route(other)
    }

    /// The value of `Allow` for a request that one of them does not take.
    pub(super) fn allowed(&self, request: &Request) -> Option<String> {
        Some(match self.of(request.target()?)? {
            Route::SignOut(route) => route.methods.join(", "),
            Route::Sessions => LIST.to_owned(),
            Route::Session(..) => END.to_owned(),
        })
    }
}

impl<'r> Route<'r> {
    /// Which route it is, and of which session.
    const fn key(self) -> (bool, Option<&'r [u8]>) {
        match self {
            Self::SignOut(_) => (true, None),
            Self::Sessions => (false, None),
            Self::Session(_, id) => (false, Some(id)),
        }
    }

    /// Whether it takes a method.
    pub(super) fn takes(self, method: &[u8]) -> bool {
        let is_method = |own: &&str| own.as_bytes() == method;
        match self {
            Self::SignOut(route) => route.methods.iter().any(is_method),
            Self::Sessions => is_method(&LIST),
            Self::Session(..) => is_method(&END),
        }
    }

    /// The sites whose pages may use it with a browser's cookies; `None` where it changes nothing.
    pub(super) fn origins(self) -> Option<&'r [String]> {
        match self {
            Self::SignOut(route) => Some(&route.at.origins),
            Self::Sessions => None,
            Self::Session(route, _) => Some(&route.origins),
        }
    }
}

impl SignOutRoute {
    /// What the user may sign out of by this word; without one, the session of the token.
    pub(super) fn scope(&self, word: Option<&str>) -> Option<SignOutScope> {
        let Some(word) = word else {
            return Some(SignOutScope::Session);
        };
        let mut scopes = SignOutScope::ALL.into_iter();
        let scope = scopes.find(|scope| scope.name() == word)?;
        let is_allowed = match scope {
            SignOutScope::Session => true,
            SignOutScope::Others => self.others,
            SignOutScope::Everywhere => self.everywhere,
        };
        is_allowed.then_some(scope)
    }
}

impl From<SignOutScope> for Service {
    fn from(scope: SignOutScope) -> Self {
        match scope {
            SignOutScope::Session => Self::SignOut,
            SignOutScope::Others => Self::SignOutOthers,
            SignOutScope::Everywhere => Self::SignOutEverywhere,
        }
    }
}

/// What follows `path` in the path of this target: nothing, or `/` and what is below it. `None` for
/// another path.
fn below<'t>(path: &str, target: &'t [u8]) -> Option<&'t [u8]> {
    let rest = target.strip_prefix(path.as_bytes())?;
    match rest.first() {
        None | Some(b'/' | b'?' | b'#') => Some(path::without_query(rest)),
        Some(_) => None,
    }
}

/// The method that lists sessions.
const LIST: &str = "GET";

/// The method that ends one.
const END: &str = "DELETE";

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn at(path: &str) -> At {
        At {
            path: path.to_owned(),
            origins: Vec::new(),
        }
    }

    fn routes() -> SessionRoutes {
        SessionRoutes {
            sign_out: Some(SignOutRoute {
                at: at("/session/sign-out"),
                methods: vec!["POST"],
                others: true,
                everywhere: false,
                end_session_redirect: None,
            }),
            sessions: Some(at("/session/devices")),
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_route_is_known_by_its_whole_path_whatever_the_query() {
        let routes = routes();
        let key = |target: &'static str| routes.of(target.as_bytes()).map(Route::key);
        for target in [
            "/session/sign-out",
            "/session/sign-out?scope=others",
            "/session/sign-out#",
        ] {
            assert_eq!(key(target), Some((true, None)), "{target}");
        }
        for target in ["/session/devices", "/session/devices?after=/x"] {
            assert_eq!(key(target), Some((false, None)), "{target}");
        }
        for (target, id) in [
            ("/session/devices/abc?x", "abc"),
            ("/session/devices/", ""),
            ("/session/devices/a/b", "a/b"),
        ] {
            assert_eq!(key(target), Some((false, Some(id.as_bytes()))), "{target}");
        }
        for target in [
            "/session/sign-out/",
            "/session/sign-outs",
            "/session/devices2",
            "/session",
            "/x/session/sign-out",
            "/x?/session/sign-out",
            "*",
            "",
        ] {
            assert_eq!(key(target), None, "{target}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_user_signs_out_of_what_the_operator_allows_and_of_the_session_by_default() {
        let route = routes().sign_out.unwrap();
        for (word, scope) in [
            (None, Some(SignOutScope::Session)),
            (Some("session"), Some(SignOutScope::Session)),
            (Some("others"), Some(SignOutScope::Others)),
            (Some("everywhere"), None),
            (Some("Session"), None),
            (Some(""), None),
        ] {
            assert_eq!(route.scope(word), scope, "{word:?}");
        }
    }
}
