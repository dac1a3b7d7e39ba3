//! Receivers of signals: an identity provider tells that a user has signed out, and the edges refuse
//! the user's tokens.
//!
//! They have a listener of their own. What a provider can reach over the internet is never the
//! operator's interface or that of the edges.
//!
//! | | |
//! |---|---|
//! | `configuration` | the signals file (`serve --signals`): who is listened to, and for what |
//! | `http` | the listener's interface, and what each answer is |
//! | `admission` | who may have a signature checked, before one is |
//! | `form`, `logout` | what a logout token is, step by step |
//! | `events` | what a security event token is, the same |
//! | `naming` | from whom or what a signal is about to what access tokens call it: pure |
//! | `global_revocation` | who may have everything of a user revoked, and of whom |
//! | `effect` | from a signal to what is revoked: pure |
//! | `oauth` | OAuth clients: revoking and introspecting tokens |
//! | `reason` | why a signal is refused, for its sender and for the operator |
//! | `reception` | one signal from its bytes to its record |
//! | `transmitter`, `upkeep` | who sends security events, and how streams are made, kept and polled |
//! | `streams` | streams of security events, and what has come through them |
//! | `secret` | the secrets that the signals file names |
//! | `rooms` | how much of each party is worked on at once |
//! | `recent` | the last so many of something |
//! | `ledger` | on the disk: which signals were accepted already, a record of each, and who has sent some |
//!
//! A signal goes `http` → `form` → `admission` → the verifier (signature) → `logout` or `events` (its
//! steps) → `effect` → the writer (on the disk, in the feed) → `ledger` (the `jti`, and the record) → answer.
//!
//! # What if the process dies between the writer and the ledger?
//!
//! Then the provider has had no answer, and the `jti` is not known: sent again, the token is taken for
//! a new one. Every revocation that follows from a signal says its instants by the signal's own `iat`,
//! never by "now". So it comes to the same entry, and nothing moves.

mod admission;
mod configuration;
mod effect;
mod events;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod global_revocation;
mod http;
mod ledger;
mod logout;
mod metrics;
mod naming;
mod oauth;
mod reason;
mod recent;
mod reception;
mod rooms;
mod secret;
mod statement;
mod streams;
mod text;
mod transmitter;
mod upkeep;

pub use configuration::{
    Authorization, CallerAuthentication, ClientCredentials, Delivery, EventActions,
    GlobalRevocationRules, LogoutScope, Metadata, Poll, Push, RecordLimits, SecretMethod,
    SecretPlace, SecretSource, SignalIssuer, SignalLimits, SignalReceivers, SignalsConfiguration,
    Stream, SubjectClaims, SubjectForm, SubjectRule, TlsFiles, TransmitterSettings,
    UnknownSubjects,
};
pub(super) use events::StreamStatus;
pub use events::{Action as EventAction, EventName};
pub(super) use http::{describe, router};
pub(super) use ledger::{Filter, Record, Revoked};
pub(super) use metrics::SignalMetrics;
pub(super) use oauth::OAuth;
pub use oauth::{
    IntrospectRule, OAuthClient, OAuthConfiguration, OAuthError, RevokeRule, RevokeScope,
};
pub use secret::SignalSecretError;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::http::Refusals;
use super::verifier::Signatory;
use super::{Authority, clock};
use crate::gate::ClaimSource;
use crate::revocation::FilterKey;
use admission::Admission;
use ledger::{Ledger, ReplayId, SenderKind};
use recent::Recent;
use reception::Reception;
use rooms::Rooms;
use secret::{Presented, Secret};
use streams::Streams;
pub(super) use transmitter::Fault;
use upkeep::Upkeep;
pub(super) use upkeep::{KeptStream, StreamMetrics, View as StreamView};

/// What there is for receiving signals, where it is configured.
#[derive(Debug)]
pub(super) struct Receivers {
    configuration: SignalsConfiguration,
    admission: Admission,
    /// What there is for OAuth clients, where some are configured.
    oauth: Option<Arc<OAuth>>,
    ledger: Ledger,
    streams: Streams,
    upkeep: Arc<Upkeep>,
    refusals: Refusals,
    /// What callers show, by the names of their paths.
    callers: HashMap<String, Secret>,
    /// Where logout tokens are worked on, by their issuers.
    logouts: Rooms,
    /// Where requests to revoke everything of a user are, by the names of their paths.
    requests: Rooms,
    /// Tokens that were accepted lately, byte by byte.
    repetitions: Mutex<Recent<ReplayId>>,
}

/// Logout tokens of one issuer: as many connections as a provider that signs out thousands at once makes,
/// and a bound for what a slow disk can pile up. What comes beyond waits, as long as its sender does; how
/// many do is bounded by the connections of the listener.
const MOST_LOGOUTS: usize = 256;

/// Requests of one caller, events of one stream, requests of one OAuth client. None of them is in a hurry
/// as a provider is that tries once.
pub(in crate::authority) const MOST_AT_WORK: usize = 64;

/// Some six megabytes, and more tokens than a sender would keep to send them all again.
const MOST_REPETITIONS: usize = 100_000;

impl Receivers {
    /// Opens the ledger in this directory.
    ///
    /// # Errors
    ///
    /// [`SignalsError`].
    pub(super) fn start(
        configuration: SignalsConfiguration,
        oauth: Option<OAuth>,
        directory: &Path,
        key: FilterKey,
        (metrics, stream_metrics): (SignalMetrics, &StreamMetrics),
    ) -> Result<Self, SignalsError> {
        let callers = configuration.callers()?;
        configuration.say_where();
        let streams = Streams::open(&configuration.streams, stream_metrics)?;
        let ledger = Ledger::start(directory, key, configuration.records, metrics)
            .map_err(SignalsError::Thread)?;
        let upkeep = Upkeep::open(&configuration, &ledger, stream_metrics)?;
        upkeep.remind(&streams);
        let admission = configuration.admission();
        remember_senders(&ledger, &admission, oauth.as_ref());
        Ok(Self {
            ledger,
            streams,
            upkeep: Arc::new(upkeep),
            admission,
            oauth: oauth.map(Arc::new),
            logouts: configuration.logout_rooms(),
            requests: configuration.request_rooms(),
            repetitions: Mutex::new(Recent::new(MOST_REPETITIONS)),
            configuration,
            refusals: Refusals::default(),
            callers,
        })
    }

    /// The records of signals.
    pub(super) const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// What is kept of streams whose transmitters are spoken to.
    pub(super) fn upkeep(&self) -> &Upkeep {
        &self.upkeep
    }

    /// Begins to speak to transmitters. Must be called within a Tokio runtime.
    pub(super) fn begin(self: &Arc<Self>, authority: &Arc<Authority>) {
        let reception = Reception {
            authority: Arc::clone(authority),
            receivers: Arc::clone(self),
        };
        let stopping = authority.stopping.clone();
        if let Err(error) = self.upkeep.start(&reception, stopping) {
            tracing::error!(%error, "no thread for a stream: its events do not come");
        }
    }

    fn issuer(&self, issuer: &str) -> Option<&SignalIssuer> {
        let mut issuers = self.configuration.issuers.iter();
        issuers.find(|known| known.issuer == issuer)
    }

    /// Who may have everything of a user revoked at the path with this name.
    fn revoker(&self, name: &str) -> Option<(&SignalIssuer, &GlobalRevocationRules)> {
        let mut revokers = self.configuration.revokers();
        revokers.find(|(_, rules)| rules.name == name)
    }

    /// Whether this is the secret of the caller at the path with this name.
    fn is_secret(&self, name: &str, secret: &str) -> bool {
        let presented = Presented::new(secret.as_bytes());
        let known = self.callers.get(name);
        known.is_some_and(|known| known.is(presented, Instant::now()))
    }

    /// The URL of a path, as senders know it.
    fn url_of(&self, path: &str) -> String {
        let url = self.configuration.public_url.as_deref();
        format!("{}{path}", url.unwrap_or_default())
    }
}

/// Why no signals can be received.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignalsError {
    /// The system has no thread to give.
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
    /// A secret of a caller or of a stream cannot be used.
    #[error(transparent)]
    Secret(#[from] SignalSecretError),
    /// A transmitter cannot be spoken to.
    #[error("stream `{stream}`: {detail}")]
    Stream {
        /// Which one.
        stream: String,
        /// What is wrong.
        detail: String,
    },
}

/// Lets those from whom something genuine came lately be served beside a flood, also when the flood
/// is there first.
fn remember_senders(ledger: &Ledger, admission: &Admission, oauth: Option<&OAuth>) {
    let now = clock::now().seconds();
    for sender in ledger.known_senders() {
        let admission = match sender.kind {
            SenderKind::Provider => Some(admission),
            SenderKind::Client => oauth.map(OAuth::admission),
        };
        let ago = Duration::from_secs(now.saturating_sub(sender.last.seconds()));
        if let Some(admission) = admission.filter(|_| ago < admission::REPUTATION) {
            admission.remember(sender.network, ago, Instant::now());
        }
    }
}

impl SignalsConfiguration {
    /// Whose signatures have to be known.
    pub(super) fn signatories(&self) -> Vec<Signatory> {
        let issuers = self.issuers.iter();
        let signatories = issuers.map(|issuer| Signatory {
            issuer: issuer.issuer.clone(),
            keys: issuer.keys.clone(),
        });
        signatories.collect()
    }

    /// The OAuth clients whose signatures have to be known.
    pub(super) fn oauth_signatories(&self) -> Vec<Signatory> {
        let oauth = self.oauth.as_ref();
        oauth
            .map(OAuthConfiguration::signatories)
            .unwrap_or_default()
    }

    /// Claims by which tokens can be revoked that revocations call otherwise than tokens do.
    pub(super) fn listed_claims(&self) -> Vec<ClaimSource> {
        let oauth = self.oauth.as_ref();
        oauth.map(|oauth| oauth.claims.clone()).unwrap_or_default()
    }

    /// The issuers that may have everything of a user revoked.
    fn revokers(&self) -> impl Iterator<Item = (&SignalIssuer, &GlobalRevocationRules)> {
        self.issuers.iter().filter_map(|issuer| {
            let rules = issuer.receivers.global_token_revocation.as_ref()?;
            Some((issuer, rules))
        })
    }

    fn admission(&self) -> Admission {
        let issuers = self.issuers.iter().map(|issuer| &*issuer.issuer);
        Admission::new(self.limits.requests_per_second, issuers)
    }

    fn logout_rooms(&self) -> Rooms {
        let issuers = self.issuers.iter();
        Rooms::new(issuers.map(|issuer| &*issuer.issuer), MOST_LOGOUTS)
    }

    fn request_rooms(&self) -> Rooms {
        let names = self.revokers().map(|(_, rules)| &*rules.name);
        Rooms::new(names, MOST_AT_WORK)
    }

    /// The secrets that callers show.
    fn callers(&self) -> Result<HashMap<String, Secret>, SignalSecretError> {
        let sources = self
            .revokers()
            .filter_map(|(_, rules)| match &rules.authentication {
                CallerAuthentication::SignedJwt => None,
                CallerAuthentication::Bearer(source) => Some((rules.name.clone(), source)),
            });
        sources
            .map(|(name, source)| Ok((name, Secret::open(source)?)))
            .collect()
    }

    /// Logs what has to be copied into the settings of providers.
    fn say_where(&self) {
        let Some(url) = &self.public_url else {
            return;
        };
        let backchannel_logout_uri = format!("{url}{}", http::LOGOUT_PATH);
        tracing::info!(backchannel_logout_uri, "signals are received");
        // Those that are polled have none.
        for stream in self
            .streams
            .iter()
            .filter(|stream| matches!(stream.delivery, Delivery::Push(_)))
        {
            let endpoint_url = format!("{url}{}", http::stream_endpoint(&stream.name));
            tracing::info!(stream = stream.name, endpoint_url, "events are received");
        }
        for (issuer, rules) in self.revokers() {
            let global_token_revocation_endpoint = format!("{url}{}", http::endpoint(&rules.name));
            let issuer = issuer.issuer.as_str();
            tracing::info!(
                issuer,
                global_token_revocation_endpoint,
                "requests to revoke everything of a user are received"
            );
        }
    }
}
