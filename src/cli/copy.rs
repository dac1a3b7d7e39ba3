//! `portcullis copy`: a store from a file into a database, and back.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use clap::Args;

use super::CommandError;
use super::serve::{SecretUrl, ServeError, database_address, expect_own_directory};
use crate::authority::{AuthorityError, Copied, CopyProgress, StorePlace, copy_store};

/// The arguments of `portcullis copy`.
#[derive(Clone, Debug, Args)]
pub struct Arguments {
    /// The store to copy: `redb:DIRECTORY`, as `portcullis serve --data` has it, or `postgres://…`, as
    /// `--store`. No authority may be at work on it
    #[arg(long, value_name = "STORE")]
    pub from: Place,
    /// Where there is no store yet, the same; one of both is a directory, and the other a database
    #[arg(long, value_name = "STORE")]
    pub to: Place,
    /// The password of the database, in a file
    #[arg(long, value_name = "FILE")]
    pub store_password: Option<PathBuf>,
    /// The key that secrets in the database are encrypted with, as `portcullis serve` has it
    #[arg(long, value_name = "FILE")]
    pub secret_key: Option<PathBuf>,
}

/// Where a store is, as it was given.
#[derive(Clone, Debug)]
pub enum Place {
    /// `redb:`.
    Directory(PathBuf),
    /// Anything else, which may contain a password.
    Database(SecretUrl),
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        match text.strip_prefix("redb:") {
            Some("") => Err(PlaceError),
            Some(directory) => Ok(Self::Directory(directory.into())),
            None => Ok(Self::Database(text.to_owned().into())),
        }
    }
}

/// There is no directory behind `redb:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a directory behind `redb:`")]
pub struct PlaceError;

/// Copies everything, compares the copy, and says what is in it. The progress is on standard error.
///
/// # Errors
///
/// [`CommandError::Serve`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let (from, to) = match (&arguments.from, &arguments.to) {
        (Place::Directory(from), Place::Database(to)) => (
            StorePlace::Directory(from.clone()),
            database(arguments, to)?,
        ),
        (Place::Database(from), Place::Directory(to)) => {
            expect_own_directory(to)?;
            (
                database(arguments, from)?,
                StorePlace::Directory(to.clone()),
            )
        }
        _ => return Err(ServeError::SamePlaces.into()),
    };
    let mut shown = Shown::begin();
    let copied = copy_store(&from, &to, &mut |progress| shown.tell(progress));
    let copied = copied.map_err(|error| ServeError::from(AuthorityError::Store(error)))?;
    shown.end();
    let Copied {
        entries,
        owners,
        issuers,
        changes,
        settings,
        staged,
        sequence,
    } = copied;
    writeln!(
        output,
        "copied and compared: entries {entries}, owners {owners}, issuers {issuers}, changes \
         {changes}, settings {settings}, parts of an import {staged}; the last change has number \
         {sequence}"
    )
    .map_err(CommandError::Output)
}

fn database(arguments: &Arguments, url: &SecretUrl) -> Result<StorePlace, ServeError> {
    let address = database_address(
        url,
        arguments.store_password.as_deref(),
        arguments.secret_key.as_deref(),
    )?;
    Ok(StorePlace::Database(Box::new(address)))
}

/// Lines on standard error, one every now and then.
struct Shown {
    began: Instant,
    said: Instant,
    rows: u64,
    verb: &'static str,
}

/// Seldom enough for a log.
const SHOW_INTERVAL: Duration = Duration::from_secs(2);

impl Shown {
    fn begin() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            said: now,
            rows: 0,
            verb: WRITTEN,
        }
    }

    fn tell(&mut self, progress: CopyProgress) {
        let (verb, copied) = match progress {
            CopyProgress::Written(copied) => (WRITTEN, copied),
            CopyProgress::Compared(copied) => (COMPARED, copied),
        };
        if verb != self.verb {
            self.end();
            *self = Self {
                verb,
                ..Self::begin()
            };
        }
        self.rows = copied.rows();
        if self.said.elapsed() >= SHOW_INTERVAL {
            self.said = Instant::now();
            self.end();
        }
    }

    fn end(&self) {
        let (seconds, rows) = (self.began.elapsed().as_secs_f64(), self.rows);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = rows as f64 / seconds.max(0.001);
        let verb = self.verb;
        // A closed output is no reason not to go on.
        let _ = writeln!(
            io::stderr(),
            "{verb} {rows} rows in {seconds:.1} seconds, {rate:.0} a second"
        );
    }
}

const WRITTEN: &str = "copied";
const COMPARED: &str = "compared";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_told_from_a_database() {
        let directory = "redb:some/where".parse();
        assert!(
            matches!(directory, Ok(Place::Directory(path)) if path.as_os_str() == "some/where")
        );
        let database = "postgres://u:secret@h/d".parse();
        let Ok(database @ Place::Database(_)) = database else {
            panic!("{database:?}");
        };
        assert!(!format!("{database:?}").contains("secret"));
        assert!("redb:".parse::<Place>().is_err());
    }
}
