//! The parts of an authority, as its settings have them.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::metrics::Metrics;
use super::sessions::suspicion::{self, Kept, Responder};
use super::sessions::{self, SessionEnds, Sessions};
use super::signals::{OAuth, Receivers};
use super::store::{CHECKED_BYTES, Opening, Replica, Store, StoreError};
use super::webhook::{Pace, Webhook, WebhookError};
use super::writer::Writer;
use super::{AuthorityError, Configuration, Settings};

/// How often everything is loaded from a database that runs away meanwhile.
const LOADING_ATTEMPTS: u32 = 5;

/// Opens the store, in a database or in a file.
pub(super) fn open_store(
    settings: &Settings,
    now_milliseconds: u64,
) -> Result<(Store, Option<Replica>), StoreError> {
    let directory = &settings.directory;
    if let Some(shared) = &settings.database {
        let mut attempts = LOADING_ATTEMPTS;
        loop {
            let (store, replica) = Store::on(&shared.database, shared.lease, directory)?;
            // Reading everything may have taken longer than what was read counts as recent, and others may
            // have written more meanwhile than can be followed.
            match store.follow(&mut || Ok(())) {
                Ok(()) => return Ok((store, Some(replica))),
                Err(error) if error.is_over() && attempts > 1 => attempts -= 1,
                Err(error) => return Err(error),
            }
        }
    }
    let opening = Opening {
        cache_bytes: settings.cache_bytes,
        checked_bytes: CHECKED_BYTES,
        loss: settings.loss,
        now_milliseconds,
    };
    Ok((Store::open(directory, opening)?, None))
}

/// Starts what is done about sessions that look stolen.
pub(super) fn respond_to_suspicions(
    settings: &Settings,
    sessions: &Arc<Sessions>,
    writer: &Writer,
    metrics: &Arc<Metrics>,
) -> Result<(), WebhookError> {
    let receiver = settings.configuration.webhook.as_ref();
    let webhook = receiver.map(|receiver| Webhook::start(receiver, Pace::default(), metrics));
    let limits = settings.limits;
    sessions.respond_with(Responder::start(suspicion::Parts {
        reactions: settings.configuration.suspicion.reactions,
        sessions: Arc::downgrade(sessions),
        writer: writer.clone(),
        kept: Kept {
            max_token_lifetime: limits.max_token_lifetime + limits.clock_skew,
            expiry_margin: limits.expiry_margin,
        },
        session_ends: SessionEnds::of(&settings.configuration.issuers),
        webhook: webhook.transpose()?,
        metrics: Arc::clone(metrics),
    }));
    Ok(())
}

/// Starts what receives signals, where it is configured.
pub(super) fn start_signals(
    settings: &Settings,
    store: &Store,
    metrics: &Metrics,
) -> Result<Option<Arc<Receivers>>, AuthorityError> {
    let Some(configuration) = settings.signals.clone() else {
        return Ok(None);
    };
    let oauth = OAuth::start(&configuration, &settings.configuration.issuers, store)?;
    let directory = &settings.directory;
    let metrics = (metrics.signals.clone(), &metrics.streams);
    let started = Receivers::start(configuration, oauth, directory, store.filter_key(), metrics);
    Ok(Some(Arc::new(started?)))
}

/// Starts the registry of sessions, which the store tells of what is revoked.
pub(super) fn start_sessions(
    settings: &Settings,
    store: &Store,
    metrics: &Metrics,
) -> Result<Arc<Sessions>, AuthorityError> {
    let limits = settings.configuration.sessions;
    let limits = sessions::Limits {
        max_sessions: limits.max_sessions,
        retention: limits.retention,
    };
    let thresholds = settings.configuration.suspicion.thresholds.clone();
    let metrics = metrics.sessions.clone();
    let directory = &settings.directory;
    let (key, address) = (store.filter_key(), settings.sessions.clone());
    let (directory, runtime) = (directory.clone(), Handle::current());
    // Redis is waited for where no task is held up by it.
    let start = move || {
        let kept = (&*directory, address.as_ref());
        Sessions::start(key, (limits, thresholds), kept, runtime, metrics)
    };
    let started = std::thread::scope(|scope| scope.spawn(start).join());
    let (sessions, registry) = started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
    store.tell(registry);
    if sessions.is_shared() {
        tell_what_is_not_shared(&settings.configuration);
    }
    Ok(sessions)
}

/// Warns of what several authorities with one registry do not do together, where the operator has asked for
/// it.
fn tell_what_is_not_shared(configuration: &Configuration) {
    let mut issuers = configuration.issuers.iter();
    let session_policy = issuers.any(|issuer| issuer.session_policy.is_some());
    let suspicion = configuration.suspicion != suspicion::Policy::default();
    if session_policy || suspicion {
        tracing::warn!(
            session_policy,
            suspicion,
            "if other authorities have this registry of sessions too: a session that one of them ends by \
             itself is revoked in its own store, so edges that follow another one let it go on; and what \
             looks stolen is seen in the reports that each one gets itself"
        );
    }
}
