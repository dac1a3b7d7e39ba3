//! The authority's TLS certificate and key, read again when the files change: a certificate that is
//! renewed every few weeks needs no restart.
//!
//! The two files are replaced one after the other, so a certificate and a key read in between do
//! not match. Then the previous certificate stays, and the files are read again a second later.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use prometheus_client::metrics::gauge::Gauge;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};

use super::clock;
use super::file_stamp::FileStamp;

mod validity;

const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is told that the certificate has to be replaced.
const REMINDER_INTERVAL: Duration = Duration::from_hours(6);

/// How long before its end that begins: whatever replaces certificates has had its turn by then.
const SOON: Duration = Duration::from_hours(7 * 24);

/// A certificate with its chain, and its key, both PEM files.
#[derive(Debug)]
pub struct Certificate {
    files: [PathBuf; 2],
    provider: Arc<CryptoProvider>,
    current: RwLock<Arc<CertifiedKey>>,
    looks: Mutex<Looks>,
}

/// The files as they were last found good, and as they were last reported as unusable.
#[derive(Debug)]
struct Looks {
    good: Seen,
    bad: Seen,
}

/// When the files were written, and how long they are.
type Seen = [Option<FileStamp>; 2];

impl Certificate {
    /// Reads both files.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub fn open(certificate: &Path, key: &Path) -> Result<Arc<Self>, TlsError> {
        let files = [certificate.to_owned(), key.to_owned()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let good = seen(&files);
        let current = read(&files, &provider)?;
        Ok(Arc::new(Self {
            current: RwLock::new(Arc::new(current)),
            looks: Mutex::new(Looks {
                good,
                bad: [None; 2],
            }),
            files,
            provider,
        }))
    }

    /// The TLS configuration that uses it.
    ///
    /// # Errors
    ///
    /// [`TlsError::Unusable`].
    pub(super) fn server(self: &Arc<Self>) -> Result<Arc<ServerConfig>, TlsError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let resolver: Arc<Self> = Arc::clone(self);
        let config = builder
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        Ok(Arc::new(config))
    }

    /// Shows when it ends, or the first of its chain, in seconds since 1970.
    pub(super) fn show_end(&self, shown: &Gauge) {
        shown.set(self.end().map_or(0, seconds));
    }

    /// Follows changes of the files, for ever, and shows when the certificate that is in force ends.
    pub(super) async fn follow(self: Arc<Self>, shown: Gauge) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        let mut reminded = None::<Instant>;
        loop {
            ticks.tick().await;
            if self.look() {
                self.show_end(&shown);
                reminded = None;
            }
            if reminded.is_none_or(|reminded| reminded.elapsed() >= REMINDER_INTERVAL) {
                let now = Duration::from_millis(clock::now_milliseconds());
                self.remind(SystemTime::UNIX_EPOCH + now);
                reminded = Some(Instant::now());
            }
        }
    }

    /// Says that the certificate has to be replaced, if it has.
    fn remind(&self, now: SystemTime) {
        let Some(end) = self.end() else {
            return;
        };
        let file = self.files[0].display();
        let end_text = humantime::format_rfc3339_seconds(end);
        if end <= now {
            tracing::error!(%file, end = %end_text, "the certificate has expired");
        } else if end <= now + SOON {
            tracing::warn!(%file, end = %end_text, "the certificate expires soon");
        }
    }

    /// The instant from which no client trusts it any more.
    fn end(&self) -> Option<SystemTime> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let ends = current.cert.iter().filter_map(|one| validity::end(one));
        ends.min()
    }

    /// Reads the files again if they have changed; whether that has put another certificate in force.
    fn look(&self) -> bool {
        let now_seen = seen(&self.files);
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        if looks.good == now_seen {
            return false;
        }
        match read(&self.files, &self.provider) {
            Ok(new) => {
                looks.good = now_seen;
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
                tracing::info!("read the certificate again");
                return true;
            }
            // Read again on the next look, since the other file may be about to be written.
            Err(error) if looks.bad != now_seen => {
                looks.bad = now_seen;
                tracing::warn!(
                    error = %super::text::chain_of(&error),
                    "the changed certificate is not usable; the one from before stays in force"
                );
            }
            Err(_) => {}
        }
        false
    }
}

/// Since 1970; 0 for what was before.
fn seconds(instant: SystemTime) -> i64 {
    let since = instant.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

fn read(files: &[PathBuf; 2], provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let [certificate, key] = files;
    let unusable = |path: &Path| {
        let path = path.to_owned();
        move |source| match source {
            pem::Error::NoItemsFound => TlsError::NoKey { path },
            source => TlsError::Pem { path, source },
        }
    };
    let chain = CertificateDer::pem_slice_iter(&bytes(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(unusable(certificate))?;
    if chain.is_empty() {
        let path = certificate.clone();
        return Err(TlsError::NoCertificate { path });
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key)?).map_err(unusable(key))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsError::Mismatch {
            certificate: certificate.clone(),
            key: key.clone(),
        },
        error => error.into(),
    })
}

fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

fn seen(files: &[PathBuf; 2]) -> Seen {
    files.each_ref().map(|path| FileStamp::of(path))
}

/// Why TLS cannot be offered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("`{}` is not usable", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// There is no certificate in the file.
    #[error("expected a certificate in `{}`, found none", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no private key in the file.
    #[error("expected a private key in `{}`, found none", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// They are not a pair.
    #[error("the key in `{}` is not that of the certificate in `{}`", key.display(), certificate.display())]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// This library does not support them.
    #[error("certificate and key are not usable")]
    Unusable(#[from] rustls::Error),
}
