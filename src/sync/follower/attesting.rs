//! Getting the manifest in use signed by the current key.

use std::time::Duration;

use super::calls::Refusal;
use super::lead::Scope;
use super::loading::LoadJob;
use super::remarks::Work;
use crate::host::{BackgroundHost, CallId, CallOutcome, Expected};
use crate::revocation::{FeedState, Manifest};
use crate::sync::line::Line;

/// Fetches the manifest in use again when batches are signed by another key than it was. With the
/// new signature the old key is no longer needed.
///
/// It has a line of its own, so that pauses after its failures do not delay loading.
#[derive(Debug)]
pub(super) struct Attester {
    pub(super) line: Line<()>,
}

impl Attester {
    /// For a new leader, of a feed that was last heard then.
    pub(super) fn begin(heard_at: u64) -> Self {
        Self {
            line: Line::well_at(heard_at),
        }
    }

    /// Gives up a call whose end the host has never reported.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        self.line.give_up(host, after)
    }

    /// The call with this id, if it is the one under way, which has ended.
    pub(super) fn take(&mut self, id: CallId) -> Option<()> {
        self.line.take(id)
    }

    /// Makes the call when it is needed.
    pub(super) fn advance(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) {
        if !self.line.is_free(scope.now()) {
            return;
        }
        let Some((state, _)) = scope.state() else {
            return;
        };
        let is_signed_by_one =
            state.manifest_signer == state.batch_signer && state.is_trusted_by(&scope.source.keys);
        if is_signed_by_one {
            return;
        }
        let call = scope.source.manifest_call();
        if let Err(reason) = self.line.start(scope.host, &call, ()) {
            scope.on_not_sent(Work::Attest, reason);
        }
    }

    pub(super) fn on_answer(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        load: &mut LoadJob,
        outcome: &CallOutcome,
    ) {
        let CallOutcome::Answered {
            status: 200, body, ..
        } = outcome
        else {
            scope.on_no_use(Work::Attest, outcome);
            return self.line.fail(scope.host);
        };
        if let Err(refusal) = self.attest(scope, load, body) {
            scope.report.trouble.refused(scope.now());
            scope.on_refusal(Work::Attest, &refusal);
            self.line.fail(scope.host);
        }
    }

    fn attest(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        load: &mut LoadJob,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let (manifest, signer) = Manifest::decode_signed(body, &scope.source.keys)?;
        let Some((held, version)) = scope.state() else {
            return Ok(());
        };
        if manifest.digest() != held.manifest {
            // There is another generation by now, or the state in use is of another authority.
            load.request(scope.now(), Duration::ZERO);
        } else if signer == held.manifest_signer {
            // Not signed with the new key yet. It is fetched again after a pause.
            self.line.fail(scope.host);
        } else {
            self.line.succeed(scope.host);
            scope.settle(Work::Attest);
            let next = FeedState {
                manifest_signer: signer,
                ..held
            };
            let expected = Expected::Version(version);
            scope.filter().write_state(scope.host, &next, expected);
        }
        Ok(())
    }
}
