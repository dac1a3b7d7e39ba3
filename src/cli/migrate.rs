//! `portcullis migrate`: the tables of a store in a database.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use super::serve::{SecretUrl, ServeError, database_address};
use crate::authority::{AuthorityError, Database, Encrypted, Migrated, SecretKey};

/// The arguments of `portcullis migrate`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The PostgreSQL database, as for `portcullis serve`, with a role that may make tables
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_STORE",
        hide_env_values = true
    )]
    pub store: SecretUrl,
    /// The role's password, in a file
    #[arg(long, value_name = "FILE")]
    pub store_password: Option<PathBuf>,
    /// Encrypt the store's secrets with this key, as `portcullis serve` has it; those too that are not
    /// encrypted yet, for which all authorities have to be stopped
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
    /// The key that they are encrypted with so far, which `--secret-key` takes the place of
    #[arg(long, value_name = "FILE", requires = "secret_key")]
    pub old_secret_key: Option<PathBuf>,
}

/// Makes the tables where there are none, and says which it was; encrypts settings where there is a key.
///
/// # Errors
///
/// [`CommandError::Serve`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let address = database_address(
        &arguments.store,
        arguments.store_password.as_deref(),
        arguments.secret_key.as_deref(),
    )?;
    let old = arguments.old_secret_key.as_deref().map(SecretKey::read);
    let old = old.transpose().map_err(ServeError::SecretKey)?;
    let failed = |error| ServeError::from(AuthorityError::Store(error));
    let migrated = Database::migrate(address.clone()).map_err(failed)?;
    let said = match migrated {
        Migrated::Made => "made the tables",
        Migrated::Updated => "brought the tables up to date",
        Migrated::Current => "the tables are there, and up to date",
    };
    writeln!(output, "{said}").map_err(CommandError::Output)?;
    if arguments.secret_key.is_none() {
        return Ok(());
    }
    let encrypted = Database::encrypt(address, old).map_err(failed)?;
    writeln!(output, "{}", said_of(encrypted)).map_err(CommandError::Output)
}

fn said_of(encrypted: Encrypted) -> String {
    match encrypted {
        Encrypted { newly: 0, .. } => "the settings are encrypted with this key".to_owned(),
        Encrypted { newly, .. } => {
            let settings = if newly == 1 { "setting" } else { "settings" };
            format!("encrypted {newly} {settings} with this key")
        }
    }
}
