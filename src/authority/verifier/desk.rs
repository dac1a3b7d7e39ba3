//! The tokens and the keys, without the threads: what is done with a question, and on a tick.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::key_file::KeyFile;
use super::metrics::{ASSERTIONS, KeyMetrics, Of, SIGNALS, TOKENS};
use super::server::Server;
use super::{Doubt, Known, MAX_LIST_BYTES, Question, Reply, Standing, User, VerifierError};
use crate::authority::configuration::IssuerKeys;
use crate::gate::{ClaimSource, Lack, NamingRules, Reason, SignatureCheck, TokenCheck, TokenFault};
use crate::host::{BackgroundHost, CallId, CallOutcome};
use crate::keys::{Asked, Counts, KeyKeeper, KeyRing, KeySource, RemoteKeys, RemoteSource, Sight};
use crate::namespace::RecordSecret;
use crate::revocation::CutOffBy;
use crate::time::Interval;
use crate::token::{LARGEST_MAX_TOKEN_BYTES, UnverifiedToken, VerifiedToken};

/// Users' tokens that may wait for newer keys.
const MOST_TOKENS_WAITING: usize = 256;

/// Statements that may. A forged one can name a key that there is not, and would wait for it: fewer
/// than may be on their way, so that there is room for those whose key is known.
const MOST_STATEMENTS_WAITING: usize = 192;

/// Statements of strangers that may, beside those: still more than one of them may send at once, since the keys of
/// a provider that was silent for a day may have changed.
const MOST_OF_STRANGERS_WAITING: usize = 112;

/// Tokens that OAuth clients present that may, which those of users do not wait behind.
const MOST_PRESENTED_WAITING: usize = 64;

/// How often files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The rules and keys of all issuers, and the tokens that wait for newer keys.
#[derive(Debug)]
pub(super) struct Desk {
    issuers: HashMap<String, OneIssuer>,
    signatories: HashMap<String, SignatureCheck>,
    clients: HashMap<String, SignatureCheck>,
    /// Claims that name tokens beside those that always do.
    claims: Vec<ClaimSource>,
    ring: Rc<KeyRing>,
    keeper: KeyKeeper,
    files: Vec<(usize, KeyFile)>,
    /// Whose keys are at each index, with the first index at which there are the same.
    whose: Vec<(Of, usize)>,
    metrics: KeyMetrics,
    looked: Interval,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct OneIssuer {
    check: TokenCheck,
    device_claim: Option<String>,
    cut_off_by: CutOffBy,
    honours_status: bool,
}

/// A question whose token waits for newer keys.
#[derive(Debug)]
struct Waiting {
    question: Question,
    /// Index of the issuer's keys.
    index: usize,
    /// What was the last fetch when it was asked for another.
    seen: u64,
    patience: Interval,
}

impl Desk {
    /// Reads the keys that are in files. `holder` is a random number.
    pub(super) fn open(known: &Known, holder: u64) -> Result<Self, VerifierError> {
        let mut files = Vec::new();
        let mut checks = Vec::new();
        for (index, issuer) in known.issuers.iter().enumerate() {
            let (name, audiences) = (&issuer.issuer, &issuer.audiences);
            let source = key_source(index, name, &issuer.keys, &mut files)?;
            let check = TokenCheck::new(index, source, name, audiences, known.clock_skew);
            checks.push(check);
        }
        let mut signatures = Vec::new();
        for signatory in known.signatories.iter().chain(&known.clients) {
            let index = checks.len() + signatures.len();
            let source = key_source(index, &signatory.issuer, &signatory.keys, &mut files)?;
            signatures.push((
                signatory.issuer.as_str(),
                SignatureCheck::new(index, source),
            ));
        }
        let of_users = checks.iter();
        let of_users = of_users.map(|check| (check.issuer(), check.key_source()));
        let of_statements = signatures.iter();
        let of_statements = of_statements.map(|(name, check)| (*name, check.key_source()));
        let named: Vec<_> = of_users.chain(of_statements).collect();
        let ring = Rc::new(KeyRing::new(named.iter().map(|(_, source)| *source)));
        let whose = whose(&named, known);
        // The records are in this process only.
        let secret = RecordSecret::none();
        let keeper = KeyKeeper::new(named.into_iter(), &secret, Rc::clone(&ring), holder);
        let signatories = signatures.into_iter();
        let mut signatories = signatories.map(|(name, check)| (name.to_owned(), check));
        // One name may be that of an issuer and of a client, with other keys.
        let statements = signatories.by_ref().take(known.signatories.len());
        let (statements, clients) = (statements.collect(), signatories.collect());
        let issuers = known.issuers.iter().zip(checks).map(|(issuer, check)| {
            let device_claim = issuer.device_claim.clone();
            let one = OneIssuer {
                check,
                device_claim,
                cut_off_by: issuer.cut_off_by,
                honours_status: issuer.status_lists.is_some(),
            };
            (issuer.issuer.clone(), one)
        });
        let desk = Self {
            issuers: issuers.collect(),
            signatories: statements,
            clients,
            claims: known.claims.clone(),
            ring,
            keeper,
            files,
            whose,
            metrics: known.metrics.clone(),
            looked: Interval::default(),
            waiting: Vec::new(),
        };
        desk.announce();
        Ok(desk)
    }

    /// Shows every metric, so that the first failure is an increase.
    fn announce(&self) {
        for (index, (of, _)) in self.whose.iter().enumerate() {
            self.metrics.seen(of, Sight::default(), self.usable(index));
            self.metrics.fetched(of, Counts::default());
        }
    }

    fn usable(&self, index: usize) -> usize {
        self.ring.get(index).map_or(0, |keys| keys.keys().len())
    }

    /// Answers a question, or lets it wait for newer keys.
    pub(super) fn take(&mut self, host: &impl BackgroundHost, question: Question) {
        let patience = Interval::new(host.now_milliseconds(), question.patience());
        self.decide(host, question, patience);
    }

    /// To be called with the end of every call.
    pub(super) fn answered(
        &mut self,
        host: &impl BackgroundHost,
        call: CallId,
        outcome: &CallOutcome,
    ) {
        self.keeper.answered(host, call, outcome);
    }

    /// To be called now and then, after the ends of calls: looks after the keys, and decides about
    /// tokens whose keys have been fetched or that have waited long enough.
    pub(super) fn tick(&mut self, host: &impl BackgroundHost) {
        let now = host.now_milliseconds();
        self.keeper.tick(host);
        self.look_around(now);
        let (ready, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition::<Vec<_>, _>(|waiting| {
                let is_over = waiting.patience.is_over(now);
                is_over || self.keeper.finished_at(waiting.index) != waiting.seen
            });
        self.waiting = waiting;
        for one in ready {
            self.decide(host, one.question, one.patience);
        }
    }

    fn look_around(&mut self, now: u64) {
        if self.looked.contains(now) {
            return;
        }
        self.looked = Interval::new(now, LOOK_INTERVAL);
        self.look_at_files();
        self.measure(now);
    }

    fn look_at_files(&mut self) {
        for (index, file) in &mut self.files {
            if let Some(keys) = file.look() {
                self.ring.set(*index, Some(keys));
            }
        }
    }

    fn measure(&mut self, now: u64) {
        for (index, (of, _)) in self.whose.iter().enumerate() {
            let sight = self.keeper.sight(index, now);
            self.metrics.seen(of, sight, self.usable(index));
        }
        for (fetched, counts) in self.keeper.take_counts() {
            let same = self.whose.iter().filter(|(_, first)| *first == fetched);
            for (of, _) in same {
                self.metrics.fetched(of, counts);
            }
        }
    }

    fn decide(&mut self, host: &impl BackgroundHost, question: Question, patience: Interval) {
        if question.is_moot() {
            return;
        }
        let now = host.now_milliseconds();
        let Some((question, setback)) = self.answer(question, now) else {
            return;
        };
        let lack = match setback {
            Setback::Doubt(doubt) => return question.refuse(doubt),
            Setback::Lacks(lack) => lack,
        };
        let seen = self.keeper.finished_at(lack.provider);
        let asked = self.keeper.want(host, now, &lack.missing_key(), patience);
        let doubt = match asked {
            Asked::Settled => Doubt::Refused(lack.settled().reason()),
            Asked::Wait if self.has_room_for(&question) => {
                self.waiting.push(Waiting {
                    question,
                    index: lack.provider,
                    seen,
                    patience,
                });
                return;
            }
            Asked::Wait | Asked::Unsettled => Doubt::Unknown(lack.unsettled().reason()),
        };
        question.refuse(doubt);
    }

    /// Whether a question may wait beside those of its kind.
    fn has_room_for(&self, question: &Question) -> bool {
        let of_a_kind = Purpose::of(question);
        let waiting = self.waiting.iter();
        let waiting = waiting.filter(|waiting| Purpose::of(&waiting.question) == of_a_kind);
        waiting.count() < of_a_kind.most_waiting()
    }

    /// Answers a question about a token that is good. Gives back one about another, with the reason.
    fn answer(&self, question: Question, now: u64) -> Option<(Question, Setback)> {
        let Question {
            token,
            reply,
            sender,
            room,
        } = question;
        let left = match reply {
            Reply::User(reply) => answered(self.verify(&token, now), reply, Reply::User),
            Reply::Statement(reply) => {
                let verified = verify_by(&self.signatories, &self.ring, &token, now);
                answered(verified, reply, Reply::Statement)
            }
            Reply::Presented(reply) => answered(self.verify(&token, now), reply, Reply::Presented),
            Reply::Assertion(reply) => {
                let verified = verify_by(&self.clients, &self.ring, &token, now);
                answered(verified, reply, Reply::Assertion)
            }
            Reply::Signature(reply) => {
                answered(self.verify_signature(&token, now), reply, Reply::Signature)
            }
            Reply::List { issuer, reply } => {
                let verified = self.verify_list(&issuer, &token, now);
                answered(verified, reply, |reply| Reply::List { issuer, reply })
            }
        };
        let (reply, setback) = left?;
        let question = Question {
            token,
            reply,
            sender,
            room,
        };
        Some((question, setback))
    }

    fn verify(&self, token: &str, now: u64) -> Result<User, Setback> {
        let token = parsed(token, LARGEST_MAX_TOKEN_BYTES)?;
        let issuer = self.issuers.get(issuer_of(&token));
        let issuer = issuer.ok_or(Doubt::StrangeIssuer)?;
        let verified = issuer.check.verify(&self.ring, token, now)?;
        let rules = NamingRules {
            device_claim: issuer.device_claim.as_deref(),
            cut_off_by: issuer.cut_off_by,
            honours_status: issuer.honours_status,
            claims: &self.claims,
        };
        Ok(User::of(verified, rules))
    }

    fn verify_signature(&self, token: &str, now: u64) -> Result<VerifiedToken, Setback> {
        let token = parsed(token, LARGEST_MAX_TOKEN_BYTES)?;
        let issuer = self.issuers.get(issuer_of(&token));
        let issuer = issuer.ok_or(Doubt::StrangeIssuer)?;
        Ok(issuer.check.verify_signature(&self.ring, token, now)?)
    }

    fn verify_list(&self, issuer: &str, token: &str, now: u64) -> Result<VerifiedToken, Setback> {
        let token = parsed(token, MAX_LIST_BYTES)?;
        let issuer = self.issuers.get(issuer).ok_or(Doubt::StrangeIssuer)?;
        Ok(issuer.check.verify_signature(&self.ring, token, now)?)
    }
}

/// Whose keys have these sources, each with the index of the first source that is the same: keys are
/// fetched once for all of these.
fn whose(sources: &[(&str, &KeySource)], known: &Known) -> Vec<(Of, usize)> {
    let tokens = known.issuers.iter().map(|_| TOKENS);
    let signals = known.signatories.iter().map(|_| SIGNALS);
    let kinds = tokens
        .chain(signals)
        .chain(known.clients.iter().map(|_| ASSERTIONS));
    let first = |index: usize, source: &KeySource| {
        let KeySource::Remote(wanted) = source else {
            return index;
        };
        let is_same = |(_, other): &(&str, &KeySource)| match other {
            KeySource::Remote(other) => other == wanted,
            _ => false,
        };
        sources.iter().position(is_same).unwrap_or(index)
    };
    let whose = sources.iter().zip(kinds).enumerate();
    let whose = whose.map(|(index, ((issuer, source), of))| {
        let issuer = (*issuer).to_owned();
        (Of { issuer, of }, first(index, source))
    });
    whose.collect()
}

/// What a question is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    User,
    Statement,
    StatementOfStranger,
    Client,
}

impl Purpose {
    const fn of(question: &Question) -> Self {
        match (&question.reply, question.sender) {
            (Reply::User(_) | Reply::List { .. }, _) => Self::User,
            (Reply::Statement(_), Standing::Known) => Self::Statement,
            (Reply::Statement(_), Standing::Stranger) => Self::StatementOfStranger,
            (Reply::Assertion(_) | Reply::Presented(_) | Reply::Signature(_), _) => Self::Client,
        }
    }

    const fn most_waiting(self) -> usize {
        match self {
            Self::User => MOST_TOKENS_WAITING,
            Self::Statement => MOST_STATEMENTS_WAITING,
            Self::StatementOfStranger => MOST_OF_STRANGERS_WAITING,
            Self::Client => MOST_PRESENTED_WAITING,
        }
    }
}

/// Has one of these signed it, whichever it names?
fn verify_by(
    signatories: &HashMap<String, SignatureCheck>,
    ring: &KeyRing,
    token: &str,
    now: u64,
) -> Result<VerifiedToken, Setback> {
    let token = parsed(token, LARGEST_MAX_TOKEN_BYTES)?;
    let check = signatories.get(issuer_of(&token));
    let check = check.ok_or(Doubt::StrangeIssuer)?;
    Ok(check.verify(ring, token, now)?)
}

/// Sends an outcome that is one. Gives back the reply otherwise.
fn answered<T>(
    outcome: Result<T, Setback>,
    reply: oneshot::Sender<Result<T, Doubt>>,
    kind: impl FnOnce(oneshot::Sender<Result<T, Doubt>>) -> Reply,
) -> Option<(Reply, Setback)> {
    match outcome {
        Ok(value) => {
            let _ = reply.send(Ok(value));
            None
        }
        Err(setback) => Some((kind(reply), setback)),
    }
}

fn parsed(token: &str, max_bytes: usize) -> Result<UnverifiedToken<'_>, Doubt> {
    let token = UnverifiedToken::parse_up_to(max_bytes, token.as_bytes());
    token.map_err(|error| Doubt::Refused(Reason::from(&error)))
}

fn issuer_of<'t>(token: &'t UnverifiedToken<'_>) -> &'t str {
    token.unverified_claims().issuer().unwrap_or_default()
}

/// Where the keys of an issuer with this index come from. A file is read, and noted.
fn key_source(
    index: usize,
    issuer: &str,
    keys: &IssuerKeys,
    files: &mut Vec<(usize, KeyFile)>,
) -> Result<KeySource, VerifierError> {
    let (server, source) = match keys {
        IssuerKeys::File(file) => {
            let (file, keys) = KeyFile::open(file)?;
            files.push((index, file));
            return Ok(KeySource::Local(keys));
        }
        IssuerKeys::Server(server) => (server, RemoteSource::JwkSet(server.url.clone())),
        IssuerKeys::Discovery(server) => {
            let source = RemoteSource::Discovery {
                document: server.url.clone(),
                issuer: issuer.to_owned(),
            };
            (server, source)
        }
    };
    let keys = RemoteKeys::of(source, Server::name(server));
    Ok(KeySource::Remote(keys))
}

/// Why a token is not verified, or not yet.
enum Setback {
    Doubt(Doubt),
    Lacks(Lack),
}

impl From<Doubt> for Setback {
    fn from(doubt: Doubt) -> Self {
        Self::Doubt(doubt)
    }
}

impl From<TokenFault> for Setback {
    fn from(fault: TokenFault) -> Self {
        match fault {
            TokenFault::Refused(reason @ Reason::KeysUnavailable) => {
                Self::Doubt(Doubt::Unknown(reason))
            }
            TokenFault::Refused(reason) => Self::Doubt(Doubt::Refused(reason)),
            TokenFault::Lacks(lack) => Self::Lacks(lack),
        }
    }
}

#[cfg(test)]
mod tests;
