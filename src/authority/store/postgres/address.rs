//! Where the database is: the text of `--store`.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsFault, RootCertStore,
    SignatureScheme,
};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use super::vault::SecretKey;
use crate::percent::decoded_text;

/// How long one host may take to be connected to.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// What a name of a parameter looks like; anything else may be a part of a password.
const MAX_PARAMETER_NAME: usize = 32;

/// A PostgreSQL database, with what it takes to connect to it.
#[derive(Clone)]
pub struct DatabaseAddress {
    pub(super) config: Config,
    tls: TlsMode,
    /// PEM; those of the system otherwise.
    certificates: Option<PathBuf>,
    pub(super) secret_key: Option<SecretKey>,
}

/// What becomes of TLS, the `sslmode` of PostgreSQL's own tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TlsMode {
    /// There is none.
    Disable,
    /// Encrypted, with any server.
    Require,
    /// The certificate is trusted, whatever host it is for.
    VerifyCa,
    /// The certificate is trusted, and for this host.
    VerifyFull,
}

/// What is wrong with the text of an address, which is not repeated, since it may have a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseAddressError {
    /// It begins with something else.
    #[error("expected `postgres://` or `postgresql://` at the beginning")]
    Scheme,
    /// The part before `?` is not understood.
    #[error(
        "expected `postgres://USER[:PASSWORD]@HOST[:PORT][,HOST…]/DATABASE`, with other characters \
         than letters and digits in user and password as `%` and two hexadecimal digits"
    )]
    Form,
    /// A parameter is not known, or has no value that it may have.
    #[error("parameter `{0}` is not known, or its value is none of those that it may have")]
    Parameter(String),
    /// Another mode of TLS.
    #[error("`sslmode`: expected `verify-full`, `verify-ca`, `require` or `disable`")]
    TlsMode,
    /// Hosts that cannot be written to.
    #[error("`target_session_attrs`: expected `read-write`, which is what it is without")]
    Target,
    /// Certificates are named for a connection that does not look at any.
    #[error("`sslrootcert` needs `sslmode=verify-full` or `sslmode=verify-ca`")]
    UnusedCertificates,
}

impl DatabaseAddress {
    /// The same, with another password.
    #[must_use]
    pub fn with_password(mut self, password: &str) -> Self {
        self.config.password(password);
        self
    }

    /// The same, with settings encrypted with this key.
    #[must_use]
    pub fn with_secret_key(mut self, key: SecretKey) -> Self {
        self.secret_key = Some(key);
        self
    }

    /// What is weaker than it should be about the connection, for the log.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        let is_local = self.is_local();
        match self.tls {
            TlsMode::VerifyFull => None,
            TlsMode::Disable if is_local => None,
            TlsMode::Disable => Some(
                "the connection to the database is not encrypted: others on the way can read \
                 the feed's signing key",
            ),
            TlsMode::Require => Some(
                "the certificate of the database is not looked at: others on the way can take \
                 its place",
            ),
            TlsMode::VerifyCa => Some(
                "the certificate of the database may be one for any host that its authority knows",
            ),
        }
    }

    fn is_local(&self) -> bool {
        let mut hosts = self.config.get_hosts().iter();
        hosts.all(|host| match host {
            Host::Tcp(name) => {
                let address: Result<IpAddr, _> = name.parse();
                name == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
            Host::Unix(_) => true,
        })
    }

    /// The settings of TLS, where it is spoken.
    ///
    /// # Errors
    ///
    /// When certificates cannot be read.
    pub(super) fn tls(&self) -> Result<Option<ClientConfig>, String> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let config = match self.tls {
            TlsMode::Disable => return Ok(None),
            TlsMode::Require => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
                .with_no_client_auth(),
            TlsMode::VerifyCa => {
                let roots = Arc::new(self.roots()?);
                let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| error.to_string())?;
                builder
                    .dangerous()
                    .with_custom_certificate_verifier(Arc::new(AnyHost(verifier)))
                    .with_no_client_auth()
            }
            TlsMode::VerifyFull => builder
                .with_root_certificates(self.roots()?)
                .with_no_client_auth(),
        };
        Ok(Some(config))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.certificates else {
            for certificate in rustls_native_certs::load_native_certs().certs {
                // A store of the system may have some that are not understood.
                let _ = roots.add(certificate);
            }
            if roots.is_empty() {
                return Err("the system has no certificates that it trusts".to_owned());
            }
            return Ok(roots);
        };
        let pem = fs::read(path)
            .map_err(|error| format!("could not read `{}`: {error}", path.display()))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|error| format!("`sslrootcert`: {error}"))?;
            let added = roots.add(certificate);
            added.map_err(|error| format!("`sslrootcert`: {error}"))?;
        }
        if roots.is_empty() {
            return Err("`sslrootcert` has no certificate in it".to_owned());
        }
        Ok(roots)
    }
}

impl FromStr for DatabaseAddress {
    type Err = DatabaseAddressError;

    fn from_str(text: &str) -> Result<Self, DatabaseAddressError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(DatabaseAddressError::Scheme);
        }
        let (base, parameters) = text.split_once('?').unwrap_or((text, ""));
        let mut config: Config = base.parse().map_err(|_| DatabaseAddressError::Form)?;
        let (mut tls, mut certificates) = (None, None);
        for parameter in parameters.split('&').filter(|text| !text.is_empty()) {
            let (name, value) = parameter
                .split_once('=')
                .ok_or(DatabaseAddressError::Form)?;
            let is_name = name.len() <= MAX_PARAMETER_NAME
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            if !is_name {
                return Err(DatabaseAddressError::Form);
            }
            match name {
                "sslmode" => {
                    tls = Some(match value {
                        "disable" => TlsMode::Disable,
                        "require" => TlsMode::Require,
                        "verify-ca" => TlsMode::VerifyCa,
                        "verify-full" => TlsMode::VerifyFull,
                        _ => return Err(DatabaseAddressError::TlsMode),
                    });
                }
                "sslrootcert" => {
                    let path = decoded_text(value).ok_or(DatabaseAddressError::Form)?;
                    certificates = Some(PathBuf::from(path));
                }
                "target_session_attrs" if value != "read-write" => {
                    return Err(DatabaseAddressError::Target);
                }
                _ => {
                    // The library reads the rest, each by itself so that a fault has a name.
                    let probe: Result<Config, _> =
                        format!("postgres://host/?{name}={value}").parse();
                    if probe.is_err() || matches!(name, "password" | "user" | "host" | "hostaddr") {
                        return Err(DatabaseAddressError::Parameter(name.to_owned()));
                    }
                }
            }
        }
        let rest: Vec<&str> = parameters
            .split('&')
            .filter(|text| !text.starts_with("sslmode=") && !text.starts_with("sslrootcert="))
            .collect();
        if rest.iter().any(|text| !text.is_empty()) {
            let text = format!("{base}?{}", rest.join("&"));
            config = text.parse().map_err(|_| DatabaseAddressError::Form)?;
        }
        // Of an `@` in a password that is not written as `%40`, the rest would be a host, which is shown.
        let is_name = |host: &Host| !matches!(host, Host::Tcp(name) if name.contains('@'));
        if config.get_hosts().is_empty() || !config.get_hosts().iter().all(is_name) {
            return Err(DatabaseAddressError::Form);
        }
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_LIMIT);
        }
        if config.get_application_name().is_none() {
            config.application_name("portcullis");
        }
        let mut address = Self {
            config,
            tls: TlsMode::VerifyFull,
            certificates,
            secret_key: None,
        };
        address.tls = tls.unwrap_or(if address.is_local() && address.certificates.is_none() {
            TlsMode::Disable
        } else {
            TlsMode::VerifyFull
        });
        address.config.ssl_mode(match address.tls {
            TlsMode::Disable => SslMode::Disable,
            _ => SslMode::Require,
        });
        let verifies = matches!(address.tls, TlsMode::VerifyCa | TlsMode::VerifyFull);
        if address.certificates.is_some() && !verifies {
            return Err(DatabaseAddressError::UnusedCertificates);
        }
        Ok(address)
    }
}

impl fmt::Display for DatabaseAddress {
    /// Without user and password.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        let hosts = self.config.get_hosts().iter().enumerate();
        let hosts = hosts.map(|(index, host)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            };
            let port = ports.get(index).or_else(|| ports.last());
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let database = self.config.get_dbname().unwrap_or_default();
        write!(formatter, "postgres://{hosts}/{database}")
    }
}

impl fmt::Debug for DatabaseAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "DatabaseAddress({self})")
    }
}

/// Accepts every certificate whose key has signed the handshake.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

/// Accepts a trusted certificate for any host.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsFault> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFault> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFault> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsFault> {
        let verified = self
            .0
            .verify_server_cert(certificate, intermediates, name, ocsp, now);
        match verified {
            // The chain is looked at first.
            Err(TlsFault::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFault> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsFault> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_verified_unless_it_is_said_otherwise_or_the_database_is_on_this_machine() {
        let modes = [
            ("postgres://u@db.example/p", TlsMode::VerifyFull),
            ("postgres://u@127.0.0.1,[::1]/p", TlsMode::Disable),
            ("postgres://u@localhost/p", TlsMode::Disable),
            ("postgres://u@127.0.0.1,db.example/p", TlsMode::VerifyFull),
            (
                "postgresql://u@127.0.0.1/p?sslrootcert=/ca.pem",
                TlsMode::VerifyFull,
            ),
            (
                "postgres://u@db.example/p?sslmode=verify-ca",
                TlsMode::VerifyCa,
            ),
            (
                "postgres://u@db.example/p?sslmode=require",
                TlsMode::Require,
            ),
            (
                "postgres://u@db.example/p?sslmode=disable",
                TlsMode::Disable,
            ),
        ];
        for (text, mode) in modes {
            let address: DatabaseAddress = text.parse().unwrap();
            assert_eq!(address.tls, mode, "{text}");
            let is_weak = text.contains("sslmode=");
            assert_eq!(address.warning().is_some(), is_weak, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_named_and_no_password_is_shown() {
        use DatabaseAddressError as Error;
        let faults = [
            ("redis://h", Error::Scheme),
            ("postgres://u:secret@h:x/p", Error::Form),
            ("postgres:///p", Error::Form),
            ("postgres://u:sec@ret@h/p", Error::Form),
            ("postgres://u:sec@ret@h/p?sslmode=require", Error::Form),
            ("postgres://u:secret@h/p?sslmode=prefer", Error::TlsMode),
            ("postgres://u@h/p?target_session_attrs=any", Error::Target),
            (
                "postgres://u@h/p?colour=red",
                Error::Parameter("colour".into()),
            ),
            (
                "postgres://u@h/p?password=secret",
                Error::Parameter("password".into()),
            ),
            ("postgres://u:sec?Ret=t@h/p", Error::Form),
            (
                "postgres://u@h/p?sslmode=require&sslrootcert=/c",
                Error::UnusedCertificates,
            ),
        ];
        for (text, fault) in faults {
            let error = text.parse::<DatabaseAddress>().unwrap_err();
            assert_eq!(error, fault, "{text}");
            assert!(!error.to_string().contains("secret"), "{text}");
        }
        let address: DatabaseAddress = "postgres://u:secret@a:1,b:2/p?connect_timeout=3"
            .parse()
            .unwrap();
        assert_eq!(format!("{address}"), "postgres://a:1,b:2/p");
        assert!(!format!("{address:?}").contains("secret"));
    }
}
