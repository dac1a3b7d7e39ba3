//! Many revocations at once: all of them, or none.
//!
//! Lines are checked as they arrive and put aside in the store, some thousands in one piece. Only
//! when the last line was found to be in order is the import declared complete, in one small
//! commit; from then on it will be carried out, even if the process is killed in the middle, since
//! the next one goes on with it. Before that, the pieces put aside are thrown away.
//!
//! # Why not one large transaction?
//!
//! There is only one writer. A million revocations in one transaction would keep everybody else
//! waiting for seconds, and revoking a stolen telephone must not wait for a nightly import.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clock;
use super::entry::{Action, Event, Record, Revocation};
use super::request::{Limits, RevocationRequest};
use super::store::{Outcome, Store, StoreError, Work};
use super::writer::{WriteError, Writer};
use crate::time::UnixTime;

/// An import that is being read.
#[derive(Debug)]
pub struct Import<'w> {
    writer: &'w Writer,
    caller: String,
    limits: Limits,
    now: UnixTime,
    line: u64,
    rest: Vec<u8>,
    piece: Vec<u8>,
    piece_length: usize,
    pieces: u64,
    accepted: u64,
    faults: Vec<LineFault>,
    fault_count: u64,
}

/// What is wrong with one line.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct LineFault {
    /// Its number, from 1.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// What an import did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Imported {
    /// Revocations read.
    pub accepted: u64,
    /// Those that were not in force before.
    pub revoked: u64,
}

/// Why an import did nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Lines are wrong.
    #[error("{count} lines are wrong")]
    Lines {
        /// The first hundred of them.
        faults: Vec<LineFault>,
        /// All of them.
        count: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl<'w> Import<'w> {
    /// An import without lines.
    #[must_use]
    pub fn new(writer: &'w Writer, caller: String, limits: Limits) -> Self {
        Self {
            writer,
            caller,
            limits,
            now: clock::now(),
            line: 0,
            rest: Vec::new(),
            piece: Vec::new(),
            piece_length: 0,
            pieces: 0,
            accepted: 0,
            faults: Vec::new(),
            fault_count: 0,
        }
    }

    /// Takes the next bytes, which may end anywhere.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub async fn take(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend(bytes);
        let mut start = 0;
        while let Some(line) = rest.get(start..)
            && let Some(length) = line.iter().position(|byte| *byte == b'\n')
        {
            self.line(line.get(..length).unwrap_or_default());
            start += length + 1;
            if self.piece_length >= PIECE_LENGTH {
                self.put_aside().await?;
            }
        }
        rest.drain(..start);
        if rest.len() > MAX_LINE_BYTES {
            // Counted as a line that is too long, once, however much of it is still to come.
            rest.truncate(MAX_LINE_BYTES + 1);
        }
        self.rest = rest;
        Ok(())
    }

    /// Carries the import out.
    ///
    /// # Errors
    ///
    /// [`ImportError`]; nothing is revoked then, unless the store failed half way, where the rest
    /// follows when it can be written to again.
    pub async fn finish(mut self, store: &Store) -> Result<Imported, ImportError> {
        let rest = std::mem::take(&mut self.rest);
        self.line(&rest);
        if self.fault_count > 0 {
            self.writer.write(Work::DropStaged).await?;
            return Err(ImportError::Lines {
                faults: self.faults,
                count: self.fault_count,
            });
        }
        self.put_aside().await?;
        let complete = self.pieces.to_le_bytes().to_vec();
        self.writer.write(Work::Keep(COMPLETE, complete)).await?;
        let revoked = carry_out(store, self.writer).await?;
        Ok(Imported {
            accepted: self.accepted,
            revoked,
        })
    }

    /// Throws away what was put aside.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub async fn give_up(self) -> Result<(), WriteError> {
        self.writer.write(Work::DropStaged).await.map(|_| ())
    }

    /// Lines read so far.
    #[must_use]
    pub const fn lines(&self) -> u64 {
        self.line
    }

    fn line(&mut self, line: &[u8]) {
        self.line += 1;
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        match read(line, &self.caller, self.now, &self.limits) {
            Ok(revocation) if self.fault_count == 0 => {
                self.accepted += 1;
                encode(&revocation, self.now, &mut self.piece);
                self.piece_length += 1;
            }
            // Once a line is wrong, the others are only read to find out about them too.
            Ok(_) => {}
            Err(message) => {
                self.fault_count += 1;
                if self.faults.len() < MAX_FAULTS {
                    self.faults.push(LineFault {
                        line: self.line,
                        message,
                    });
                }
            }
        }
    }

    async fn put_aside(&mut self) -> Result<(), WriteError> {
        if self.piece_length == 0 {
            return Ok(());
        }
        let piece = std::mem::take(&mut self.piece);
        self.piece_length = 0;
        self.writer.write(Work::Stage(self.pieces, piece)).await?;
        self.pieces += 1;
        Ok(())
    }
}

/// One line that is not empty.
pub(super) fn read(
    line: &[u8],
    caller: &str,
    now: UnixTime,
    limits: &Limits,
) -> Result<Revocation, String> {
    if line.len() > MAX_LINE_BYTES {
        return Err(format!("expected at most {MAX_LINE_BYTES} bytes"));
    }
    let request: RevocationRequest =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    request
        .check(caller, now, limits)
        .map_err(|error| error.to_string())
}

/// Brings an import that was interrupted to its end: carries it out when it was complete, else
/// throws it away.
///
/// # Errors
///
/// [`WriteError`].
pub async fn resume(store: &Store, writer: &Writer) -> Result<(), WriteError> {
    let complete = store.kept(COMPLETE).map_err(|error| unavailable(&error))?;
    if complete.is_some_and(|pieces| !pieces.is_empty()) {
        let revoked = carry_out(store, writer).await?;
        tracing::warn!(revoked, "carried out an import that had been interrupted");
        return Ok(());
    }
    writer.write(Work::DropStaged).await.map(|_| ())
}

async fn carry_out(store: &Store, writer: &Writer) -> Result<u64, WriteError> {
    let mut revoked = 0;
    let mut next = piece_after(store, None)?;
    while let Some((number, revocations)) = next {
        let work = Work::ApplyStaged(number, revocations);
        // The next piece is read while this one is written.
        let (written, read) = tokio::join!(biased; writer.write(work), async {
            piece_after(store, Some(number))
        });
        if let Outcome::Done(new) = written? {
            revoked += new;
        }
        next = read?;
    }
    writer.write(Work::Keep(COMPLETE, Vec::new())).await?;
    Ok(revoked)
}

fn piece_after(
    store: &Store,
    number: Option<u64>,
) -> Result<Option<(u64, Vec<Revocation>)>, WriteError> {
    let start = number.map_or(0, |number| number.saturating_add(1));
    let Some((number, piece)) = store.staged(start).map_err(|error| unavailable(&error))? else {
        return Ok(None);
    };
    let revocations = decode(&piece).ok_or(WriteError::Unavailable)?;
    Ok(Some((number, revocations)))
}

fn unavailable(error: &StoreError) -> WriteError {
    tracing::error!(error = %super::chain_of(error), "could not read what an import put aside");
    WriteError::Unavailable
}

/// The length (32 bits) and the bytes of a [`Record`] with one event.
pub(super) fn encode(revocation: &Revocation, now: UnixTime, bytes: &mut Vec<u8>) {
    let record = Record {
        in_force: true,
        expires_at: revocation.expires_at,
        sequence: 0,
        not_before: revocation.not_before,
        except_session: revocation.except_session.clone(),
        except_from: UnixTime::EPOCH,
        subject: revocation.subject.clone(),
        events: vec![Event {
            time: now.seconds().saturating_mul(1000),
            action: Action::Revoked,
            actor: revocation.actor.clone(),
            reason: revocation.reason.clone(),
        }],
        target: revocation.target.clone(),
    };
    let row = record.encode();
    bytes.extend(u32::try_from(row.len()).unwrap_or(0).to_le_bytes());
    bytes.extend(row);
}

/// The revocations of a piece; `None` when it is not one.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<Revocation>> {
    let mut revocations = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (row, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        let record = Record::decode(row)?;
        let event = record.events.into_iter().next()?;
        revocations.push(Revocation {
            target: record.target,
            expires_at: record.expires_at,
            not_before: record.not_before,
            except_session: record.except_session,
            subject: record.subject,
            actor: event.actor,
            reason: event.reason,
        });
    }
    bytes.is_empty().then_some(revocations)
}

/// Not empty while an import is complete and not carried out.
const COMPLETE: &str = "import_complete";

/// Revocations put aside, and carried out, in one piece: some tens of milliseconds of the writer's.
const PIECE_LENGTH: usize = 8_192;

/// All members at their longest, every character escaped.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// Wrong lines that are told of; more help nobody.
const MAX_FAULTS: usize = 100;
