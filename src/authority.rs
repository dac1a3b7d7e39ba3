//! The revocation authority: remembers what was revoked, and feeds the edges.
//!
//! | | |
//! |---|---|
//! | `store` | on the disk: entries with their history, the feed's log, secrets |
//! | `writer` | many requests, one commit |
//! | `index` | in memory: what `check` asks |
//! | `history`, `generation`, `feed` | what edges are told |
//! | `following` | hearing of what other authorities write to the same store |
//! | `edges` | which edges there are, and how far each has come |
//! | `signing` | the keys that the feed is signed with |
//! | `request`, `import`, `strict` | what callers send |
//! | `verifier` | users' tokens as evidence, and the keys of their issuers |
//! | `credentials`, `certificate` | who may do what, and who the authority is |
//! | `status_lists` | what issuers say of their tokens in lists, which edges ask about |
//! | `webhook` | telling another system what happened |
//! | `configuration` | the authority's own file: which issuers it trusts, and what it does by itself |
//! | `signals` | receivers: identity providers tell that a user has signed out |
//! | [`http`], `server` | the interface, and the connections it is spoken over |
//!
//! A revocation goes `http` → `request` (checks) → `writer` → `store` (on the disk) → `index` →
//! `history` (edges hear of it) → answer.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use tokio::runtime::Handle;
use tokio::sync::watch;

mod certificate;
mod clock;
mod clocks;
mod configuration;
mod credentials;
mod edges;
mod entry;
mod feed;
mod file_stamp;
mod following;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod generation;
mod history;
pub mod http;
mod import;
mod index;
mod metrics;
mod request;
mod server;
mod sessions;
mod signals;
mod signing;
mod status_lists;
mod store;
mod strict;
mod text;
mod verifier;
mod webhook;
mod writer;

pub use certificate::{Certificate, TlsError};
pub use configuration::{
    Configuration, Configured, ConfiguredFile, Document, Issuer, IssuerKeys, KeyServer, SessionEnd,
    SessionLimits, StatusListSource,
};
pub use credentials::{
    Access, Credentials, CredentialsError, Permission, Role, generate as new_credential,
};
pub use request::{Limits, MAX_EXPIRY};
pub use server::is_private;
pub use sessions::{
    AddressError, ClientRules, OnExcess, RegistryAddress, SessionPolicy, SessionRules, SharedError,
};
pub use signals::{
    Authorization, CallerAuthentication, ClientCredentials, Delivery, EventAction, EventActions,
    EventName, GlobalRevocationRules, IntrospectRule, LogoutScope, Metadata, OAuthClient,
    OAuthConfiguration, OAuthError, Poll, Push, RecordLimits, RevokeRule, RevokeScope,
    SecretMethod, SecretPlace, SecretSource, SignalIssuer, SignalLimits, SignalReceivers,
    SignalSecretError, SignalsConfiguration, SignalsError, Stream, SubjectClaims, SubjectForm,
    SubjectRule, TlsFiles, TransmitterSettings, UnknownSubjects,
};
pub use status_lists::SourceError;
pub use store::{
    Copied, CopyError, CopyProgress, Damage, Database, DatabaseAddress, DatabaseAddressError,
    DatabaseError, Encrypted, Encryption, End, Holder, Loss, Migrated, Replica, SecretKey,
    SecretKeyError, StoreError, StorePlace, Taken, copy_store,
};
pub use text::chain_of;
pub use verifier::{VerifierError, trusted_certificates};
pub use webhook::{SecretError, WebhookError};

use clock::Trust;
use clocks::Clocks;
use edges::EdgeWatch;
use feed::Publisher;
use history::History;
use index::Index;
use metrics::{Metrics, Readings};
use sessions::suspicion::{self, Kept, Responder};
use sessions::{Ends, SessionEnds, Sessions, StartError, end_sessions, exchange_coverage};
use signals::{OAuth, Receivers};
use signing::{FeedKey, FeedSigner};
use status_lists::StatusLists;
use store::{CHECKED_BYTES, Opening, Store};
use verifier::{Known, Verifier};
use webhook::{Pace, Webhook};
use writer::Writer;

use crate::revocation::EXPIRY_MARGIN;

/// Logged when a row cannot be read.
const DAMAGED: &str = "the store is damaged, and the next start will be refused for it";

/// How often edges' clocks are compared with this one, and how often a difference is logged.
const CLOCKS_INTERVAL: Duration = Duration::from_secs(5);
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// Less than a second, including the check itself.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often authorities tell each other which edges they see, and how often one looks that waits for them.
const SAYING_INTERVAL: Duration = Duration::from_secs(1);
const HEARING_INTERVAL: Duration = Duration::from_millis(250);

/// How often everything is loaded from a database that runs away meanwhile.
const LOADING_ATTEMPTS: u32 = 5;

const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Entries dropped in one commit.
const SWEEP_LENGTH: usize = 2_000;

/// How an authority is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the store is, or, if that is in a database, what is kept beside it.
    pub directory: PathBuf,
    /// The database, where the store is in one.
    pub database: Option<SharedDatabase>,
    /// Memory that the store may use for pages of its file.
    pub cache_bytes: usize,
    /// What is done when the store lacks something.
    pub loss: Loss,
    /// Limits for requests.
    pub limits: Limits,
    /// Target false-positive rate of the filter.
    pub false_positive_rate: f64,
    /// Shortest time between two generations.
    pub generation_interval: Duration,
    /// Who may keep segments of the filter.
    pub segment_caching: SegmentCaching,
    /// What the authority's own file says.
    pub configuration: Configuration,
    /// What the signals file says; without one, no signals are received.
    pub signals: Option<SignalsConfiguration>,
    /// Where the registry of sessions is that other authorities have too; without an address, it is in
    /// memory.
    pub sessions: Option<RegistryAddress>,
}

/// A database that several authorities have their store in.
#[derive(Clone, Debug)]
pub struct SharedDatabase {
    /// With its tables.
    pub database: Database,
    /// How long this authority answers without having seen the database, and how long a silent keeper
    /// keeps others from taking its place.
    pub lease: Duration,
    /// How often it looks what others have committed.
    pub follow_interval: Duration,
}

/// Where callers connect.
#[derive(Debug)]
pub struct Door {
    /// Bound already.
    pub listener: TcpListener,
    /// Where TLS is spoken.
    pub tls: Option<Arc<ServerConfig>>,
}

/// Who may keep segments of the filter, beside the edge that has fetched them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SegmentCaching {
    /// No cache, so that every reader has shown a credential.
    #[default]
    Private,
    /// Any cache on the way, which serves them to every client that can reach it, without a
    /// credential (RFC 9111 section 3.5). They hold keyed hashes; the key is in the manifest, which
    /// is not kept.
    Shared,
}

/// A running authority.
#[derive(Debug)]
pub struct Authority {
    /// On the disk.
    store: Arc<Store>,
    /// This process as one of several, where the store is in a database.
    replica: Option<Replica>,
    /// In memory.
    index: Arc<Index>,
    /// What edges are told.
    feed: Arc<Publisher>,
    /// What changed lately.
    history: Arc<History>,
    /// The feed's keys.
    signer: Arc<FeedSigner>,
    /// Takes work for the store.
    writer: Writer,
    /// Who is signed in.
    sessions: Arc<Sessions>,
    /// What ends sessions by itself.
    ends: Arc<Ends>,
    /// For how long they end.
    session_ends: SessionEnds,
    /// What is counted.
    metrics: Arc<Metrics>,
    /// The time according to edges.
    clocks: Clocks,
    /// Which edges poll, and how far they are.
    edges: EdgeWatch,
    refusals: http::Refusals,
    limits: Limits,
    /// Who may keep segments of the filter.
    segment_caching: SegmentCaching,
    /// Who may do what.
    access: Access,
    /// Verifies users' tokens, and signals.
    verifier: Verifier,
    /// What issuers say of their tokens.
    status_lists: Arc<StatusLists>,
    /// What receives signals.
    signals: Option<Arc<Receivers>>,
    /// Held while an import is read and carried out: only one can be staged at a time.
    importing: Arc<tokio::sync::Mutex<()>>,
    /// Held while a key is made. Apart from `importing`, because an import takes longer than a
    /// leaked key should stay in force.
    rotating: tokio::sync::Mutex<()>,
    /// Turns true when the authority is about to stop.
    stopping: watch::Receiver<bool>,
}

impl Authority {
    /// Opens the store, loads everything and starts the background work. Must be called within a
    /// Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`].
    pub fn start(
        settings: &Settings,
        access: Access,
        stopping: watch::Receiver<bool>,
    ) -> Result<Arc<Self>, AuthorityError> {
        let signals = settings.signals.as_ref();
        let metrics = Arc::new(Metrics::new());
        let verifier = Verifier::start(Known {
            issuers: settings.configuration.issuers.clone(),
            signatories: signals
                .map(SignalsConfiguration::signatories)
                .unwrap_or_default(),
            clients: signals
                .map(SignalsConfiguration::oauth_signatories)
                .unwrap_or_default(),
            claims: signals
                .map(SignalsConfiguration::listed_claims)
                .unwrap_or_default(),
            clock_skew: settings.limits.clock_skew,
            metrics: metrics.keys.clone(),
        })?;
        let now = clock::now_milliseconds();
        let (store, replica) = open_store(settings, now)?;
        let store = Arc::new(store);
        let interval = settings
            .database
            .as_ref()
            .map(|shared| shared.follow_interval);
        let listener = following::start(&store, interval.unwrap_or_default());
        let listener = listener.map_err(AuthorityError::Thread)?;
        let index = Arc::clone(store.index());
        let history = Arc::clone(store.history());
        let signer = Arc::new(FeedSigner::load_or_make(&store, now)?);
        let sessions = start_sessions(settings, &store, &metrics)?;
        let signals = start_signals(settings, &store, &metrics)?;
        let writer = Writer::start(writer::Parts {
            store: Arc::clone(&store),
            metrics: Arc::clone(&metrics),
        })
        .map_err(AuthorityError::Thread)?;
        respond_to_suspicions(settings, &sessions, &writer, &metrics)?;
        let feed = Arc::new(Publisher::open(feed::Parts {
            store: Arc::clone(&store),
            index: Arc::clone(&index),
            history: Arc::clone(&history),
            signer: Arc::clone(&signer),
            writer: writer.clone(),
            metrics: Arc::clone(&metrics),
            filter_key: store.filter_key(),
            bits: generation::bits_for(settings.false_positive_rate),
            interval: settings.generation_interval,
        })?);
        let _ = listener.set(Arc::clone(&feed));
        // After whatever commits here without the writer: it has changes of its own written from now on.
        let status_lists = StatusLists::start(
            &settings.configuration.issuers,
            status_lists::Parts {
                verifier: verifier.clone(),
                writer: writer.clone(),
                filter_key: store.filter_key(),
                metrics: Arc::clone(&metrics),
                clock_skew: settings.limits.clock_skew,
                watched_for: settings.limits.max_token_lifetime + EXPIRY_MARGIN,
            },
        )?;
        let heard = sessions.take_heard();
        let authority = Arc::new(Self {
            store,
            replica,
            index,
            feed,
            history,
            signer,
            writer,
            sessions,
            ends: Arc::new(Ends::new(&settings.configuration.issuers, heard)),
            session_ends: SessionEnds::of(&settings.configuration.issuers),
            metrics,
            clocks: Clocks::new(settings.limits.clock_skew),
            edges: EdgeWatch::new(),
            refusals: http::Refusals::default(),
            limits: settings.limits,
            segment_caching: settings.segment_caching,
            access,
            verifier,
            status_lists,
            signals,
            importing: Arc::default(),
            rotating: tokio::sync::Mutex::default(),
            stopping,
        });
        authority.start_work();
        Ok(authority)
    }

    /// This process as one of several, where the store is in a database.
    #[must_use]
    pub const fn replica(&self) -> Option<&Replica> {
        self.replica.as_ref()
    }

    /// Whether a directory has a store in it.
    #[must_use]
    pub fn has_store(directory: &Path) -> bool {
        directory.join(store::FILE_NAME).exists()
    }

    /// Refuses a directory that another process serves, without taking it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`].
    pub fn expect_free(directory: &Path) -> Result<(), AuthorityError> {
        Ok(Store::expect_free(directory)?)
    }

    /// The public keys for filters, as they stand in their configurations.
    #[must_use]
    pub fn feed_public_keys(&self) -> Vec<String> {
        let published = self.signer.published(clock::now());
        published.iter().map(FeedKey::public_text).collect()
    }

    /// Notes the address it listens on, for a process that finds its directory in use.
    pub fn say_where(&self, url: &str) {
        self.store.say_where(url);
    }

    /// Serves until it is about to stop and what was begun is finished, or `drain` is over.
    ///
    /// # Errors
    ///
    /// When the listener cannot be handed to the runtime.
    pub async fn serve(
        self: Arc<Self>,
        door: Door,
        for_signals: Option<Door>,
        drain: Duration,
    ) -> io::Result<()> {
        let stopping = || self.stopping.clone();
        let (sessions, ends) = (Arc::clone(&self.sessions), Arc::clone(&self.ends));
        let receivers = self.signals.clone();
        let main = http::router(Arc::clone(&self));
        let (bounds, of_signals) = server::Bounds::of_listeners(for_signals.is_some());
        let main = server::serve(door, main, bounds, stopping(), drain);
        let signals = async {
            let Some((door, receivers)) = for_signals.zip(receivers.clone()) else {
                return Ok(());
            };
            let router = signals::router(Arc::clone(&self), receivers);
            server::serve(door, router, of_signals, stopping(), drain).await
        };
        let (served, received) = tokio::join!(main, signals);
        let _ = tokio::task::spawn_blocking(move || {
            sessions.finish(&ends);
            if let Some(receivers) = receivers {
                receivers.upkeep().finish();
                receivers.ledger().finish();
            }
        })
        .await;
        served.and(received)
    }

    /// The limits for requests at this moment.
    #[must_use]
    fn limits(&self) -> Limits {
        let clocks = self.clocks.verdict(Instant::now());
        Limits {
            disagreement: clocks.is_agreed.then(|| clocks.seconds()),
            ..self.limits
        }
    }

    /// Figures for the operator.
    #[must_use]
    fn readings(&self) -> Readings {
        Readings {
            entries: self.index.entry_count(),
            cut_offs: self.index.cut_off_count(),
            sequence: self.history.head().sequence,
            epoch: self.feed.epoch(),
            edges_waiting: self.history.waiting(),
            edges: self.edges.counts(self.feed.position()),
            is_keeper: self.store.is_keeper(),
            store_age: self.store.age(),
            false_positive_ratio: self.feed.false_positive_rate(),
            clock_difference: self.clocks.verdict(Instant::now()),
        }
    }

    fn start_work(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(&self.history).announce());
        tokio::spawn(Arc::clone(&self.feed).maintain());
        tokio::spawn(Arc::clone(self).sweep());
        tokio::spawn(end_sessions(Arc::clone(self)));
        if self.sessions.is_shared() {
            tokio::spawn(exchange_coverage(Arc::clone(self)));
        }
        tokio::spawn(Arc::clone(self).compare_clocks());
        tokio::spawn(Arc::clone(self).watch_store());
        if self.store.is_shared() {
            tokio::spawn(Arc::clone(self).exchange_edges());
        }
        if let Some(receivers) = &self.signals {
            receivers.begin(self);
        }
        import::resume(self);
        if let Access::Credentials(credentials) = &self.access {
            tokio::spawn(Arc::clone(credentials).follow());
        }
    }

    /// Logs now and then, for ever, that edges disagree with this clock.
    async fn compare_clocks(self: Arc<Self>) {
        loop {
            let clocks = self.clocks.verdict(Instant::now());
            if clocks.is_off {
                tracing::warn!(
                    seconds_ahead = clocks.seconds(),
                    voices = clocks.voices,
                    cut_offs_refused = clocks.is_agreed,
                    "edges do not agree with the clock of this machine"
                );
            }
            let pause = if clocks.is_off {
                WARNING_INTERVAL
            } else {
                CLOCKS_INTERVAL
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Checks between commits, for ever, that the store's file is still there.
    async fn watch_store(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let store = Arc::clone(&self.store);
            let checked = tokio::task::spawn_blocking(move || store.check()).await;
            match checked {
                Ok(Err(_)) => self.metrics.store_is_writable(false),
                // An empty commit opens a store that was closed meanwhile, and shows that it can be
                // written to.
                Ok(Ok(())) if self.store.awaits_commit() => {
                    let _ = self.writer.write(store::Nothing).await;
                }
                Ok(Ok(())) => {}
                Err(_) => return,
            }
        }
    }

    /// Tells other authorities which edges this one sees, and hears of theirs, for ever.
    async fn exchange_edges(self: Arc<Self>) {
        let mut said: Option<Instant> = None;
        loop {
            tokio::time::sleep(HEARING_INTERVAL).await;
            let is_due = said.is_none_or(|said| said.elapsed() >= SAYING_INTERVAL);
            if !is_due && !self.edges.is_awaited() {
                continue;
            }
            let own = is_due.then(|| self.edges.said());
            let store = Arc::clone(&self.store);
            let exchange = move || store.exchange_edges(own);
            let Ok(exchanged) = tokio::task::spawn_blocking(exchange).await else {
                return;
            };
            if is_due {
                said = Some(Instant::now());
            }
            match exchanged {
                Ok(others) => {
                    let others = others.into_iter();
                    let others = others.map(|other| (other.age, other.content)).collect();
                    self.edges.hear(others);
                }
                Err(error) => {
                    tracing::debug!(error = %chain_of(&error), "edges of others are not known");
                }
            }
        }
    }

    /// Drops what has expired, a little at a time so that no request waits for it, for ever.
    async fn sweep(self: Arc<Self>) {
        let mut clock = Trust::new(clock::now_milliseconds(), Instant::now());
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let is_kept = clock.is_kept(clock::now_milliseconds(), Instant::now());
            let is_ahead = || self.clocks.verdict(Instant::now()).is_ahead();
            if !is_kept || !self.store.is_keeper() || is_ahead() {
                continue;
            }
            loop {
                let index = Arc::clone(&self.index);
                let search = move || index.expired(clock::now(), SWEEP_LENGTH);
                let Ok(expired) = tokio::task::spawn_blocking(search).await else {
                    return;
                };
                let count = expired.len();
                if count == 0 {
                    break;
                }
                let Ok(dropped) = self.writer.write(store::DropExpired(expired)).await else {
                    break;
                };
                tracing::debug!(count, "dropped expired entries");
                if dropped.damaged > 0 {
                    let damaged = dropped.damaged;
                    tracing::error!(damaged, "expired entries cannot be read: {DAMAGED}");
                    self.metrics.rows_damaged(damaged);
                }
            }
        }
    }
}

/// Opens the store, in a database or in a file.
fn open_store(
    settings: &Settings,
    now_milliseconds: u64,
) -> Result<(Store, Option<Replica>), StoreError> {
    let directory = &settings.directory;
    if let Some(shared) = &settings.database {
        let mut attempts = LOADING_ATTEMPTS;
        loop {
            let (store, replica) = Store::on(&shared.database, shared.lease, directory)?;
            // Reading everything may have taken longer than what was read counts as recent, and others may
            // have written more meanwhile than can be followed.
            match store.follow(&mut || Ok(())) {
                Ok(()) => return Ok((store, Some(replica))),
                Err(error) if error.is_over() && attempts > 1 => attempts -= 1,
                Err(error) => return Err(error),
            }
        }
    }
    let opening = Opening {
        cache_bytes: settings.cache_bytes,
        checked_bytes: CHECKED_BYTES,
        loss: settings.loss,
        now_milliseconds,
    };
    Ok((Store::open(directory, opening)?, None))
}

/// Starts what is done about sessions that look stolen.
fn respond_to_suspicions(
    settings: &Settings,
    sessions: &Arc<Sessions>,
    writer: &Writer,
    metrics: &Arc<Metrics>,
) -> Result<(), WebhookError> {
    let receiver = settings.configuration.webhook.as_ref();
    let webhook = receiver.map(|receiver| Webhook::start(receiver, Pace::default(), metrics));
    let limits = settings.limits;
    sessions.respond_with(Responder::start(suspicion::Parts {
        reactions: settings.configuration.suspicion.reactions,
        sessions: Arc::downgrade(sessions),
        writer: writer.clone(),
        kept: Kept {
            max_token_lifetime: limits.max_token_lifetime + limits.clock_skew,
            expiry_margin: limits.expiry_margin,
        },
        session_ends: SessionEnds::of(&settings.configuration.issuers),
        webhook: webhook.transpose()?,
        metrics: Arc::clone(metrics),
    }));
    Ok(())
}

/// Starts what receives signals, where it is configured.
fn start_signals(
    settings: &Settings,
    store: &Store,
    metrics: &Metrics,
) -> Result<Option<Arc<Receivers>>, AuthorityError> {
    let Some(configuration) = settings.signals.clone() else {
        return Ok(None);
    };
    let oauth = OAuth::start(&configuration, &settings.configuration.issuers, store)?;
    let directory = &settings.directory;
    let metrics = (metrics.signals.clone(), &metrics.streams);
    let started = Receivers::start(configuration, oauth, directory, store.filter_key(), metrics);
    Ok(Some(Arc::new(started?)))
}

/// Starts the registry of sessions, which the store tells of what is revoked.
fn start_sessions(
    settings: &Settings,
    store: &Store,
    metrics: &Metrics,
) -> Result<Arc<Sessions>, AuthorityError> {
    let limits = settings.configuration.sessions;
    let limits = sessions::Limits {
        max_sessions: limits.max_sessions,
        retention: limits.retention,
    };
    let thresholds = settings.configuration.suspicion.thresholds.clone();
    let metrics = metrics.sessions.clone();
    let directory = &settings.directory;
    let (key, address) = (store.filter_key(), settings.sessions.clone());
    let (directory, runtime) = (directory.clone(), Handle::current());
    // Redis is waited for where no task is held up by it.
    let start = move || {
        let kept = (&*directory, address.as_ref());
        Sessions::start(key, (limits, thresholds), kept, runtime, metrics)
    };
    let started = std::thread::scope(|scope| scope.spawn(start).join());
    let (sessions, registry) = started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    store.tell(registry);
    if sessions.is_shared() {
        tell_what_is_not_shared(&settings.configuration);
    }
    Ok(sessions)
}

/// Warns of what several authorities with one registry do not do together, where the operator has asked for
/// it.
fn tell_what_is_not_shared(configuration: &Configuration) {
    let mut issuers = configuration.issuers.iter();
    let session_policy = issuers.any(|issuer| issuer.session_policy.is_some());
    let suspicion = configuration.suspicion != suspicion::Policy::default();
    if session_policy || suspicion {
        tracing::warn!(
            session_policy,
            suspicion,
            "if other authorities have this registry of sessions too: a session that one of them ends by \
             itself is revoked in its own store, so edges that follow another one let it go on; and what \
             looks stolen is seen in the reports that each one gets itself"
        );
    }
}

/// Why an authority does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The store is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Users' tokens cannot be verified.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The system has no thread to give.
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
    /// Status lists cannot be fetched.
    #[error(transparent)]
    StatusLists(#[from] SourceError),
    /// Signals cannot be received.
    #[error(transparent)]
    Signals(#[from] SignalsError),
    /// Nobody can be told what happens.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The registry of sessions is not usable.
    #[error(transparent)]
    Sessions(#[from] SharedError),
    /// OAuth clients cannot be answered.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
}

impl From<StartError> for AuthorityError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Thread(error) => Self::Thread(error),
            StartError::Shared(error) => Self::Sessions(error),
        }
    }
}

#[cfg(test)]
mod tests;
