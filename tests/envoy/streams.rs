//! Requests in progress end with the tokens that let them in.

mod client;
mod clients;
mod short;
mod upstream;

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use crate::revocation::ended::with_policy;
use crate::revocation::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Envoy, ISSUER, Listener, PATIENCE, Plugin, Request, assert_refused, until,
};
use client::{Kind, Stream};

/// A request that is younger may be an ordinary one, which is not cut off.
const SHORT: Duration = Duration::from_millis(1_200);

/// An Envoy that follows an authority, with an upstream that goes on for ever.
struct Scene {
    authority: Authority,
    envoy: Envoy,
    runtime: Runtime,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        Self::with(Authority::start(), change)
    }

    fn with(authority: Authority, change: impl FnOnce(&mut Value)) -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let upstream = upstream::start(&runtime);
        let mut configuration = settings(&authority, &json!({}));
        change(&mut configuration);
        let listener = Listener::portcullis(Plugin::new(&configuration))
            .with_upgrades()
            .with_access_log("end=%FILTER_STATE(wasm.portcullis.stream_end:PLAIN)%")
            .with_first_routes(&[json!({
                "match": {"path": short::PATH},
                "direct_response": {"status": 200},
            })])
            .leading_to(Some("streams"));
        let bootstrap = Bootstrap::new([listener])
            .with_cluster("streams", upstream)
            .with_authority(authority.address());
        let scene = Self {
            authority,
            envoy: Envoy::start(&bootstrap),
            runtime,
        };
        scene.wait_for("feed.generations", |loaded| loaded > 0);
        scene
    }

    fn metric(&self, name: &str) -> u64 {
        let name = format!("wasmcustom.portcullis.{name}");
        self.envoy.stat(&name).unwrap_or(0)
    }

    #[track_caller]
    fn wait_for(&self, name: &str, is_it: impl Fn(u64) -> bool) {
        let what = || format!("{name} is {}:\n{}", self.metric(name), self.envoy.log());
        until(what, || is_it(self.metric(name)));
    }

    /// Opens streams with these tokens, and waits until all of them are under way.
    fn open(&self, kind: Kind, tokens: &[String]) -> Vec<Stream> {
        let server = self.envoy.address_of("portcullis");
        let streams = self.runtime.block_on(client::open(server, kind, tokens));
        let what = || format!("{kind:?}: {streams:?}\n{}", self.envoy.log());
        until(what, || streams.iter().all(|stream| stream.beats() > 1));
        streams
    }

    fn open_all(&self, token: &str) -> Vec<Stream> {
        let tokens = [token.to_owned()];
        let open = |kind| self.open(kind, &tokens);
        Kind::ALL.into_iter().flat_map(open).collect()
    }
}

/// Waits until all of them have ended; how long after `since` the last one did.
#[track_caller]
fn wait_for_ends(streams: &[Stream], since: Instant) -> Duration {
    let what = || format!("not ended: {streams:?}");
    until(what, || streams.iter().all(|stream| stream.end().is_some()));
    let ends = streams.iter().filter_map(|stream| Some(stream.end()?.0));
    ends.map(|end| end - since).max().unwrap()
}

/// Asserts that something still comes on all of them.
#[track_caller]
fn assert_live(streams: &[Stream]) {
    let before: Vec<_> = streams.iter().map(Stream::beats).collect();
    thread::sleep(Duration::from_millis(300));
    for (stream, before) in streams.iter().zip(before) {
        assert!(stream.end().is_none(), "{stream:?}");
        assert!(stream.beats() > before, "{stream:?}");
    }
}

#[test]
fn of_two_hundred_streams_those_that_are_revoked_end_and_the_others_go_on() {
    const REVOKED: usize = 100;
    let scene = Scene::new(|_| ());
    let token = |number: usize| {
        let token = session(&format!("session {number}"));
        // One in four is revoked with its subject, one in four with its session.
        let subject = ["alice", "mallory", "alice", "alice"][number % 4];
        token.claim("sub", subject).to_string()
    };
    let mut streams = Vec::new();
    for first in (0..2 * REVOKED).step_by(4) {
        let tokens: Vec<_> = (first..first + 4).map(token).collect();
        let kind = Kind::ALL[first / 4 % Kind::ALL.len()];
        streams.extend(scene.open(kind, &tokens));
    }
    scene.wait_for("streams.watched", |watched| watched == 2 * REVOKED as u64);
    thread::sleep(SHORT);
    let mut revoked_at = vec![None; streams.len()];
    scene.authority.revoke("subject", "mallory");
    for number in (1..streams.len()).step_by(4) {
        revoked_at[number] = Some(Instant::now());
    }
    for number in (3..streams.len()).step_by(4) {
        scene
            .authority
            .revoke("session", &format!("session {number}"));
        revoked_at[number] = Some(Instant::now());
    }
    let deadline = Instant::now() + PATIENCE;
    let is_over = |number: usize| revoked_at[number].is_none() || streams[number].end().is_some();
    while !(0..streams.len()).all(is_over) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(10));
    }
    let mut took = Vec::new();
    let mut live = Vec::new();
    for (stream, revoked_at) in streams.iter().zip(&revoked_at) {
        match (revoked_at, stream.end()) {
            // The stream may end before the authority's answer has come back.
            (Some(since), Some((end, _))) => took.push(end.saturating_duration_since(*since)),
            (Some(_), None) => panic!("not ended: {stream:?}"),
            (None, _) => live.push(stream.clone()),
        }
    }
    took.sort_unstable();
    println!(
        "ended after {:?} (median), {:?} (p99), {:?} (longest)",
        took[REVOKED / 2],
        took[REVOKED - 2],
        took[REVOKED - 1]
    );
    assert!(took[REVOKED - 2] <= Duration::from_millis(500), "{took:?}");
    assert_live(&live);
    scene.wait_for("streams.closed.revoked", |closed| closed == REVOKED as u64);
    scene.wait_for("streams.watched", |watched| watched == REVOKED as u64);
    until(
        || scene.envoy.log(),
        || scene.envoy.log().matches("end=revoked").count() == REVOKED,
    );
    // The client reconnects, and is told why it was cut off.
    for number in [1, 3] {
        let request = Request::get("/api/events").bearer(token(number));
        assert_refused(&scene.envoy.client().send(&request), 401, "token_revoked");
        let request = request
            .header("connection", "upgrade")
            .header("upgrade", "websocket");
        assert_refused(&scene.envoy.client().send(&request), 401, "token_revoked");
    }
    drop(scene.runtime);
    until(
        || scene.envoy.log(),
        || {
            let name = "wasmcustom.portcullis.streams.watched";
            scene.envoy.stat(name) == Some(0)
        },
    );
}

/// Something comes on the streams all the while; whether anything does makes no difference to the gate,
/// which sees no frames.
#[test]
fn a_user_who_keeps_a_stream_open_is_not_idle_unless_streams_are_ignored() {
    const TIMEOUT: Duration = Duration::from_secs(4);
    for (rule, goes_on) in [("count", true), ("ignore", false)] {
        let (authority, _files) = with_policy(&json!({"idle_timeout": "4s"}));
        let credential = authority.admin_credential().to_owned();
        let scene = Scene::with(authority, |configuration| {
            configuration["revocation"]["credential"] = json!({"inline_string": credential});
            configuration["activity"] = json!({"report": true, "interval": "1s", "streams": rule});
        });
        // One that is not used any more shows when a session is idle.
        let request = Request::get(short::PATH).bearer(session("idle"));
        assert_eq!(scene.envoy.client().send(&request).status, 200);
        let streams = scene.open_all(&session("a stream").to_string());
        let is_revoked = |sid: &str| {
            let check = json!({"issuer": ISSUER, "sid": sid});
            scene.authority.is_revoked(&check)
        };
        let what = || format!("{}\n{}", scene.authority.log(), scene.envoy.log());
        until(what, || is_revoked("idle"));
        if goes_on {
            thread::sleep(TIMEOUT);
            assert!(!is_revoked("a stream"), "{}", what());
            assert_live(&streams);
        } else {
            wait_for_ends(&streams, Instant::now());
            assert!(is_revoked("a stream"));
        }
    }
}

#[test]
fn a_token_that_was_rotated_cuts_nobody_off() {
    let scene = Scene::new(|_| ());
    let token = session("a").claim("jti", "first");
    let streams = scene.open_all(&token.to_string());
    let rotated = json!({"rotated": true});
    scene.authority.revoke_with("token", "first", &rotated);
    let asked = "confirmations.not_revoked";
    scene.wait_for(asked, |count| count > 0);
    assert_live(&streams);
    let reply = scene
        .envoy
        .client()
        .send(&Request::get("/api").bearer(&token));
    assert_refused(&reply, 401, "token_revoked");
    thread::sleep(SHORT);
    let since = Instant::now();
    scene.authority.revoke("token", "first");
    let took = wait_for_ends(&streams, since);
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn streams_end_when_their_token_expires_where_the_operator_says_so() {
    let scene = Scene::new(|configuration| {
        configuration["streams"] = json!({"on_expiry": "close", "expiry_grace": "1s"});
        configuration["providers"]["demo"]["clock_skew_seconds"] = json!(1);
    });
    let kept = scene.open_all(&session("long").to_string());
    let streams = scene.open_all(&session("short").expiring_in(3).to_string());
    let since = Instant::now();
    let took = wait_for_ends(&streams, since);
    assert!(took < Duration::from_secs(8), "{took:?}");
    assert_live(&kept);
    assert_eq!(scene.metric("streams.closed.revoked"), 0);
    scene.wait_for("streams.closed.expired", |closed| closed == Kind::COUNT);
}

#[test]
fn streams_end_some_time_after_the_feed_has_grown_too_old() {
    let mut scene = Scene::new(|configuration| {
        configuration["revocation"]["max_staleness"] = json!("3s");
        configuration["revocation"]["stream_grace"] = json!("2s");
    });
    let streams = scene.open_all(&session("a").to_string());
    let since = Instant::now();
    scene.authority.kill();
    let took = wait_for_ends(&streams, since);
    let range = Duration::from_secs(3)..Duration::from_secs(8);
    assert!(range.contains(&took), "{took:?}");
    scene.wait_for("streams.closed.stale", |closed| closed == Kind::COUNT);
}
