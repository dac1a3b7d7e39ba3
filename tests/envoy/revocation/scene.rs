//! An authority, perhaps a meddler, and an Envoy.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Authority, Bootstrap, Client, Envoy, Meddler, PATIENCE, Plugin, Request, Response, Token,
    configuration, until,
};

/// A tick, and as much again for a busy machine: by then every worker knows what the leader knows.
const SPREAD: Duration = Duration::from_millis(300);

/// The shortest staleness that can be configured.
pub(crate) const STALENESS: Duration = Duration::from_secs(3);

/// The configuration of the tests in general, with this authority and more settings.
pub(crate) fn settings(authority: &Authority, more: &Value) -> Value {
    let mut configuration = configuration();
    configuration["revocation"] = authority.settings();
    configuration["revocation"]["reload_jitter"] = "0.001s".into();
    configuration["revocation"]["device_claim"] = "device_id".into();
    for (name, value) in more.as_object().expect("an object") {
        configuration["revocation"][name] = value.clone();
    }
    configuration
}

/// An Envoy that follows an authority.
pub(crate) struct Scene {
    pub(crate) authority: Authority,
    pub(crate) meddler: Meddler,
    pub(crate) envoy: Envoy,
    clients: Vec<Client>,
}

impl Scene {
    /// One in which every worker has loaded the feed.
    pub(crate) fn new(more: &Value) -> Self {
        let scene = Self::unready(Authority::start(), more, |_| ());
        scene.wait_for("portcullis.feed.generations", 1);
        scene
    }

    /// One in which the meddler has done something before Envoy starts.
    pub(crate) fn unready(
        authority: Authority,
        more: &Value,
        before: impl FnOnce(&Meddler),
    ) -> Self {
        let configuration = settings(&authority, more);
        Self::of(authority, &configuration, before)
    }

    /// One whose configuration was changed before Envoy starts.
    pub(crate) fn configured(
        authority: Authority,
        more: &Value,
        change: impl FnOnce(&mut Value),
    ) -> Self {
        let mut configuration = settings(&authority, more);
        change(&mut configuration);
        Self::of(authority, &configuration, |_| ())
    }

    fn of(authority: Authority, configuration: &Value, before: impl FnOnce(&Meddler)) -> Self {
        let meddler = Meddler::before(authority.address());
        before(&meddler);
        let plugin = Plugin::new(configuration);
        let bootstrap = Bootstrap::with_plugin(plugin).with_authority(meddler.address());
        let envoy = Envoy::start(&bootstrap);
        let clients = envoy.client_of_every_worker();
        Self {
            authority,
            meddler,
            envoy,
            clients,
        }
    }

    /// A metric of the filter.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        metric(&self.envoy, name)
    }

    /// Waits until a metric of the filter is at least this, and every worker knows of it.
    #[track_caller]
    pub(crate) fn wait_for(&self, name: &str, least: u64) {
        wait_for(&self.envoy, name, least);
    }

    /// Waits until the authority's latest change has arrived.
    pub(crate) fn wait_until_in_step(&self) {
        wait_until_in_step(&self.authority, &self.envoy);
    }

    /// The answer of every worker.
    pub(crate) fn ask(&mut self, token: &Token) -> Vec<Response> {
        self.send(&Request::get("/api").bearer(token))
    }

    /// The same, for a token that is signed once.
    pub(crate) fn send(&mut self, request: &Request) -> Vec<Response> {
        let clients = self.clients.iter_mut();
        clients.map(|client| client.send(request)).collect()
    }

    /// Asserts that every worker lets the token through.
    #[track_caller]
    pub(crate) fn assert_accepted(&mut self, token: &Token) {
        for reply in self.ask(token) {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }

    /// Asserts that every worker refuses the token, with this status and code.
    #[track_caller]
    pub(crate) fn assert_refused(&mut self, token: &Token, status: u16, code: &str) {
        for reply in self.ask(token) {
            crate::support::assert_refused(&reply, status, code);
            if status == 503 {
                assert!(reply.header("retry-after").is_some(), "{reply:?}");
            }
        }
    }

    /// Waits until every worker refuses the token.
    #[track_caller]
    pub(crate) fn wait_until_refused(&mut self, token: &Token, code: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let replies = self.ask(token);
            let has_code = |reply: &Response| reply.status != 200 && reply.json()["code"] == code;
            if replies.iter().all(has_code) {
                return;
            }
            assert!(Instant::now() < deadline, "expected {code}: {replies:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until every worker lets the token through.
    #[track_caller]
    pub(crate) fn wait_until_accepted(&mut self, token: &Token) {
        let deadline = Instant::now() + PATIENCE;
        while self.ask(token).iter().any(|reply| reply.status != 200) {
            assert!(Instant::now() < deadline, "{:?}", self.ask(token));
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn metric(envoy: &Envoy, name: &str) -> u64 {
    envoy.stat(&format!("wasmcustom.{name}")).unwrap_or(0)
}

/// Waits until a metric of the filter in this Envoy is at least this, and every worker knows of it.
#[track_caller]
pub(super) fn wait_for(envoy: &Envoy, name: &str, least: u64) {
    let what = || format!("{name} ≥ {least} in:\n{}", envoy.log());
    until(what, || metric(envoy, name) >= least);
    thread::sleep(SPREAD);
}

/// Waits until the authority's latest change has arrived in this Envoy.
#[track_caller]
pub(super) fn wait_until_in_step(authority: &Authority, envoy: &Envoy) {
    let sequence = authority.stats()["sequence"].as_u64();
    wait_for(
        envoy,
        "portcullis.feed.sequence",
        sequence.expect("a number"),
    );
}

/// A token of `alice` in a session.
pub(crate) fn session(id: &str) -> Token {
    Token::signed_by("es256").claim("sid", id)
}

/// The shortest staleness, so that a silent authority is noticed soon.
pub(crate) fn soon_stale() -> Value {
    json!({"max_staleness": "3s"})
}
