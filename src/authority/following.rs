//! Following what other authorities commit to the same store.
//!
//! A thread of its own, since it waits for the database. It ends with the store, and where everything has to
//! be loaded anew.

use std::io;
use std::sync::{Arc, OnceLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::feed::Publisher;
use super::store::{Nudge, Store, StoreError};
use super::text::chain_of;

/// After a look that has failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How often it is said in the log that the database cannot be reached.
const SAID_EVERY: Duration = Duration::from_mins(1);

/// What is told of settings that others have changed, as soon as it is there.
pub(super) type Listener = Arc<OnceLock<Arc<Publisher>>>;

/// Starts the thread, where other processes write to the store.
///
/// # Errors
///
/// When the system has no thread to give.
pub(super) fn start(store: &Arc<Store>, interval: Duration) -> io::Result<Listener> {
    let listener = Listener::default();
    if store.is_shared() {
        let (followed, told) = (Arc::downgrade(store), Arc::clone(&listener));
        let nudge = store.nudge();
        thread::Builder::new()
            .name("follower".to_owned())
            .spawn(move || follow(&followed, &nudge, &told, interval))?;
    }
    Ok(listener)
}

fn follow(store: &Weak<Store>, nudge: &Nudge, listener: &Listener, interval: Duration) {
    let mut told = None;
    let mut said: Option<Instant> = None;
    while let Some(store) = store.upgrade() {
        let followed = store.follow(&mut || tell(&store, listener, &mut told));
        match followed {
            Ok(()) => {
                if said.take().is_some() {
                    tracing::info!("follows the database again");
                }
                drop(store);
                nudge.wait(interval);
            }
            Err(error) if error.is_over() => return,
            Err(error) => {
                if said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
                    tracing::warn!(error = %chain_of(&error), "cannot follow the database");
                    said = Some(Instant::now());
                }
                drop(store);
                thread::sleep(RETRY_PAUSE);
            }
        }
    }
}

/// Tells the listener of settings that have changed since it was told last.
fn tell(store: &Store, listener: &Listener, told: &mut Option<u64>) -> Result<(), StoreError> {
    let Some(feed) = listener.get() else {
        return Ok(());
    };
    let changed = store.changed_settings();
    if *told != Some(changed) {
        feed.take_settings()?;
        *told = Some(changed);
    }
    Ok(())
}
