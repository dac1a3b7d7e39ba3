//! What is kept of signals, in a redb file of its own, `signals.redb`: which ones were accepted
//! already, for as long as they would be good, a record of each that came, what transmitters call the
//! streams, and from where something genuine came lately.
//!
//! A signal is answered when it is in here, which is after its revocations were written. One thread
//! writes: what has come in during a commit goes into the next one. Records of what was refused wait
//! for nobody, and there are two shelves for them: what is genuine is never pushed out by what anyone
//! can send.
//!
//! A file that is damaged, or lost, keeps no authority from starting. It is set aside, that is logged
//! and counted, and an accepted signal that comes once more is carried out once more, which changes
//! nothing unless its revocation was restored meanwhile. Whether an event may take something back is
//! known in the store as well, where the entry has when it was revoked for what.
//!
//! # Why a file of their own?
//!
//! As for the registry of sessions: redb has one writer at a time, and a flood of records must not
//! stand in the way of revocations, nor a damaged record in that of the store.

use std::io;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::oneshot;

use super::configuration::RecordLimits;
use super::metrics::SignalMetrics;
use super::upkeep::StreamRow;
use crate::authority::entry::Target;
use crate::authority::store::{StoreError, checksum};
use crate::authority::text::chain_of;
use crate::revocation::FilterKey;
use crate::time::UnixTime;

mod file;
mod keeper;
mod record;
mod replays;
mod reservation;
mod senders;

pub(in crate::authority) use record::{
    ACCEPTED, Filter, IGNORED, Page, RECORDED, REPEATED, Record, Revoked,
};

use file::{File, Shelf};
use keeper::Keeper;
use replays::Replays;
pub(in crate::authority) use reservation::Reservation;
use reservation::Reserved;
pub(super) use senders::{KnownSender, SenderKind};

/// Records that may wait to be written.
const QUEUE_LENGTH: usize = 4_096;

/// How long the thread may take for the last records when the authority stops.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// How long it is known what was last said of something: longer than any event may be old.
const STATE_LIFE: Duration = Duration::from_hours(32 * 24);

/// By what an accepted signal is known again: a keyed hash of its source, and behind that one of source
/// and `jti`.
pub(super) type ReplayId = [u8; 16];

/// So many bytes are of the source. Two that share them share their room in memory, and nothing else.
const SOURCE_BYTES: usize = 4;

/// What was last said of something: when it has happened, and when it was issued.
pub(super) type Said = [(ReplayId, UnixTime); 2];

/// When an event has happened and when it was issued, by which the later one of two is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// In whole seconds.
    pub(super) happened_at: UnixTime,
    /// `iat`.
    pub(super) issued_at: UnixTime,
}

/// The ledger, whose thread ends when this is dropped.
#[derive(Debug)]
pub(in crate::authority) struct Ledger {
    queue: SyncSender<Command>,
    replays: Arc<Replays>,
    reserved: Reserved,
    file: Arc<File>,
    key: FilterKey,
    metrics: SignalMetrics,
}

enum Command {
    /// Keep this.
    Keep(Box<Note>),
    /// Write what has come, and end.
    Finish(mpsc::Sender<()>),
}

/// Something to be kept.
#[derive(Default)]
struct Note {
    /// With where it stands.
    record: Option<(Shelf, Record)>,
    /// What was accepted. It is reserved until it is known.
    accepted: Option<Reservation>,
    /// What was last said of something.
    said: Vec<(ReplayId, UnixTime)>,
    /// From where something genuine came.
    sender: Option<KnownSender>,
    done: Option<oneshot::Sender<()>>,
}

impl Note {
    /// What is to be known, and until when.
    fn known(&self) -> impl Iterator<Item = (ReplayId, UnixTime)> {
        let accepted = self.accepted.iter().map(Reservation::row);
        accepted.chain(self.said.iter().copied())
    }
}

impl Ledger {
    /// Opens the file in this directory, and starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub(super) fn start(
        directory: &Path,
        key: FilterKey,
        limits: RecordLimits,
        metrics: SignalMetrics,
    ) -> io::Result<Self> {
        let file = Arc::new(File::new(directory, key));
        let replays = Arc::new(Replays::default());
        let (queue, commands) = sync_channel(QUEUE_LENGTH);
        let keeper = Keeper {
            file: Arc::clone(&file),
            replays: Arc::clone(&replays),
            limits,
            metrics: metrics.clone(),
        };
        // What was accepted has to be known before anything is received.
        keeper.load();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || keeper.keep(&commands))?;
        Ok(Self {
            queue,
            replays,
            reserved: Reserved::default(),
            file,
            key,
            metrics,
        })
    }

    /// By what a signal of this source, an issuer or a stream, with this `jti` is known again.
    pub(super) fn replay_id(&self, source: &str, id: &str) -> ReplayId {
        let length = (source.len() as u64).to_le_bytes();
        let half = |number: u8| {
            let parts = [&[number][..], &length, source.as_bytes(), id.as_bytes()];
            checksum(&self.key, &parts).to_le_bytes()
        };
        let of_source = checksum(&self.key, &[b"source", source.as_bytes()]).to_le_bytes();
        let mut whole = [0; 16];
        let halves = half(b'r').into_iter().chain(half(b's'));
        let bytes = of_source.into_iter().take(SOURCE_BYTES).chain(halves);
        for (place, byte) in whole.iter_mut().zip(bytes) {
            *place = byte;
        }
        whole
    }

    /// Whether it was accepted already.
    pub(super) fn is_known(&self, id: &ReplayId) -> bool {
        self.replays.contains(id)
    }

    /// That an event of this origin, which revokes and takes back, was last about this target at that
    /// moment. It is a row for either of its times, for [`Self::accept_with`].
    pub(super) fn said(&self, origin: &str, target: &Target, at: Moment) -> Said {
        let Target {
            kind,
            issuer,
            value,
            qualifier,
        } = target;
        let parts = [kind.name(), issuer, value, qualifier].join("\u{0}");
        // No issuer is called so, since these are none.
        [("\u{0}", at.happened_at), ("\u{0}\u{0}", at.issued_at)].map(|(mark, time)| {
            let id = self.replay_id(&format!("{mark}{origin}"), &parts);
            (id, time.later_by(STATE_LIFE))
        })
    }

    /// Whether what was last said of this has happened later.
    pub(super) fn has_later(&self, [happened, _]: &Said) -> bool {
        self.replays.until(&happened.0) > Some(happened.1)
    }

    /// The same, or was in the same second, and was issued later.
    pub(super) fn has_later_of_second(&self, said: &Said) -> bool {
        let last = said.map(|(id, _)| self.replays.until(&id));
        last > said.map(|(_, until)| Some(until))
    }

    /// A name that a signal gives to a user, as a hash that says nothing to others.
    pub(super) fn hashed(&self, name: &str) -> String {
        let hash = checksum(&self.key, &[b"name", name.as_bytes()]);
        format!("hash:{hash:016x}")
    }

    /// Keeps that a signal was accepted, and waits until that is on the disk.
    ///
    /// # Errors
    ///
    /// When it could not be written. Its revocations are.
    pub(super) async fn accept(
        &self,
        reservation: Reservation,
        record: Record,
    ) -> Result<(), NotKept> {
        self.accept_with(reservation, Vec::new(), record).await
    }

    /// The same, of a signal by which it is to be known, too, what was last said of something.
    ///
    /// # Errors
    ///
    /// As [`Self::accept`].
    pub(super) async fn accept_with(
        &self,
        reservation: Reservation,
        said: Vec<(ReplayId, UnixTime)>,
        record: Record,
    ) -> Result<(), NotKept> {
        let record = Some((Shelf::Signed, record));
        self.keep(reservation, said, record).await
    }

    /// Keeps that something was used that leaves no record, and waits until that is on the disk.
    ///
    /// # Errors
    ///
    /// When it could not be written.
    pub(super) async fn use_up(&self, reservation: Reservation) -> Result<(), NotKept> {
        self.keep(reservation, Vec::new(), None).await
    }

    async fn keep(
        &self,
        reservation: Reservation,
        said: Vec<(ReplayId, UnixTime)>,
        record: Option<(Shelf, Record)>,
    ) -> Result<(), NotKept> {
        let (done, kept) = oneshot::channel();
        self.send(Note {
            record,
            accepted: Some(reservation),
            said,
            done: Some(done),
            ..Note::default()
        })?;
        kept.await.map_err(|_| NotKept)
    }

    /// Keeps a record of something else that is genuine, some time.
    pub(super) fn note(&self, record: Record) {
        self.put(record, Shelf::Signed);
    }

    /// Keeps a record of something that anyone can send, some time.
    pub(super) fn note_stranger(&self, record: Record) {
        self.put(record, Shelf::Strangers);
    }

    fn put(&self, record: Record, on: Shelf) {
        let _ = self.send(Note {
            record: Some((on, record)),
            ..Note::default()
        });
    }

    fn send(&self, note: Note) -> Result<(), NotKept> {
        self.queue
            .try_send(Command::Keep(Box::new(note)))
            .map_err(|error| {
                let (TrySendError::Full(_) | TrySendError::Disconnected(_)) = error;
                self.metrics.record_dropped();
                NotKept
            })
    }

    /// Some records, the newest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::authority) fn search(
        &self,
        filter: &Filter,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let hashed = filter.subject.as_deref().map(|name| self.hashed(name));
        let shelves = &Shelf::ALL;
        self.file
            .search(shelves, filter, hashed.as_deref(), before, limit)
    }

    /// Writes what the transmitter of a stream calls it, and waits until that is on the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn keep_stream(&self, stream: &StreamRow) -> Result<(), StoreError> {
        self.file.keep_stream(stream)
    }

    /// What transmitters call streams. None where that cannot be read: then it is found out from the
    /// transmitters.
    pub(super) fn kept_streams(&self) -> Vec<StreamRow> {
        let kept = self.file.kept_streams();
        kept.unwrap_or_else(|error| {
            let error = chain_of(&error);
            tracing::error!(error, "could not read what transmitters call streams");
            self.metrics.ledger_failed();
            Vec::new()
        })
    }

    /// Writes what has come, and ends.
    pub(in crate::authority) fn finish(&self) {
        let (sender, done) = channel();
        if self.queue.send(Command::Finish(sender)).is_ok() {
            let _ = done.recv_timeout(LAST_LIMIT);
        }
    }
}

/// Something could not be kept. Why is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotKept;

#[cfg(test)]
mod tests;
