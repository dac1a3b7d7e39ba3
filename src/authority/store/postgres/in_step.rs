//! Bringing what is in memory in step with the database, in a transaction that writes and between them.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use super::connection::{Fault, STATEMENT_LIMIT};
use super::epoch::{self, Begun};
use super::follow::{self, Lost, Step};
use super::replica::End;
use super::state::State;
use super::{Postgres, unreachable};
use crate::authority::clock;
use crate::authority::store::engine::Commit;
use crate::authority::store::error::DatabaseError;
use crate::authority::store::writing::Told;
use crate::authority::store::{Head, StoreError};

/// A look at the state that takes more than this part of the lease is given up.
const LOOKS_IN_A_LEASE: u32 = 4;

/// How long coming in step may take: with all changes that are kept, some seconds.
const NEWS_LIMIT: Duration = Duration::from_mins(1);

impl Postgres {
    /// Comes in step with a state that does not change meanwhile.
    ///
    /// Where that is not possible, the thread that follows sees to it.
    pub(super) fn come_in_step(
        &self,
        client: &Arc<Client>,
        state: State,
    ) -> Result<(), StoreError> {
        let (known, head) = self.known.position();
        match Step::of(self.presence.line, known, &state) {
            Step::Same => Ok(()),
            Step::Behind => {
                self.take_news(client, (known, head), state)
                    .map_err(|lost| match lost {
                        Lost::Fault(fault) => fault.before_commit(),
                        Lost::SetBack => DatabaseError::SetBack(1).into(),
                        Lost::Overtaken => DatabaseError::Outdated.into(),
                    })
            }
            Step::SetBack(commits) => Err(DatabaseError::SetBack(commits).into()),
            Step::OtherLine => Err(DatabaseError::Outdated.into()),
        }
    }

    fn take_news(
        &self,
        client: &Arc<Client>,
        from: (Commit, Head),
        state: State,
    ) -> Result<(), Lost> {
        let (client, key) = (Arc::clone(client), self.filter_key);
        let reading = async move { Ok(follow::news(&client, key, from, &state).await) };
        let news = self.connector.wait(NEWS_LIMIT, reading)??;
        let told = Told::of(news, clock::now(), &key);
        self.known.take(state.standing.commit(), told);
        Ok(())
    }

    /// Looks whether anything was committed, and comes in step with it.
    pub(super) fn look_and_follow(&self, client: &Arc<Client>) -> Result<(), StoreError> {
        // Read first, since this process may commit meanwhile.
        let (known, _) = self.known.position();
        let looking = Arc::clone(client);
        let look = async move { State::look(&looking).await };
        // In time for another one over a new connection, where this one has become silent.
        let limit = (self.presence.lease / LOOKS_IN_A_LEASE).min(STATEMENT_LIMIT);
        let state = self.connector.wait(limit, look);
        let state = state.map_err(|fault| {
            self.connector.forget_idle();
            unreachable(fault)
        })?;
        let end = match Step::of(self.presence.line, known, &state) {
            Step::Same => return Ok(()),
            Step::Behind => match self.follow_to_now(client) {
                Ok(()) => return Ok(()),
                Err(Lost::Fault(fault)) => return Err(unreachable(fault)),
                Err(Lost::SetBack) => End::SetBack(1),
                Err(Lost::Overtaken) => End::Overtaken,
            },
            Step::SetBack(commits) => End::SetBack(commits),
            Step::OtherLine => End::OtherLine,
        };
        Err(self.see_to(end, known))
    }

    fn follow_to_now(&self, client: &Arc<Client>) -> Result<(), Lost> {
        let from = self.known.position();
        let reading = Arc::clone(client);
        let state = self.connector.wait(STATEMENT_LIMIT, async move {
            State::look_first(&reading, follow::BEGIN_SNAPSHOT).await
        })?;
        self.take_news(client, from, state)?;
        self.connector.execute(STATEMENT_LIMIT, client, "COMMIT")?;
        Ok(())
    }

    /// Begins a new epoch where the database was set back, and no other process has done so; then all has
    /// to be loaded anew.
    fn see_to(&self, end: End, known: Commit) -> StoreError {
        let End::SetBack(lacks) = end else {
            return self.presence.finish(end);
        };
        let (connector, line) = (Arc::clone(&self.connector), self.presence.line);
        let beginning = epoch::begin(connector, line, known, lacks);
        match self.connector.wait(STATEMENT_LIMIT, beginning) {
            Ok(Begun::Here) => self.presence.finish(end),
            Ok(Begun::Elsewhere) => self.presence.finish(End::OtherLine),
            Ok(Begun::Needless) => {
                tracing::warn!("a server of the database lacks commits that another one has");
                unreachable(Fault::TimedOut)
            }
            Err(fault) => unreachable(fault),
        }
    }
}
