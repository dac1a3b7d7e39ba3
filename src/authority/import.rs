//! Many revocations at once: all of them, or none.
//!
//! Lines are checked as they arrive and staged in the store, some thousands in one piece. The
//! import is declared complete only when the last line was found to be in order, in one small
//! commit; from then on it will be carried out, whether the client is still there or not, and even
//! if the process is killed in the middle, since the next process resumes it. Before that, the
//! staged pieces are thrown away.
//!
//! # Why not one large transaction?
//!
//! There is only one writer. A million revocations in one transaction would keep all others waiting
//! for seconds, and revoking the session of a stolen phone must not wait for a nightly import.
//!
//! # Why does it not run ahead of the edges?
//!
//! The feed has one order, so an edge that has half a million imported changes to fetch learns of
//! the stolen phone only after them. So a piece is carried out only when every edge that follows is
//! near the end of the one before: a revocation made meanwhile has some ten thousand imported
//! changes ahead of it, which take an edge 40 round trips to the authority, and the import goes on
//! at the pace of the farthest edge (see the table in `history/followers.rs`). It waits for eight
//! seconds for each piece at most, enough for round trips of a quarter of a second; edges farther
//! away fall behind. Without edges it does not wait.
//!
//! Two orders, one for imports and one for all else, would need rules for a name that is in both, at
//! every edge; and a burst of single revocations would have to be got through all the same.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{Action, Entry, Event, ExceptedSession, Revocation};
use super::request::{Limits, RevocationRequest};
use super::text::counted;
use super::writer::WriteError;
use super::{Authority, clock, strict};
use crate::time::UnixTime;

mod turn;

use turn::Turn;
pub(super) use turn::resume;

/// Revocations staged, and carried out, in one piece: some tens of milliseconds of the writer's
/// time.
const PIECE_LENGTH: usize = 8_192;

/// All members at their longest, every character escaped.
const MAX_LINE_BYTES: usize = 64 * 1024;

/// The most wrong lines to report; more would not help.
const MAX_FAULTS: usize = 100;

/// An import that is being read. One that is dropped before [`finish`](Self::finish) revokes
/// nothing.
#[derive(Debug)]
pub(super) struct Import {
    turn: Turn,
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
pub(super) enum ImportError {
    /// Lines are wrong.
    #[error("{} wrong", counted(*count, "line is", "lines are"))]
    Lines {
        /// The first hundred of them.
        faults: Vec<LineFault>,
        /// All of them.
        count: u64,
    },
    /// Another import is staged: only one can be at a time.
    #[error("another import is being read or carried out")]
    InProgress,
    /// The store failed. When that was after the last line had been read, the import may have been
    /// declared complete, and is carried out then as soon as the store can be written to.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Import {
    /// An import without lines. What an earlier one left is finished first.
    ///
    /// # Errors
    ///
    /// [`ImportError`].
    pub(super) async fn begin(authority: &Authority, caller: String) -> Result<Self, ImportError> {
        Ok(Self {
            turn: Turn::begin(authority).await?,
            caller,
            limits: authority.limits(),
            now: clock::now(),
            line: 0,
            rest: Vec::new(),
            piece: Vec::new(),
            piece_length: 0,
            pieces: 0,
            accepted: 0,
            faults: Vec::new(),
            fault_count: 0,
        })
    }

    /// Takes the next bytes, which may end anywhere.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub(super) async fn take(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
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
            // Counted once as a line that is too long, however much of it is still to come.
            rest.truncate(MAX_LINE_BYTES + 1);
        }
        self.rest = rest;
        Ok(())
    }

    /// Carries the import out, to its end even when the caller hangs up.
    ///
    /// # Errors
    ///
    /// [`ImportError`]; nothing is revoked then, unless the store failed after the last line had
    /// been read.
    pub(super) async fn finish(self) -> Result<Imported, ImportError> {
        let finished = tokio::spawn(self.carry_out()).await;
        finished.unwrap_or(Err(ImportError::Write(WriteError::Unavailable)))
    }

    /// Throws away what was staged.
    ///
    /// # Errors
    ///
    /// [`WriteError`]; it is thrown away later then.
    pub(super) async fn give_up(self) -> Result<(), WriteError> {
        self.turn.give_up().await
    }

    async fn carry_out(mut self) -> Result<Imported, ImportError> {
        let rest = std::mem::take(&mut self.rest);
        self.line(&rest);
        let lines = self.line;
        if self.fault_count > 0 {
            let wrong = self.fault_count;
            tracing::warn!(lines, wrong, caller = self.caller, "import refused");
            // The lines are wrong whether that can be tidied up now or later.
            let _ = self.turn.give_up().await;
            return Err(ImportError::Lines {
                faults: self.faults,
                count: wrong,
            });
        }
        self.put_aside().await?;
        let revoked = self.turn.complete(self.pieces).await?;
        let accepted = self.accepted;
        tracing::info!(lines, accepted, revoked, caller = self.caller, "imported");
        Ok(Imported { accepted, revoked })
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
            // Once a line is wrong, the others are read only to report their faults too.
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
        self.turn.stage(self.pieces, piece).await?;
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
    let request: RevocationRequest = strict::from_slice(line).map_err(|error| error.to_string())?;
    if request.wait.is_some() {
        let hint = "leave it out, since an import waits for no edge; `portcullis edges` shows how far each is";
        return Err(format!("`wait` goes with a single revocation only: {hint}"));
    }
    request
        .check(caller, now, limits)
        .map_err(|error| error.to_string())
}

/// The length (32 bits) and the bytes of an [`Entry`] with one event.
pub(super) fn encode(revocation: &Revocation, now: UnixTime, bytes: &mut Vec<u8>) {
    let entry = Entry {
        in_force: true,
        cause: revocation.cause,
        expires_at: revocation.expires_at,
        sequence: 0,
        not_before: revocation.not_before,
        except: revocation
            .except_session
            .clone()
            .map(ExceptedSession::whole),
        subject: revocation.subject.clone(),
        origins: revocation.origin.iter().cloned().collect(),
        events: vec![Event {
            time: now.seconds().saturating_mul(1000),
            action: Action::Revoked,
            actor: revocation.actor.clone(),
            reason: revocation.reason.clone(),
        }],
        target: revocation.target.clone(),
    };
    let row = entry.encode();
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
        let entry = Entry::decode(row)?;
        let event = entry.events.into_iter().next()?;
        revocations.push(Revocation {
            target: entry.target,
            expires_at: entry.expires_at,
            not_before: entry.not_before,
            except_session: entry.except.map(|except| except.session),
            subject: entry.subject,
            cause: entry.cause,
            origin: entry.origins.into_iter().next(),
            actor: event.actor,
            reason: event.reason,
        });
    }
    bytes.is_empty().then_some(revocations)
}
