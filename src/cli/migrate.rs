//! `portcullis migrate`: the tables of a store in a database.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::CommandError;
use super::serve::{SecretUrl, ServeError, database_address};
use crate::authority::{AuthorityError, Database, Migrated};

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
}

/// Makes the tables where there are none, and says which it was.
///
/// # Errors
///
/// [`CommandError::Serve`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let address = database_address(&arguments.store, arguments.store_password.as_deref())?;
    let migrated = Database::migrate(address);
    let migrated = migrated.map_err(|error| ServeError::from(AuthorityError::Store(error)))?;
    let said = match migrated {
        Migrated::Made => "made the tables",
        Migrated::Current => "the tables are there, and up to date",
    };
    writeln!(output, "{said}").map_err(CommandError::Output)
}
