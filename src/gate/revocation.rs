//! Whether a token was revoked, and what to do when that is not known.

mod naming;

pub use naming::{ClaimSource, NamingRules};

use std::rc::Rc;
use std::time::Duration;

use super::admitted::Validity;
use super::reason::{Admission, Reason};
use super::token_cache::KnownToken;
use crate::host::{Call, CallOutcome, Host, SharedData};
use crate::json_object::json_text;
use crate::namespace::{Namespace, RecordSecret};
use crate::revocation::wire::activity::Report;
use crate::revocation::wire::{self, CheckRequest};
use crate::revocation::{
    Cause, FeedKeys, Fingerprint, Names, Settled, Standing, Status, View, proof,
};
use crate::token::Claims;
use naming::{Extent, Naming, StatusClaim};

/// What the operator wants done where it is not known whether a token was revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posture {
    /// Refuse. The default everywhere.
    Deny,
    /// Ask the authority about every token that is not known already.
    Confirm,
    /// Let it through, and count it.
    Allow,
}

/// The check of a token with these claims: it asks about every name that could revoke the token.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn check_request_of(claims: &Claims, rules: NamingRules<'_>) -> CheckRequest {
    Naming::of(claims, rules).check_request()
}

/// Whether a token with these claims was looked up by everything by which it could be revoked, once it
/// is: there is a name, and no claim that should be one and cannot, nor a status that is none.
#[cfg(not(target_family = "wasm"))]
#[must_use]
pub fn is_wholly_named(claims: &Claims, rules: NamingRules<'_>) -> bool {
    let naming = Naming::of(claims, rules);
    naming.extent() == Extent::Whole && naming.status() != StatusClaim::Unusable
}

/// What is told of the session that a token with these claims is of; `None` where nothing names
/// one.
pub(super) fn report_of(claims: &Claims, device_claim: Option<&str>) -> Option<Report> {
    let rules = NamingRules {
        device_claim,
        ..NamingRules::default()
    };
    Naming::of(claims, rules).report(claims)
}

/// The `revocation` part of a configuration.
#[derive(Clone)]
pub struct RevocationSettings {
    /// Envoy's name for the authority.
    pub cluster: String,
    /// `:authority` of requests to it.
    pub authority: String,
    /// An `edge` credential.
    pub credential: String,
    /// The secret that seals records in shared data.
    pub record_secret: RecordSecret,
    /// Keys that may sign the feed.
    pub keys: FeedKeys,
    /// The claim that names the device.
    pub device_claim: Option<String>,
    /// Further claims that can be revoked by, at most [`wire::MAX_CLAIMS`].
    pub claims: Vec<ClaimSource>,
    /// How long the authority may be silent.
    pub max_staleness: Duration,
    /// When it has been silent for longer.
    pub on_stale: Posture,
    /// When no generation has been loaded.
    pub on_missing_feed: Posture,
    /// When the filter says "perhaps" and the authority does not answer.
    pub on_unconfirmed: Posture,
    /// When a token has no claim that a revocation could name, or one that none could.
    pub on_unnamed: Posture,
    /// How long the authority may take to answer for one token.
    pub check_timeout: Duration,
    /// Longest delay before a newer generation is loaded.
    pub reload_jitter: Duration,
    /// How long requests in progress go on where new ones are refused because nothing is known.
    pub stream_grace: Duration,
}

impl std::fmt::Debug for RevocationSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("RevocationSettings");
        shown
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl RevocationSettings {
    /// Where the records of this feed are. The same server is the same feed, even while one of its
    /// keys is being replaced.
    #[must_use]
    pub fn space(&self) -> Namespace {
        let server = (self.cluster.as_str(), self.authority.as_str());
        Namespace::new(&self.record_secret, "feed", &server)
    }
}

/// How far the feed is: epoch and sequence number. None before there is a feed.
type FeedPosition = Option<(u64, u64)>;

/// What the authority is asked about one token, to be answered exactly.
#[derive(Clone, Debug)]
pub struct Check {
    /// Boxed, since a decision that may hold a check is moved for every request.
    names: Box<CheckRequest>,
    /// A random number, so that an answer can neither be made in advance nor be used again.
    nonce: u64,
    /// How far the feed was when the check was made.
    asked_at: FeedPosition,
}

/// Checks of the same names at the same state of the feed are the same, whenever they are made.
impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        (&self.names, self.asked_at) == (&other.names, other.asked_at)
    }
}

impl Check {
    /// The body of its call.
    fn body(&self) -> Vec<u8> {
        let request = CheckRequest {
            epoch: self.asked_at.map(|(epoch, _)| epoch),
            at_least: self.asked_at.map(|(_, sequence)| sequence),
            with_cause: true,
            nonce: Some(self.nonce),
            ..(*self.names).clone()
        };
        json_text(&request.to_json()).into_bytes()
    }
}

/// How a check ended. A request may have several tokens, so the outcome goes with its check and
/// counts for no other.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckOutcome {
    check: Check,
    /// The authority's answer; `None` when it has not answered.
    pub answer: Option<Settled>,
}

impl CheckOutcome {
    /// Reads the end of a check's call. An answer that none of these keys has signed does not
    /// count: a server that poses as the authority must not let a revoked token through.
    #[must_use]
    pub fn read(check: &Check, outcome: &CallOutcome, keys: &FeedKeys) -> Self {
        let answer = match outcome {
            CallOutcome::Answered {
                status: 200, body, ..
            } => wire::proof_in(body).and_then(|proof| proof::verdict(&proof, &check.body(), keys)),
            _ => None,
        };
        Self {
            check: check.clone(),
            answer,
        }
    }
}

/// What follows for one token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// Whether it was revoked, until a change concerns one of these names.
    Settled(Settled, Names),
    /// It is let through this once; the next request has to look again.
    Unsettled(Admission),
    /// The authority has to be asked.
    Ask(Check),
}

impl Finding {
    const UNKNOWN: Self = Self::Unsettled(Admission::RevocationUnknown);

    /// The same where more could be known: then nothing is certain but that a token was revoked.
    fn without_certainty(self) -> Self {
        match self {
            Self::Settled(Settled::NotRevoked, _) | Self::Unsettled(_) => Self::UNKNOWN,
            other @ (Self::Settled(Settled::Revoked(_), _) | Self::Ask(_)) => other,
        }
    }
}

/// Whether the authority was asked about a token of which it has said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// Not yet.
    NotYet,
    /// It was, and has not answered.
    InVain,
}

/// The feed of a gate, and what its operator wants.
#[derive(Debug)]
pub(super) struct Revocations {
    settings: RevocationSettings,
    view: Rc<View>,
}

impl Revocations {
    pub(super) fn new(settings: RevocationSettings) -> Self {
        let view = Rc::new(View::new(settings.space(), settings.keys.clone()));
        Self { settings, view }
    }

    pub(super) const fn settings(&self) -> &RevocationSettings {
        &self.settings
    }

    pub(super) const fn view(&self) -> &Rc<View> {
        &self.view
    }

    /// How far the feed is, to notice that it has moved on.
    fn position(&self) -> FeedPosition {
        let state = self.view.state()?;
        Some((state.epoch, state.sequence))
    }

    /// Whether the feed can be relied on now, for tokens that were found not revoked before. They
    /// are good as long as it can; after that the posture decides.
    pub(super) fn standing(&self, host: &impl SharedData, now_milliseconds: u64) -> Standing {
        self.view
            .standing(host, now_milliseconds, self.settings.max_staleness)
    }

    /// What the operator wants in this standing; `None` where the feed can be relied on.
    pub(super) const fn posture(&self, standing: Standing) -> Option<Posture> {
        match standing {
            Standing::Missing => Some(self.settings.on_missing_feed),
            Standing::Stale => Some(self.settings.on_stale),
            Standing::Current => None,
        }
    }

    /// What is known of a token whose signature and claims are good. `checks` are those that were
    /// made for this request.
    ///
    /// # Errors
    ///
    /// [`Reason::RevocationUnavailable`], [`Reason::RevocationStale`] and
    /// [`Reason::RevocationUnconfirmed`] if nothing is known and the posture is to refuse;
    /// [`Reason::TokenUnnamed`] and [`Reason::StatusMalformed`]; [`Reason::TokenRevoked`], or that of the
    /// [`Cause`], if the authority said so before the feed changed, so that the next request has to look
    /// again.
    pub(super) fn find(
        &self,
        host: &impl Host,
        token: &KnownToken,
        standing: Standing,
        checks: &[CheckOutcome],
    ) -> Result<Finding, Reason> {
        let naming = self.naming(token);
        match naming.status() {
            StatusClaim::Unusable => return Err(Reason::StatusMalformed),
            // There is no asking for its status.
            StatusClaim::Entry { .. } if !naming.has_issuer() => return Err(Reason::TokenUnnamed),
            StatusClaim::Entry { .. } | StatusClaim::Absent => {}
        }
        if naming.extent() == Extent::Whole {
            return self.find_named(host, &naming, standing, checks);
        }
        if self.settings.on_unnamed != Posture::Allow {
            return Err(Reason::TokenUnnamed);
        }
        // Its names can still revoke it. That no other name has is never known.
        if !naming.has_issuer() {
            return Ok(Finding::UNKNOWN);
        }
        let finding = self.find_named(host, &naming, standing, checks)?;
        Ok(finding.without_certainty())
    }

    fn find_named(
        &self,
        host: &impl Host,
        naming: &Naming<'_>,
        standing: Standing,
        checks: &[CheckOutcome],
    ) -> Result<Finding, Reason> {
        let outcome = outcome_for(naming, checks);
        if let Some(CheckOutcome {
            check,
            answer: Some(settled),
        }) = outcome
        {
            return if check.asked_at == self.position() {
                self.answered(host, naming, *settled)
            } else {
                self.overtaken(host, naming, *settled)
            };
        }
        let asked = outcome.map_or(Asked::NotYet, |_| Asked::InVain);
        match (standing, self.posture(standing)) {
            (_, None) => self.look_up(host, naming, asked),
            // What is held still counts, but there may be more by now.
            (Standing::Stale, Some(Posture::Allow)) => {
                let finding = self.look_up(host, naming, asked)?;
                Ok(finding.without_certainty())
            }
            (_, Some(Posture::Allow)) => Ok(Finding::UNKNOWN),
            (_, Some(Posture::Confirm)) if asked == Asked::NotYet => {
                Ok(Finding::Ask(self.check(host, naming)))
            }
            (Standing::Stale, _) => Err(Reason::RevocationStale),
            _ => Err(Reason::RevocationUnavailable),
        }
    }

    /// What follows from the authority's answer.
    fn answered(
        &self,
        host: &impl SharedData,
        naming: &Naming<'_>,
        settled: Settled,
    ) -> Result<Finding, Reason> {
        match self.view.state() {
            Some(state) => Ok(Finding::Settled(settled, naming.names(&state.filter_key))),
            // Without a feed, a change would go unnoticed.
            None => self.overtaken(host, naming, settled),
        }
    }

    /// The same where the feed has changed since the check was made. The change may have revoked or
    /// restored this token. So the answer serves only once, and "not revoked" only where no cut-off
    /// of the feed says otherwise.
    fn overtaken(
        &self,
        host: &impl SharedData,
        naming: &Naming<'_>,
        settled: Settled,
    ) -> Result<Finding, Reason> {
        match settled {
            Settled::Revoked(cause) => Err(cause.into()),
            Settled::NotRevoked => Ok(match self.status(host, naming) {
                (Status::CutOff, names) => Finding::Settled(CUT_OFF, names),
                _ => Finding::Unsettled(Admission::Verified),
            }),
        }
    }

    fn status(&self, host: &impl SharedData, naming: &Naming<'_>) -> (Status, Names) {
        self.view
            .status(host, |state| naming.names(&state.filter_key))
    }

    fn look_up(
        &self,
        host: &impl Host,
        naming: &Naming<'_>,
        asked: Asked,
    ) -> Result<Finding, Reason> {
        let (status, names) = self.status(host, naming);
        match status {
            Status::NotRevoked if !naming.has_status() => {
                Ok(Finding::Settled(Settled::NotRevoked, names))
            }
            Status::CutOff => Ok(Finding::Settled(CUT_OFF, names)),
            _ => match (asked, self.settings.on_unconfirmed) {
                (Asked::NotYet, _) => Ok(Finding::Ask(self.check(host, naming))),
                (Asked::InVain, Posture::Allow) => Ok(Finding::UNKNOWN),
                (Asked::InVain, _) => Err(Reason::RevocationUnconfirmed),
            },
        }
    }

    fn check(&self, host: &impl Host, naming: &Naming<'_>) -> Check {
        self.check_of(naming.check_request(), host.random())
    }

    fn check_of(&self, names: CheckRequest, random: u64) -> Check {
        Check {
            names: Box::new(names),
            nonce: nonce_of(random),
            asked_at: self.position(),
        }
    }

    /// The names of a token.
    fn naming<'t>(&'t self, token: &'t KnownToken) -> Naming<'t> {
        let rules = NamingRules {
            device_claim: self.settings.device_claim.as_deref(),
            claims: &self.settings.claims,
            cut_off_by: token.cut_off_by(),
            honours_status: token.honours_status(),
        };
        Naming::of(token.claims(), rules)
    }

    /// Whether one of these names is a name of this token.
    pub(super) fn is_named(&self, token: &KnownToken, is_it: impl Fn(Fingerprint) -> bool) -> bool {
        let naming = self.naming(token);
        // Without a feed nothing is known of its names, and nothing is ruled out.
        self.view.state().is_none_or(|state| {
            let names = naming.names(&state.filter_key);
            names.all().any(is_it)
        })
    }

    /// What is known now of a token that has let a request in which is still in progress.
    pub(super) fn look_again(
        &self,
        host: &impl SharedData,
        random: impl Fn() -> u64,
        token: &KnownToken,
    ) -> Validity {
        let naming = self.naming(token);
        if !naming.has_issuer() {
            return Validity::Holds;
        }
        match self.status(host, &naming).0 {
            Status::NotRevoked if !naming.has_status() => Validity::Holds,
            Status::CutOff => Validity::Revoked,
            _ => {
                let names = CheckRequest {
                    in_progress: true,
                    ..naming.check_request()
                };
                Validity::Check(vec![self.check_of(names, random())])
            }
        }
    }

    /// The names of this token, as the feed has them; none without a feed.
    pub(super) fn names(&self, token: &KnownToken) -> Names {
        let naming = self.naming(token);
        let state = self.view.state();
        state.map_or_else(Names::default, |state| naming.names(&state.filter_key))
    }

    /// The call that makes a check.
    pub(super) fn call(&self, check: &Check) -> Call {
        self.post(wire::CHECK_PATH, check.body(), self.settings.check_timeout)
    }

    /// A call to the authority.
    pub(super) fn post(&self, path: &str, body: Vec<u8>, timeout: Duration) -> Call {
        let credential = &self.settings.credential;
        Call {
            cluster: self.settings.cluster.clone(),
            method: "POST",
            authority: self.settings.authority.clone(),
            path: path.to_owned(),
            headers: vec![
                ("authorization", format!("Bearer {credential}")),
                ("content-type", "application/json".to_owned()),
            ],
            body: Some(body),
            timeout,
        }
    }
}

/// How the check of the token with these names ended, if it was made. Most requests have made none,
/// and then nothing is compared.
fn outcome_for<'c>(naming: &Naming<'_>, checks: &'c [CheckOutcome]) -> Option<&'c CheckOutcome> {
    let mut checks = checks.iter().peekable();
    checks.peek()?;
    let names = naming.check_request();
    checks.find(|outcome| *outcome.check.names == names)
}

/// What is known of a token by a cut-off alone.
const CUT_OFF: Settled = Settled::Revoked(Cause::Plain);

/// A nonce below 2^63: some readers of JSON take every integer for a signed one.
pub(super) const fn nonce_of(random: u64) -> u64 {
    random >> 1
}
