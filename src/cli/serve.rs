//! `portcullis serve`: the revocation authority.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
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

use super::bounds::{BoundError, duration, number, short_duration};
use crate::authority::{
    Access, Authority, Certificate, Credentials, Door, End, MAX_EXPIRY, MAX_LEASE, is_private,
};
use crate::revocation::MAX_CLOCK_SKEW;

mod database;
mod doors;
mod error;
mod settings;
mod supervisor;

pub(super) use database::database_address;
pub use error::ServeError;

use database::open_database;
use doors::{door_for_signals, expect_safe_console, listen, refusal, url};
use settings::Files;
use supervisor::Notice;

/// What the filter reaches with 32 bits for each entry, and, a little more, with 24: more and fewer
/// are not built.
const MIN_FALSE_POSITIVE_RATE: f64 = 1.7e-6;
const MAX_FALSE_POSITIVE_RATE: f64 = 3e-5;

/// How long work without a waiting caller may hold up the end of the process.
const LAST_WORK: Duration = Duration::from_secs(1);

/// The arguments of `portcullis serve`.
#[derive(Clone, Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is an option without a value"
)]
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
    #[arg(long, value_name = "DURATION", default_value = "10s", requires = "store", value_parser = lease)]
    pub lease: Duration,
    /// How often it is looked what other authorities have written to the database, 1ms to 10s, and more often
    /// than once in a lease
    #[arg(long, value_name = "DURATION", default_value = "20ms", requires = "store", value_parser = follow_interval)]
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
    /// Serve the console, pages for people with the role `admin` or `viewer`, at `/console`; where others can
    /// connect, only over TLS
    #[arg(long, requires = "credentials")]
    pub console: bool,
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
/// `output` when it is ready: where it listens, and the public keys for the filter. A supervisor that has
/// asked for it (`NOTIFY_SOCKET`) is told as well.
///
/// # Errors
///
/// [`ServeError`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), ServeError> {
    expect_safe_console(arguments)?;
    let refusal = refusal(arguments);
    if let Some(lacking) = refusal {
        return Err(ServeError::Public {
            address: arguments.listen,
            lacking,
        });
    }
    expect_own_directory(&arguments.data)?;
    let files = Files::read(arguments)?;
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
    let certificate = tls
        .map(|(certificate, key)| Certificate::open(certificate, key))
        .transpose()?;
    let door = Door {
        listener: listen(arguments)?,
        certificate,
    };
    let for_signals = files.signals.as_ref().map(door_for_signals).transpose()?;
    let (stop, stopping) = watch::channel(false);
    let told = Arc::new(AtomicBool::new(false));
    let database = match files.database.clone() {
        Some(address) => Some(open_database(address).await?),
        None => None,
    };
    let settings = files.settings(arguments, database);
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
    if arguments.console {
        let _ = writeln!(io::stderr(), "serving the console at {url}/console");
    }
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
    supervisor::tell(Notice::Ready(&url));
    let served = authority.serve(door, for_signals, arguments.drain).await;
    served.map_err(ServeError::Serve)?;
    let Some(replica) = replica else {
        return Ok(Served::Stopped);
    };
    let end = replica.end();
    let _ = tokio::task::spawn_blocking(move || replica.leave()).await;
    Ok(end.map_or(Served::Stopped, |end| Served::Ended(end, told)))
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
        supervisor::tell(Notice::Stopping);
        told.store(true, Ordering::Relaxed);
        stop.send_replace(true);
    })
}

fn clock_skew(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::ZERO..=MAX_CLOCK_SKEW)
}

/// Not longer than an `expires_at` may be ahead.
fn max_token_lifetime(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::from_mins(1)..=MAX_EXPIRY)
}

fn lease(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::from_secs(2)..=MAX_LEASE)
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
