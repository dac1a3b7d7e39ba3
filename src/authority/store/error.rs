//! Why the store could not do what was asked.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use super::copying::CopyError;
use crate::authority::text::counted;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory could not be made.
    #[error("could not make directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be opened.
    #[error("could not open store `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process serves this directory.
    #[error("directory `{}` is in use by {}", directory.display(), Holder::of(holder.as_ref()))]
    InUse {
        /// The directory.
        directory: PathBuf,
        /// Which process, where it has said so.
        holder: Option<Holder>,
    },
    /// The open file is not the one that its path names, or is not as it was left.
    #[error("`{}` {how} while it was in use", path.display())]
    Taken {
        /// The file.
        path: PathBuf,
        /// What happened to it.
        how: Taken,
    },
    /// The space that is left on the disk is reserved for single revocations.
    #[error("the disk is full, but for {left} bytes that are kept for single revocations")]
    Full {
        /// Bytes that are left.
        left: u64,
    },
    /// Reading or writing failed.
    #[error("the store failed")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
    /// A row is not what this version has written.
    #[error("the store holds a row that is damaged, or lacks one")]
    Row,
    /// The engine failed on something in its file; with its message, unless it panicked.
    #[error("the store's file is damaged")]
    Broken(#[source] Option<Box<dyn Error + Send + Sync>>),
    /// The store is not as it was when it was last written to.
    #[error("store `{}` {damage}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The file was made by a version with another format.
    #[error("expected format {expected} of the store, found {found}")]
    Format {
        /// The format of this version.
        expected: u8,
        /// The format of the file.
        found: u8,
    },
    /// The file could not be opened again after an error.
    #[error("the store is closed after an error")]
    Closed,
    /// Another copy is being made.
    #[error("a backup is being made")]
    BackingUp,
    /// The copy was stopped, since it must not keep the store from being reopened, nor the process
    /// from ending.
    #[error("the backup was broken off")]
    BrokenOff,
    /// The database that the store is in.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// A copy is not there.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The system has no randomness for a secret.
    #[error("could not make a secret")]
    Random(#[source] getrandom::Error),
}

/// Why a store in a database could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DatabaseError {
    /// No connection could be made.
    #[error("the database cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// TLS cannot be set up.
    #[error("the connection to the database cannot be encrypted: {0}")]
    Tls(String),
    /// The connection was lost, or the transaction given up by the database, before its end was
    /// asked for; nothing is written.
    #[error("the database broke a transaction off, of which nothing is written")]
    Interrupted(#[source] Box<dyn Error + Send + Sync>),
    /// The end of a transaction was asked for, and its answer has not come.
    #[error("the database has not said whether something is written")]
    Unsure(#[source] Box<dyn Error + Send + Sync>),
    /// Something was refused.
    #[error("the database refused a statement")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// The database was not reached for as long as the lease runs.
    #[error("the database was not reached for too long")]
    Away,
    /// What this authority has loaded is of no use any more, since the database was set back or is too
    /// far ahead.
    #[error("this authority has to load everything anew from the database")]
    Outdated,
    /// What only the keeper may do was tried by another authority.
    #[error("another authority is the keeper")]
    NotKeeper,
    /// The database was set back behind what this authority has written.
    #[error("the database lacks {commits} that it had acknowledged", commits = counted(*.0, "commit", "commits"))]
    SetBack(u64),
    /// There are no tables, and this role must not make any.
    #[error("the database has no tables of Portcullis")]
    NoTables(#[source] Option<Box<dyn Error + Send + Sync>>),
    /// This role must not use a table as it has to.
    #[error("the role lacks a right to the table `portcullis.{0}`")]
    NoRight(String),
    /// A program of the first version is at work, which would answer from memory for a while.
    #[error("an authority of an earlier version is at work on the database")]
    AtWork,
    /// The tables are of another version of the program.
    #[error("expected version {expected} of the database's tables, found {found}")]
    Version {
        /// That of this program.
        expected: i32,
        /// That of the tables.
        found: i32,
    },
    /// A setting is encrypted in another way than this authority expects.
    #[error("`{setting}` in the database {encryption}")]
    Secret {
        /// The name of the setting.
        setting: String,
        /// What is wrong.
        encryption: Encryption,
    },
    /// Copies are made by the database's own tools.
    #[error("a store in a database is backed up with the database's own tools")]
    OwnBackup,
}

/// How a setting is encrypted that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Encryption {
    /// It is, and there is no key.
    #[error("is encrypted, and there is no `--secret-key`")]
    NoKey,
    /// It is, with another key.
    #[error("is encrypted with another key than that of `--secret-key`")]
    OtherKey,
    /// It is not, and there is a key: the operator relies on it.
    #[error("is not encrypted, although there is a `--secret-key`")]
    None,
}

/// What has happened to the file of a store that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Taken {
    /// There is no file of this name any more.
    #[error("was removed or renamed")]
    Removed,
    /// Another file has its name.
    #[error("was replaced by another file")]
    Replaced,
    /// It is not as long as it was left.
    #[error("was cut or added to by another program")]
    Resized,
    /// Its header is not the one that was written last.
    #[error("was written to by another program")]
    Overwritten,
}

/// The process that has the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub id: u32,
    /// Where it listens; empty as long as it does not.
    pub url: String,
}

impl Holder {
    fn of(holder: Option<&Self>) -> String {
        match holder {
            None => "another process".to_owned(),
            Some(Self { id, url }) if url.is_empty() => format!("process {id}"),
            Some(Self { id, url }) => format!("process {id}, which listens on {url}"),
        }
    }
}

/// What is wrong with a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// There is no file, where there was one.
    Gone {
        /// Changes that were in it; `None` where that cannot be told.
        changes: Option<u64>,
    },
    /// There is a file, with nothing in it.
    Empty {
        /// Changes that were in it; `None` where that cannot be told.
        changes: Option<u64>,
    },
    /// It is as it was before the last commits.
    Earlier {
        /// Commits that it lacks.
        commits: u64,
        /// Changes that it lacks; some commits make none.
        changes: u64,
    },
    /// Something in it has changed by itself.
    Changed {
        /// Entries that cannot be read; `None` where their number is unknown.
        lost: Option<u64>,
        /// Entries that can be read.
        left: u64,
        /// Whether all were tried. Where most cannot be read, `lost` is an upper bound, and `left`
        /// a lower bound.
        is_all: bool,
    },
    /// Something in it has changed by itself that everything else needs, such as the keys of the
    /// feed, so none of it can be used.
    Unreadable,
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { changes } | Self::Empty { changes } => {
                let state = match self {
                    Self::Gone { .. } => "is gone",
                    _ => "is empty",
                };
                match changes {
                    Some(changes) => {
                        let changes = counted(*changes, "change", "changes");
                        write!(formatter, "{state}, and {changes} with it")
                    }
                    None => write!(formatter, "{state}, and everything that was in it"),
                }
            }
            Self::Earlier { commits, changes } => write!(
                formatter,
                "lacks its last {}, in {}",
                counted(*changes, "change", "changes"),
                counted(*commits, "commit", "commits")
            ),
            Self::Changed {
                lost: Some(lost),
                left,
                is_all: false,
            } => write!(
                formatter,
                "is damaged, so much of it that not all was tried: at least {left} of {} entries are \
                 left",
                lost.saturating_add(*left)
            ),
            Self::Changed {
                lost: Some(lost),
                left,
                ..
            } => write!(
                formatter,
                "is damaged: {lost} of {} {} missing",
                counted(lost.saturating_add(*left), "entry", "entries"),
                if *lost == 1 { "is" } else { "are" }
            ),
            Self::Changed {
                lost: None,
                left,
                is_all,
            } => write!(
                formatter,
                "is damaged: an unknown number of entries is missing; {}{} left",
                if *is_all { "" } else { "at least " },
                counted(*left, "is", "are")
            ),
            Self::Unreadable => formatter.write_str("is damaged, and nothing of it can be used"),
        }
    }
}

impl StoreError {
    /// Whether something that was written cannot be read, which may affect one piece of work and
    /// none of the others in its commit.
    #[must_use]
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Row | Self::Broken(_))
    }

    /// Whether nothing was written, and the same may be tried again at once.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        matches!(self, Self::Database(DatabaseError::Interrupted(_)))
    }

    /// Whether the store can be used only by a process that loads everything anew.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        matches!(
            self,
            Self::Database(DatabaseError::SetBack(_) | DatabaseError::Outdated)
        )
    }

    /// Whether it is not known yet if something was written.
    #[must_use]
    pub const fn is_unsure(&self) -> bool {
        matches!(self, Self::Database(DatabaseError::Unsure(_)))
    }

    /// Whether something has been lost that only a backup brings back.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// Whether the store can go on with what is left, if the operator says so.
    #[must_use]
    pub const fn leaves_something(&self) -> bool {
        matches!(self, Self::Damaged { damage, .. } if !matches!(damage, Damage::Unreadable))
    }
}
