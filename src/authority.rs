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
//! | `starting`, `upkeep` | how it begins, and what it does in the background |
//! | `configuration` | the authority's own file: which issuers it trusts, and what it does by itself |
//! | `signals` | receivers: identity providers tell that a user has signed out |
//! | [`http`], `server` | the interface, and the connections it is spoken over |
//! | `console` | pages for people: the same interface, in a browser |
//!
//! A revocation goes `http` → `request` (checks) → `writer` → `store` (on the disk) → `index` →
//! `history` (edges hear of it) → answer.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

mod certificate;
mod clock;
mod clocks;
mod configuration;
mod console;
mod credentials;
mod edges;
mod entry;
mod error;
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
mod starting;
mod status_lists;
mod store;
mod strict;
mod text;
mod upkeep;
mod verifier;
mod webhook;
mod writer;

pub use certificate::{Certificate, TlsError};
pub use configuration::{
    Configuration, Configured, ConfiguredFile, Document, Issuer, IssuerKeys, KeyServer, SessionEnd,
    SessionLimits, StatusListSource,
};
pub use console::ConsoleAccess;
pub use credentials::{
    Access, Credentials, CredentialsError, Permission, Role, generate as new_credential,
};
pub use error::AuthorityError;
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
#[cfg(not(fuzzing))]
pub(crate) use store::to_hex;
pub use store::{
    Copied, CopyError, CopyProgress, Damage, Database, DatabaseAddress, DatabaseAddressError,
    DatabaseError, Encrypted, Encryption, End, Holder, Loss, MAX_LEASE, Migrated, Replica,
    SecretKey, SecretKeyError, StoreError, StorePlace, Taken, copy_store,
};
#[cfg(not(fuzzing))]
pub(crate) use text::{bare, is_seen};
pub use text::{chain_of, printable};
pub use verifier::{VerifierError, trusted_certificates};
pub use webhook::{SecretError, WebhookError};

use clocks::Clocks;
use console::Console;
use edges::EdgeWatch;
use feed::Publisher;
use history::History;
use index::Index;
use metrics::{Metrics, Readings};
use sessions::{Ends, SessionEnds, Sessions};
use signals::Receivers;
use signing::{FeedKey, FeedSigner};
use starting::{open_store, respond_to_suspicions, start_sessions, start_signals};
use status_lists::StatusLists;
use store::Store;
use verifier::{Known, Verifier};
use writer::Writer;

use crate::revocation::EXPIRY_MARGIN;

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
    /// Whether there are pages for people, and how their cookie is kept.
    pub console: ConsoleAccess,
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
    pub certificate: Option<Arc<Certificate>>,
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
    /// Pages for people.
    console: Option<Arc<Console>>,
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
            console: Console::of(settings.console, &access, &settings.configuration.issuers),
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
        self.watch_certificate("main", &door);
        if let Some(door) = &for_signals {
            self.watch_certificate("signals", door);
        }
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

    /// Reads a listener's certificate again whenever it changes, and shows until when it is good.
    fn watch_certificate(&self, listener: &'static str, door: &Door) {
        if let Some(certificate) = &door.certificate {
            let shown = self.metrics.certificate(listener);
            // At once: 0 would tell of one that cannot be read.
            certificate.show_end(&shown);
            tokio::spawn(Arc::clone(certificate).follow(shown));
        }
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
}

#[cfg(test)]
mod tests;
