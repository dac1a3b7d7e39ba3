//! The staging area, which holds one import at a time, and finishing what was left in it.
//!
//! The holder of a [`Turn`] has the area to itself. A turn that is dropped before it is over,
//! because the client hung up or the store failed, is finished by a task of its own, which holds
//! the area until it is empty.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;

use super::{ImportError, decode};
use crate::authority::Authority;
use crate::authority::entry::Revocation;
use crate::authority::history::History;
use crate::authority::store::{
    ApplyStaged, CompleteImport, DropStaged, Keep, Nothing, Stage, Store, StoreError,
};
use crate::authority::text::chain_of;
use crate::authority::writer::{WriteError, Writer};

/// As long as the writer needs to open the store anew after most failures.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The right to stage an import.
#[derive(Debug)]
pub(super) struct Turn {
    store: Arc<Store>,
    writer: Writer,
    history: Arc<History>,
    /// Given up when the area is empty.
    area: Option<OwnedMutexGuard<()>>,
}

impl Turn {
    /// Begins with an empty area.
    pub(super) async fn begin(authority: &Authority) -> Result<Self, ImportError> {
        let area = Arc::clone(&authority.importing)
            .try_lock_owned()
            .map_err(|_| ImportError::InProgress)?;
        let turn = Self {
            store: Arc::clone(&authority.store),
            writer: authority.writer.clone(),
            history: Arc::clone(&authority.history),
            area: Some(area),
        };
        finish_left(&turn.store, &turn.writer, &turn.history).await?;
        Ok(turn)
    }

    /// Stages a piece.
    pub(super) async fn stage(&self, number: u64, part: Vec<u8>) -> Result<(), WriteError> {
        self.writer.write_in_turn(Stage { number, part }).await
    }

    /// Declares the import complete, carries it out and gives the number of revocations that were
    /// new. After an error it is not known whether it was declared; what is on the disk decides.
    pub(super) async fn complete(mut self, pieces: u64) -> Result<u64, WriteError> {
        let complete = CompleteImport(Some(pieces));
        self.writer.write_in_turn(Keep(complete)).await?;
        let revoked = carry_out(&self.store, &self.writer, &self.history, pieces).await?;
        self.area = None;
        Ok(revoked)
    }

    /// Throws away what was staged.
    pub(super) async fn give_up(mut self) -> Result<(), WriteError> {
        self.writer.write_in_turn(DropStaged).await?;
        self.area = None;
        Ok(())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the next one resumes.
        if let (Some(area), Ok(runtime)) = (self.area.take(), Handle::try_current()) {
            let (store, history) = (Arc::clone(&self.store), Arc::clone(&self.history));
            runtime.spawn(settle(store, self.writer.clone(), history, area));
        }
    }
}

/// Finishes what an earlier process has left, while everything else goes on: an import of millions
/// takes longer than edges can do without the authority, and no caller was told that it was done.
/// Other imports are refused until then.
pub(crate) fn resume(authority: &Authority) {
    if matches!(is_left(&authority.store), Ok(false)) {
        // Then no import has to wait for the area. The first commit records which parts of the file
        // are free.
        let writer = authority.writer.clone();
        tokio::spawn(async move { writer.write_in_turn(Nothing).await });
        return;
    }
    // No import has it yet.
    if let Ok(area) = Arc::clone(&authority.importing).try_lock_owned() {
        let (store, writer) = (Arc::clone(&authority.store), authority.writer.clone());
        let history = Arc::clone(&authority.history);
        tokio::spawn(settle(store, writer, history, area));
    }
}

/// Whether anything of an import is staged.
fn is_left(store: &Store) -> Result<bool, StoreError> {
    Ok(complete_in(store)?.is_some() || store.staged(0)?.is_some())
}

/// How many pieces an import has that is complete and not carried out.
fn complete_in(store: &Store) -> Result<Option<u64>, StoreError> {
    let complete = store.kept::<CompleteImport>()?;
    Ok(complete.and_then(|CompleteImport(pieces)| pieces))
}

/// Finishes what was left, however long the store cannot be written to.
async fn settle(
    store: Arc<Store>,
    writer: Writer,
    history: Arc<History>,
    area: OwnedMutexGuard<()>,
) {
    let mut pause = FIRST_PAUSE;
    while let Err(error) = finish_left(&store, &writer, &history).await {
        tracing::warn!(%error, "an import is not at its end; it is tried again");
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
    drop(area);
}

/// Finishes an import that was interrupted: carries it out when it was complete, else throws it
/// away. Costs one commit when there is none.
async fn finish_left(store: &Store, writer: &Writer, history: &History) -> Result<(), WriteError> {
    // An empty commit, since a store that is closed after a failure is opened only by the next
    // write.
    writer.write_in_turn(Nothing).await?;
    let complete = complete_in(store).map_err(|error| unavailable(&error))?;
    if let Some(pieces) = complete {
        let revoked = carry_out(store, writer, history, pieces).await?;
        tracing::warn!(revoked, "carried out an import that had been interrupted");
        return Ok(());
    }
    if store
        .staged(0)
        .map_err(|error| unavailable(&error))?
        .is_some()
    {
        writer.write_in_turn(DropStaged).await?;
        tracing::warn!("threw away an import that had been interrupted");
    }
    Ok(())
}

/// Applies the remaining pieces of an import of so many, as fast as the edges that follow can apply
/// them.
async fn carry_out(
    store: &Store,
    writer: &Writer,
    history: &History,
    pieces: u64,
) -> Result<u64, WriteError> {
    let mut revoked = 0;
    let mut next = piece_from(store, 0, pieces)?;
    while let Some((number, revocations)) = next {
        history.wait_for_edges().await;
        let work = ApplyStaged {
            number,
            revocations,
        };
        // The next piece is read while this one is written.
        let (written, read) = tokio::join!(biased; writer.write_in_turn(work), async {
            piece_from(store, number.saturating_add(1), pieces)
        });
        revoked += written?.revoked;
        next = read?;
    }
    writer.write_in_turn(DropStaged).await?;
    Ok(revoked)
}

/// The first of the pieces from `start` on and before `end`.
fn piece_from(
    store: &Store,
    start: u64,
    end: u64,
) -> Result<Option<(u64, Vec<Revocation>)>, WriteError> {
    let staged = store.staged(start).map_err(|error| unavailable(&error))?;
    let Some((number, piece)) = staged.filter(|(number, _)| *number < end) else {
        return Ok(None);
    };
    let revocations = decode(&piece).ok_or(WriteError::Unavailable)?;
    Ok(Some((number, revocations)))
}

fn unavailable(error: &StoreError) -> WriteError {
    let error = chain_of(error);
    tracing::error!(error, "could not read a staged import");
    WriteError::Unavailable
}
