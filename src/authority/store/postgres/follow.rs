//! Coming in step with what other processes have committed.
//!
//! What has changed since a commit is in the journal and in the log, and entries are read as they are
//! now: so all of it is read at one instant, either in a snapshot or while the row of the state is locked.

use std::collections::HashSet;

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connection::Fault;
use super::journal::Touched;
use super::row::{at_most, seal, unsigned};
use super::state::{Mark, State};
use crate::authority::entry::Entry;
use crate::authority::store::Head;
use crate::authority::store::engine::Commit;
use crate::authority::store::rows::{decode_entry, decode_log};
use crate::authority::store::seal::Section;
use crate::authority::store::writing::News;
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

pub(super) const BEGIN_SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL idle_in_transaction_session_timeout = '10s';
SET LOCAL statement_timeout = '10s'";

/// Entries that are asked for at once.
const PAGE: usize = 8_192;

/// How a process stands to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing was committed that it does not know.
    Same,
    /// Something was.
    Behind,
    /// The database lacks so many commits that this process knows of.
    SetBack(u64),
    /// The database was set back before, and another process has seen to it.
    OtherLine,
}

/// Why a process cannot come in step.
#[derive(Debug)]
pub(super) enum Lost {
    /// What it lacks is not kept any more.
    Overtaken,
    /// The database has another commit in place of the last one that it knows.
    SetBack,
    /// The database, or the way to it.
    Fault(Fault),
}

impl Step {
    /// How a process stands that has loaded `line`, and knows everything up to `known`.
    pub(super) fn of(line: i64, known: Commit, state: &State) -> Self {
        let found = state.standing;
        if state.line > line {
            return Self::OtherLine;
        }
        let lacks = known.number.saturating_sub(found.commits);
        if state.line < line || lacks > 0 {
            return Self::SetBack(lacks.max(1));
        }
        match found.commits == known.number {
            true if found.mark.0 == known.mark => Self::Same,
            true => Self::SetBack(1),
            false => Self::Behind,
        }
    }
}

impl From<Fault> for Lost {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<tokio_postgres::Error> for Lost {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// Everything that was committed after `known`, where the head of the feed was `head`, up to `state`.
pub(super) async fn news(
    client: &Client,
    key: FilterKey,
    (known, head): (Commit, Head),
    state: &State,
) -> Result<News, Lost> {
    // Both questions on one way. Where both fail, the second only says that the first has.
    let (touched, changes) = tokio::join!(
        biased;
        touched_since(client, known, state.standing.commits),
        changes_since(client, key, head, state.standing.head),
    );
    let (mut touched, changes) = (touched?, changes?);
    touched
        .names
        .extend(changes.iter().map(|(change, _)| change.fingerprint()));
    let names: Vec<Fingerprint> = touched.names.into_iter().collect();
    let mut entries = Vec::with_capacity(names.len());
    for names in names.chunks(PAGE) {
        entries.extend(entries_of(client, key, names).await?);
    }
    Ok(News {
        after: head.sequence,
        changes,
        entries,
        has_settings: touched.has_settings,
    })
}

/// What the commits after `known` have touched. The journal still has to have `known` itself.
async fn touched_since(client: &Client, known: Commit, last: u64) -> Result<Touched, Lost> {
    let rows = client
        .query_typed(
            "SELECT commit, mark, content FROM portcullis.journal
            WHERE commit >= $1 AND commit <= $2 ORDER BY commit",
            &[
                (&at_most(known.number), Type::INT8),
                (&at_most(last), Type::INT8),
            ],
        )
        .await?;
    let mut touched = Touched::default();
    // The first commit is 1.
    let mut next = known.number.max(1);
    for row in &rows {
        let commit = unsigned(row.try_get(0)?)?;
        if commit != next {
            return Err(Lost::Overtaken);
        }
        next = commit.saturating_add(1);
        let (mark, content): (Vec<u8>, Vec<u8>) = (row.try_get(1)?, row.try_get(2)?);
        if commit > known.number {
            touched.add(&content)?;
        } else if Mark::of(&mark)?.0 != known.mark {
            return Err(Lost::SetBack);
        }
    }
    if next <= last {
        return Err(Lost::Overtaken);
    }
    Ok(touched)
}

async fn changes_since(
    client: &Client,
    key: FilterKey,
    known: Head,
    last: Head,
) -> Result<Vec<(Change, Chain)>, Lost> {
    if last.sequence <= known.sequence {
        return Ok(Vec::new());
    }
    let rows = client
        .query_typed(
            "SELECT sequence, content FROM portcullis.log
            WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence",
            &[
                (&at_most(known.sequence), Type::INT8),
                (&at_most(last.sequence), Type::INT8),
            ],
        )
        .await?;
    let seal = seal(Section::Log, key);
    let mut changes = Vec::with_capacity(rows.len());
    for (row, expected) in rows.iter().zip(known.sequence + 1..) {
        let sequence = unsigned(row.try_get(0)?)?;
        if sequence != expected {
            return Err(Lost::Overtaken);
        }
        let content: Vec<u8> = row.try_get(1)?;
        let opened = seal.opened(&sequence.to_le_bytes(), &content);
        let change = opened.and_then(decode_log).map_err(|_| Fault::Row)?;
        changes.push(change);
    }
    if changes.len() as u64 != last.sequence - known.sequence {
        return Err(Lost::Overtaken);
    }
    Ok(changes)
}

/// These entries as they are; `None` for one that is not there any more.
async fn entries_of(
    client: &Client,
    key: FilterKey,
    names: &[Fingerprint],
) -> Result<Vec<(Fingerprint, Option<Entry>)>, Lost> {
    let asked: Vec<Vec<u8>> = names.iter().map(|name| name.0.to_vec()).collect();
    let rows = client
        .query_typed(
            "SELECT name, content FROM portcullis.entries WHERE name = ANY($1)",
            &[(&asked, Type::BYTEA_ARRAY)],
        )
        .await?;
    let mut entries = Vec::with_capacity(names.len());
    for row in &rows {
        let (name, entry) = entry_of(row, key)?;
        entries.push((name, Some(entry)));
    }
    let found: HashSet<Fingerprint> = entries.iter().map(|(name, _)| *name).collect();
    let gone = names.iter().filter(|name| !found.contains(*name));
    entries.extend(gone.map(|name| (*name, None)));
    Ok(entries)
}

fn entry_of(row: &Row, key: FilterKey) -> Result<(Fingerprint, Entry), Fault> {
    let (name, content): (Vec<u8>, Vec<u8>) = (row.try_get(0)?, row.try_get(1)?);
    let opened = seal(Section::Entries, key).opened(&name, &content);
    let (found, entry) = opened.and_then(decode_entry).map_err(|_| Fault::Row)?;
    if found.0 == *name {
        Ok((found, entry))
    } else {
        Err(Fault::Row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::store::postgres::state::Standing;

    #[test]
    fn what_the_state_says_decides_whether_something_is_missing_here_or_there() {
        let commit = |number, mark| Commit {
            number,
            mark: [mark; 16],
        };
        let state = |line, commits, mark| State {
            line,
            standing: Standing {
                commits,
                mark: Mark([mark; 16]),
                head: Head::EMPTY,
            },
        };
        for (state, expected) in [
            (state(3, 10, 1), Step::Same),
            (state(3, 11, 9), Step::Behind),
            (state(3, 10, 9), Step::SetBack(1)),
            (state(3, 7, 9), Step::SetBack(3)),
            (state(4, 7, 9), Step::OtherLine),
            (state(4, 12, 9), Step::OtherLine),
            (state(2, 12, 9), Step::SetBack(1)),
        ] {
            assert_eq!(Step::of(3, commit(10, 1), &state), expected, "{state:?}");
        }
    }
}
