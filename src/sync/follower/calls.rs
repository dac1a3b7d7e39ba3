//! The calls to the authority, and the conditions for using an answer.

use std::time::Duration;

use super::FeedSource;
use crate::host::{BackgroundHost, Call};
use crate::revocation::wire::{DeltaQuery, EDGE_HEADER, Introduction, MANIFEST_PATH, segment_path};
use crate::revocation::{Batch, BatchError, FeedState, ManifestError, Signer};
use crate::sync::loader::LoadError;

/// How long a call may take, in addition to the time that the authority may hold it.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What identifies a poll.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    nonce: u64,
    /// When it was sent, in milliseconds.
    pub(super) sent: u64,
    /// How long the authority may hold it while there are no changes.
    pub(super) wait: Duration,
}

/// Why an answer is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("batch: {0}")]
    Batch(#[from] BatchError),
    #[error("manifest: {0}")]
    Manifest(#[from] ManifestError),
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("the answer is to another call")]
    Nonce,
    #[error("changes do not continue the history that is held")]
    Discontinuous,
    #[error("changes that are held already are not in the authority's history any more")]
    Lost,
    #[error("the manifest is older than what is held")]
    Replayed,
    #[error("the authority has fewer changes than what is held")]
    Lagging,
}

impl Refusal {
    /// Whether the cause is the current state, so that loading a generation cures it.
    pub(super) const fn is_mended_by_loading(&self) -> bool {
        matches!(self, Self::Load(_) | Self::Discontinuous | Self::Lost)
    }
}

impl Asked {
    /// A request to be sent.
    pub(super) fn now(host: &impl BackgroundHost, wait: Duration) -> Self {
        Self {
            nonce: host.random(),
            sent: host.now_milliseconds(),
            wait,
        }
    }
}

impl FeedSource {
    /// Asks for the manifest of the newest generation.
    pub(super) fn manifest_call(&self) -> Call {
        self.get(MANIFEST_PATH.to_owned(), CALL_TIMEOUT)
    }

    /// Asks for a segment of a generation.
    pub(super) fn segment_call(&self, generation: u64, index: usize) -> Call {
        self.get(segment_path(generation, index), CALL_TIMEOUT)
    }

    /// Polls for what came after a state. `newest` is the newest generation that the authority has
    /// announced: it answers at once when there is a newer one.
    pub(super) fn changes_call(
        &self,
        state: &FeedState,
        newest: Option<u64>,
        asked: Asked,
        introduction: &Introduction,
    ) -> Call {
        let Asked { nonce, sent, wait } = asked;
        let generation = newest.map_or(state.generation, |newest| newest.max(state.generation));
        let query = DeltaQuery {
            epoch: state.epoch,
            after: state.sequence,
            chain: Some(state.chain),
            evidence: Some(state.evidence),
            generation: Some(generation),
            time: Some(sent),
            nonce,
            wait: wait.as_secs(),
        };
        let mut call = self.get(query.path(), wait + CALL_TIMEOUT);
        call.headers.push((EDGE_HEADER, introduction.to_header()));
        call
    }

    fn get(&self, path: String, timeout: Duration) -> Call {
        Call {
            cluster: self.cluster.clone(),
            method: "GET",
            authority: self.authority.clone(),
            path,
            headers: vec![("authorization", format!("Bearer {}", self.credential))],
            body: None,
            timeout,
        }
    }

    /// The changes that were polled for, and their signer.
    pub(super) fn batch(&self, asked: Asked, body: &[u8]) -> Result<(Batch, Signer), Refusal> {
        let (batch, signer) = Batch::decode_signed(body, &self.keys)?;
        if batch.nonce == asked.nonce {
            Ok((batch, signer))
        } else {
            Err(Refusal::Nonce)
        }
    }

    /// A state, as far as our keys vouch for it.
    pub(super) fn trusted<'s>(&self, state: Option<&'s FeedState>) -> Option<&'s FeedState> {
        state.filter(|state| state.is_trusted_by(&self.keys))
    }
}
