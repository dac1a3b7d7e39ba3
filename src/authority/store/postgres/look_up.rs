//! Commits whose answer was lost.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::connection::STATEMENT_LIMIT;
use super::state::State;
use super::{Postgres, locked, row, unreachable};
use crate::authority::store::StoreError;
use crate::authority::store::engine::Fate;
use crate::authority::store::error::DatabaseError;
use crate::authority::text::chain_of;

/// How long a commit whose answer was lost is looked up before its callers are told that the store is
/// unavailable. About as long as a failover of a well-kept database takes.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
const LOOK_UP_PAUSE: Duration = Duration::from_millis(100);

impl Postgres {
    /// Finds out what became of the transaction whose end was asked for, and commits once more, so that
    /// what it finds is as safe as anything that is acknowledged.
    pub(super) fn look_up(&self) -> Result<Fate, StoreError> {
        let (client, state) = self.begin()?;
        let Some(unsure) = *locked(&self.unsure) else {
            // Nothing was written on this connection: its transaction is only ended.
            self.commit(&client).map_err(unreachable)?;
            self.writing.keep(client);
            return Ok(Fate::Lost);
        };
        if state.line != self.presence.line {
            return Err(DatabaseError::Outdated.into());
        }
        let asking = Arc::clone(&client);
        let number = row::signed(unsure.number)?;
        let mark = self.connector.wait(STATEMENT_LIMIT, async move {
            let mark = State::mark_of(&asking, number).await?;
            State::touch(&asking).await?;
            Ok(mark)
        });
        let fate = match mark.map_err(unreachable)? {
            Some(mark) if mark.0 == unsure.mark => Fate::Committed(unsure),
            // Another commit has its number, or none has.
            Some(_) => Fate::Lost,
            None if state.standing.commits < unsure.number => Fate::Lost,
            // So many have followed that the journal does not go back as far.
            None => return Err(StoreError::Row),
        };
        self.commit(&client).map_err(unreachable)?;
        *locked(&self.unsure) = None;
        self.writing.keep(client);
        Ok(fate)
    }

    /// The same, tried again for a while.
    pub(super) fn look_up_patiently(&self) -> Result<Fate, StoreError> {
        let began = Instant::now();
        loop {
            match self.look_up() {
                Err(error) if self.presence.end().is_none() && began.elapsed() < LOOK_UP_LIMIT => {
                    tracing::debug!(error = %chain_of(&error), "could not look a commit up yet");
                    thread::sleep(LOOK_UP_PAUSE);
                }
                other => return other,
            }
        }
    }
}
