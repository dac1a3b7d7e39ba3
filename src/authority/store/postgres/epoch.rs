//! A new epoch in a database that was set back: it lacks what edges may have been told.

use std::sync::Arc;

use tokio_postgres::types::Type;

use super::connection::{Connector, Fault};
use super::follow::Step;
use super::journal::{self, Touched};
use super::row::{at_most, first_bytes};
use super::state::{COMMIT, Mark, State};
use super::vault::{PUT_SETTING, SETTING};
use crate::authority::clock;
use crate::authority::store::engine::Commit;
use crate::authority::store::{Epoch, Setting as _};

/// What became of it when an epoch was to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It has begun.
    Here,
    /// Another process was first.
    Elsewhere,
    /// The database lacks nothing after all: it was another server that lacked something.
    Needless,
}

/// Begins a new epoch, and another line of commits after `line`, so that every process loads everything
/// anew, in a database that lacks the commit `known`, and `lacks` commits in all.
pub(super) async fn begin(
    connector: Arc<Connector>,
    line: i64,
    known: Commit,
    lacks: u64,
) -> Result<Begun, Fault> {
    let client = Arc::clone(&connector).connect().await?;
    let state = State::lock(&client).await?;
    let refused = match Step::of(line, known, &state) {
        Step::OtherLine => Some(Begun::Elsewhere),
        Step::Same => Some(Begun::Needless),
        Step::Behind => {
            let mark = State::mark_of(&client, at_most(known.number)).await?;
            // Before the first commit there is none.
            let is_there = mark.map_or([0; 16], |mark| mark.0) == known.mark;
            is_there.then_some(Begun::Needless)
        }
        Step::SetBack(_) => None,
    };
    if let Some(refused) = refused {
        client.batch_execute("ROLLBACK").await?;
        return Ok(refused);
    }
    let name = Epoch::NAME;
    let rows = client.query_typed(SETTING, &[(&name, Type::TEXT)]).await?;
    let old = match &first_bytes(&rows)? {
        Some(sealed) => {
            let bytes = connector.vault().opened(name, sealed);
            let epoch = bytes.and_then(|bytes| Epoch::read(&bytes));
            epoch.map_err(|_| Fault::Row)?
        }
        None => Epoch(0),
    };
    let epoch = old.after(clock::now_milliseconds());
    let sealed = connector.vault().sealed(name, epoch.encode());
    let sealed = sealed.map_err(|_| Fault::Row)?;
    client
        .query_typed(PUT_SETTING, &[(&name, Type::TEXT), (&sealed, Type::BYTEA)])
        .await?;
    let mark = Mark::make().map_err(|_| Fault::TimedOut)?.0.to_vec();
    let commit = at_most(state.standing.commits.saturating_add(1));
    let touched = Touched {
        has_settings: true,
        ..Touched::default()
    };
    client
        .query_typed(
            journal::PUT,
            &[
                (&commit, Type::INT8),
                (&mark, Type::BYTEA),
                (&touched.encode(), Type::BYTEA),
            ],
        )
        .await?;
    client
        .query_typed(
            "UPDATE portcullis.state SET line = $1, commits = $2, mark = $3 WHERE is_only",
            &[
                (&line.saturating_add(1), Type::INT8),
                (&commit, Type::INT8),
                (&mark, Type::BYTEA),
            ],
        )
        .await?;
    client.batch_execute(COMMIT).await?;
    tracing::error!(
        commits = lacks,
        old_epoch = old.0,
        new_epoch = epoch.0,
        sequence = state.standing.head.sequence,
        "the database lacks commits that it had acknowledged; what was revoked with them has to be \
         revoked again; a new epoch begins"
    );
    Ok(Begun::Here)
}
