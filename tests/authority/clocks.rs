//! An authority whose clock differs from its edges'.

use std::path::Path;

use serde_json::{Value, json};

use super::access::guarded;
use super::process::{Authority, ISSUER, credential, directory, revocation, until};

const HOUR: i64 = 3_600;

fn now() -> i64 {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// Edges of two credentials, and an admin.
struct Scene {
    authority: Option<Authority>,
    edges: [String; 3],
    admin: String,
}

impl Scene {
    fn new(directory: &Path) -> Self {
        let edges = ["a", "b", "c"].map(|name| credential(directory, "edge", name));
        let admin = credential(directory, "admin", "console");
        let authority = Some(guarded(directory).with_credential(&admin));
        Self {
            authority,
            edges,
            admin,
        }
    }

    fn authority(&self) -> &Authority {
        self.authority.as_ref().unwrap()
    }

    /// An edge polls, with a clock that is this many seconds ahead.
    fn poll(&mut self, edge: usize, ahead: i64) {
        let time = (now() + ahead) * 1_000;
        let path = format!("/v1/feed/deltas?epoch=0&after=0&wait=0&time={time}");
        let authority = self.authority.take().unwrap();
        let authority = authority.with_credential(&self.edges[edge]);
        assert_eq!(authority.get(&path).status, 410);
        self.authority = Some(authority.with_credential(&self.admin));
    }

    fn difference(&self) -> f64 {
        let text = String::from_utf8(self.authority().get("/metrics").bytes).unwrap();
        let mut lines = text.lines();
        let name = "portcullis_clock_difference_seconds ";
        let line = lines.find_map(|line| line.strip_prefix(name));
        line.expect("the metric").parse().unwrap()
    }

    fn revoke(&self, members: &Value) -> (u16, Value) {
        let mut request = revocation("subject", "alice");
        for (name, member) in members.as_object().unwrap() {
            request[name] = member.clone();
        }
        let answer = self.authority().post("/v1/revocations", &request);
        (answer.status, answer.json())
    }
}

#[test]
fn cut_offs_are_refused_while_most_edges_say_that_the_clock_is_wrong() {
    let directory = directory();
    let mut scene = Scene::new(directory.path());
    scene.poll(0, HOUR);
    scene.poll(1, HOUR);
    scene.poll(2, 0);
    until(|| (scene.difference() - 3_600.0).abs() < 5.0);
    for kind in ["subject", "client", "issuer"] {
        let answer = scene.authority().revoke(kind, "x");
        assert_eq!(answer.status, 503, "{kind}");
        let problem = answer.json();
        assert_eq!(problem["code"], "clocks_disagree");
        let detail = problem["detail"].as_str().unwrap();
        assert!(
            detail.contains("clock off by 3") && detail.contains("`despite_clocks`"),
            "{detail}"
        );
    }
    let line = revocation("client", "c").to_string();
    let import = scene
        .authority()
        .post_text("/v1/import", "application/x-ndjson", &line);
    assert_eq!(import.status, 422);
    assert_eq!(scene.authority().stats()["cut_offs"], 0);
    until(|| {
        scene
            .authority()
            .log()
            .contains("edges do not agree with the clock")
    });

    // A cut-off that does not depend on this clock is accepted, and so is one that the caller
    // insists on.
    assert_eq!(scene.authority().revoke("session", "s").status, 200);
    assert_eq!(scene.revoke(&json!({"not_before": now()})).0, 200);
    let (status, answer) = scene.revoke(&json!({"despite_clocks": true}));
    assert_eq!(status, 200);
    assert!((3_590..=3_610).contains(&answer["clock_difference"].as_i64().unwrap()));
    let revoke = ["revoke", "client", "c", "--issuer", ISSUER];
    let refused = scene.authority().command(&revoke);
    assert_eq!(refused.status.code(), Some(9));
    let insisting = scene
        .authority()
        .command(&[&revoke[..], &["--despite-clocks"]].concat());
    assert!(insisting.status.success());
    let warning = String::from_utf8(insisting.stderr).unwrap();
    assert!(
        warning.contains("warning: the clocks of edges differ"),
        "{warning}"
    );

    scene.poll(0, 0);
    until(|| scene.difference().abs() < 5.0);
    let (status, answer) = scene.revoke(&json!({}));
    assert_eq!((status, answer.get("clock_difference")), (200, None));
}

/// The holder of an `edge` credential may report any time.
#[test]
fn one_edge_that_is_wrong_or_lies_does_not_block_revocations() {
    for ahead in [HOUR, -HOUR, 30 * 24 * HOUR] {
        let directory = directory();
        let mut scene = Scene::new(directory.path());
        for _ in 0..10 {
            scene.poll(0, ahead);
        }
        until(|| scene.difference().abs() > 3_000.0);
        let (status, answer) = scene.revoke(&json!({}));
        assert_eq!(status, 200, "the only edge warns");
        assert!(answer["clock_difference"].is_i64(), "{answer}");
        scene.poll(1, 0);
        until(|| scene.difference().abs() < 5.0);
        let (status, answer) = scene.revoke(&json!({}));
        assert_eq!((status, answer.get("clock_difference")), (200, None));
    }
}

/// Seen by such a clock, they would be too old as soon as it is put right.
#[test]
fn sessions_are_not_taken_in_while_most_edges_say_that_the_clock_is_behind() {
    let directory = directory();
    let mut scene = Scene::new(directory.path());
    let report = |scene: &Scene| {
        let report = json!({
            "issuer": ISSUER, "subject": "alice", "sid": "s",
            "first_seen_ago": 0, "last_seen_ago": 0, "requests": 1,
        });
        let body = json!({"version": 1, "reports": [report]});
        let answer = scene.authority().post("/v1/activity", &body);
        assert_eq!(answer.status, 204, "{}", answer.text());
        let listed = scene.authority().get("/v1/sessions").json();
        listed["sessions"].as_array().unwrap().len()
    };
    scene.poll(0, HOUR);
    scene.poll(1, HOUR);
    until(|| (scene.difference() - 3_600.0).abs() < 5.0);
    assert_eq!(report(&scene), 0);
    let metrics = scene.authority().get("/metrics").text();
    let dropped = "portcullis_session_reports_total{outcome=\"dropped\"} 1\n";
    assert!(metrics.contains(dropped), "{metrics}");
    scene.poll(0, 0);
    scene.poll(1, 0);
    until(|| scene.difference().abs() < 5.0);
    assert_eq!(report(&scene), 1);
}
