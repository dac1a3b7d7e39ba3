//! Which edges poll, how far they are, and waiting for them.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::command_line::told;
use super::process::{Answer, Authority, ISSUER, credential, directory, revocation, until};

/// By then, an edge that was there before has come back.
const COMES_BACK: Duration = Duration::from_secs(15);

/// An authority with a credential, as which edges and operators poll.
struct Scene {
    _directory: tempfile::TempDir,
    authority: Authority,
    epoch: u64,
    started: Instant,
}

impl Scene {
    fn new() -> Self {
        let directory = directory();
        let secret = credential(directory.path(), "admin", "fleet");
        let file = directory.path().join("credentials");
        let file = file.to_str().unwrap();
        let authority = Authority::start_with(directory.path(), &["--credentials", file]);
        let authority = authority.with_credential(&secret);
        let started = Instant::now();
        let epoch = authority.manifest().epoch;
        Self {
            _directory: directory,
            authority,
            epoch,
            started,
        }
    }

    /// One that counts on edges to have come back.
    fn settled() -> Self {
        let scene = Self::new();
        thread::sleep(COMES_BACK.saturating_sub(scene.started.elapsed()));
        scene
    }

    /// A poll for what comes after a change, with this header.
    fn poll(&self, after: u64, wait: u64, introduction: Option<&str>) -> Answer {
        let epoch = self.epoch;
        let path = format!("/v1/feed/deltas?epoch={epoch}&after={after}&wait={wait}");
        let headers = introduction.map(|text| ("portcullis-edge", text));
        self.authority.get_with(&path, headers.as_slice())
    }

    fn edges(&self) -> Value {
        self.authority.get("/v1/edges").json()
    }

    fn revoke(&self, value: &str, wait: &str) -> Value {
        let mut request = revocation("session", value);
        request["wait"] = wait.into();
        let answer = self.authority.post("/v1/revocations", &request);
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer = answer.json();
        assert_eq!(answer["outcome"], "revoked");
        answer
    }

    fn metric(&self, name: &str) -> String {
        let page = self.authority.get("/metrics").text();
        let line = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {page}"))
            .to_owned()
    }
}

#[test]
fn edges_are_listed_with_what_they_say_and_how_far_they_are() {
    let scene = Scene::new();
    assert_eq!(scene.edges()["edges"], json!([]));
    for value in ["a", "b", "c"] {
        scene.authority.revoke("session", value);
    }
    assert_eq!(
        scene.poll(3, 0, Some("1 0.9.1 255 60 77 edge-1")).status,
        200
    );
    assert_eq!(scene.poll(1, 0, Some("1 0.9.1 256 5 77")).status, 200);
    let answer = scene.edges();
    assert_eq!(
        (&answer["sequence"], &answer["epoch"]),
        (&3.into(), &scene.epoch.into())
    );
    assert_eq!((&answer["seen"], &answer["more"]), (&2.into(), &0.into()));
    let [slow, fast] = &answer["edges"].as_array().unwrap()[..] else {
        panic!("two edges: {answer}");
    };
    assert_eq!(fast["instance"], "edge-1");
    assert_eq!(fast["process"], "00000000000000ff");
    assert_eq!(
        (&fast["address"], &fast["credential"]),
        (&"127.0.0.1".into(), &"fleet".into())
    );
    assert_eq!(
        (&fast["version"], &fast["generation"]),
        (&"0.9.1".into(), &77.into())
    );
    assert_eq!((&fast["sequence"], &fast["behind"]), (&3.into(), &0.into()));
    assert!(fast["since"].as_str() < slow["since"].as_str());
    assert_eq!(slow["instance"], Value::Null);
    assert_eq!((&slow["sequence"], &slow["behind"]), (&1.into(), &2.into()));
    until(|| scene.edges()["behind"] == 1);
    assert_eq!(scene.metric("portcullis_edges"), "2");
    assert_eq!(scene.metric("portcullis_edges_behind"), "1");
    assert_eq!(scene.metric("portcullis_slowest_edge_changes"), "2");
    let late: f64 = scene
        .metric("portcullis_slowest_edge_seconds")
        .parse()
        .unwrap();
    assert!(late >= 1.0, "{late}");
    let (code, text, _) = told(&scene.authority.command(&["edges"]));
    assert_eq!(code, 0);
    let lines: Vec<_> = text.lines().collect();
    assert!(
        lines[0].starts_with("-  127.0.0.1  fleet  0.9.1  1  2 for "),
        "{text}"
    );
    assert!(
        lines[1].starts_with("edge-1  127.0.0.1  fleet  0.9.1  3  0  77  20"),
        "{text}"
    );
    let (_, text, _) = told(
        &scene
            .authority
            .command(&["edges", "--json", "--limit", "1"]),
    );
    let edge: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(edge["process"], "0000000000000100");
    assert_eq!(scene.authority.get("/v1/edges?limit=1").json()["more"], 1);
    for wrong in ["limit=0", "limit=10001", "limit=x", "first=1"] {
        let answer = scene.authority.get(&format!("/v1/edges?{wrong}"));
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[test]
fn a_poll_is_answered_whatever_its_edge_says_of_itself() {
    let scene = Scene::new();
    let long = format!("1 0.1.0 1 2 3 {}", "x".repeat(1_000));
    for introduction in [
        "",
        "2 other",
        "1 0.1.0 1 2 3 a more",
        &long,
        "1 0.1.0 1 2 x a",
    ] {
        let answer = scene.poll(0, 0, Some(introduction));
        assert_eq!(answer.status, 200, "{introduction}: {answer:?}");
    }
    let answer = scene.edges();
    let edges = answer["edges"].as_array().unwrap();
    let names: Vec<_> = edges.iter().map(|edge| edge["instance"].as_str()).collect();
    assert_eq!(names.len(), 2, "{answer}");
    assert!(
        names.contains(&Some("a")) && names.contains(&None),
        "{answer}"
    );
}

#[test]
fn a_revocation_waits_for_the_edges_and_names_those_that_lack_it() {
    let scene = Scene::settled();
    let answer = scene.revoke("a", "PT30S");
    assert_eq!(
        (&answer["edges"]["complete"], &answer["edges"]["seen"]),
        (&true.into(), &0.into())
    );
    let fast = "1 0.1.0 1 0 1 fast";
    let slow = "1 0.1.0 2 0 1 slow";
    scene.poll(1, 0, Some(slow));
    scene.poll(1, 0, Some(fast));
    thread::scope(|threads| {
        let follower = threads.spawn(|| {
            scene.poll(1, 20, Some(fast));
            scene.poll(2, 0, Some(fast));
        });
        until(|| scene.authority.stats()["edges_waiting"] == 1);
        let begun = Instant::now();
        let answer = scene.revoke("b", "PT1S");
        assert!(begun.elapsed() >= Duration::from_secs(1));
        assert_eq!(answer["sequence"], 2);
        let edges = &answer["edges"];
        assert_eq!(edges["complete"], false);
        assert_eq!((&edges["seen"], &edges["having"]), (&2.into(), &1.into()));
        assert!(edges["waited_milliseconds"].as_u64().unwrap() >= 1_000);
        let [lacking] = &edges["lacking"].as_array().unwrap()[..] else {
            panic!("one edge: {edges}");
        };
        assert_eq!(
            (&lacking["instance"], &lacking["behind"]),
            (&"slow".into(), &1.into())
        );
        follower.join().unwrap();
    });
    let revoke = ["revoke", "session", "c", "--issuer", ISSUER, "--wait=0s"];
    let (code, text, errors) = told(&scene.authority.command(&revoke));
    assert_eq!((code, &*errors), (11, ""), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "revoked");
    let says = "on the authority's disk, but not everywhere: 0 of 2 edges have it after ";
    assert!(lines[3].starts_with(says), "{text}");
    assert!(
        lines[4].starts_with("slow  127.0.0.1  fleet  0.1.0  1  2 for "),
        "{text}"
    );
    assert!(lines[5].starts_with("fast  "), "{text}");
    assert!(scene.authority.is_session_revoked("c"));
    scene.poll(3, 0, Some(slow));
    scene.poll(3, 0, Some(fast));
    let (code, text, _) = told(&scene.authority.command(&revoke));
    assert_eq!(code, 0, "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("all 2 edges have it, after "), "{text}");
    let restore = ["restore", "session", "c", "--issuer", ISSUER, "--wait=0s"];
    let (code, text, _) = told(&scene.authority.command(&restore));
    assert_eq!(code, 11, "{text}");
    assert!(
        text.starts_with("not revoked any more\non the authority's disk, "),
        "{text}"
    );
    let json = [&revoke[..], &["--json"]].concat();
    let (code, text, _) = told(&scene.authority.command(&json));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["edges"]["complete"]), (11, &false.into()));
}

#[test]
fn right_after_a_start_it_is_not_known_whether_all_edges_are_there() {
    let scene = Scene::new();
    let answer = scene.revoke("a", "PT0S");
    let expected = json!({"complete": false, "seen": 0, "having": 0, "unknown": "just_started"});
    let mut edges = answer["edges"].clone();
    edges.as_object_mut().unwrap().remove("waited_milliseconds");
    assert_eq!(edges, expected);
    let revoke = ["revoke", "session", "b", "--issuer", ISSUER, "--wait=0s"];
    let (code, text, _) = told(&scene.authority.command(&revoke));
    assert_eq!(code, 11);
    assert!(
        text.contains("\nthe authority has just been started: "),
        "{text}"
    );
}

#[test]
fn an_authority_that_stops_answers_those_that_wait() {
    let mut scene = Scene::new();
    let begun = Instant::now();
    thread::scope(|threads| {
        let waiting = threads.spawn(|| scene.revoke("a", "PT30S"));
        until(|| scene.authority.stats()["entries"] == 1);
        scene.authority.signal("TERM");
        assert_eq!(waiting.join().unwrap()["edges"]["complete"], false);
    });
    assert!(scene.authority.wait().success());
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn only_whole_seconds_up_to_half_a_minute_are_waited_and_not_in_an_import() {
    let scene = Scene::new();
    for wait in [
        "PT31S", "PT01S", "PT-1S", "PT+1S", "PTS", "PT1M", "PT0.5S", "2s", "",
    ] {
        let mut request = revocation("session", "a");
        request["wait"] = wait.into();
        let answer = scene.authority.post("/v1/revocations", &request);
        assert_eq!(answer.status, 400, "{wait}");
        assert!(
            answer.text().contains("`PT0S` to `PT30S`"),
            "{}",
            answer.text()
        );
    }
    let mut line = revocation("session", "a");
    line["wait"] = "PT1S".into();
    let import = "application/x-ndjson";
    let answer = scene
        .authority
        .post_text("/v1/import", import, &line.to_string());
    assert_eq!(answer.status, 422);
    assert!(
        answer
            .text()
            .contains("`wait` goes with a single revocation only: leave it out")
    );
    assert_eq!(scene.authority.stats()["sequence"], 0);
    let revoke = ["revoke", "session", "a", "--issuer", ISSUER, "--wait=31s"];
    let (code, _, errors) = told(&scene.authority.command(&revoke));
    assert_eq!(code, 2, "{errors}");
}
