//! Users' tokens as evidence, verified with the keys of the issuers in the authority's file.
//!
//! The rules are the gate's ([`TokenCheck`](crate::gate::TokenCheck)), and so are those by which keys are fetched and kept
//! ([`KeyKeeper`](crate::keys::KeyKeeper)). Both were made for one thread of a host that calls back, so there is one thread
//! here too, with a queue: it verifies, looks after the keys, and lets a token wait whose key may be
//! on its way. Calls to servers are made on others (`background`), so none of them holds it up. One
//! thread will do: a signature takes a fraction of a millisecond, and users do not sign out that often.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::clock;
use super::configuration::Issuer;
use crate::gate::{Reason, check_request_of};
use crate::host::BackgroundHost;
use crate::revocation::wire::CheckRequest;
use crate::time::UnixTime;
use crate::token::Claims;

mod background;
mod desk;
mod key_file;
mod server;

use background::Background;
use desk::Desk;
pub use server::trusted_certificates;

/// Tokens that may wait to be verified: a second's worth.
const QUEUE_LENGTH: usize = 1_024;

/// How often the thread looks after the keys, as in the filter.
const TICK: Duration = Duration::from_millis(100);

/// Hands tokens to the thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Verifier {
    queue: SyncSender<Question>,
}

/// A token, with the request that waits for the outcome.
struct Question {
    token: String,
    reply: oneshot::Sender<Result<User, Doubt>>,
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
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file has no keys that can be used.
    #[error("`{}`: expected a set of keys", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::token::KeySetError,
    },
    /// A file has no certificates.
    #[error("`{}`: expected certificates in PEM", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
    },
}

impl Verifier {
    /// Reads the keys that are in files, and starts the thread.
    ///
    /// # Errors
    ///
    /// [`VerifierError`].
    pub(super) fn start(issuers: &[Issuer], clock_skew: Duration) -> Result<Self, VerifierError> {
        let (queue, questions) = sync_channel(QUEUE_LENGTH);
        let (ready, started) = sync_channel(1);
        let issuers = issuers.to_vec();
        // What the thread works with is never handed from one thread to another.
        let work = move || match open(&issuers, clock_skew) {
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
        Ok(Self { queue })
    }

    /// Whose token this is.
    ///
    /// # Errors
    ///
    /// [`Doubt`].
    pub(super) async fn verify(&self, token: String) -> Result<User, Doubt> {
        let (reply, answer) = oneshot::channel();
        let question = Question { token, reply };
        self.queue.try_send(question).map_err(|error| match error {
            TrySendError::Full(_) => Doubt::Overloaded,
            TrySendError::Disconnected(_) => Doubt::Unknown(Reason::KeysUnavailable),
        })?;
        let ended = Err(Doubt::Unknown(Reason::KeysUnavailable));
        answer.await.unwrap_or(ended)
    }
}

impl Question {
    /// Whether the request that has asked has gone.
    fn is_moot(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self, outcome: Result<User, Doubt>) {
        let _ = self.reply.send(outcome);
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

    /// The user of a verified token of an issuer with this claim for the device.
    fn of(claims: Claims, device_claim: Option<&str>) -> Self {
        Self {
            names: check_request_of(&claims, device_claim),
            // One without was refused.
            expires_at: claims.expires_at().unwrap_or(UnixTime::EPOCH),
            claims,
        }
    }
}

fn open(issuers: &[Issuer], clock_skew: Duration) -> Result<(Desk, Background), VerifierError> {
    let host = Background::new(issuers)?;
    let desk = Desk::open(issuers, clock_skew, host.random())?;
    Ok((desk, host))
}

/// Answers questions and looks after the keys until nothing can ask any more.
fn serve(mut desk: Desk, host: &Background, questions: &Receiver<Question>) {
    let mut next_tick = Instant::now();
    loop {
        let pause = next_tick.saturating_duration_since(Instant::now());
        match questions.recv_timeout(pause) {
            Ok(question) => desk.take(host, question),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
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
