//! The one thread that writes: many requests, one commit.
//!
//! A commit waits about a millisecond for the disk, however much is in it. So work is queued, and
//! the writer takes everything that has come in during the last commit into the next one. A single
//! client gets a commit of its own; a thousand share one. An answer is given when the commit is on
//! the disk, in the index and in the feed, in this order: a client that is told "revoked" and then
//! sends a check is told "revoked" again.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::clock;
use super::entry::Target;
use super::metrics::Metrics;
use super::store::{Rank, Room, Store, StoreError, Work, Writing};
use super::text::chain_of;

/// Requests that may wait: a second's worth at full speed.
const QUEUE_LENGTH: usize = 32_768;

/// Requests in one commit, which then takes some tens of milliseconds.
const BATCH_LENGTH: usize = 4_096;

const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Whether the store can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Closed by a failure, until it has recovered.
    Closed,
}

/// Hands work to the writer's thread, which ends when the last of these is dropped.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    queue: mpsc::Sender<Command>,
}

/// A piece of work of any kind, with the request that waits for it.
type Command = Box<dyn Waiting>;

/// What the thread can do with work of any kind.
trait Waiting: Send {
    fn rank(&self) -> Rank;

    /// The name whose entry it reads, if it is one.
    fn target(&self) -> Option<&Target>;

    /// Does it, once for every attempt to commit.
    fn carry_out(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError>;

    /// Answers with the outcome of the last attempt, once that is on the disk.
    fn answer(self: Box<Self>, written: Result<(), WriteError>);
}

/// A piece of work of one kind.
struct Pending<W: Work> {
    work: W,
    outcome: Option<W::Outcome>,
    reply: Reply<W>,
}

type Reply<W> = oneshot::Sender<Result<<W as Work>::Outcome, WriteError>>;

impl<W: Work> Waiting for Pending<W> {
    fn rank(&self) -> Rank {
        W::RANK
    }

    fn target(&self) -> Option<&Target> {
        self.work.target()
    }

    fn carry_out(&mut self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        self.outcome = Some(self.work.carry_out(writing)?);
        Ok(())
    }

    fn answer(self: Box<Self>, written: Result<(), WriteError>) {
        let Self { outcome, reply, .. } = *self;
        let outcome = written.and_then(|()| outcome.ok_or(WriteError::Unavailable));
        // If the client has hung up, the work is done all the same.
        let _ = reply.send(outcome);
    }
}

/// Why something was not written. The details are in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum WriteError {
    /// More work is queued than can be written in reasonable time.
    #[error("too many requests are waiting to be written")]
    Overloaded,
    /// The store failed. Nothing was changed, or, of a database that does not answer, it is not known.
    #[error("the store cannot be written to")]
    Unavailable,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub(super) fn start(parts: Parts) -> std::io::Result<Self> {
        let (queue, commands) = mpsc::channel(QUEUE_LENGTH);
        let watch = Watch(Arc::clone(&parts.metrics));
        thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                let _watch = watch;
                parts.write_all(commands);
            })?;
        Ok(Self { queue })
    }

    /// Whether the thread is running. Without it nothing is written until the process is restarted.
    #[must_use]
    pub(super) fn is_running(&self) -> bool {
        !self.queue.is_closed()
    }

    /// Waits until the work is on the disk.
    ///
    /// # Errors
    ///
    /// [`WriteError`].
    pub(super) async fn write<W: Work>(&self, work: W) -> Result<W::Outcome, WriteError> {
        let (command, answer) = pending(work);
        self.queue.try_send(command).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => WriteError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => WriteError::Unavailable,
        })?;
        answer.await.unwrap_or(Err(WriteError::Unavailable))
    }

    /// The same, but waits for room in the queue: for work that is better done late than not at
    /// all.
    ///
    /// # Errors
    ///
    /// [`WriteError::Unavailable`].
    pub(super) async fn write_in_turn<W: Work>(&self, work: W) -> Result<W::Outcome, WriteError> {
        let (command, answer) = pending(work);
        let sent = self.queue.send(command).await;
        sent.map_err(|_| WriteError::Unavailable)?;
        answer.await.unwrap_or(Err(WriteError::Unavailable))
    }
}

fn pending<W: Work>(work: W) -> (Command, oneshot::Receiver<Result<W::Outcome, WriteError>>) {
    let (reply, answer) = oneshot::channel();
    let pending = Pending {
        work,
        outcome: None,
        reply,
    };
    (Box::new(pending), answer)
}

/// Dropped at the end of the writer's thread.
struct Watch(Arc<Metrics>);

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store_is_writable(false);
            tracing::error!("the writer has panicked; nothing is written until a restart");
        }
    }
}

/// Work for one commit.
struct Batch<'q> {
    work: Vec<Command>,
    /// Where there may be more of it; nowhere for a part of a batch that has failed.
    queue: Option<&'q mut Queue>,
}

/// What waits to be written.
struct Queue {
    commands: mpsc::Receiver<Command>,
    /// The first of it, which was left for the next commit.
    left: Option<Command>,
}

impl Queue {
    /// Waits for work, and takes what there is; nothing when there will be none any more.
    fn take(&mut self) -> Vec<Command> {
        let mut work: Vec<Command> = self.left.take().into_iter().collect();
        if work.is_empty() {
            self.commands.blocking_recv_many(&mut work, BATCH_LENGTH);
        }
        work
    }

    /// Takes what has come in meanwhile, up to the first that no request waits for: a part of an import
    /// takes as long as thousands of them.
    fn take_late(&mut self, work: &mut Vec<Command>) {
        while self.left.is_none()
            && work.len() < BATCH_LENGTH
            && let Ok(command) = self.commands.try_recv()
        {
            if command.rank() == Rank::Request {
                work.push(command);
            } else {
                self.left = Some(command);
            }
        }
    }
}

impl From<Vec<Command>> for Batch<'_> {
    fn from(work: Vec<Command>) -> Self {
        Self { work, queue: None }
    }
}

/// What the writer works on.
#[derive(Debug)]
pub(super) struct Parts {
    /// The store, with what is in memory of it.
    pub store: Arc<Store>,
    /// For the operator.
    pub metrics: Arc<Metrics>,
}

impl Parts {
    fn write_all(self, commands: mpsc::Receiver<Command>) {
        let mut queue = Queue {
            commands,
            left: None,
        };
        let mut state = State::Open;
        loop {
            let work = queue.take();
            if work.is_empty() {
                return;
            }
            if state == State::Closed {
                state = self.recover();
            }
            let queue = Some(&mut queue);
            state = self.write(Batch { work, queue }, state);
        }
    }

    /// Writes a batch. If that fails, tries again without the work that can wait: an import takes
    /// the space of thousands, expired rows may be damaged, and a request to revoke one session
    /// must not be refused because of either. If a row that one of the others needs cannot be read,
    /// the halves are tried, so that only that one is refused. Returns the state of the store
    /// afterwards.
    fn write(&self, mut batch: Batch<'_>, state: State) -> State {
        let committed = match state {
            State::Open => self.commit(&mut batch),
            State::Closed => Err(StoreError::Closed),
        };
        // A connection was lost, and it is known that nothing was written.
        let committed = match committed {
            Err(error) if error.is_passing() => {
                tracing::warn!(error = %chain_of(&error), "trying once more");
                match self.recover() {
                    State::Open => self.commit(&mut batch),
                    State::Closed => Err(error),
                }
            }
            other => other,
        };
        let Batch { work, .. } = batch;
        let error = match committed {
            Ok(changes) => {
                self.acknowledge(changes, work);
                return State::Open;
            }
            Err(error) => error,
        };
        // A store that only reserves its last space has not failed. Otherwise it is reopened at
        // once, because listing entries needs it open as well.
        let is_full = matches!(error, StoreError::Full { .. });
        let can_wait = |rank| match rank {
            Rank::Import(_) => true,
            Rank::Background => !is_full,
            Rank::Request => false,
        };
        let (failed, mut others): (Vec<Command>, Vec<Command>) = work
            .into_iter()
            .partition(|command| can_wait(command.rank()));
        if failed.is_empty() && others.len() > 1 && error.is_damage() {
            let second = others.split_off(others.len() / 2);
            let state = self.write(others.into(), self.recover());
            return self.write(second.into(), state);
        }
        let (failed, others) = if failed.is_empty() {
            (others, failed)
        } else {
            (failed, others)
        };
        self.fail(&error, failed);
        let state = match state {
            _ if is_full => State::Open,
            State::Open => self.recover(),
            State::Closed => State::Closed,
        };
        if others.is_empty() {
            return state;
        }
        self.write(others.into(), state)
    }

    /// Does everything in one commit, and returns how many changes the feed has got.
    ///
    /// Where other processes write too, this one may wait for as long as their commits take. What has come in
    /// by the time that it is its turn is done in this one.
    fn commit(&self, batch: &mut Batch<'_>) -> Result<usize, StoreError> {
        let is_shared = self.store.is_shared();
        let Batch { work, queue } = batch;
        if work
            .iter()
            .any(|command| command.rank() == Rank::Import(Room::Taken))
        {
            self.store.check_room()?;
        }
        let committed = self.store.commit(clock::now_milliseconds(), |writing| {
            if is_shared {
                if let Some(queue) = queue {
                    queue.take_late(work);
                }
                writing.is_later(clock::now_milliseconds());
                writing.expect(work.iter().filter_map(|command| command.target()))?;
            }
            let mut commands = work.iter_mut();
            commands.try_for_each(|command| command.carry_out(writing))
        })?;
        Ok(committed.changes.len())
    }

    fn acknowledge(&self, changes: usize, batch: Vec<Command>) {
        self.metrics.committed(batch.len(), changes);
        self.metrics.store_is_writable(true);
        for command in batch {
            command.answer(Ok(()));
        }
    }

    fn fail(&self, error: &StoreError, batch: Vec<Command>) {
        let (error_text, requests) = (chain_of(error), batch.len());
        if error.is_unsure() {
            tracing::error!(
                error = %error_text,
                requests,
                "could not write; whether something was changed is not known yet"
            );
        } else {
            tracing::error!(error = %error_text, requests, "could not write; nothing was changed");
        }
        self.metrics.write_failed(batch.len());
        self.store.note_failure();
        for command in batch {
            command.answer(Err(WriteError::Unavailable));
        }
    }

    /// Makes the store usable again. A commit that was reported as failed may be on the disk after
    /// all, if only its last step failed; then its changes are brought into memory.
    fn recover(&self) -> State {
        match self.store.recover() {
            Ok(_) => {
                tracing::info!("the store is open again");
                State::Open
            }
            Err(error) => {
                tracing::error!(error = %chain_of(&error), "could not open the store again");
                // A full disk does not become empty within a millisecond.
                thread::sleep(RETRY_PAUSE);
                State::Closed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::entry::{Revocation, Target};
    use crate::authority::store::{CHECKED_BYTES, DropExpired, DropStaged, Loss, Opening};
    use crate::revocation::{Cause, Kind};

    fn session(value: &str) -> Target {
        Target {
            kind: Kind::Session,
            issuer: "https://issuer.example".into(),
            value: value.into(),
            qualifier: String::new(),
        }
    }

    fn revoke(value: &str, lives: u64) -> Revocation {
        Revocation {
            target: session(value),
            expires_at: clock::now().later_by(Duration::from_secs(lives)),
            not_before: clock::now(),
            except_session: None,
            subject: None,
            cause: Cause::Plain,
            actor: "operator".into(),
            reason: String::new(),
            origin: None,
        }
    }

    #[test]
    fn a_row_that_cannot_be_read_fails_only_the_work_that_needs_it() {
        let directory = tempfile::tempdir().unwrap();
        let opening = Opening {
            cache_bytes: 1 << 20,
            checked_bytes: CHECKED_BYTES,
            loss: Loss::Refused,
            now_milliseconds: clock::now_milliseconds(),
        };
        let store = Arc::new(Store::open(directory.path(), opening).unwrap());
        let metrics = Arc::new(Metrics::new());
        let parts = Parts {
            store: Arc::clone(&store),
            metrics,
        };
        let write = |revocations: Vec<Revocation>| {
            let (mut commands, mut answers): (Vec<_>, Vec<_>) =
                revocations.into_iter().map(pending).unzip();
            let (expired, _answer) = pending(DropExpired(Vec::new()));
            commands.push(expired);
            assert_eq!(parts.write(commands.into(), State::Open), State::Open);
            let is_done =
                |answer: &mut oneshot::Receiver<Result<_, _>>| answer.try_recv().unwrap().is_ok();
            answers.iter_mut().map(is_done).collect::<Vec<_>>()
        };
        assert_eq!(write(vec![revoke("damaged", 100)]), [true]);
        let key = store.filter_key();
        store.damage(session("damaged").fingerprint(&key));
        let mut revocations: Vec<_> = (0..40)
            .map(|number| revoke(&number.to_string(), 9))
            .collect();
        revocations.insert(17, revoke("damaged", 200));
        let done = write(revocations);
        let refused: Vec<_> = (0..41).filter(|number| !done[*number]).collect();
        assert_eq!(refused, [17]);
        let is_there = |number: u64| {
            store
                .index()
                .sequence_of(session(&number.to_string()).fingerprint(&key))
        };
        assert!((0..40).all(|number| is_there(number).is_some()));
    }

    #[test]
    fn a_panic_of_the_thread_shows() {
        let metrics = Arc::new(Metrics::new());
        let (queue, mut commands) = mpsc::channel(1);
        let writer = Writer { queue };
        assert!(writer.is_running() && metrics.is_store_writable());
        let watch = Watch(Arc::clone(&metrics));
        let thread = thread::spawn(move || {
            let _watch = watch;
            let _: Option<Command> = commands.blocking_recv();
            panic!("as if the store had");
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let written = runtime.unwrap().block_on(writer.write(DropStaged));
        assert_eq!(written, Err(WriteError::Unavailable));
        assert!(thread.join().is_err());
        assert!(!writer.is_running());
        assert!(!metrics.is_store_writable());
    }
}
