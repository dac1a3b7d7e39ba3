//! What follows when a session looks stolen: a line in the log, a count, a mark on the session, an
//! event for the webhook, and, where the operator says so, the end of the session.
//!
//! One task does this, off the path of the report that it was found in. Where more is found than it
//! can tell, the rest is dropped and counted.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::watch::Suspect;
use super::{Finding, Reaction, Reactions, Turns};
use crate::authority::entry::{Revocation, Target};
use crate::authority::http::{describe, written};
use crate::authority::metrics::Metrics;
use crate::authority::server::Seldom;
use crate::authority::sessions::registry::is_shared;
use crate::authority::sessions::session::{Name, Owned, Session, Suspicion};
use crate::authority::sessions::{RegistryError, SessionEnds, Sessions};
use crate::authority::store::to_hex;
use crate::authority::text::chain_of;
use crate::authority::webhook::{Event, Webhook};
use crate::authority::writer::Writer;
use crate::revocation::Cause;
use crate::time::UnixTime;

/// Findings that may wait.
const QUEUE_LENGTH: usize = 1_024;

/// How often a session is tried to be ended, and how long apart.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_secs(1);

/// Takes what was found.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Responder {
    queue: mpsc::Sender<Suspect>,
    metrics: Arc<Metrics>,
}

/// What a responder works with.
#[derive(Debug)]
pub(in crate::authority) struct Parts {
    /// What is done about which kind.
    pub reactions: Reactions,
    /// Knows the sessions, and has this responder.
    pub sessions: Weak<Sessions>,
    /// Ends them.
    pub writer: Writer,
    /// Until when an entry is kept for tokens that are valid at an instant at most.
    pub kept: Kept,
    /// For how long they end.
    pub session_ends: SessionEnds,
    /// Who is told.
    pub webhook: Option<Webhook>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// How long the revocation of a session is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Kept {
    /// The longest life of a token, with how far the clock of its issuer may be ahead.
    pub max_token_lifetime: Duration,
    /// How much longer, because edges let tokens pass for a while after their end.
    pub expiry_margin: Duration,
}

impl Responder {
    /// Starts the task, which ends when the last of these is dropped. Must be called within a Tokio
    /// runtime.
    #[must_use]
    pub(in crate::authority) fn start(parts: Parts) -> Self {
        let (queue, mut suspects) = mpsc::channel(QUEUE_LENGTH);
        let metrics = Arc::clone(&parts.metrics);
        let parts = Arc::new(parts);
        let failing = Seldom::default();
        tokio::spawn(async move {
            while let Some(suspect) = suspects.recv().await {
                respond(&parts, &failing, suspect).await;
            }
        });
        Self { queue, metrics }
    }

    /// Hands over what was found, once the registry has the report that it was found in. Never waits.
    pub(in crate::authority) fn take(&self, found: Vec<Suspect>) {
        for suspect in found {
            if self.queue.try_send(suspect).is_err() {
                self.metrics.suspicion_dropped();
            }
        }
    }
}

async fn respond(parts: &Arc<Parts>, failing: &Seldom, suspect: Suspect) {
    let Some((session, is_shared)) = looked_up(parts, failing, suspect.clone()).await else {
        return;
    };
    let kind = suspect.finding.kind();
    let is_ended = match parts.reactions.to(kind) {
        // A revocation of this name would sign out a user about whom nothing was found.
        Reaction::End if !is_shared => end(parts, &suspect, &session).await,
        Reaction::End | Reaction::Report => false,
    };
    parts.metrics.suspected(kind, is_ended);
    tracing::warn!(
        kind = kind.name(),
        evidence = %suspect.finding,
        issuer = suspect.issuer,
        subject = suspect.subject,
        session = to_hex(&session.id.0),
        is_shared,
        is_ended,
        "a session looks stolen"
    );
    if let Some(webhook) = &parts.webhook {
        webhook.send(event(&suspect, &session, is_ended));
    }
}

/// Marks the session in the registry, and returns it as it is there, with whether another subject has
/// one of its name; nothing if it has ended already, which says all there is to say about it.
async fn looked_up(
    parts: &Arc<Parts>,
    failing: &Seldom,
    suspect: Suspect,
) -> Option<(Session, bool)> {
    let sessions = parts.sessions.upgrade()?;
    let looked_up = tokio::task::spawn_blocking(move || {
        let registry = sessions.registry();
        let owned = Owned {
            issuer: &suspect.issuer,
            subject: suspect.subject.as_deref(),
            id: suspect.id,
        };
        let session = registry.get(owned)?.filter(Session::is_live);
        let Some(mut session) = session else {
            return Ok(None);
        };
        let suspicion = Suspicion {
            at: UnixTime::from_milliseconds(suspect.at),
            evidence: suspect.finding.to_string().into(),
        };
        registry.suspect(owned, suspicion.clone())?;
        session.suspicion = Some(suspicion);
        let is_shared = is_shared(registry, &session)?;
        Ok::<_, RegistryError>(Some((session, is_shared)))
    });
    match looked_up.await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            if let Some(times) = failing.take(Instant::now()) {
                let error = chain_of(&error);
                tracing::error!(
                    error,
                    times,
                    "a session that looks stolen could not be looked up"
                );
            }
            parts.metrics.suspicion_dropped();
            None
        }
        Err(_) => None,
    }
}

/// Revokes the session. A store that cannot be written to for a moment is waited for; one that stays so
/// is reported by itself, and the session may be found again in an hour.
async fn end(parts: &Parts, suspect: &Suspect, session: &Session) -> bool {
    let not_before = parts.session_ends.not_before_of(session);
    let revocation = revocation(parts.kept, suspect, session, not_before);
    for attempt in 1..=ATTEMPTS {
        match parts.writer.write_in_turn(revocation.clone()).await {
            Ok(_) => return true,
            Err(error) => tracing::error!(
                attempt,
                %error,
                "a session that looks stolen could not be ended"
            ),
        }
        tokio::time::sleep(PAUSE).await;
    }
    false
}

fn revocation(
    kept: Kept,
    suspect: &Suspect,
    session: &Session,
    not_before: UnixTime,
) -> Revocation {
    let now = UnixTime::from_milliseconds(suspect.at);
    // A session goes on with other tokens; a token ends with itself, unless that is not known.
    let last = match &suspect.name {
        Name::Token(_) => session.expires_at,
        Name::Session(_) => None,
    };
    let last = last.unwrap_or_else(|| now.later_by(kept.max_token_lifetime));
    Revocation {
        target: Target {
            kind: suspect.name.kind(),
            issuer: suspect.issuer.clone(),
            value: suspect.name.value().to_string(),
            qualifier: String::new(),
        },
        expires_at: last.later_by(kept.expiry_margin),
        not_before,
        except_session: None,
        subject: suspect.subject.clone(),
        cause: Cause::Suspicious,
        actor: ACTOR.to_owned(),
        reason: format!("looks stolen: {}", suspect.finding),
        origin: None,
    }
}

/// Who revokes, in the history of an entry.
const ACTOR: &str = "authority";

/// What happened, in the event.
pub(in crate::authority) const EVENT: &str = "session.suspicious";

/// The event that the webhook gets: `envoy/sessions.md` has it in full.
fn event(suspect: &Suspect, session: &Session, is_ended: bool) -> Event {
    let kind = suspect.finding.kind().name();
    let at = UnixTime::from_milliseconds(suspect.at);
    let id = of_subject(session);
    let payload = json!({
        "type": EVENT,
        "timestamp": written(at),
        "data": {
            "kind": kind,
            "evidence": evidence(suspect.finding),
            "ended": is_ended,
            "session": describe(session),
        },
    });
    // The same from every authority, should two of them find it.
    let hour = at.seconds() / 3_600;
    Event {
        id: format!("session_suspicious_{kind}_{id}_{hour}"),
        body: payload.to_string().into_bytes(),
    }
}

/// Tells a session from one of another subject with the same `sid`: receivers drop events with an id that
/// they have seen.
fn of_subject(session: &Session) -> String {
    let subject = session.subject.as_deref().unwrap_or_default();
    let named = [&session.id.0, subject.as_bytes()].concat();
    let hash = digest(&SHA256, &named);
    to_hex(hash.as_ref().get(..16).unwrap_or_default())
}

fn evidence(finding: Finding) -> Value {
    let text = finding.to_string();
    match finding {
        Finding::Networks(Turns {
            networks,
            changes,
            minutes,
        })
        | Finding::Clients(Turns {
            networks,
            changes,
            minutes,
        }) => json!({
            "text": text,
            "networks": networks.map(|network| network.to_string()),
            "changes": changes,
            "minutes": minutes,
        }),
        Finding::Rate {
            requests,
            usual,
            minutes,
        } => json!({
            "text": text,
            "requests_per_minute": requests,
            "usual_requests_per_minute": usual,
            "minutes": minutes,
        }),
    }
}

#[cfg(test)]
mod tests;
