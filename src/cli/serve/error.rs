//! Why the authority does not serve, and what to do about it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use humantime::format_duration;

use crate::authority::{
    AddressError, AuthorityError, CopyError, CredentialsError, DatabaseAddressError, DatabaseError,
    Encryption, End, OAuthError, SecretKeyError, SignalSecretError, SignalsError, StoreError,
    TlsError, VerifierError, chain_of,
};
use crate::cli::UNREADABLE;
use crate::cli::authority_file::AuthorityFileError;
use crate::cli::configuration_file::ConfigurationFileError;

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
    /// Visitors of the console would send their credentials in the open.
    #[error("refused to serve the console on {address}, where others can connect, without TLS")]
    ConsoleInTheOpen {
        /// The address.
        address: SocketAddr,
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
    /// What is in memory would be too old to answer from before it is brought in step again.
    #[error("`--follow-interval` ({}) is longer than half of `--lease` ({})", format_duration(*interval), format_duration(*lease))]
    FollowsTooSeldom {
        /// How often it would follow.
        interval: Duration,
        /// For how long it would answer.
        lease: Duration,
    },
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
            Self::ConsoleInTheOpen { .. } => Some(
                "give `--tls-certificate` and `--tls-key`, or listen on loopback and come through \
                 `ssh -L`",
            ),
            Self::OthersMayWrite { .. } => Some(
                "`chmod go-w` it, or name a directory in it that is not there yet: that is made \
                 for you alone",
            ),
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "another program listens there; name another port with `--listen`, or port 0 for \
                 any free one",
            ),
            Self::Credentials(_) => Some(
                "`portcullis credential --role admin --name NAME --file FILE` adds a line to it",
            ),
            Self::Authority(AuthorityError::Store(error)) => store_hint(error),
            Self::TwoStores { .. } => Some(
                "what was revoked in it would pass again; name another `--data`, or leave `--store` \
                 out",
            ),
            Self::SecretKey(SecretKeyError::Open { .. }) => {
                Some("`chmod 600` it; where a group has to read it, `chmod 640`")
            }
            Self::SecretKey(SecretKeyError::Form(_)) => {
                Some("`openssl rand -base64 32` makes a key")
            }
            Self::Tls(error) | Self::SignalsTls(error) => tls_hint(error),
            Self::Authority(AuthorityError::Sessions(error)) => error.hint(),
            Self::Listen { .. }
            | Self::Sessions(_)
            | Self::SessionsUnencrypted
            | Self::Store(_)
            | Self::ServerFile { .. }
            | Self::AcceptLoss
            | Self::SamePlaces
            | Self::FollowsTooSeldom { .. }
            | Self::Again { .. }
            | Self::File(_)
            | Self::SecretKey(SecretKeyError::Read { .. })
            | Self::Authority(_)
            | Self::Serve(_) => None,
        }
    }

    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Public { .. }
            | Self::ConsoleInTheOpen { .. }
            | Self::OthersMayWrite { .. }
            | Self::Sessions(_)
            | Self::SessionsUnencrypted
            | Self::Store(_)
            | Self::SamePlaces
            | Self::FollowsTooSeldom { .. }
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

/// What to do about a certificate or its key.
const fn tls_hint(error: &TlsError) -> Option<&'static str> {
    match error {
        TlsError::NoCertificate { .. } | TlsError::NoKey { .. } => Some(
            "both are PEM, with `BEGIN CERTIFICATE` in one file and `BEGIN PRIVATE KEY` in the other, \
             not encrypted; perhaps one stands in place of the other",
        ),
        TlsError::Mismatch { .. } => Some(
            "both were made together: look for the other half of either; of several certificates in \
             the file, the first has to be the server's own",
        ),
        _ => None,
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
fn database_hint(error: &DatabaseError) -> Option<&'static str> {
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
        DatabaseError::Unreachable(cause)
            if says(&**cause, "password authentication failed")
                || says(&**cause, "password missing") =>
        {
            Some("look at user and password; `--store-password FILE` reads one from a file")
        }
        DatabaseError::Unreachable(cause) if says(&**cause, "does not exist") => Some(
            "the user and the database that the URL names have to be there: `CREATE ROLE`, `CREATE \
             DATABASE`",
        ),
        DatabaseError::Unreachable(_) => Some(
            "look whether it runs, and at host and port in the URL; of several hosts, one has to be open \
             for writing. `portcullis serve` ends rather than wait for it, so have it started again",
        ),
        _ => None,
    }
}

/// Whether an error or one of its causes says this. The libraries in between hide the types of those.
fn says(error: &(dyn std::error::Error + Send + Sync + 'static), text: &str) -> bool {
    chain_of(error).contains(text)
}
