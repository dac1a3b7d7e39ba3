//! Users' tokens as evidence, and status lists, verified with the keys of the issuers in the authority's
//! file, and signed statements of identity providers, verified with the keys of those in the signals file.
//!
//! The rules are the gate's ([`TokenCheck`](crate::gate::TokenCheck)), and so are those by which keys are fetched and kept
//! ([`KeyKeeper`](crate::keys::KeyKeeper)). Both were made for one thread of a host that calls back, so there is one thread
//! here too, with a queue: it verifies, looks after the keys, and lets a token wait whose key may be
//! on its way. Calls to servers are made on others (`background`), so none of them holds it up. One
//! thread will do: a signature takes a fraction of a millisecond, and users do not sign out that often.
//!
//! Anyone who reaches the receivers of signals can send statements that are forged. So each purpose has
//! room of its own, in the queue and among those that wait for newer keys, and statements from where
//! nothing genuine has come lately have theirs and wait for the rest (`lanes`): neither a user who signs
//! out nor a provider that does it for him waits behind a forger. What OAuth clients ask has rooms too:
//! their own assertions, and the tokens that they revoke or introspect.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::clock;
use super::configuration::{ConfiguredFile, Issuer, IssuerKeys};
use crate::gate::{ClaimSource, NamingRules, Reason, check_request_of, is_wholly_named};
use crate::host::BackgroundHost;
use crate::revocation::wire::CheckRequest;
use crate::time::UnixTime;
use crate::token::{Claims, VerifiedToken};

mod background;
mod desk;
mod key_file;
mod lanes;
mod metrics;
mod server;

use background::Background;
use desk::Desk;
use lanes::Lanes;
pub(super) use metrics::KeyMetrics;
pub use server::trusted_certificates;

/// Users' tokens that may be on their way to an answer: a second's worth.
const MOST_TOKENS: usize = 1_024;

/// Statements that may be: some twenty milliseconds' worth. Others wait for their room.
const MOST_STATEMENTS: usize = 256;

/// Statements of strangers that may be, beside those: more than one of them may send at once, who may be a provider
/// that signs out everyone.
const MOST_OF_STRANGERS: usize = 128;

/// Assertions of OAuth clients that may be.
const MOST_ASSERTIONS: usize = 128;

/// Tokens that OAuth clients ask about that may be: some tens of milliseconds' worth.
const MOST_PRESENTED: usize = 512;

/// Status lists that may be: more are not fetched at the same time.
const MOST_LISTS: usize = 16;

/// The longest status list that is verified, as a token: for most lists of tens of millions of tokens.
pub(super) const MAX_LIST_BYTES: usize = 8 << 20;

/// How long a user's token may wait for newer keys: less than an edge waits for the answer.
const PATIENCE_WITH_TOKENS: Duration = Duration::from_secs(2);

/// How long a statement may: identity providers give up after a few seconds, and have to be answered
/// within two.
const PATIENCE_WITH_STATEMENTS: Duration = Duration::from_millis(1_500);

/// How often the thread looks after the keys, as in the filter.
const TICK: Duration = Duration::from_millis(100);

/// Hands tokens to the thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    queue: Sender<Question>,
    tokens: Room,
    statements: Room,
    of_strangers: Room,
    assertions: Room,
    presented: Room,
    lists: Room,
}

/// How many questions of one purpose may be on their way to an answer.
#[derive(Clone, Debug)]
struct Room {
    permits: Arc<Semaphore>,
    /// Whether it is waited for.
    is_waited_for: bool,
}

/// An issuer of signed statements.
#[derive(Clone, Debug)]
pub(super) struct Signatory {
    /// `iss`, exactly.
    pub(super) issuer: String,
    /// Where its keys are.
    pub(super) keys: IssuerKeys,
}

/// Whose signatures are known.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Of users' tokens.
    pub(super) issuers: Vec<Issuer>,
    /// Of statements.
    pub(super) signatories: Vec<Signatory>,
    /// Of OAuth clients, by which they show who they are; each is the issuer of its own assertions.
    pub(super) clients: Vec<Signatory>,
    /// Claims by which tokens of users can be revoked, beside those that always name one.
    pub(super) claims: Vec<ClaimSource>,
    /// How far clocks may differ.
    pub(super) clock_skew: Duration,
    /// For the operator.
    pub(super) metrics: KeyMetrics,
}

/// What is known of who sends a statement, before its signature is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Genuine statements have come from there lately, or it has shown a secret.
    Known,
    /// Nothing is known of it.
    Stranger,
}

/// A token, with the request that waits for the outcome.
struct Question {
    token: String,
    reply: Reply,
    sender: Standing,
    /// Given back with the answer.
    room: Option<OwnedSemaphorePermit>,
}

/// What is asked about a token, and who waits for the answer.
enum Reply {
    /// Whose is it, and is it good?
    User(oneshot::Sender<Result<User, Doubt>>),
    /// Has its issuer signed it?
    Statement(oneshot::Sender<Result<VerifiedToken, Doubt>>),
    /// Has the OAuth client signed it that it is of?
    Assertion(oneshot::Sender<Result<VerifiedToken, Doubt>>),
    /// Is it good that an OAuth client presents, and whose is it?
    Presented(oneshot::Sender<Result<User, Doubt>>),
    /// Has the issuer of users' tokens signed it, be it good or not?
    Signature(oneshot::Sender<Result<VerifiedToken, Doubt>>),
    /// Has this issuer signed it? It need not say whose it is.
    List {
        issuer: String,
        reply: oneshot::Sender<Result<VerifiedToken, Doubt>>,
    },
}

/// A user whose token was verified.
#[derive(Clone, Debug)]
pub(super) struct User {
    /// What the token says.
    pub(super) claims: Claims,
    /// The names that it gives to what can be revoked.
    pub(super) names: CheckRequest,
    /// When it expires.
    pub(super) expires_at: UnixTime,
    /// `typ`.
    pub(super) token_type: Option<String>,
    /// Whether every claim that should name it to revocations does, and there is one.
    pub(super) is_wholly_named: bool,
}

/// Why a token is no evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Doubt {
    /// It is not good.
    #[error("refused for `{}`", .0.label())]
    Refused(Reason),
    /// Its issuer is not in the authority's file.
    #[error("its issuer is not one of the configured ones")]
    StrangeIssuer,
    /// Whether it is good is not known at present.
    #[error("the keys of its issuer are not known at present (`{}`)", .0.label())]
    Unknown(Reason),
    /// More tokens wait than can be verified in reasonable time.
    #[error("too many tokens are waiting to be verified")]
    Overloaded,
}

/// Why there is no verifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// The system has no thread, or no randomness.
    #[error("could not start to verify tokens")]
    Start(#[source] io::Error),
    /// A file could not be read.
    #[error("{}: could not read `{}`", file.place(), file.path.display())]
    Read {
        /// The file.
        file: ConfiguredFile,
        /// What the system said.
        source: io::Error,
    },
    /// A file has no keys that can be used.
    #[error("{}: expected a set of keys in `{}`", file.place(), file.path.display())]
    Keys {
        /// The file.
        file: ConfiguredFile,
        /// What is wrong with it.
        source: crate::token::KeySetError,
    },
    /// A file has no certificates.
    #[error("{}: expected certificates in PEM in `{}`", file.place(), file.path.display())]
    Certificates {
        /// The file.
        file: ConfiguredFile,
    },
}

impl Verifier {
    /// Reads the keys that are in files, and starts the thread.
    ///
    /// # Errors
    ///
    /// [`VerifierError`].
    pub(super) fn start(known: Known) -> Result<Self, VerifierError> {
        let (queue, questions) = channel();
        let (ready, started) = sync_channel(1);
        // What the thread works with is never handed from one thread to another.
        let work = move || match open(&known) {
            Ok((desk, host)) => {
                let _ = ready.send(Ok(()));
                serve(desk, &host, &questions);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("verifier".to_owned());
        thread.spawn(work).map_err(VerifierError::Start)?;
        let ended = |_| VerifierError::Start(io::ErrorKind::Other.into());
        started.recv().map_err(ended)??;
        Ok(Self {
            queue,
            tokens: Room::new(MOST_TOKENS),
            statements: Room::waited_for(MOST_STATEMENTS),
            of_strangers: Room::waited_for(MOST_OF_STRANGERS),
            assertions: Room::new(MOST_ASSERTIONS),
            presented: Room::new(MOST_PRESENTED),
            lists: Room::new(MOST_LISTS),
        })
    }

    /// Whose token this is.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify(&self, token: String) -> Result<User, Doubt> {
        self.ask(token, &self.tokens, Reply::User).await
    }

    /// What the issuer of a statement has signed. Nothing but the signature is checked, with the keys
    /// of the signatory that `iss` names.
    ///
    /// That of a stranger waits for all others. Where there is no room, it is waited for, since a provider
    /// that signs out thousands at once tries once. How many may wait, and how long their senders do, is for the caller to bound.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify_statement(
        &self,
        token: String,
        sender: Standing,
    ) -> Result<VerifiedToken, Doubt> {
        let room = match sender {
            Standing::Known => &self.statements,
            Standing::Stranger => &self.of_strangers,
        };
        self.ask_for(sender, token, room, Reply::Statement).await
    }

    /// What an OAuth client says of itself. Nothing but the signature is checked, with the keys of the
    /// client that `iss` names.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify_assertion(&self, token: String) -> Result<VerifiedToken, Doubt> {
        self.ask(token, &self.assertions, Reply::Assertion).await
    }

    /// A token that an OAuth client presents, if it is good.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify_presented(&self, token: String) -> Result<User, Doubt> {
        self.ask(token, &self.presented, Reply::Presented).await
    }

    /// A token that an OAuth client presents, if it was signed by the issuer that it names, be it good or
    /// not: expired, or for an audience that does not count here.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify_signature(&self, token: String) -> Result<VerifiedToken, Doubt> {
        self.ask(token, &self.presented, Reply::Signature).await
    }

    /// What one of the issuers of users' tokens has signed, of at most [`MAX_LIST_BYTES`]. Nothing but the
    /// signature is checked.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify_list(
        &self,
        issuer: &str,
        token: String,
    ) -> Result<VerifiedToken, Doubt> {
        let issuer = issuer.to_owned();
        let list = |reply| Reply::List { issuer, reply };
        self.ask(token, &self.lists, list).await
    }

    async fn ask<T>(
        &self,
        token: String,
        room: &Room,
        reply: impl FnOnce(oneshot::Sender<Result<T, Doubt>>) -> Reply,
    ) -> Result<T, Doubt> {
        self.ask_for(Standing::Known, token, room, reply).await
    }

    async fn ask_for<T>(
        &self,
        sender: Standing,
        token: String,
        room: &Room,
        reply: impl FnOnce(oneshot::Sender<Result<T, Doubt>>) -> Reply,
    ) -> Result<T, Doubt> {
        let ended = || Err(Doubt::Unknown(Reason::KeysUnavailable));
        let (outcome, answer) = oneshot::channel();
        let question = Question {
            token,
            reply: reply(outcome),
            sender,
            room: Some(room.take().await?),
        };
        if self.queue.send(question).is_err() {
            return ended();
        }
        answer.await.unwrap_or_else(|_| ended())
    }
}

impl Room {
    fn new(most: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(most)),
            is_waited_for: false,
        }
    }

    fn waited_for(most: usize) -> Self {
        Self {
            is_waited_for: true,
            ..Self::new(most)
        }
    }

    async fn take(&self) -> Result<OwnedSemaphorePermit, Doubt> {
        let permits = Arc::clone(&self.permits);
        let permit = if self.is_waited_for {
            // It is never closed.
            permits.acquire_owned().await.ok()
        } else {
            permits.try_acquire_owned().ok()
        };
        permit.ok_or(Doubt::Overloaded)
    }
}

impl Question {
    /// Whether the request that has asked has gone.
    fn is_moot(&self) -> bool {
        match &self.reply {
            Reply::User(reply) | Reply::Presented(reply) => reply.is_closed(),
            Reply::Statement(reply)
            | Reply::Assertion(reply)
            | Reply::Signature(reply)
            | Reply::List { reply, .. } => reply.is_closed(),
        }
    }

    const fn patience(&self) -> Duration {
        match self.reply {
            Reply::User(_) | Reply::List { .. } => PATIENCE_WITH_TOKENS,
            Reply::Statement(_)
            | Reply::Assertion(_)
            | Reply::Presented(_)
            | Reply::Signature(_) => PATIENCE_WITH_STATEMENTS,
        }
    }

    /// The token is no evidence.
    fn refuse(self, doubt: Doubt) {
        match self.reply {
            Reply::User(reply) | Reply::Presented(reply) => drop(reply.send(Err(doubt))),
            Reply::Statement(reply)
            | Reply::Assertion(reply)
            | Reply::Signature(reply)
            | Reply::List { reply, .. } => {
                drop(reply.send(Err(doubt)));
            }
        }
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Question(…)")
    }
}

impl User {
    /// Whether there is a `sid` that no revocation can name. To end the token alone then would leave
    /// the session as it is.
    pub(super) fn session_is_unusable(&self) -> bool {
        let session = self.claims.get("sid");
        self.names.sid.is_none() && session.is_some_and(|session| *session != "")
    }

    /// The user of a verified token of an issuer with these rules.
    fn of(token: VerifiedToken, rules: NamingRules<'_>) -> Self {
        let token_type = token.token_type().map(str::to_owned);
        let claims = token.into_claims();
        Self {
            token_type,
            is_wholly_named: is_wholly_named(&claims, rules),
            names: check_request_of(&claims, rules),
            // One without was refused.
            expires_at: claims.expires_at().unwrap_or(UnixTime::EPOCH),
            claims,
        }
    }
}

fn open(known: &Known) -> Result<(Desk, Background), VerifierError> {
    let of_users = known.issuers.iter().map(|issuer| &issuer.keys);
    let signatories = known.signatories.iter().chain(&known.clients);
    let of_statements = signatories.map(|signatory| &signatory.keys);
    let host = Background::new(of_users.chain(of_statements))?;
    let desk = Desk::open(known, host.random())?;
    Ok((desk, host))
}

/// Answers questions and looks after the keys until nothing can ask any more.
fn serve(mut desk: Desk, host: &Background, questions: &Receiver<Question>) {
    let mut next_tick = Instant::now();
    let mut lanes = Lanes::default();
    loop {
        // What has come meanwhile is sorted in before the next is chosen: all that there are have room.
        for question in questions.try_iter() {
            lanes.add(question.sender, question);
        }
        if lanes.is_empty() {
            let pause = next_tick.saturating_duration_since(Instant::now());
            match questions.recv_timeout(pause) {
                Ok(question) => lanes.add(question.sender, question),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        if let Some(question) = lanes.next() {
            desk.take(host, question);
        }
        if Instant::now() >= next_tick {
            next_tick = Instant::now() + TICK;
            while let Some((call, outcome)) = host.take_answer() {
                desk.answered(host, call, &outcome);
            }
            desk.tick(host);
        }
    }
}
