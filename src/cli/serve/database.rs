//! The database that `--store` names.

use std::fs;
use std::io;
use std::path::Path;

use super::{Arguments, SecretUrl, ServeError};
use crate::authority::{Authority, AuthorityError, Database, DatabaseAddress, SecretKey};

/// Where the database is, if the store is in one.
pub(super) fn database(arguments: &Arguments) -> Result<Option<DatabaseAddress>, ServeError> {
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
    let (interval, lease) = (arguments.follow_interval, arguments.lease);
    if interval > lease / 2 {
        return Err(ServeError::FollowsTooSeldom { interval, lease });
    }
    let directory = &arguments.data;
    if Authority::has_store(directory) {
        let directory = directory.clone();
        return Err(ServeError::TwoStores { directory });
    }
    Ok(Some(address))
}

/// The address that a URL makes, a file with a password, and one with the key for secrets.
pub(in crate::cli) fn database_address(
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

/// Opens the database.
pub(super) async fn open_database(address: DatabaseAddress) -> Result<Database, ServeError> {
    if let Some(warning) = address.warning() {
        tracing::warn!(database = %address, "{warning}");
    }
    let opening = tokio::task::spawn_blocking(move || Database::open(address));
    let database = opening.await.map_err(io::Error::other);
    let database = database.map_err(ServeError::Serve)?;
    Ok(database.map_err(AuthorityError::Store)?)
}
