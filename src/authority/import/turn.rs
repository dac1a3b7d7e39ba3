//! The staging area, which holds one import at a time, and finishing what was left in it.
//!
//! The holder of a [`Turn`] has the area to itself. A turn that is dropped before it is over,
//! because the client hung up or the store failed, is finished by a task of its own, which holds
//! the area until it is empty.
//!
//! # And where several authorities have one store?
//!
//! Then the store says who has the area: an authority claims it under a random number, and counts up in
//! it to show that it is alive. Whatever touches the area is done only under that number. When the count
//! has not changed for [`SILENCE`], by the keeper's clock, the keeper claims the area in its place, and
//! finishes what was left.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use tokio::task::AbortHandle;

use super::{ImportError, decode};
use crate::authority::Authority;
use crate::authority::entry::Revocation;
use crate::authority::history::History;
use crate::authority::store::{
    ApplyStaged, AreaHolder, Claim, ClaimArea, CompleteImport, DropStaged, InArea, Keep, KeepArea,
    Nothing, Stage, Store, StoreError, Work,
};
use crate::authority::text::chain_of;
use crate::authority::writer::{WriteError, Writer};

/// As long as the writer needs to open the store anew after most failures.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How often an authority that has the area shows that it is alive, and how long it may fail to.
const BEAT_INTERVAL: Duration = Duration::from_secs(3);
const SILENCE: Duration = Duration::from_secs(20);

/// The right to stage an import.
#[derive(Debug)]
pub(super) struct Turn {
    /// Given up when the area is empty.
    area: Option<Area>,
}

/// The area, which this process has to itself.
#[derive(Debug)]
struct Area {
    store: Arc<Store>,
    writer: Writer,
    history: Arc<History>,
    /// Under which number, where other processes write as well.
    claim: Option<Held>,
    _guard: OwnedMutexGuard<()>,
}

/// A claim that is kept up until dropped.
#[derive(Debug)]
struct Held {
    number: u64,
    beating: AbortHandle,
}

impl Turn {
    /// Begins with an empty area.
    pub(super) async fn begin(authority: &Authority) -> Result<Self, ImportError> {
        let guard = Arc::clone(&authority.importing)
            .try_lock_owned()
            .map_err(|_| ImportError::InProgress)?;
        let area = Area::claimed(authority, guard, None).await?;
        let area = area.ok_or(ImportError::InProgress)?;
        let turn = Self { area: Some(area) };
        turn.area()?.finish_left().await?;
        // What was left is gone, and with it the claim.
        turn.area()?.claim_again().await?;
        Ok(turn)
    }

    /// Stages a piece.
    pub(super) async fn stage(&self, number: u64, part: Vec<u8>) -> Result<(), WriteError> {
        self.area()?.write(Stage { number, part }).await
    }

    /// Declares the import complete, carries it out and gives the number of revocations that were
    /// new. After an error it is not known whether it was declared; what is on the disk decides.
    pub(super) async fn complete(mut self, pieces: u64) -> Result<u64, WriteError> {
        let area = self.area()?;
        area.write(Keep(CompleteImport(Some(pieces)))).await?;
        let revoked = area.carry_out(pieces).await?;
        self.area = None;
        Ok(revoked)
    }

    /// Throws away what was staged.
    pub(super) async fn give_up(mut self) -> Result<(), WriteError> {
        self.area()?.write(DropStaged).await?;
        self.area = None;
        Ok(())
    }

    fn area(&self) -> Result<&Area, WriteError> {
        self.area.as_ref().ok_or(WriteError::Unavailable)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the next one resumes.
        if let (Some(area), Ok(runtime)) = (self.area.take(), Handle::try_current()) {
            runtime.spawn(area.settle());
        }
    }
}

/// Finishes what an earlier process has left, while everything else goes on: an import of millions
/// takes longer than edges can do without the authority, and no caller was told that it was done.
/// Other imports are refused until then.
pub(crate) fn resume(authority: &Arc<Authority>) {
    if authority.store.is_shared() {
        tokio::spawn(finish_for_others(Arc::clone(authority)));
        return;
    }
    if matches!(is_left(&authority.store), Ok(false)) {
        // Then no import has to wait for the area. The first commit records which parts of the file
        // are free.
        let writer = authority.writer.clone();
        tokio::spawn(async move { writer.write_in_turn(Nothing).await });
        return;
    }
    // No import has it yet.
    if let Ok(guard) = Arc::clone(&authority.importing).try_lock_owned() {
        tokio::spawn(Area::of(authority, guard, None).settle());
    }
}

/// Takes over, as the keeper, the area of an authority that has fallen silent, for ever.
async fn finish_for_others(authority: Arc<Authority>) {
    let mut seen: Option<(Claim, Instant)> = None;
    loop {
        tokio::time::sleep(BEAT_INTERVAL).await;
        if !authority.store.is_keeper() {
            seen = None;
            continue;
        }
        let store = Arc::clone(&authority.store);
        let kept = tokio::task::spawn_blocking(move || store.kept::<AreaHolder>()).await;
        let Ok(Ok(Some(AreaHolder(Some(claim))))) = kept else {
            continue;
        };
        let since = match seen {
            Some((last, since)) if last == claim => since,
            _ => Instant::now(),
        };
        seen = Some((claim, since));
        if since.elapsed() < SILENCE {
            continue;
        }
        // Not before: callers who try to import meanwhile have it for a moment each.
        let guard = Arc::clone(&authority.importing).lock_owned().await;
        match Area::claimed(&authority, guard, Some(claim)).await {
            Ok(Some(area)) => {
                tracing::warn!("another authority has left an import; finishing it");
                area.settle().await;
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "could not take over the import of another authority");
            }
        }
        seen = None;
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

impl Held {
    /// Keeps up a claim that was made.
    fn begin(number: u64, writer: Writer) -> Self {
        let beating = tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT_INTERVAL).await;
                // One that is lost shows in the next work in the area.
                let _ = writer.write_in_turn(KeepArea(number)).await;
            }
        });
        Self {
            number,
            beating: beating.abort_handle(),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

impl Area {
    fn of(authority: &Authority, guard: OwnedMutexGuard<()>, claim: Option<Held>) -> Self {
        Self {
            store: Arc::clone(&authority.store),
            writer: authority.writer.clone(),
            history: Arc::clone(&authority.history),
            claim,
            _guard: guard,
        }
    }

    /// The area of this process, claimed where other processes write as well; `None` where one of them
    /// has it.
    async fn claimed(
        authority: &Authority,
        guard: OwnedMutexGuard<()>,
        from: Option<Claim>,
    ) -> Result<Option<Self>, WriteError> {
        if !authority.store.is_shared() {
            return Ok(Some(Self::of(authority, guard, None)));
        }
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(|_| WriteError::Unavailable)?;
        let number = u64::from_le_bytes(number);
        let claim = ClaimArea { from, number };
        if !authority.writer.write_in_turn(claim).await? {
            return Ok(None);
        }
        let held = Held::begin(number, authority.writer.clone());
        Ok(Some(Self::of(authority, guard, Some(held))))
    }

    /// Claims the area that this process has emptied, before another one does.
    async fn claim_again(&self) -> Result<(), ImportError> {
        let Some(Held { number, .. }) = self.claim else {
            return Ok(());
        };
        let holder = self.read(Store::kept::<AreaHolder>).await?;
        if matches!(holder, Some(AreaHolder(Some(claim))) if claim.number == number) {
            return Ok(());
        }
        let claim = ClaimArea { from: None, number };
        if self.writer.write_in_turn(claim).await? {
            Ok(())
        } else {
            Err(ImportError::InProgress)
        }
    }

    /// Does something that only the process may do that has the area.
    async fn write<W: Work>(&self, work: W) -> Result<W::Outcome, WriteError> {
        let claim = self.claim.as_ref().map(|held| held.number);
        let done = self.writer.write_in_turn(InArea { claim, work }).await?;
        done.ok_or_else(|| {
            tracing::error!("another authority has taken over the import of this one");
            WriteError::Unavailable
        })
    }

    /// Finishes what was left, however long the store cannot be written to.
    async fn settle(self) {
        let mut pause = FIRST_PAUSE;
        while let Err(error) = self.finish_and_free().await {
            if self.is_lost().await {
                return;
            }
            tracing::warn!(%error, "an import is not at its end; it is tried again");
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    async fn finish_and_free(&self) -> Result<(), WriteError> {
        self.finish_left().await?;
        if self.claim.is_none() || self.is_lost().await {
            return Ok(());
        }
        self.write(DropStaged).await
    }

    /// Whether another process has taken the area over, or none has it any more.
    async fn is_lost(&self) -> bool {
        let Some(Held { number, .. }) = self.claim else {
            return false;
        };
        match self.read(Store::kept::<AreaHolder>).await {
            Ok(Some(AreaHolder(Some(claim)))) => claim.number != number,
            Ok(_) => true,
            Err(_) => false,
        }
    }

    /// Finishes an import that was interrupted: carries it out when it was complete, else throws it
    /// away. Costs one commit when there is none.
    async fn finish_left(&self) -> Result<(), WriteError> {
        // An empty commit, since a store that is closed after a failure is opened only by the next
        // write.
        self.writer.write_in_turn(Nothing).await?;
        let complete = self.read(complete_in).await?;
        if let Some(pieces) = complete {
            let revoked = self.carry_out(pieces).await?;
            tracing::warn!(revoked, "carried out an import that had been interrupted");
            return Ok(());
        }
        let staged = self.read(|store| store.staged(0)).await?;
        if staged.is_some() {
            self.write(DropStaged).await?;
            tracing::warn!("threw away an import that had been interrupted");
        }
        Ok(())
    }

    /// Applies the remaining pieces of an import of so many, as fast as the edges that follow can apply
    /// them.
    async fn carry_out(&self, pieces: u64) -> Result<u64, WriteError> {
        let mut revoked = 0;
        let mut next = self.piece_from(0, pieces).await?;
        while let Some((number, revocations)) = next {
            self.history.wait_for_edges().await;
            let work = ApplyStaged {
                number,
                revocations,
            };
            // The next piece is read while this one is written.
            let following = self.piece_from(number.saturating_add(1), pieces);
            let (written, read) = tokio::join!(biased; self.write(work), following);
            revoked += written?.revoked;
            next = read?;
        }
        self.write(DropStaged).await?;
        Ok(revoked)
    }

    /// Reads on a thread that may wait for the store.
    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, WriteError> {
        let store = Arc::clone(&self.store);
        let read = tokio::task::spawn_blocking(move || work(&store)).await;
        let read = read.map_err(|_| WriteError::Unavailable)?;
        read.map_err(|error| unavailable(&error))
    }

    /// The first of the pieces from `start` on and before `end`.
    async fn piece_from(
        &self,
        start: u64,
        end: u64,
    ) -> Result<Option<(u64, Vec<Revocation>)>, WriteError> {
        let staged = self.read(move |store| store.staged(start)).await?;
        let Some((number, piece)) = staged.filter(|(number, _)| *number < end) else {
            return Ok(None);
        };
        let revocations = decode(&piece).ok_or(WriteError::Unavailable)?;
        Ok(Some((number, revocations)))
    }
}

fn unavailable(error: &StoreError) -> WriteError {
    let error = chain_of(error);
    tracing::error!(error, "could not read a staged import");
    WriteError::Unavailable
}
