//! `portcullis serve`: the revocation authority.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::{Args, ValueEnum, value_parser};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::level_filters::LevelFilter;

use super::UNREADABLE;
use super::authority_file::{self, AuthorityFileError, OwnFile};
use super::bounds::{BoundError, duration, number, short_duration};
use super::configuration_file::ConfigurationFileError;
use crate::authority::{
    Access, AddressError, Authority, AuthorityError, Certificate, Configuration, CopyError,
    Credentials, CredentialsError, Database, DatabaseAddress, DatabaseAddressError, DatabaseError,
    Door, Encryption, End, Limits, Loss, MAX_EXPIRY, OAuthError, RegistryAddress, SecretKey,
    SecretKeyError, SegmentCaching, Settings, SharedDatabase, SignalSecretError,
    SignalsConfiguration, SignalsError, StoreError, TlsError, VerifierError, chain_of, is_private,
};
use crate::revocation::{EXPIRY_MARGIN, MAX_CLOCK_SKEW};

/// The arguments of `portcullis serve`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10002")]
    pub listen: SocketAddr,
    /// The directory for the store, made when it is not there; with `--store`, for what this authority
    /// keeps by itself: the sessions it knows of, and which signals it has received
    #[arg(long, value_name = "DIRECTORY", default_value = "portcullis-data")]
    pub data: PathBuf,
    /// A PostgreSQL database for the store, 13 or later, in place of a file; several authorities on it answer
    /// and write together: `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST…]/DATABASE`,
    /// with `?sslmode=` and `sslrootcert=` as PostgreSQL's own tools have them [default sslmode:
    /// verify-full; disable on loopback]
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_STORE",
        hide_env_values = true
    )]
    pub store: Option<SecretUrl>,
    /// The password of the database, in a file
    #[arg(long, value_name = "FILE", requires = "store")]
    pub store_password: Option<PathBuf>,
    /// Encrypt the secrets in the database, such as the feed's signing keys, with the key in this file,
    /// which only this user, or a group, may read: `openssl rand -base64 32` makes one. What is encrypted
    /// is lost without the key: keep a copy
    #[arg(long, value_name = "FILE", requires = "store")]
    pub secret_key: Option<PathBuf>,
    /// How long this authority answers from memory without having reached the database, 2s to 5m; also how
    /// long the keeper, which builds generations, may be silent before another authority takes its place
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = lease)]
    pub lease: Duration,
    /// How often it is looked what other authorities have written to the database, 1ms to 10s
    #[arg(long, value_name = "DURATION", default_value = "20ms", value_parser = follow_interval)]
    pub follow_interval: Duration,
    /// Go on with what is left when the store lacks something that it had, in a new epoch; what was
    /// lost has to be revoked again
    #[arg(long)]
    pub accept_loss: bool,
    /// The authority's own file, YAML or JSON: which issuers it trusts, and what it does by itself;
    /// `portcullis validate` checks it
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The signals file, YAML or JSON: on which listener of its own signals of identity providers are
    /// received, and from whom; `portcullis validate` checks it
    #[arg(long, value_name = "FILE")]
    pub signals: Option<PathBuf>,
    /// Redis 7 or later for the registry of sessions, where several authorities have it together:
    /// `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, `rediss://…` with TLS, and for a cluster
    /// `redis+cluster://HOST[:PORT],HOST…` or `rediss+cluster://…` [default: in memory]
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_SESSIONS",
        hide_env_values = true
    )]
    pub sessions: Option<SecretUrl>,
    /// The password of Redis, in a file
    #[arg(long, value_name = "FILE", requires = "sessions")]
    pub sessions_password: Option<PathBuf>,
    /// The certificate authority that Redis is trusted by, PEM [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "sessions")]
    pub sessions_ca: Option<PathBuf>,
    /// Who may do what; `portcullis credential` makes its lines [default: every caller everything]
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<PathBuf>,
    /// The certificate and its chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Listen where others can connect, without credentials or without TLS
    #[arg(long)]
    pub allow_insecure_listen: bool,
    /// The longest life of any token that the edges let pass, for revocations that do not say when
    /// theirs expire; they lapse after it. Where sign-outs are to outlive refreshes, at least the
    /// longest life of a refresh token or session at the issuer; 1m to 732d
    #[arg(long, value_name = "DURATION", default_value = "31d", value_parser = max_token_lifetime)]
    pub max_token_lifetime: Duration,
    /// How far the clocks of issuers may be ahead of this machine's, 0s to 10m; what
    /// `clock_skew_seconds` is in the filters. "Everything issued up to now" reaches as far ahead,
    /// and a sign-in meanwhile has to be repeated
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = clock_skew)]
    pub clock_skew: Duration,
    /// How long an entry is kept past the end of the tokens that it names, for tests: with less
    /// than the 15 minutes that it is otherwise, tokens pass at edges that allow for skewed clocks
    #[arg(long, value_name = "DURATION", hide = true, value_parser = humantime::parse_duration)]
    pub danger_expiry_margin: Option<Duration>,
    /// Target false-positive rate of the filter, 1.7e-6 to 3e-5: the share of unrevoked tokens that
    /// edges ask about; less takes more memory in every edge
    #[arg(long, value_name = "SHARE", default_value_t = MAX_FALSE_POSITIVE_RATE, value_parser = false_positive_rate)]
    pub false_positive_rate: f64,
    /// Shortest time between two generations of the filter, 1s to 1d
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = generation_interval)]
    pub generation_interval: Duration,
    /// Let caches that edges share, such as a CDN, keep the filter's segments, and give them to
    /// every client of the cache, without a credential: how many revocations there are and when
    /// cut-offs were made, under keyed hashes of the names
    #[arg(long)]
    pub allow_shared_caches: bool,
    /// Memory for pages of the store's file, in MiB, 1 to 65536
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = value_parser!(u32).range(1..=65_536))]
    pub store_cache: u32,
    /// How long requests may take to finish when the authority is told to stop, 0s to 1h
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = drain)]
    pub drain: Duration,
    /// What is logged, as lines of JSON on standard error
    #[arg(long, value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,
}

/// Where a server is, as it was given, which may contain a password.
#[derive(Clone)]
pub struct SecretUrl(String);

impl From<String> for SecretUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretUrl")
    }
}

/// How serving has ended.
enum Served {
    /// The process was told to stop.
    Stopped,
    /// Everything has to be loaded anew from the database, unless the process is told to stop.
    Ended(End, Arc<AtomicBool>),
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What needs attention at once.
    Error,
    /// What needs attention some time.
    Warn,
    /// What happens seldom.
    Info,
    /// What is of use when looking for a fault.
    Debug,
}

/// Serves until the process is told to stop (SIGTERM, SIGINT). Writes one line of JSON to
/// `output` when it is ready: where it listens, and the public keys for the filter.
///
/// # Errors
///
/// [`ServeError`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), ServeError> {
    let refusal = refusal(arguments);
    if let Some(lacking) = refusal {
        return Err(ServeError::Public {
            address: arguments.listen,
            lacking,
        });
    }
    expect_own_directory(&arguments.data)?;
    let database = database(arguments)?;
    let files = Files {
        configuration: read(arguments.config.as_deref())?.unwrap_or_default(),
        signals: read(arguments.signals.as_deref())?,
        sessions: registry(arguments)?,
        database,
    };
    // Logging may have been set up before, by a test in the same process.
    let _ = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(LevelFilter::from(arguments.log_level))
        .with_writer(io::stderr)
        .try_init();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Serve)?;
    let served = runtime.block_on(serve(arguments, files, output));
    // The requests have had their time. Work that cannot be interrupted, such as a wait for the
    // disk, ends as if the process had been killed.
    runtime.shutdown_timeout(LAST_WORK);
    match served? {
        Served::Stopped => Ok(()),
        Served::Ended(_, told) if told.load(Ordering::Relaxed) => Ok(()),
        Served::Ended(end, _) => Err(ServeError::Again {
            end,
            source: start_again(),
        }),
    }
}

/// Makes this process one that has just been started. What the authority had in memory is of no use any
/// more, and none of it is left. Returns only when that is not possible.
fn start_again() -> io::Error {
    // A file that was replaced meanwhile has another name now, or none.
    let program = std::env::current_exe()
        .ok()
        .filter(|program| program.exists());
    let program = program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| program.clone().into());
    std::process::Command::new(program)
        .arg0(name)
        .args(arguments)
        .exec()
}

async fn serve(
    arguments: &Arguments,
    files: Files,
    output: &mut dyn Write,
) -> Result<Served, ServeError> {
    let access = match &arguments.credentials {
        Some(file) => Access::Credentials(Arc::new(Credentials::open(file)?)),
        None if is_private(arguments.listen) => Access::Machine,
        None => Access::Everyone,
    };
    let tls = arguments
        .tls_certificate
        .as_ref()
        .zip(arguments.tls_key.as_ref());
    let tls = tls
        .map(|(certificate, key)| Certificate::open(certificate, key))
        .transpose()?;
    let door = door(listen(arguments)?, tls)?;
    let for_signals = files.signals.as_ref().map(door_for_signals).transpose()?;
    let (stop, stopping) = watch::channel(false);
    let told = Arc::new(AtomicBool::new(false));
    let database = match files.database.clone() {
        Some(address) => Some(open_database(address).await?),
        None => None,
    };
    let settings = settings(arguments, files, database);
    if settings.database.is_some() {
        // A process that starts itself again may be the first of its container, to which a signal that it
        // does not handle is none.
        tokio::spawn(stop_on_signal(stop.clone(), Arc::clone(&told))?);
    }
    let authority = Authority::start(&settings, access, stopping)?;
    if settings.database.is_none() {
        // Not before: a signal ends the process at once while it reads its store.
        tokio::spawn(stop_on_signal(stop.clone(), Arc::clone(&told))?);
    }
    let replica = authority.replica().cloned();
    if let Some(replica) = replica.clone() {
        tokio::spawn(async move {
            replica.ended().await;
            stop.send_replace(true);
        });
    }
    let url = url(&door)?;
    authority.say_where(&url);
    let mut ready = json!({ "url": url, "feed_public_keys": authority.feed_public_keys() });
    let _ = writeln!(io::stderr(), "listening on {url}");
    if let Some(door) = &for_signals {
        let url = self::url(door)?;
        let _ = writeln!(io::stderr(), "receiving signals on {url}");
        if let Some(ready) = ready.as_object_mut() {
            ready.insert("signals_url".to_owned(), url.into());
        }
    }
    // A closed output is no reason not to serve.
    let _ = writeln!(output, "{ready}");
    let _ = output.flush();
    let served = authority.serve(door, for_signals, arguments.drain).await;
    served.map_err(ServeError::Serve)?;
    let Some(replica) = replica else {
        return Ok(Served::Stopped);
    };
    let end = replica.end();
    let _ = tokio::task::spawn_blocking(move || replica.leave()).await;
    Ok(end.map_or(Served::Stopped, |end| Served::Ended(end, told)))
}

/// Opens the database.
async fn open_database(address: DatabaseAddress) -> Result<Database, ServeError> {
    if let Some(warning) = address.warning() {
        tracing::warn!(database = %address, "{warning}");
    }
    let opening = tokio::task::spawn_blocking(move || Database::open(address));
    let database = opening.await.map_err(io::Error::other);
    let database = database.map_err(ServeError::Serve)?;
    Ok(database.map_err(AuthorityError::Store)?)
}

/// What the authority's files say, and where else things are.
struct Files {
    configuration: Configuration,
    signals: Option<SignalsConfiguration>,
    sessions: Option<RegistryAddress>,
    database: Option<DatabaseAddress>,
}

/// Reads a file, if there is one, and shows its warnings.
fn read<C: OwnFile>(file: Option<&Path>) -> Result<Option<C>, ServeError> {
    let Some(file) = file else {
        return Ok(None);
    };
    let (configuration, warnings) = authority_file::read(file)?;
    let _ = io::stderr().write_all(warnings.as_bytes());
    Ok(Some(configuration))
}

fn door(listener: TcpListener, tls: Option<Arc<Certificate>>) -> Result<Door, ServeError> {
    let tls = match tls {
        Some(certificate) => {
            tokio::spawn(Arc::clone(&certificate).follow());
            Some(certificate.server()?)
        }
        None => None,
    };
    Ok(Door { listener, tls })
}

fn door_for_signals(configuration: &SignalsConfiguration) -> Result<Door, ServeError> {
    let tls = configuration.tls.as_ref();
    let tls = tls.map(|files| Certificate::open(&files.certificate, &files.key));
    let tls = tls.transpose().map_err(ServeError::SignalsTls)?;
    let address = configuration.listen;
    let listener =
        TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })?;
    door(listener, tls)
}

fn url(door: &Door) -> Result<String, ServeError> {
    let address = door.listener.local_addr().map_err(ServeError::Serve)?;
    let scheme = if door.tls.is_some() { "https" } else { "http" };
    Ok(format!("{scheme}://{address}"))
}

/// The listener. Where the process that has the same store has the address too, the message says so
/// instead of blaming some other program.
fn listen(arguments: &Arguments) -> Result<TcpListener, ServeError> {
    let address = arguments.listen;
    TcpListener::bind(address).map_err(|source| {
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        match Authority::expect_free(&arguments.data) {
            Err(in_use) if is_taken => in_use.into(),
            _ => ServeError::Listen { address, source },
        }
    })
}

/// Turns `stop` true at the first signal.
fn stop_on_signal(
    stop: watch::Sender<bool>,
    told: Arc<AtomicBool>,
) -> Result<impl Future<Output = ()> + Send, ServeError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Serve)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Serve)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        told.store(true, Ordering::Relaxed);
        stop.send_replace(true);
    })
}

fn settings(arguments: &Arguments, files: Files, database: Option<Database>) -> Settings {
    Settings {
        database: database.map(|database| SharedDatabase {
            database,
            lease: arguments.lease,
            follow_interval: arguments.follow_interval,
        }),
        directory: arguments.data.clone(),
        cache_bytes: (arguments.store_cache as usize).saturating_mul(1 << 20),
        loss: if arguments.accept_loss {
            Loss::Accepted
        } else {
            Loss::Refused
        },
        limits: Limits {
            max_token_lifetime: arguments.max_token_lifetime,
            clock_skew: arguments.clock_skew,
            disagreement: None,
            expiry_margin: arguments.danger_expiry_margin.unwrap_or(EXPIRY_MARGIN),
        },
        false_positive_rate: arguments.false_positive_rate,
        generation_interval: arguments.generation_interval,
        segment_caching: if arguments.allow_shared_caches {
            SegmentCaching::Shared
        } else {
            SegmentCaching::Private
        },
        configuration: files.configuration,
        signals: files.signals,
        sessions: files.sessions,
    }
}

/// Where the database is, if the store is in one.
fn database(arguments: &Arguments) -> Result<Option<DatabaseAddress>, ServeError> {
    let Some(url) = &arguments.store else {
        return Ok(None);
    };
    let address = database_address(
        url,
        arguments.store_password.as_deref(),
        arguments.secret_key.as_deref(),
    )?;
    if arguments.accept_loss {
        return Err(ServeError::AcceptLoss);
    }
    let directory = &arguments.data;
    if Authority::has_store(directory) {
        let directory = directory.clone();
        return Err(ServeError::TwoStores { directory });
    }
    Ok(Some(address))
}

/// The address that a URL makes, a file with a password, and one with the key for secrets.
pub(super) fn database_address(
    SecretUrl(url): &SecretUrl,
    password: Option<&Path>,
    secret_key: Option<&Path>,
) -> Result<DatabaseAddress, ServeError> {
    let mut address: DatabaseAddress = url.parse()?;
    if let Some(path) = secret_key {
        let key = SecretKey::read(path).map_err(ServeError::SecretKey)?;
        address = address.with_secret_key(key);
    }
    let Some(path) = password else {
        return Ok(address);
    };
    let password = fs::read_to_string(path).map_err(|source| ServeError::ServerFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(address.with_password(password.trim_end_matches(['\r', '\n'])))
}

/// Where the registry of sessions is, if it is not in memory.
fn registry(arguments: &Arguments) -> Result<Option<RegistryAddress>, ServeError> {
    let Some(SecretUrl(url)) = &arguments.sessions else {
        return Ok(None);
    };
    let read = |path: &PathBuf| {
        fs::read(path).map_err(|source| ServeError::ServerFile {
            path: path.clone(),
            source,
        })
    };
    let mut address: RegistryAddress = url.parse()?;
    if let Some(file) = &arguments.sessions_password {
        let password = String::from_utf8(read(file)?).map_err(|_| AddressError::Credentials)?;
        address = address.with_password(password.trim_end_matches(['\r', '\n']).to_owned());
    }
    if let Some(file) = &arguments.sessions_ca {
        if !address.is_encrypted() {
            return Err(ServeError::SessionsUnencrypted);
        }
        address = address.with_certificates(read(file)?);
    }
    Ok(Some(address))
}

/// What is lacking for listening on this address, where others may connect.
fn refusal(arguments: &Arguments) -> Option<&'static str> {
    if is_private(arguments.listen) || arguments.allow_insecure_listen {
        return None;
    }
    match (&arguments.credentials, &arguments.tls_certificate) {
        (None, _) => Some("credentials"),
        (_, None) => Some("TLS"),
        _ => None,
    }
}

fn clock_skew(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::ZERO..=MAX_CLOCK_SKEW)
}

/// Not longer than an `expires_at` may be ahead.
fn max_token_lifetime(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::from_mins(1)..=MAX_EXPIRY)
}

fn lease(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::from_secs(2)..=Duration::from_mins(5))
}

fn follow_interval(text: &str) -> Result<Duration, BoundError> {
    short_duration(text, Duration::from_millis(1)..=Duration::from_secs(10))
}

fn generation_interval(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::from_secs(1)..=Duration::from_hours(24))
}

fn drain(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::ZERO..=Duration::from_hours(1))
}

fn false_positive_rate(text: &str) -> Result<f64, BoundError> {
    number(text, MIN_FALSE_POSITIVE_RATE..=MAX_FALSE_POSITIVE_RATE)
}

/// Refuses a directory in which others than the owner can put another store in place of this one,
/// or another program's file in place of the next.
pub(super) fn expect_own_directory(directory: &Path) -> Result<(), ServeError> {
    // What cannot be inspected cannot be opened either, and that is reported then.
    let Ok(metadata) = fs::metadata(directory) else {
        return Ok(());
    };
    let mode = metadata.permissions().mode() & 0o7777;
    if metadata.is_dir() && mode & 0o022 != 0 {
        let directory = directory.to_owned();
        return Err(ServeError::OthersMayWrite { directory, mode });
    }
    Ok(())
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

/// How to go on without what the store lacks.
fn store_hint(error: &StoreError) -> Option<&'static str> {
    match error {
        error if error.leaves_something() => Some(
            "put a backup in its place, or go on with what is left by `portcullis serve \
             --accept-loss`, which begins a new epoch; what was lost has to be revoked again",
        ),
        error if error.is_loss() => Some(
            "put a backup in its place, or move it out of the way together with \
             `authority.mark` to begin with an empty store and new keys",
        ),
        StoreError::Database(error) => database_hint(error),
        StoreError::Copy(error) => copy_hint(error),
        StoreError::InUse { .. } => {
            Some("it is another `portcullis serve`; stop that one first, or name another `--data`")
        }
        _ => None,
    }
}

/// What to do about a copy.
const fn copy_hint(error: &CopyError) -> Option<&'static str> {
    match error {
        CopyError::NotEmpty(_) => Some(
            "a copy does not replace anything: name a directory or a database without a store, in which \
             no authority was ever at work",
        ),
        CopyError::BrokenOff(_) => Some(
            "the same `portcullis copy` begins it anew; to begin with an empty store instead, remove \
             `authority.copying`, or the database",
        ),
        CopyError::Changed => Some("stop every authority, and copy into an empty place again"),
        CopyError::Differs(_) => {
            Some("nothing is kept of it; if it happens again, look for faults of disk and memory")
        }
        _ => None,
    }
}

/// What to do about a database.
pub(super) fn database_hint(error: &DatabaseError) -> Option<&'static str> {
    match error {
        DatabaseError::NoTables(_) => Some(
            "`portcullis migrate --store URL` makes them, with a role that may create a schema; the \
             role of `portcullis serve` needs `USAGE` on it, and to read and write its tables",
        ),
        DatabaseError::NoRight(_) => Some(
            "`GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA portcullis TO ROLE`, by the \
             role that made them, also after each `portcullis migrate`",
        ),
        DatabaseError::AtWork => Some("stop it, and all that stand by, and migrate then"),
        DatabaseError::Version { expected, found } if *found > *expected => {
            Some("a later version of the program has made them; take that one")
        }
        DatabaseError::Version { .. } => {
            Some("`portcullis migrate --store URL` brings them up to this version")
        }
        DatabaseError::Secret { encryption, .. } => match encryption {
            Encryption::NoKey => {
                Some("give the key that it was encrypted with, `--secret-key FILE`")
            }
            Encryption::OtherKey => Some(
                "give the key that it was encrypted with; `portcullis migrate --secret-key NEW \
                 --old-secret-key OLD` puts another one in its place",
            ),
            Encryption::None => Some(
                "`portcullis migrate --store URL --secret-key FILE` encrypts it; stop all \
                 authorities first",
            ),
        },
        DatabaseError::Unreachable(cause) if says(&**cause, "invalid peer certificate") => Some(
            "`sslrootcert=FILE` in the URL names the certificate authority that has signed it, and \
             the host in the URL has to be one that it is for",
        ),
        DatabaseError::Unreachable(cause) if says(&**cause, "server does not support TLS") => Some(
            "let the database speak TLS; where the network in between is as good as this machine, \
             `sslmode=disable` in the URL goes without",
        ),
        DatabaseError::Unreachable(_) => Some(
            "look at host, port, user, password and TLS; of several hosts, one has to be open for \
             writing",
        ),
        _ => None,
    }
}

/// Whether an error or one of its causes says this. The libraries in between hide the types of those.
fn says(error: &(dyn std::error::Error + Send + Sync + 'static), text: &str) -> bool {
    chain_of(error).contains(text)
}

/// What the filter reaches with 32 bits for each entry, and, a little more, with 24: more and fewer
/// are not built.
const MIN_FALSE_POSITIVE_RATE: f64 = 1.7e-6;
const MAX_FALSE_POSITIVE_RATE: f64 = 3e-5;

/// How long work without a waiting caller may hold up the end of the process.
const LAST_WORK: Duration = Duration::from_secs(1);

/// Why the authority does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could connect without being authenticated.
    #[error("refused to listen on {address}, where others can connect, without {lacking}")]
    Public {
        /// The address.
        address: SocketAddr,
        /// `credentials` or `TLS`.
        lacking: &'static str,
    },
    /// Others can write to the directory of the store.
    #[error("refused to keep the store in `{}`, where others may write (mode {mode:o})", directory.display())]
    OthersMayWrite {
        /// The directory.
        directory: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The address could not be bound.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The address of the registry of sessions is none.
    #[error("invalid `--sessions`")]
    Sessions(#[from] AddressError),
    /// The address of the database is none.
    #[error("invalid `--store`")]
    Store(#[from] DatabaseAddressError),
    /// A file for the database, or for the registry of sessions, cannot be read.
    #[error("could not read `{}`", path.display())]
    ServerFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A copy goes from one kind of store to the other.
    #[error(
        "expected one of `--from` and `--to` to be `redb:DIRECTORY`, and the other `postgres://…`"
    )]
    SamePlaces,
    /// A file with a key for secrets is not usable.
    #[error("invalid `--secret-key`")]
    SecretKey(#[source] SecretKeyError),
    /// A database decides by itself what it has lost.
    #[error("`--accept-loss` is for a store in a file, not for `--store`")]
    AcceptLoss,
    /// The revocations in the directory would not be in force any more.
    #[error("directory `{}` has a store of its own, which `--store` would leave out", directory.display())]
    TwoStores {
        /// The directory.
        directory: PathBuf,
    },
    /// The process could not be started again.
    #[error("everything has to be loaded anew ({end}), and the process could not be started again")]
    Again {
        /// Why.
        end: End,
        /// What the system said.
        source: io::Error,
    },
    /// A certificate authority is named for a connection that has no TLS.
    #[error("`--sessions-ca` needs `--sessions rediss://…` or `rediss+cluster://…`")]
    SessionsUnencrypted,
    /// A file of the authority is not usable.
    #[error(transparent)]
    File(#[from] AuthorityFileError),
    /// The credentials are not usable.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// TLS is not possible.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// TLS is not possible at the listener for signals.
    #[error("`tls` of the signals file is not usable")]
    SignalsTls(#[source] TlsError),
    /// The store is not usable.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The server could not be started, or went down.
    #[error("could not serve")]
    Serve(#[source] io::Error),
}

impl ServeError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Public { .. } => Some(
                "give `--credentials`, `--tls-certificate` and `--tls-key`, listen on loopback, \
                 or insist with `--allow-insecure-listen`",
            ),
            Self::OthersMayWrite { .. } => Some(
                "`chmod go-w` it, or name a directory in it that is not there yet: that is made \
                 for you alone",
            ),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "another program listens there; name another port with `--listen`, or port 0 for \
                 any free one",
            ),
            Self::Credentials(_) => {
                Some("`portcullis credential --role admin --name NAME` makes a line for it")
            }
            Self::Authority(AuthorityError::Store(error)) => store_hint(error),
            Self::TwoStores { .. } => Some(
                "what was revoked in it would pass again; name another `--data`, or leave `--store` \
                 out",
            ),
            Self::SecretKey(SecretKeyError::Open { .. }) => {
                Some("`chmod 600` it; where a group has to read it, `chmod 640`")
            }
            Self::SecretKey(_) => Some("`openssl rand -base64 32` makes a key"),
            Self::Authority(AuthorityError::Sessions(error)) => error.hint(),
            Self::Listen { .. }
            | Self::Sessions(_)
            | Self::SessionsUnencrypted
            | Self::Store(_)
            | Self::ServerFile { .. }
            | Self::AcceptLoss
            | Self::SamePlaces
            | Self::Again { .. }
            | Self::File(_)
            | Self::Tls(_)
            | Self::SignalsTls(_)
            | Self::Authority(_)
            | Self::Serve(_) => None,
        }
    }

    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Public { .. }
            | Self::OthersMayWrite { .. }
            | Self::Sessions(_)
            | Self::SessionsUnencrypted
            | Self::Store(_)
            | Self::SamePlaces
            | Self::AcceptLoss => 2,
            Self::ServerFile { .. }
            | Self::SecretKey(SecretKeyError::Read { .. })
            | Self::Credentials(CredentialsError::Read { .. })
            | Self::File(AuthorityFileError::Unreadable(ConfigurationFileError::Read { .. }))
            | Self::Authority(
                AuthorityError::Verifier(VerifierError::Read { .. })
                | AuthorityError::OAuth(OAuthError::Secret(SignalSecretError::Read { .. }))
                | AuthorityError::Signals(SignalsError::Secret(SignalSecretError::Read { .. })),
            )
            | Self::Tls(TlsError::Read { .. })
            | Self::SignalsTls(TlsError::Read { .. }) => UNREADABLE,
            _ => 1,
        }
    }
}
