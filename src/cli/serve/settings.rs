//! What the arguments, and the files that they name, come to.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::database::database;
use super::{Arguments, SecretUrl, ServeError};
use crate::authority::{
    AddressError, Configuration, ConsoleAccess, Database, DatabaseAddress, Limits, Loss,
    RegistryAddress, SegmentCaching, Settings, SharedDatabase, SignalsConfiguration,
};
use crate::cli::authority_file::{self, OwnFile};
use crate::revocation::EXPIRY_MARGIN;

/// What the authority's files say, and where else things are.
pub(super) struct Files {
    configuration: Configuration,
    pub signals: Option<SignalsConfiguration>,
    sessions: Option<RegistryAddress>,
    pub database: Option<DatabaseAddress>,
}

impl Files {
    /// Reads what the arguments name.
    ///
    /// # Errors
    ///
    /// [`ServeError`].
    pub(super) fn read(arguments: &Arguments) -> Result<Self, ServeError> {
        let database = database(arguments)?;
        Ok(Self {
            configuration: read(arguments.config.as_deref())?.unwrap_or_default(),
            signals: read(arguments.signals.as_deref())?,
            sessions: registry(arguments)?,
            database,
        })
    }

    /// How the authority is set up.
    pub(super) fn settings(self, arguments: &Arguments, database: Option<Database>) -> Settings {
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
            configuration: self.configuration,
            signals: self.signals,
            sessions: self.sessions,
            console: match (arguments.console, &arguments.tls_certificate) {
                (false, _) => ConsoleAccess::Off,
                (true, Some(_)) => ConsoleAccess::OverTls,
                (true, None) => ConsoleAccess::OnLoopback,
            },
        }
    }
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
