//! Asking whether a token was revoked, and what to do when nobody knows.

use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};

use super::reason::Reason;
use crate::host::{Call, CallOutcome, SharedData};
use crate::revocation::{
    FeedKeys, FeedState, Kind, MAX_NAME_BYTES, Names, Standing, Status, View, proof,
};
use crate::token::Claims;

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

/// The `revocation` part of a configuration.
#[derive(Clone)]
pub struct RevocationSettings {
    /// Envoy's name for the authority.
    pub cluster: String,
    /// `:authority` of requests to it.
    pub authority: String,
    /// An `edge` credential.
    pub credential: String,
    /// Keys that may sign the feed.
    pub keys: FeedKeys,
    /// The claim that names the device.
    pub device_claim: Option<String>,
    /// How long the authority may be silent.
    pub max_staleness: Duration,
    /// When it has been silent for longer.
    pub on_stale: Posture,
    /// When no generation has been loaded.
    pub on_missing_feed: Posture,
    /// When the filter says "perhaps" and the authority does not answer.
    pub on_unconfirmed: Posture,
    /// When a token has none of the claims that a revocation could name.
    pub on_unnamed: Posture,
    /// How long the authority may take to answer for one token.
    pub check_timeout: Duration,
    /// Most of the delay before a newer generation is loaded.
    pub reload_jitter: Duration,
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
    /// Tells feeds apart in the memory that several plugins may share: the same server is the same
    /// feed, also while one of its keys is replaced by another.
    #[must_use]
    pub fn tag(&self) -> u64 {
        use std::hash::Hasher as _;
        let mut hasher = siphasher::sip::SipHasher13::new();
        hasher.write(self.cluster.as_bytes());
        hasher.write_u8(0);
        hasher.write(self.authority.as_bytes());
        hasher.finish()
    }
}

/// The claims by which revocations of each kind name a token, as far as it has them.
type Values<'c> = [(Kind, Option<&'c str>); 6];

/// How far the feed is: line of history and sequence number. None before there is a feed.
type Position = Option<(u64, u64)>;

/// What the authority is asked about one token.
#[derive(Clone, Debug)]
pub struct Question {
    body: Value,
    /// The time when it was asked, so that no answer serves for a later question.
    nonce: u64,
    /// How far the feed was when it was asked.
    asked_at: Position,
}

/// Whoever asks the same of the same feed, be it a moment later, asks the same question.
impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        (&self.body, self.asked_at) == (&other.body, other.asked_at)
    }
}

impl Question {
    /// The body of the call that asks it.
    fn bytes(&self) -> Vec<u8> {
        let mut body = self.body.clone();
        if let Value::Object(members) = &mut body {
            members.insert("nonce".to_owned(), self.nonce.into());
        }
        body.to_string().into_bytes()
    }
}

/// The authority's answer about one token. A request may have several tokens, so it goes with its
/// question and counts for no other.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmation {
    question: Question,
    /// Whether it is revoked; `None` when there was no answer.
    pub is_revoked: Option<bool>,
}

impl Confirmation {
    /// Reads the answer to a question. One that none of these keys has signed is none: whoever
    /// answers in the authority's place must not let a revoked token through.
    #[must_use]
    pub fn read(question: &Question, outcome: &CallOutcome, keys: &FeedKeys) -> Self {
        let is_revoked = match outcome {
            CallOutcome::Answered {
                status: 200, body, ..
            } => {
                let answer: Option<Value> = serde_json::from_slice(body).ok();
                let proof = answer
                    .as_ref()
                    .and_then(|answer| answer.get("proof")?.as_str());
                proof.and_then(|proof| proof::verdict(proof, &question.bytes(), keys))
            }
            _ => None,
        };
        Self {
            question: question.clone(),
            is_revoked,
        }
    }
}

/// What follows for one token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Finding {
    /// It was not revoked. With the names that a later revocation could use.
    NotRevoked(Names),
    /// The authority has said that it was, or a cut-off says so. With its names, since that may be
    /// taken back.
    Revoked(Names),
    /// The authority said so before something else changed; not to be remembered.
    RevokedThen,
    /// It was not revoked when the authority was asked; not to be remembered.
    Once,
    /// Let through without knowing; not to be remembered.
    Unknown,
    /// The authority has to be asked.
    Ask(Question),
}

/// The feed of a gate, and what its operator wants.
#[derive(Debug)]
pub(super) struct Revocations {
    settings: RevocationSettings,
    view: Rc<View>,
}

impl Revocations {
    pub(super) fn new(settings: RevocationSettings) -> Self {
        let view = Rc::new(View::new(settings.tag()));
        Self { settings, view }
    }

    pub(super) const fn settings(&self) -> &RevocationSettings {
        &self.settings
    }

    pub(super) const fn view(&self) -> &Rc<View> {
        &self.view
    }

    /// How far the feed is, to notice that it has moved on.
    fn position(&self) -> Position {
        let state = self.view.state()?;
        Some((state.epoch, state.sequence))
    }

    /// Whether the feed can be relied on now, for tokens that were found not revoked before. They
    /// are fine as long as it is; past that the posture decides.
    pub(super) fn standing(&self, host: &impl SharedData, now_milliseconds: u64) -> Standing {
        self.view
            .standing(host, now_milliseconds, self.settings.max_staleness)
    }

    /// What is known of a token whose signature and claims are good. `confirmations` are the
    /// authority's answers about the tokens of this request.
    ///
    /// # Errors
    ///
    /// [`Reason::RevocationUnavailable`], [`Reason::RevocationStale`] and
    /// [`Reason::RevocationUnconfirmed`] where nothing is known and the posture is to refuse;
    /// [`Reason::TokenUnnamed`].
    pub(super) fn find(
        &self,
        host: &impl SharedData,
        claims: &Claims,
        now_milliseconds: u64,
        confirmations: &[Confirmation],
    ) -> Result<Finding, Reason> {
        let values = self.values(claims);
        if !self.is_named(claims, &values) {
            return match self.settings.on_unnamed {
                // What the issuer's tokens were cut off by is known all the same.
                Posture::Allow => Ok(self.cut_off_or(host, claims, Finding::Unknown)),
                Posture::Deny | Posture::Confirm => Err(Reason::TokenUnnamed),
            };
        }
        let confirmation = self.confirmation(claims, confirmations);
        if let Some(Confirmation {
            question,
            is_revoked: Some(is_revoked),
        }) = confirmation
        {
            let is_overtaken = question.asked_at != self.position();
            return Ok(self.confirmed(host, claims, *is_revoked, is_overtaken));
        }
        let has_asked = confirmation.is_some();
        let (posture, is_stale) = match self.standing(host, now_milliseconds) {
            Standing::Missing => (self.settings.on_missing_feed, false),
            Standing::Stale if self.settings.on_stale != Posture::Allow => {
                (self.settings.on_stale, true)
            }
            Standing::Stale | Standing::Current => {
                return self.look_up(host, claims, now_milliseconds, has_asked);
            }
        };
        match posture {
            Posture::Allow => Ok(Finding::Unknown),
            Posture::Confirm if !has_asked => {
                Ok(Finding::Ask(self.question(claims, now_milliseconds)))
            }
            Posture::Confirm | Posture::Deny if is_stale => Err(Reason::RevocationStale),
            Posture::Confirm | Posture::Deny => Err(Reason::RevocationUnavailable),
        }
    }

    /// What follows from the authority's answer. What the feed brought after the question was
    /// asked may have been about this token, in either sense: then the answer serves only once,
    /// and a "no" only where the feed does not know better.
    fn confirmed(
        &self,
        host: &impl SharedData,
        claims: &Claims,
        is_revoked: bool,
        is_overtaken: bool,
    ) -> Finding {
        let names = self.view.state().map(|state| self.names(&state, claims));
        match (is_revoked, is_overtaken, names) {
            (false, false, Some(names)) => Finding::NotRevoked(names),
            (true, false, Some(names)) => Finding::Revoked(names),
            (true, ..) => Finding::RevokedThen,
            (false, ..) => self.cut_off_or(host, claims, Finding::Once),
        }
    }

    /// That the token was cut off, which the feed knows without the authority; otherwise `finding`.
    fn cut_off_or(&self, host: &impl SharedData, claims: &Claims, finding: Finding) -> Finding {
        match self.status(host, claims) {
            (Status::CutOff, names) => Finding::Revoked(names),
            _ => finding,
        }
    }

    /// The answer about this token. Most requests have none, and then nothing is compared.
    fn confirmation<'c>(
        &self,
        claims: &Claims,
        confirmations: &'c [Confirmation],
    ) -> Option<&'c Confirmation> {
        let mut confirmations = confirmations.iter().peekable();
        confirmations.peek()?;
        let body = self.question_body(claims);
        confirmations.find(|confirmation| confirmation.question.body == body)
    }

    fn status(&self, host: &impl SharedData, claims: &Claims) -> (Status, Names) {
        self.view.status(host, |state| self.names(state, claims))
    }

    fn look_up(
        &self,
        host: &impl SharedData,
        claims: &Claims,
        now_milliseconds: u64,
        has_asked: bool,
    ) -> Result<Finding, Reason> {
        let (status, names) = self.status(host, claims);
        match status {
            Status::NotRevoked => Ok(Finding::NotRevoked(names)),
            Status::CutOff => Ok(Finding::Revoked(names)),
            Status::PossiblyRevoked | Status::NoData if !has_asked => {
                Ok(Finding::Ask(self.question(claims, now_milliseconds)))
            }
            Status::PossiblyRevoked | Status::NoData => match self.settings.on_unconfirmed {
                Posture::Allow => Ok(Finding::Unknown),
                Posture::Deny | Posture::Confirm => Err(Reason::RevocationUnconfirmed),
            },
        }
    }

    /// Whether a revocation could name the token. A claim that should name it and is no string, or
    /// longer than the authority takes names, cannot be named, and somebody would revoke it in vain.
    fn is_named(&self, claims: &Claims, values: &Values<'_>) -> bool {
        let device = self.settings.device_claim.as_deref();
        let mut claims_that_name = ["sid", "client_id", "azp"].into_iter().chain(device);
        let is_odd = |name| claims.get(name).is_some_and(|value| !value.is_string());
        let is_short = |value: &str| value.len() <= MAX_NAME_BYTES;
        let mut present = values.iter().filter(|(_, value)| value.is_some());
        values.iter().all(|(_, value)| value.is_none_or(is_short))
            && claims.issuer().is_none_or(is_short)
            && present.any(|(kind, _)| *kind != Kind::Issuer)
            && !claims_that_name.any(is_odd)
    }

    /// What each kind of revocation names the token by.
    fn values<'c>(&self, claims: &'c Claims) -> Values<'c> {
        let device = self.settings.device_claim.as_deref();
        Kind::ALL.map(|kind| {
            let value = match kind {
                Kind::Token => claims.string("jti"),
                Kind::Session => claims.string("sid"),
                Kind::Device => device.and_then(|name| claims.string(name)),
                Kind::Subject => claims.string("sub"),
                Kind::Client => claims.string("client_id").or_else(|| claims.string("azp")),
                Kind::Issuer => Some(""),
            };
            (kind, value)
        })
    }

    fn names(&self, state: &FeedState, claims: &Claims) -> Names {
        let issuer = claims.issuer().unwrap_or_default();
        let mut names = Names {
            entries: Vec::with_capacity(3),
            cut_offs: Vec::with_capacity(3),
            issued_at: claims.issued_at(),
            ..Names::default()
        };
        for (kind, value) in self.values(claims) {
            if let Some(value) = value {
                names.add(&state.filter_key, kind, issuer, value);
            }
        }
        names
    }

    fn question(&self, claims: &Claims, now_milliseconds: u64) -> Question {
        Question {
            body: self.question_body(claims),
            nonce: now_milliseconds,
            asked_at: self.position(),
        }
    }

    fn question_body(&self, claims: &Claims) -> Value {
        let mut body = json!({"issuer": claims.issuer().unwrap_or_default()});
        if let Value::Object(members) = &mut body {
            for (kind, value) in self.values(claims) {
                if let Some(value) = value.filter(|_| kind != Kind::Issuer) {
                    members.insert(member(kind).to_owned(), value.into());
                }
            }
            if let Some(issued_at) = claims.issued_at() {
                members.insert("issued_at".to_owned(), issued_at.seconds().into());
            }
        }
        body
    }

    /// The call that asks a question.
    pub(super) fn call(&self, question: &Question) -> Call {
        let credential = &self.settings.credential;
        Call {
            cluster: self.settings.cluster.clone(),
            method: "POST",
            authority: self.settings.authority.clone(),
            path: "/v1/check".to_owned(),
            headers: vec![
                ("authorization", format!("Bearer {credential}")),
                ("content-type", "application/json".to_owned()),
            ],
            body: Some(question.bytes()),
            timeout: self.settings.check_timeout,
        }
    }
}

/// What a kind of name is called in a question.
const fn member(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "jti",
        Kind::Session => "sid",
        other => other.name(),
    }
}

#[cfg(test)]
mod tests;
