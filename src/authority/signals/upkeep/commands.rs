//! What an operator has done with a stream: made, deleted, paused, verified.

use tokio::sync::oneshot;

use super::super::Receivers;
use super::super::events::StreamStatus;
use super::super::transmitter::{Fault, FaultReason};
use super::KeptStream;
use super::state::Purpose;

impl KeptStream {
    /// Makes the stream, also one that was deleted, now.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(in crate::authority) fn create(&self, receivers: &Receivers) -> Result<(), Fault> {
        let alone = self.managing.lock();
        let made = self.ensure(receivers).inspect_err(|fault| {
            self.failed(Purpose::Upkeep, fault);
        });
        drop(alone);
        self.bell.ring();
        made
    }

    /// Takes the stream away, for good.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(in crate::authority) fn delete(&self, receivers: &Receivers) -> Result<(), Fault> {
        let _alone = self.managing.lock();
        let (transmitter, _) = self.managed()?;
        let id = self.state().row.stream_id.clone();
        if let Some(id) = id {
            match transmitter.delete(&id) {
                Err(fault) if fault.reason != FaultReason::NotFound => return Err(fault),
                _ => {}
            }
        }
        self.keep_row(&receivers.ledger, |row| {
            (row.stream_id, row.is_deleted) = (None, true);
            (row.endpoint, row.authorization) = (None, None);
        })?;
        let mut state = self.state();
        state.is_ready = false;
        state.subjects_added.clear();
        state.warnings.clear();
        drop(state);
        self.bell.ring();
        tracing::info!(stream = self.name, "the stream was deleted");
        Ok(())
    }

    /// Pauses the stream or has it deliver again.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(in crate::authority) fn set_status(
        &self,
        receivers: &Receivers,
        status: StreamStatus,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let _alone = self.managing.lock();
        let (transmitter, _) = self.managed()?;
        transmitter.set_status(&self.made()?, status, reason)?;
        if let Some(open) = receivers.streams.get(&self.name) {
            open.updated(status, reason);
        }
        Ok(())
    }

    /// Has a verification event sent. Gives what tells of it once it, and no other, has come.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(in crate::authority) fn verify(
        &self,
        receivers: &Receivers,
    ) -> Result<oneshot::Receiver<()>, Fault> {
        let _alone = self.managing.lock();
        let (transmitter, _) = self.managed()?;
        self.ask_verification(transmitter, &self.made()?, receivers)
    }

    fn made(&self) -> Result<String, Fault> {
        let id = self.state().row.stream_id.clone();
        id.ok_or_else(|| FaultReason::NotFound.because("the stream has not been created yet"))
    }
}
