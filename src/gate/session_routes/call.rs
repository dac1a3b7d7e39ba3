//! What the authority is asked for on a user's behalf.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::super::reason::{Reason, Service};
use super::super::token_cache::KnownToken;
use crate::host::CallOutcome;
use crate::revocation::wire::own_sessions::{END_OWN_SESSION_PATH, OWN_SESSIONS_PATH};
use crate::revocation::wire::{self, sign_out::SIGN_OUT_PATH};
use crate::revocation::{FeedKeys, proof};
use crate::token::parse_json;

/// How long the authority may take. It writes to its disk first, which may take longer than a check
/// under load, and there is a person who waits, not a page with a hundred requests.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Longest list of sessions that is passed on: a hundred of them are 50 kB at most.
const MAX_LIST_BYTES: usize = 256 * 1024;

/// The code of the authority's answer for a session that the user does not have.
const NOT_FOUND: &str = "session_not_found";

/// The code of its answer for a token that does not say what to revoke: it never will, however often the
/// client tries again.
const UNNAMED: &str = "token_unnamed";

/// The code of its answer for an `after` that it has not given out: a client that was told to wait would
/// wait for ever.
const OUT_OF_BOUNDS: &str = "out_of_bounds";

/// A call to the authority that a request for a session route waits for.
pub struct SessionCall {
    pub(in crate::gate) service: Service,
    /// Has the user's token in it.
    pub(in crate::gate) body: Vec<u8>,
    /// Index of the provider of the token.
    pub(in crate::gate) provider: usize,
    pub(in crate::gate) token: Rc<KnownToken>,
    /// The cookies that the token came in.
    pub(in crate::gate) cookies: Vec<String>,
}

/// What a call has brought.
pub(in crate::gate) struct Done {
    /// The body of the answer to the client, which is empty unless sessions are listed.
    pub(in crate::gate) list: Vec<u8>,
    /// Whether the session of the token that it was made with has ended, as far as that is certain.
    pub(in crate::gate) ended_own_session: bool,
}

/// Calls with the same body are the same.
impl PartialEq for SessionCall {
    fn eq(&self, other: &Self) -> bool {
        (self.service, &self.body) == (other.service, &other.body)
    }
}

impl fmt::Debug for SessionCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("SessionCall");
        shown
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

impl SessionCall {
    /// What the user wants.
    #[must_use]
    pub const fn service(&self) -> Service {
        self.service
    }

    /// Path and body of the call, and how long it may take.
    pub(in crate::gate) fn parts(&self) -> (&'static str, Vec<u8>, Duration) {
        let path = match self.service {
            Service::ListSessions => OWN_SESSIONS_PATH,
            Service::EndSession => END_OWN_SESSION_PATH,
            _ => SIGN_OUT_PATH,
        };
        (path, self.body.clone(), TIMEOUT)
    }

    /// What the authority has done.
    ///
    /// # Errors
    ///
    /// [`Reason::SignOutFailed`] without a proof by one of these keys, [`Reason::SessionNotFound`]
    /// and [`Reason::TokenUnnamed`] where the authority says so, [`Reason::ParameterInvalid`] for an `after` that is not of this list,
    /// and [`Reason::SessionsUnavailable`] without a list.
    pub(in crate::gate) fn read(
        &self,
        outcome: &CallOutcome,
        keys: &FeedKeys,
    ) -> Result<Done, Reason> {
        let (status, body): (_, &[u8]) = match outcome {
            CallOutcome::Answered { status, body, .. } => (*status, body),
            CallOutcome::Failed => (0, &[]),
        };
        // The status alone may be that of an authority that does not know the path.
        let is_told = |expected: u16, code: &str| {
            status == expected && member(body, "code").is_some_and(|found| found == code)
        };
        if is_told(422, UNNAMED) {
            return Err(Reason::TokenUnnamed);
        }
        if self.service == Service::ListSessions {
            let is_list = status == 200 && body.len() <= MAX_LIST_BYTES && has_sessions(body);
            let done = is_list.then(|| Done {
                list: body.to_vec(),
                ended_own_session: false,
            });
            return done.ok_or(if is_told(422, OUT_OF_BOUNDS) {
                Reason::ParameterInvalid
            } else {
                Reason::SessionsUnavailable
            });
        }
        let proof = wire::proof_in(body).filter(|_| status == 200);
        if proof.is_some_and(|proof| proof::is_done(&proof, &self.body, keys)) {
            return Ok(Done {
                list: Vec::new(),
                ended_own_session: match self.service {
                    Service::SignOut | Service::SignOutEverywhere => true,
                    // Which session has this id only the authority knows.
                    Service::EndSession => member(body, "current").is_some_and(|it| it == true),
                    _ => false,
                },
            });
        }
        Err(
            if self.service == Service::EndSession && is_told(404, NOT_FOUND) {
                Reason::SessionNotFound
            } else {
                Reason::SignOutFailed
            },
        )
    }
}

fn has_sessions(body: &[u8]) -> bool {
    member(body, "sessions").is_some_and(|sessions| sessions.is_array())
}

fn member(body: &[u8], name: &str) -> Option<serde_json::Value> {
    Some(parse_json(body).ok()?.get_mut(name)?.take())
}
