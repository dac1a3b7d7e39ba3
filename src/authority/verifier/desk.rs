//! The tokens and the keys, without the threads: what is done with a question, and on a tick.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use super::key_file::KeyFile;
use super::server::Server;
use super::{Doubt, Issuer, Question, User, VerifierError};
use crate::authority::configuration::IssuerKeys;
use crate::gate::{Lack, Reason, TokenCheck, TokenFault};
use crate::host::{BackgroundHost, CallId, CallOutcome};
use crate::keys::{Asked, KeyKeeper, KeyRing, KeySource, RemoteKeys};
use crate::namespace::RecordSecret;
use crate::time::Interval;
use crate::token::{LARGEST_MAX_TOKEN_BYTES, UnverifiedToken};

/// How long a token may wait for newer keys: less than an edge waits for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tokens that may wait for newer keys.
const MOST_WAITING: usize = 256;

/// How often files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The rules and keys of all issuers, and the tokens that wait for newer keys.
#[derive(Debug)]
pub(super) struct Desk {
    issuers: HashMap<String, OneIssuer>,
    ring: Rc<KeyRing>,
    keeper: KeyKeeper,
    files: Vec<(usize, KeyFile)>,
    looked: Interval,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct OneIssuer {
    check: TokenCheck,
    device_claim: Option<String>,
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
    pub(super) fn open(
        issuers: &[Issuer],
        clock_skew: Duration,
        holder: u64,
    ) -> Result<Self, VerifierError> {
        let mut files = Vec::new();
        let mut checks = Vec::new();
        for (index, issuer) in issuers.iter().enumerate() {
            let source = match &issuer.keys {
                IssuerKeys::File(path) => {
                    let (file, keys) = KeyFile::open(path)?;
                    files.push((index, file));
                    KeySource::Local(keys)
                }
                IssuerKeys::Server(server) => KeySource::Remote(RemoteKeys::of_jwk_set(
                    server.url.clone(),
                    Server::name(server),
                )),
            };
            let (name, audiences) = (&issuer.issuer, &issuer.audiences);
            checks.push(TokenCheck::new(index, source, name, audiences, clock_skew));
        }
        let sources = || checks.iter().map(TokenCheck::key_source);
        let ring = Rc::new(KeyRing::new(sources()));
        let named = checks.iter().map(TokenCheck::issuer).zip(sources());
        // The records are in this process only.
        let keeper = KeyKeeper::new(named, &RecordSecret::none(), Rc::clone(&ring), holder);
        let issuers = issuers.iter().zip(checks).map(|(issuer, check)| {
            let device_claim = issuer.device_claim.clone();
            let one = OneIssuer {
                check,
                device_claim,
            };
            (issuer.issuer.clone(), one)
        });
        Ok(Self {
            issuers: issuers.collect(),
            ring,
            keeper,
            files,
            looked: Interval::default(),
            waiting: Vec::new(),
        })
    }

    /// Answers a question, or lets it wait for newer keys.
    pub(super) fn take(&mut self, host: &impl BackgroundHost, question: Question) {
        let patience = Interval::new(host.now_milliseconds(), PATIENCE);
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
        self.look_at_files(now);
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

    fn look_at_files(&mut self, now: u64) {
        if self.looked.contains(now) {
            return;
        }
        self.looked = Interval::new(now, LOOK_INTERVAL);
        for (index, file) in &mut self.files {
            if let Some(keys) = file.look() {
                self.ring.set(*index, Some(keys));
            }
        }
    }

    fn decide(&mut self, host: &impl BackgroundHost, question: Question, patience: Interval) {
        if question.is_moot() {
            return;
        }
        let now = host.now_milliseconds();
        let lack = match self.verify(&question.token, now) {
            Err(Setback::Lacks(lack)) => lack,
            Err(Setback::Doubt(doubt)) => return question.answer(Err(doubt)),
            Ok(user) => return question.answer(Ok(user)),
        };
        let seen = self.keeper.finished_at(lack.provider);
        let asked = self.keeper.want(host, now, &lack.missing_key(), patience);
        let doubt = match asked {
            Asked::Settled => Doubt::Refused(lack.settled().reason()),
            Asked::Wait if self.waiting.len() < MOST_WAITING => {
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
        question.answer(Err(doubt));
    }

    fn verify(&self, token: &str, now: u64) -> Result<User, Setback> {
        let token = UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, token.as_bytes());
        let token = token.map_err(|error| Doubt::Refused(Reason::from(&error)))?;
        let issuer = token.unverified_claims().issuer().unwrap_or_default();
        let issuer = self.issuers.get(issuer).ok_or(Doubt::StrangeIssuer)?;
        let verified = issuer.check.verify(&self.ring, token, now)?;
        let device_claim = issuer.device_claim.as_deref();
        Ok(User::of(verified.into_claims(), device_claim))
    }
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
