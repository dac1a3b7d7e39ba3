use std::thread::ThreadId;

use prometheus_client::encoding::text;

use super::conformance::{KEY, at, seen};
use super::registry::{IsRevoked, Page};
use super::session::{Observation, Suspicion};
use super::*;
use crate::revocation::Fingerprint;

/// An engine that is away, and knows which threads it was asked on.
#[derive(Debug, Default)]
pub(super) struct Away(Mutex<Vec<ThreadId>>);

impl Registry for Away {
    fn report(
        &self,
        _: &[Observation],
        _: UnixTime,
        _: Told,
        _: IsRevoked<'_>,
    ) -> Result<Vec<Reported>, RegistryError> {
        Err(RegistryError::Away)
    }

    fn of_subject(
        &self,
        _: &str,
        _: &str,
        _: Option<&str>,
        _: usize,
    ) -> Result<Page, RegistryError> {
        Err(RegistryError::Away)
    }

    fn get(&self, _: Owned<'_>) -> Result<Option<Session>, RegistryError> {
        Err(RegistryError::Away)
    }

    fn last_seen_between(
        &self,
        _: UnixTime,
        _: UnixTime,
        _: Option<&str>,
        _: usize,
    ) -> Result<Page, RegistryError> {
        Err(RegistryError::Away)
    }

    fn search(&self, _: &Filter, _: Option<&str>, _: usize) -> Result<Page, RegistryError> {
        Err(RegistryError::Away)
    }

    fn named(&self, _: Fingerprint, _: usize) -> Result<Vec<Session>, RegistryError> {
        Err(RegistryError::Away)
    }

    fn mark(&self, _: &[Mark]) -> Result<Vec<Session>, RegistryError> {
        Err(RegistryError::Away)
    }

    fn suspect(&self, _: Owned<'_>, _: Suspicion) -> Result<(), RegistryError> {
        Err(RegistryError::Away)
    }

    fn sweep(&self, _: UnixTime) -> Result<(), RegistryError> {
        Err(RegistryError::Away)
    }

    fn counts(&self, _: UnixTime) -> Result<Counts, RegistryError> {
        self.0.lock().unwrap().push(thread::current().id());
        Err(RegistryError::Away)
    }

    fn lost(&self) -> Lost {
        Lost::default()
    }

    fn heard_since(&self) -> UnixTime {
        at(0)
    }
}

fn sessions(engine: &Arc<Away>) -> Arc<Sessions> {
    let metrics = SessionMetrics::new();
    Arc::new(Sessions {
        registry: Arc::clone(engine) as Arc<dyn Registry>,
        snapshots: None,
        key: KEY,
        directory: PathBuf::new(),
        heard: Mutex::default(),
        watch: Watch::new(Thresholds::default(), KEY),
        responder: OnceLock::new(),
        untold: Mutex::default(),
        metrics,
    })
}

/// They are behind locks, or a network, and a look at them on such a thread keeps requests waiting.
#[test]
fn sessions_are_never_counted_on_a_thread_that_serves() {
    let engine = Arc::default();
    let sessions = sessions(&engine);
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let counts = runtime
        .unwrap()
        .block_on(Sessions::counts(&sessions, at(0)));
    assert_eq!(counts, None, "an engine that is away has not none");
    let asked = engine.0.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert_ne!(asked[0], thread::current().id());
}

#[test]
fn what_an_engine_that_is_away_is_told_of_is_counted_as_dropped() {
    let engine = Arc::default();
    let sessions = sessions(&engine);
    let report = Report {
        issuer: seen("", "s", 0).issuer,
        sid: Some("s".to_owned()),
        ..Report::default()
    };
    let now = at(0).seconds() * 1_000;
    let taken = sessions
        .report(vec![report.clone(), report], now, &|_| true)
        .unwrap();
    assert!(taken.is_none(), "nothing was heard");
    let mut registry = prometheus_client::registry::Registry::default();
    sessions.metrics.register(&mut registry);
    let mut shown = String::new();
    text::encode(&mut shown, &registry).unwrap();
    assert!(
        shown.contains("session_reports_total{outcome=\"dropped\"} 2\n"),
        "{shown}"
    );
}

/// Edges report a session up to an interval after its first request, and it may have been revoked by then.
#[test]
fn a_session_that_was_revoked_before_it_was_reported_is_never_live() {
    let registry = Arc::new(Memory::new(KEY, conformance::LIMITS, at(0)));
    let sessions = Sessions {
        registry: Arc::clone(&registry) as Arc<dyn Registry>,
        ..Arc::try_unwrap(sessions(&Arc::default())).unwrap()
    };
    let report = |sid: &str| Report {
        issuer: seen("", sid, 0).issuer,
        subject: Some("alice".to_owned()),
        sid: Some(sid.to_owned()),
        ..Report::default()
    };
    let is_revoked =
        |session: &Session| matches!(&session.name, Name::Session(sid) if &**sid == "lost");
    let now = at(0).seconds() * 1_000;
    let reports = vec![report("lost"), report("kept")];
    let new = sessions.report(reports, now, &is_revoked).unwrap().unwrap();
    assert_eq!(new.len(), 1, "one counts as having signed in: {new:?}");
    let issuer = seen("", "", 0).issuer;
    let live = registry.of_subject(&issuer, "alice", None, 10).unwrap();
    let live: Vec<_> = live
        .sessions
        .iter()
        .map(|session| session.name.clone())
        .collect();
    assert_eq!(live, [Name::Session("kept".into())]);
}
