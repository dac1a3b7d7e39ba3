//! Opening the store, and finding out whether it is complete.
//!
//! Four things have to agree: the path, the mark beside it, the ledger in the store, and the rows.
//! If they do not, the start fails and reports what is missing, and the file is left as it was.
//! Whether to go on without it is for the operator to decide, not for a restart at night.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, RwLock};

use redb::{Database, ReadableDatabase as _};

use super::backend::Backend;
use super::caught::{caught, discard};
use super::failure::failed;
use super::file::{
    FILE_NAME, Trust, filter_key, guard, initialize, make_database, names_earlier_commit,
    store_number, try_database,
};
use super::guard::Guard;
use super::loading::load;
use super::mark::{Mark, Said, Standing};
use super::salvage::{self, Wreck};
use super::tables::{head_in, ledger_in};
use super::{
    Damage, Embedded, Engine as _, Epoch, Head, Opened, Progress, Setting as _, StoreError, backup,
    commit, copying,
};
use crate::authority::history::History;
use crate::authority::index::Index;
use crate::authority::store::known::Known;
use crate::revocation::FilterKey;

/// Some three million entries.
pub(crate) const CHECKED_BYTES: u64 = 512 << 20;

/// How a store is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Memory for pages of the file.
    pub cache_bytes: usize,
    /// The longest file that redb checks completely as well; [`CHECKED_BYTES`] outside tests.
    pub checked_bytes: u64,
    /// What is done when something is missing.
    pub loss: Loss,
    /// The clock, for the number of a new epoch.
    pub now_milliseconds: u64,
}

/// What is done when the store has lost something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Loss {
    /// It is not opened.
    #[default]
    Refused,
    /// It goes on with what is left, in a new epoch.
    Accepted,
}

/// A store that was found complete, still on trial.
struct Found {
    trial: Trial,
    index: Arc<Index>,
}

/// A store that was read as a whole.
struct Trial {
    database: Database,
    backend: Backend,
    filter_key: FilterKey,
    standing: Standing,
}

impl Embedded {
    /// Opens the store in `directory`, creating both if neither ever existed, and reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of these [`StoreError::Damaged`] when something is missing.
    pub(in crate::authority::store) fn open(
        directory: &Path,
        opening: Opening,
    ) -> Result<Opened, StoreError> {
        make_directory(directory)?;
        let mark = Mark::hold(directory)?;
        let path = directory.join(FILE_NAME);
        copying::expect_none_begun(&path)?;
        backup::tidy_up(&path);
        salvage::tidy_up(&path)?;
        let said = mark.read()?;
        match find(&path, opening, said) {
            Ok((found, guard)) => {
                let is_earlier_copy = is_earlier(said, found.trial.standing);
                Self::of(found, guard, mark, &path, opening, is_earlier_copy)
            }
            Err(StoreError::Damaged { damage, .. }) if opening.loss == Loss::Accepted => {
                tracing::error!(
                    path = %path.display(),
                    "the store {damage}; it goes on without, as `--accept-loss` says"
                );
                accept(&path, damage, said, opening)?;
                let (found, guard) = find(&path, opening, Said::Nothing)?;
                // A store made from a damaged one is in a new epoch from the beginning.
                let is_renewed = matches!(damage, Damage::Changed { .. });
                Self::of(found, guard, mark, &path, opening, !is_renewed)
            }
            Err(error) => Err(error),
        }
    }

    fn of(
        found: Found,
        guard: Arc<Guard>,
        mark: Mark,
        path: &Path,
        opening: Opening,
        has_lost: bool,
    ) -> Result<Opened, StoreError> {
        let Found { trial, index } = found;
        trial.backend.acquit()?;
        let engine = Self {
            path: path.to_owned(),
            cache_bytes: opening.cache_bytes,
            filter_key: trial.filter_key,
            index: Arc::clone(&index),
            guard,
            mark,
            progress: Mutex::new(Progress::at(trial.standing)),
            database: RwLock::new(Some(trial.database)),
            backing_up: Mutex::new(()),
            openings: AtomicU64::new(0),
        };
        // The mark comes last: if it were written first and the process ended in between, the next
        // start would see nothing missing, and would go on in the old epoch.
        if has_lost {
            engine.renew_epoch(opening.now_milliseconds)?;
        }
        let standing = engine.progress().standing;
        engine.mark.say_for_good(standing)?;
        let (mut head, mut log) = (Head::EMPTY, Vec::new());
        engine.read(&mut |snapshot| {
            head = snapshot.head()?;
            log = snapshot.log(0)?;
            Ok(())
        })?;
        let history = History::new(head, log);
        Ok(Opened {
            engine: Box::new(engine),
            known: Arc::new(Known::new(index, history, commit(standing.commits))),
            filter_key: trial.filter_key,
        })
    }

    /// Sequence numbers are given out a second time for other changes, so a new epoch has to tell
    /// them apart. A store that has no epoch yet begins one anyway.
    fn renew_epoch(&self, now_milliseconds: u64) -> Result<(), StoreError> {
        let mut old = None;
        self.read(&mut |snapshot| {
            old = snapshot.setting(Epoch::NAME)?;
            Ok(())
        })?;
        let Some(old) = old.as_deref().map(Epoch::read).transpose()? else {
            return Ok(());
        };
        let epoch = old.after(now_milliseconds);
        self.write(&mut |transaction| transaction.put_setting(Epoch::NAME, epoch.encode()))?;
        tracing::error!(
            old_epoch = old.0,
            new_epoch = epoch.0,
            sequence = self.progress().standing.sequence,
            "the store lacks changes that it had; what was revoked with them has to be revoked \
             again; a new epoch begins"
        );
        Ok(())
    }
}

pub(in crate::authority::store) fn make_directory(directory: &Path) -> Result<(), StoreError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| StoreError::Directory {
            path: directory.to_owned(),
            source,
        })
}

/// Opens the store, or a new one where none ever existed, and reads it.
fn find(path: &Path, opening: Opening, said: Said) -> Result<(Found, Arc<Guard>), StoreError> {
    if is_new(path, said)? {
        make_new(path, opening.cache_bytes)?;
    }
    let guard = guard(path)?;
    let index = Arc::new(Index::new());
    let trial = try_whole(path, opening, said, &guard, Some(&index))?;
    Ok((Found { trial, index }, guard))
}

/// Opens the store that is there and reads it, without keeping it in memory.
///
/// # Errors
///
/// [`StoreError`]; of these [`StoreError::Damaged`] when something is missing.
pub(super) fn try_out(path: &Path, cache_bytes: usize, said: Said) -> Result<Database, StoreError> {
    if is_new(path, said)? {
        let damage = Damage::Empty { changes: None };
        return Err(damaged(path, damage));
    }
    let opening = Opening {
        cache_bytes,
        checked_bytes: CHECKED_BYTES,
        loss: Loss::Refused,
        now_milliseconds: 0,
    };
    let trial = try_whole(path, opening, said, &guard(path)?, None)?;
    match said {
        // An authority begins a new epoch then, and has to be started for it.
        Said::Was(was) if is_earlier(said, trial.standing) => {
            let (commits, changes) = (was.commits, was.sequence);
            let damage = Damage::Earlier {
                commits: commits.saturating_sub(trial.standing.commits),
                changes: changes.saturating_sub(trial.standing.sequence),
            };
            discard(trial.database);
            Err(damaged(path, damage))
        }
        _ => Ok(trial.database),
    }
}

fn damaged(path: &Path, damage: Damage) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        damage,
    }
}

/// Reads a store, which has to be there.
fn try_whole(
    path: &Path,
    opening: Opening,
    said: Said,
    guard: &Arc<Guard>,
    index: Option<&Index>,
) -> Result<Trial, StoreError> {
    let found = match examine(path, opening, guard, index) {
        Err(StoreError::Row | StoreError::Broken(_)) => {
            return Err(damaged(path, Wreck::assess(path, guard, said)?));
        }
        other => other?,
    };
    match said {
        Said::Was(was) if was.store == found.standing.store => {
            let commits = was.commits.saturating_sub(found.standing.commits);
            let changes = was.sequence.saturating_sub(found.standing.sequence);
            let header = guard.header();
            if commits > 0 && header.is_some_and(|header| names_earlier_commit(&header)) {
                discard(found.database);
                return Err(damaged(path, Damage::Earlier { commits, changes }));
            }
        }
        Said::Unreadable => tracing::warn!("the store's mark cannot be read; the store is whole"),
        Said::Was(_) | Said::Nothing => {}
    }
    Ok(found)
}

/// Whether an older backup has replaced a store that had come further. A backup is complete, so an
/// operator has put it there.
fn is_earlier(said: Said, standing: Standing) -> bool {
    match said {
        Said::Was(was) if was.store == standing.store => was.commits > standing.commits,
        Said::Was(was) => was.sequence > standing.sequence,
        Said::Nothing | Said::Unreadable => false,
    }
}

/// Whether there is no store yet.
fn is_new(path: &Path, said: Said) -> Result<bool, StoreError> {
    let length = match fs::metadata(path) {
        Ok(metadata) => Some(metadata.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(source) => {
            return Err(StoreError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    let changes = match said {
        Said::Was(standing) => Some(standing.sequence),
        Said::Nothing | Said::Unreadable => None,
    };
    let damage = match length {
        _ if said == Said::Nothing => return Ok(length.is_none_or(|length| length == 0)),
        None => Damage::Gone { changes },
        Some(0) => Damage::Empty { changes },
        Some(_) => return Ok(false),
    };
    Err(StoreError::Damaged {
        path: path.to_owned(),
        damage,
    })
}

/// Created completely under another name before it gets its own, so that a file of that name is
/// always a store.
fn make_new(path: &Path, cache_bytes: usize) -> Result<(), StoreError> {
    let unfinished = salvage::unfinished(path);
    let database = make_database(&unfinished, cache_bytes)?;
    initialize(&database)?;
    drop(database);
    salvage::install(&unfinished, path)
}

/// Opens the file on trial and reads all of it.
///
/// # Errors
///
/// [`StoreError::Row`] and [`StoreError::Broken`] when something in it has changed by itself.
fn examine(
    path: &Path,
    opening: Opening,
    guard: &Arc<Guard>,
    index: Option<&Index>,
) -> Result<Trial, StoreError> {
    let trust = trust_in(path, opening.checked_bytes);
    let (database, backend) = caught(|| try_database(path, opening.cache_bytes, guard, trust))?;
    match caught(|| read(&database, index)) {
        Ok((filter_key, standing)) => Ok(Trial {
            database,
            backend,
            filter_key,
            standing,
        }),
        Err(error) => {
            // Caught separately, since it may panic as well.
            discard(database);
            Err(error)
        }
    }
}

/// redb's own check reads every page, on one processor, while edges wait: a third of a second for a
/// million entries. It finds more than the ledger does only where redb's own records, such as which
/// pages are free, are damaged. Those are one part in ten thousand of a large file, and the next
/// start finds the consequences.
fn trust_in(path: &Path, checked_bytes: u64) -> Trust {
    match fs::metadata(path) {
        Ok(metadata) if metadata.len() > checked_bytes => Trust::Given,
        _ => Trust::Withheld,
    }
}

fn read(database: &Database, index: Option<&Index>) -> Result<(FilterKey, Standing), StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    let key = filter_key(&reading)?;
    let ledger = ledger_in(&reading)?;
    let standing = Standing {
        store: store_number(&reading)?,
        commits: ledger.commits,
        sequence: head_in(&reading)?.sequence,
    };
    if !ledger.is_of(&load(database, index, key)?) {
        return Err(StoreError::Row);
    }
    Ok((key, standing))
}

/// Makes a store of what is left, ready to be opened.
fn accept(path: &Path, damage: Damage, said: Said, opening: Opening) -> Result<(), StoreError> {
    match damage {
        Damage::Gone { .. } | Damage::Earlier { .. } => Ok(()),
        Damage::Empty { .. } => fs::remove_file(path).map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        }),
        Damage::Changed { .. } => salvage::salvage(path, said, opening),
        Damage::Unreadable => Err(StoreError::Damaged {
            path: path.to_owned(),
            damage,
        }),
    }
}
