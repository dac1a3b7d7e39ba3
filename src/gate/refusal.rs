//! The answer to a refused request, in the form that the client understands.

mod challenge;
mod negotiation;
mod step_up;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::alias::reads_as;
use super::decision::Refusal;
use super::extraction::{self, Location};
use super::path;
use super::policy::{Dpop, SignIn, Words, text_of};
use super::reason::{Action, ChallengeKind, Problem, Reason};
use super::request::Request;
use crate::host::Response;
use crate::json_object::JsonObject;
use crate::percent;
use crate::time::UnixTime;
use challenge::Challenge;
use negotiation::Representation;
use step_up::Round;

pub(super) use negotiation::is_navigation;

/// What the operator decided about the answers to refused requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefusalSettings {
    /// `realm` of challenges; needs no escape in a quoted string.
    pub(super) realm: String,
    /// URL of the protected resource's metadata (RFC 9728 section 5.1); needs no escape either.
    pub(super) resource_metadata: Option<String>,
    /// Where browsers are sent if they load a page and the user has to sign in.
    pub(super) login: Option<Login>,
    /// `strip_failure_response`: neither a body nor a challenge, but one that asks for a nonce.
    pub(super) is_stripped: bool,
}

/// Where browsers are sent to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// URL or path of the page, without a fragment.
    pub(super) url: String,
    /// The parameter that tells it where to send the browser back to.
    pub(super) parameter: String,
    /// What the query has as well where the token was revoked, such as `prompt=login`: an identity provider
    /// that does not ask the user again gives out tokens that are revoked too.
    pub(super) when_revoked: Option<String>,
}

/// When a client should ask again after a 503. Keys are fetched again within a second or two.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Longest return address; one that is longer is left out.
const MAX_RETURN_BYTES: usize = 2 * 1024;

/// The form of the answer to a refused request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ResponseForm {
    /// A gRPC status.
    Grpc,
    /// A redirect to the login page, which may be counted.
    Redirect(Option<Round>),
    /// A status, and a challenge only if that asks for a nonce.
    Stripped,
    /// A problem document (RFC 9457) or plain text, with a challenge (RFC 6750).
    Told(Representation),
}

/// What a token lacks, as far as the client is told.
#[derive(Clone, Copy, Debug)]
enum Needed<'r> {
    /// Scopes.
    Scopes(&'r Words),
    /// That its user has signed in like this.
    SignIn(&'r SignIn),
}

/// What a client is told beyond the problem itself.
#[derive(Clone, Copy, Debug)]
struct Asked<'r> {
    needed: Option<Needed<'r>>,
    proofs: Option<&'r AskedProof<'r>>,
}

/// How proofs of keys are verified that may come with a refused token.
#[derive(Debug)]
pub(super) struct AskedProof<'r> {
    pub(super) dpop: &'r Dpop,
    /// Whether every token has to be bound to a key.
    pub(super) is_key_required: bool,
    /// Whether the client has sent its token as one that is.
    pub(super) is_under_dpop: bool,
    /// The nonce for the next one.
    pub(super) nonce: Option<String>,
}

impl AskedProof<'_> {
    /// The names of the algorithms that count.
    fn algorithms(&self) -> String {
        let names = self.dpop.rules.algorithms.iter();
        let names: Vec<_> = names.map(|algorithm| algorithm.name()).collect();
        names.join(" ")
    }
}

/// The answers to refused requests. Most are the same for every client and are made once, so that a
/// flood of forged tokens costs little.
#[derive(Debug)]
pub(super) struct Refusals {
    settings: RefusalSettings,
    made: Vec<OnceCell<Rc<Response>>>,
    /// Those with challenges for proofs, of which each provider has its own.
    made_for_proofs: RefCell<Vec<ForProof>>,
}

/// Index of the provider, whether the token was sent as one that is bound to a key, and index of the answer among
/// those that are the same for every client.
type ForProofIndex = (Option<usize>, bool, usize);

/// An answer with a challenge for a proof.
#[derive(Debug)]
struct ForProof {
    index: ForProofIndex,
    /// The nonce in it.
    nonce: Option<String>,
    response: Rc<Response>,
}

/// Forms in which answers are the same for every client.
const COMMON_FORMS: usize = 4;

impl Refusals {
    pub(super) fn new(settings: RefusalSettings) -> Self {
        let count = Reason::ALL.len() * COMMON_FORMS;
        Self {
            settings,
            made: std::iter::repeat_with(OnceCell::new).take(count).collect(),
            made_for_proofs: RefCell::default(),
        }
    }

    /// The answer to a request. It repeats nothing of the request except the return address of a
    /// redirect, without the tokens that may be in its `locations`, and how often there was one. `allow`
    /// names the methods where the method is refused; `proofs` says how proofs of keys are verified, where they
    /// are; `now` tells the time.
    pub(super) fn response<'l>(
        &self,
        refusal: Refusal<'_>,
        request: &Request,
        locations: impl Iterator<Item = &'l Location>,
        allow: Option<String>,
        proofs: Option<&AskedProof<'_>>,
        now: &dyn Fn() -> UnixTime,
    ) -> Rc<Response> {
        let form = self.settings.form(refusal, request, now);
        let needed = Needed::of(refusal);
        let asked = Asked { needed, proofs };
        let common = match form {
            _ if allow.is_some() => None,
            ResponseForm::Grpc => Some(0),
            ResponseForm::Stripped => Some(1),
            ResponseForm::Told(Representation::Problem) if needed.is_none() => Some(2),
            ResponseForm::Told(Representation::Text) if needed.is_none() => Some(3),
            ResponseForm::Redirect(_) | ResponseForm::Told(_) => None,
        };
        let settings = &self.settings;
        let new = || Rc::new(settings.response(refusal, form, asked, request, locations, allow));
        let index = common.map(|form| refusal.reason as usize * COMMON_FORMS + form);
        match (index, proofs) {
            (Some(index), Some(asked)) => {
                let index = (refusal.provider, asked.is_under_dpop, index);
                self.made_for_proof(index, asked.nonce.as_deref(), new)
            }
            (Some(index), None) => match self.made.get(index) {
                Some(made) => Rc::clone(made.get_or_init(new)),
                None => new(),
            },
            (None, _) => new(),
        }
    }

    /// The one that was made for this provider, with this nonce, or a new one in its place.
    fn made_for_proof(
        &self,
        index: ForProofIndex,
        nonce: Option<&str>,
        new: impl FnOnce() -> Rc<Response>,
    ) -> Rc<Response> {
        let mut made = self.made_for_proofs.borrow_mut();
        let found = made.iter_mut().find(|made| made.index == index);
        match found {
            Some(found) if found.nonce.as_deref() == nonce => Rc::clone(&found.response),
            Some(found) => {
                found.response = new();
                found.nonce = nonce.map(str::to_owned);
                Rc::clone(&found.response)
            }
            None => {
                let response = new();
                made.push(ForProof {
                    index,
                    nonce: nonce.map(str::to_owned),
                    response: Rc::clone(&response),
                });
                response
            }
        }
    }
}

impl RefusalSettings {
    fn form(
        &self,
        refusal: Refusal<'_>,
        request: &Request,
        now: &dyn Fn() -> UnixTime,
    ) -> ResponseForm {
        if request.is_grpc() {
            return ResponseForm::Grpc;
        }
        if self.login.is_some() && negotiation::is_page_load(request) {
            match refusal.reason.problem().action {
                Action::SignIn | Action::Refresh => return ResponseForm::Redirect(None),
                Action::StepUp => {
                    // Where there is nothing that the page could ask for, it would send the browser back as it is.
                    let asks = |sign_in: &SignIn| sign_in.parameters().next().is_some();
                    if refusal.sign_in().is_some_and(asks)
                        && let Some(round) = Round::next(request, refusal, now())
                    {
                        return ResponseForm::Redirect(Some(round));
                    }
                }
                Action::Retry | Action::Wait | Action::None => {}
            }
        }
        if self.is_stripped {
            ResponseForm::Stripped
        } else {
            ResponseForm::Told(negotiation::representation(request))
        }
    }

    fn response<'l>(
        &self,
        refusal: Refusal<'_>,
        form: ResponseForm,
        asked: Asked<'_>,
        request: &Request,
        locations: impl Iterator<Item = &'l Location>,
        allow: Option<String>,
    ) -> Response {
        let Asked { needed, proofs } = asked;
        let problem = refusal.reason.problem();
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if problem.status == 503 {
            headers.push(("retry-after", RETRY_AFTER_SECONDS.to_string()));
        }
        headers.extend(allow.map(|methods| ("allow", methods)));
        let nonce = proofs.and_then(|asked| asked.nonce.clone());
        headers.extend(nonce.map(|nonce| ("dpop-nonce", nonce)));
        // Without that challenge, no library would use the nonce.
        let needs_nonce = problem.challenge == ChallengeKind::UseNonce && proofs.is_some();
        if matches!(form, ResponseForm::Told(_)) || needs_nonce {
            for challenge in Challenge::of(&problem, asked, self) {
                headers.push(("www-authenticate", challenge.header_value()));
            }
        }
        let (mut status, mut grpc_status) = (problem.status, None);
        let body = match form {
            // A response of trailers only, all of which are in the headers. Envoy could make one of
            // status and body, but not for a request that its `grpc_web` filter has translated:
            // that filter decides by the HTTP status what it takes for plain text.
            ResponseForm::Grpc => {
                let code = self::grpc_status(problem.status);
                (status, grpc_status) = (200, Some(code));
                headers.push(("grpc-status", code.to_string()));
                if !self.is_stripped {
                    let message = format!("{}: {}", problem.code, problem.detail);
                    headers.push(("grpc-message", message));
                }
                Vec::new()
            }
            ResponseForm::Redirect(round) => {
                status = 302;
                let login = self.login.as_ref();
                let address = login.map(|login| login.address(refusal, request, locations));
                headers.extend(address.map(|address| ("location", address)));
                headers.extend(round.map(|round| ("set-cookie", round.cookie())));
                Vec::new()
            }
            ResponseForm::Stripped => Vec::new(),
            ResponseForm::Told(representation) => {
                let (content_type, body) = match representation {
                    Representation::Problem => {
                        ("application/problem+json", document(&problem, needed))
                    }
                    Representation::Text => (
                        "text/plain; charset=utf-8",
                        format!("{}: {}\n", problem.code, problem.detail).into_bytes(),
                    ),
                };
                headers.push(("content-type", content_type.to_owned()));
                headers.push(("vary", "accept".to_owned()));
                body
            }
        };
        Response {
            status,
            grpc_status,
            headers: headers.into_iter().collect(),
            body,
            // As `jwt_authn` does, whose details are `jwt_authn_access_denied{…}`.
            details: format!("portcullis_denied{{{}}}", refusal.reason.label()),
        }
    }
}

impl<'r> Needed<'r> {
    /// What the token would have needed, if it is refused for that.
    fn of(refusal: Refusal<'r>) -> Option<Self> {
        match refusal.reason {
            Reason::ScopeMissing => Some(Self::Scopes(&refusal.requirement?.scopes)),
            reason if reason.is_about_sign_in() => refusal.sign_in().map(Self::SignIn),
            _ => None,
        }
    }
}

/// The problem document (RFC 9457).
fn document(problem: &Problem, needed: Option<Needed<'_>>) -> Vec<u8> {
    let mut document = JsonObject::begin(Vec::with_capacity(256));
    document.text("action", Some(problem.action.label()));
    document.text("code", Some(problem.code));
    document.text("detail", Some(problem.detail));
    if let Some(Needed::SignIn(sign_in)) = needed {
        for (name, value) in sign_in.parameters() {
            document.text(name, value.as_str());
            if let Some(number) = value.as_u64() {
                document.number(name, number);
            }
        }
    }
    if problem.status == 503 {
        // A script of another origin does not see the header.
        document.number("retry_after", RETRY_AFTER_SECONDS.into());
    }
    document.number("status", problem.status.into());
    document.text("title", Some(title(problem.status)));
    document.text("type", Some("about:blank"));
    document.end()
}

impl Login {
    /// The page's address with the way back in it: the path and query of the request, so that it
    /// can only lead to this host, with every byte encoded that could mean something else.
    fn address<'l>(
        &self,
        refusal: Refusal<'_>,
        request: &Request,
        locations: impl Iterator<Item = &'l Location>,
    ) -> String {
        let tokens: Vec<&str> = locations
            .filter_map(|location| match location {
                Location::Parameter(name) => Some(name.as_str()),
                _ => None,
            })
            .chain([extraction::ACCESS_TOKEN])
            .collect();
        let target = request.target().unwrap_or(b"/");
        let is_token = |name: &[u8]| tokens.iter().any(|own| reads_as(own, name));
        let target = path::without_parameters(target, is_token);
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let mut address = format!("{}{separator}", self.url);
        let more = self.when_revoked.as_deref();
        let more = more.filter(|_| refusal.reason.is_revocation());
        // Also for a user without a good token, who often would have to sign in twice otherwise.
        let asked = refusal.sign_in().into_iter().flat_map(SignIn::parameters);
        for (name, value) in asked.filter(|(name, _)| !more.is_some_and(|more| says(more, name))) {
            address.extend([name, "="]);
            percent::encode(&mut address, text_of(&value).as_bytes());
            address.push('&');
        }
        if let Some(more) = more {
            address.extend([more, "&"]);
        }
        address.extend([&*self.parameter, "="]);
        percent::encode(&mut address, return_path(&target));
        address
    }
}

/// Whether these parameters of a query have one of this name.
pub(super) fn says(query: &str, name: &str) -> bool {
    let mut pairs = query.split('&');
    pairs.any(|pair| path::pair(pair.as_bytes()).0 == name.as_bytes())
}

/// `/` instead of what a browser might take for another site: `//host`, `/.//host`, `/\host`, and
/// what does not begin with `/` or has control characters, which browsers drop before they look.
fn return_path(target: &[u8]) -> &[u8] {
    let leads_away = match target {
        [b'/', b'/' | b'\\', ..] => true,
        [b'/', ..] => false,
        _ => true,
    };
    let is_odd = target
        .iter()
        .any(|byte| byte.is_ascii_control() || *byte == b'\\');
    // `/.//host` is resolved to `//host`, and browsers resolve `/%2e//host` as well.
    let path = path::without_query(target);
    let stays = |reading: &[u8]| !reading.starts_with(b"//");
    let may_lead_away = leads_away || is_odd || target.len() > MAX_RETURN_BYTES;
    if may_lead_away || !(path::is_normal(path) || path::readings::all(path, stays)) {
        b"/"
    } else {
        target
    }
}

/// The reason phrase of a status that the gate answers with (RFC 9110 section 15).
const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        _ => "Service Unavailable",
    }
}

/// gRPC's status codes by their numbers (grpc/grpc doc/statuscodes.md).
const fn grpc_status(status: u16) -> u8 {
    const INVALID_ARGUMENT: u8 = 3;
    const NOT_FOUND: u8 = 5;
    const PERMISSION_DENIED: u8 = 7;
    const UNIMPLEMENTED: u8 = 12;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    match status {
        400 => INVALID_ARGUMENT,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        404 => NOT_FOUND,
        405 => UNIMPLEMENTED,
        _ => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests;
