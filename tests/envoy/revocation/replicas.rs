//! Several authorities in one cluster, as `envoy/envoy-replicas.yaml` has them: what fails at one of them is
//! asked of another, and no request of a client is refused for it.
//!
//! Each authority is a meddler here, all of them before the same real one: what is looked at is Envoy and the
//! filter.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::{session, settings, wait_for, wait_until_in_step};
use crate::support::{
    Authority, Bootstrap, Envoy, Meddler, Plugin, RETRY_ON, Request, assert_refused, until,
};

const CHECK: &str = "/v1/check";
const POLL: &str = "/v1/feed/deltas";
const REPLICAS: usize = 3;

/// One worker, since every worker asks for itself.
struct Scene {
    authority: Authority,
    replicas: Vec<Meddler>,
    envoy: Envoy,
}

impl Scene {
    fn new() -> Self {
        Self::with(REPLICAS)
    }

    /// One in which only so many of the authorities are there; the others refuse connections.
    fn with(count: usize) -> Self {
        let authority = Authority::start();
        let replicas: Vec<_> = (0..count)
            .map(|_| Meddler::before(authority.address()))
            .collect();
        let gone = (count..REPLICAS).map(|_| closed_port());
        let there = replicas.iter().map(Meddler::address);
        let addresses: Vec<_> = gone.chain(there).collect();
        let plugin = Plugin::new(&settings(&authority, &json!({})));
        let bootstrap = Bootstrap::with_plugin(plugin)
            .with_authorities(&addresses)
            .with_workers(1);
        let scene = Self {
            envoy: Envoy::start(&bootstrap),
            authority,
            replicas,
        };
        wait_for(&scene.envoy, "portcullis.feed.generations", 1);
        scene
    }

    /// Lets the filter think that these sessions may be revoked, so that each is asked about.
    fn revoke_and_restore(&self, sessions: &[String]) {
        for value in sessions {
            self.authority.revoke("session", value);
            self.authority.restore_access("session", value);
        }
        wait_until_in_step(&self.authority, &self.envoy);
    }

    fn asked(&self, path: &str) -> Vec<usize> {
        let replicas = self.replicas.iter();
        replicas.map(|replica| replica.asked(path)).collect()
    }

    /// Asserts that every one of these is let through, and gives the longest time that one took.
    #[track_caller]
    fn assert_accepted(&self, sessions: &[String]) -> Duration {
        let mut client = self.envoy.client();
        let mut longest = Duration::ZERO;
        for value in sessions {
            let began = Instant::now();
            let reply = client.send(&Request::get("/api").bearer(session(value)));
            assert_eq!(
                reply.status,
                200,
                "{value}: {reply:?}\n{}",
                self.envoy.log()
            );
            longest = longest.max(began.elapsed());
        }
        longest
    }
}

/// An address that refuses connections.
fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    listener.local_addr().expect("the address just bound")
}

fn names(of: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{of}-{number}")).collect()
}

#[test]
fn the_example_repeats_what_is_tried_here() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/envoy-replicas.yaml");
    let example = fs::read_to_string(path).expect("the example");
    for line in [
        &*format!("retry_on: {RETRY_ON}"),
        "num_retries: 2",
        "lb_policy: ROUND_ROBIN",
        "connect_timeout: 0.25s",
    ] {
        assert!(example.lines().any(|of| of.trim() == line), "{line}");
    }
}

#[test]
fn no_request_is_refused_while_one_authority_breaks_off_what_it_is_asked() {
    let scene = Scene::new();
    let sessions = names("dropped", 12);
    scene.revoke_and_restore(&sessions);
    scene.replicas[1].drop_requests(CHECK, usize::MAX);
    let before = scene.asked(CHECK);
    scene.assert_accepted(&sessions);
    let after = scene.asked(CHECK);
    assert!(after[1] > before[1], "{before:?} {after:?}");
}

#[test]
fn no_request_is_refused_while_one_authority_is_dead() {
    let scene = Scene::new();
    let sessions = names("dead", 12);
    scene.revoke_and_restore(&sessions);
    scene.replicas[0].cut();
    scene.assert_accepted(&sessions);
    // What is revoked arrives by way of the others, within the longest pause after a poll that broke off.
    scene.authority.revoke("session", "stolen");
    wait_until_in_step(&scene.authority, &scene.envoy);
    let stolen = Request::get("/api").bearer(session("stolen"));
    assert_refused(&scene.envoy.client().send(&stolen), 401, "token_revoked");
}

/// The filter itself repeats a call once, which would not be enough.
#[test]
fn no_request_is_refused_while_two_of_three_authorities_refuse_connections() {
    let scene = Scene::with(1);
    let sessions = names("alone", 12);
    scene.revoke_and_restore(&sessions);
    scene.assert_accepted(&sessions);
    let retried = scene.envoy.stat("cluster.authority.upstream_rq_retry");
    assert!(retried > Some(0), "{retried:?}");
}

/// As one whose machine has lost its power: it neither answers nor refuses.
#[test]
fn no_request_is_refused_while_one_authority_hangs() {
    let scene = Scene::new();
    let sessions = names("hung", 6);
    scene.revoke_and_restore(&sessions);
    scene.replicas[2].hold_back(CHECK, Duration::from_mins(1));
    let before = scene.asked(CHECK);
    let longest = scene.assert_accepted(&sessions);
    let after = scene.asked(CHECK);
    assert!(after[2] > before[2], "{before:?} {after:?}");
    assert!(longest >= Duration::from_millis(700), "{longest:?}");
}

/// A poll that broke off would be held by the next authority for as long again.
#[test]
fn a_poll_that_broke_off_is_not_repeated_by_envoy() {
    let scene = Scene::new();
    let polls = || scene.asked(POLL).iter().sum::<usize>();
    thread::sleep(Duration::from_secs(1));
    let before = polls();
    for replica in &scene.replicas {
        replica.break_connections();
    }
    until(|| scene.envoy.log(), || polls() > before);
    let retried = scene.envoy.stat("cluster.authority.upstream_rq_retry");
    assert_eq!(retried, Some(0));
}
