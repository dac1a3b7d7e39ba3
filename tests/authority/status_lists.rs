//! Status lists: which ones are fetched, what is said of a token, and what edges are told.

use std::fs;
use std::path::Path;
use std::time::Duration;

use portcullis::revocation::{Batch, Change};
use serde_json::{Value, json};

use super::command_line::told;
use super::jwks_server::JwksServer;
use super::keys::jwks;
use super::process::{Answer, Authority, directory, until};
use super::status_list::{claims, now, packed, signed, status_list};
use super::token::{ISSUER, Token};

const PATH: &str = "/lists/1";

/// The server of an issuer's lists, and an authority that looks after them.
struct Scene {
    server: JwksServer,
    authority: Authority,
    directory: tempfile::TempDir,
}

impl Scene {
    fn new(settings: &Value) -> Self {
        let server = JwksServer::start();
        let directory = directory();
        fs::write(
            directory.path().join("jwks.json"),
            jwks(&["es256", "eddsa"]),
        )
        .unwrap();
        let mut lists = json!({"uris": [format!("http://{}/lists/", server.address())]});
        for (name, value) in settings.as_object().unwrap() {
            lists[name] = value.clone();
        }
        let issuers = json!([
            {"issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}, "status_lists": lists},
            {"issuer": "https://other.example", "keys": {"jwks_file": "jwks.json"}},
        ]);
        let file = directory.path().join("authority.json");
        fs::write(&file, json!({ "issuers": issuers }).to_string()).unwrap();
        Self {
            server,
            authority: start(directory.path()),
            directory,
        }
    }

    fn restarted(self) -> Self {
        self.authority.kill();
        Self {
            authority: start(self.directory.path()),
            ..self
        }
    }

    fn uri(&self) -> String {
        format!("http://{}{PATH}", self.server.address())
    }

    /// Has the list say this from now on.
    fn publish(&self, statuses: &[u8]) {
        self.server.serve(PATH, status_list(&self.uri(), statuses));
    }

    fn check(&self, index: u64) -> Answer {
        self.check_with(&json!({"status": {"uri": self.uri(), "idx": index}}))
    }

    fn check_with(&self, members: &Value) -> Answer {
        let mut check = json!({"issuer": ISSUER, "jti": "token"});
        for (name, value) in members.as_object().unwrap() {
            check[name] = value.clone();
        }
        self.authority.post("/v1/check", &check)
    }

    fn status(&self, index: u64) -> Value {
        let answer = self.check(index);
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["status"].clone()
    }

    /// The names in the feed after the first change, which is that of the start.
    fn changes(&self) -> Vec<Change> {
        until(|| self.sequence() > 0);
        let epoch = self.authority.manifest().epoch;
        let path = format!("/v1/feed/deltas?epoch={epoch}&after=0&nonce=7&wait=1");
        let answer = self.authority.get(&path);
        let batch = Batch::decode(&answer.bytes, &self.authority.public_keys()).unwrap();
        let key = self.authority.manifest().filter_key;
        assert_eq!(batch.changes[0], Change::Restore(key.statuses(ISSUER)));
        batch.changes[1..].to_vec()
    }

    fn sequence(&self) -> u64 {
        self.authority.stats()["sequence"].as_u64().unwrap()
    }

    /// The change that says that these may be others now.
    fn changed(&self, index: u64) -> Change {
        let key = self.authority.manifest().filter_key;
        Change::Restore(key.status(ISSUER, &self.uri(), index))
    }
}

fn start(directory: &Path) -> Authority {
    let file = directory.join("authority.json");
    Authority::start_with(directory, &["--config", file.to_str().unwrap()])
}

fn problem(answer: &Answer) -> (u16, String) {
    (
        answer.status,
        answer.json()["code"].as_str().unwrap().to_owned(),
    )
}

fn unknown(status: u16) -> (u16, String) {
    (status, "status_unknown".to_owned())
}

#[test]
fn a_list_is_fetched_once_and_says_what_a_token_is() {
    let scene = Scene::new(&json!({}));
    scene.publish(&[0, 1, 2, 3]);
    for _ in 0..2 {
        for (index, revoked, status, cause) in [
            (0, false, "valid", Value::Null),
            (1, true, "invalid", Value::Null),
            (2, true, "suspended", json!("suspended")),
            (3, true, "invalid", Value::Null),
        ] {
            let answer = scene.check(index).json();
            let said = (&answer["revoked"], &answer["status"], &answer["cause"]);
            assert_eq!(said, (&json!(revoked), &json!(status), &cause), "{answer}");
            assert_eq!(answer.get("by"), None);
        }
    }
    assert_eq!(scene.server.requests(PATH), 1);
    let beyond = scene.check(4);
    assert_eq!(problem(&beyond), unknown(422), "{beyond:?}");
    // What is revoked here is revoked whatever the list says, also where it says nothing.
    let request = json!({"kind": "token", "issuer": ISSUER, "value": "token"});
    assert_eq!(
        scene.authority.post("/v1/revocations", &request).status,
        200
    );
    for index in [0, 4] {
        let answer = scene.check(index).json();
        assert_eq!(
            (&answer["revoked"], &answer["by"]),
            (&json!(true), &json!("token"))
        );
    }
}

/// With `portcullis check --token`: the exit code, the first line, and the one about the status.
fn checked(scene: &Scene, status: Value) -> (i32, String, Option<String>) {
    let token = Token::signed_by("es256").claim("jti", "token");
    let token = token.claim("status", status).to_string();
    let command = ["check", "--token", "-"];
    let (code, text, errors) = told(&scene.authority.command_with(&command, &token));
    let first = text.lines().next();
    let first = first.unwrap_or_else(|| panic!("{errors}")).to_owned();
    let status = text.lines().find(|line| line.starts_with("status "));
    (code, first, status.map(str::to_owned))
}

#[test]
fn a_check_of_a_token_tells_what_its_list_says_and_that_nothing_is_known_of_it() {
    let scene = Scene::new(&json!({}));
    scene.publish(&[0, 1, 2]);
    let uri = scene.uri();
    for (index, code, first, state) in [
        (0, 0, "not revoked", "valid"),
        (1, 1, "revoked by its status list", "invalid"),
        (2, 1, "revoked by its status list", "suspended"),
        (7, 0, "not revoked", "not known"),
    ] {
        let status = json!({"status_list": {"uri": uri, "idx": index}});
        let (found, told, line) = checked(&scene, status);
        assert_eq!((found, told.as_str()), (code, first), "{index}");
        let line = line.unwrap();
        let expected = format!("status   status     {state:<12} entry {index} of {uri}");
        assert!(line.starts_with(&expected), "{line}");
    }
    // A list that the authority's file does not permit, and no reference at all.
    let elsewhere = json!({"status_list": {"uri": "https://elsewhere.example/1", "idx": 0}});
    let (code, told, line) = checked(&scene, elsewhere);
    assert_eq!((code, told.as_str()), (0, "not revoked"));
    assert!(
        line.unwrap()
            .contains("not known    entry 0 of https://elsewhere.example/1: ")
    );
    let (code, _, line) = checked(&scene, json!({"status_list": "7"}));
    assert_eq!(code, 0);
    assert!(line.unwrap().contains("no reference to a status list"));
    // What is revoked here is, whatever its list says, which is told all the same.
    let request = json!({"kind": "token", "issuer": ISSUER, "value": "token"});
    scene.authority.post("/v1/revocations", &request);
    let status = json!({"status_list": {"uri": uri, "idx": 0}});
    let (code, told, line) = checked(&scene, status);
    assert_eq!((code, told.as_str()), (1, "revoked by token"));
    assert!(line.unwrap().contains(" valid "));
}

#[test]
fn what_changes_is_told_by_its_name_and_nothing_else_is() {
    let scene = Scene::new(&json!({"refresh": "1s"}));
    scene.publish(&[0, 0, 0, 0, 2]);
    assert_eq!(scene.status(1), "valid");
    until(|| scene.server.requests(PATH) > 2);
    assert_eq!(scene.changes(), [], "the same list anew");
    scene.publish(&[0, 1, 0, 0, 0]);
    until(|| scene.status(1) == "invalid");
    assert_eq!(scene.status(4), "valid");
    until(|| scene.changes().len() >= 2);
    assert_eq!(scene.changes(), [scene.changed(1), scene.changed(4)]);
    scene.publish(&[0, 2, 0, 0, 0]);
    until(|| scene.status(1) == "suspended");
    until(|| scene.changes().len() >= 3);
    assert_eq!(scene.changes()[2..], [scene.changed(1)]);
    // No entries come of it.
    let listed = scene.authority.get("/v1/revocations").json();
    assert_eq!(listed["entries"], json!([]));
}

#[test]
fn what_edges_remember_is_void_after_a_restart() {
    let scene = Scene::new(&json!({}));
    scene.publish(&[0]);
    assert_eq!(scene.status(0), "valid");
    until(|| scene.sequence() == 1);
    let scene = scene.restarted();
    until(|| scene.sequence() == 2);
    let key = scene.authority.manifest().filter_key;
    assert_eq!(scene.changes(), [Change::Restore(key.statuses(ISSUER))]);
}

#[test]
fn an_issuer_that_gives_up_most_of_a_list_does_not_fill_the_feed() {
    let scene = Scene::new(&json!({"refresh": "1s"}));
    scene.publish(&vec![0; 20_000]);
    assert_eq!(scene.status(19_999), "valid");
    scene.publish(&vec![1; 20_000]);
    until(|| scene.status(19_999) == "invalid");
    let key = scene.authority.manifest().filter_key;
    until(|| !scene.changes().is_empty());
    assert_eq!(scene.changes(), [Change::Restore(key.statuses(ISSUER))]);
}

#[test]
fn a_list_that_cannot_be_had_any_more_lapses_and_edges_hear_of_it() {
    let scene = Scene::new(&json!({"refresh": "1s", "max_staleness": "3s"}));
    scene.publish(&[0]);
    assert_eq!(scene.status(0), "valid");
    let key = scene.authority.manifest().filter_key;
    scene.server.answer(PATH, 500, None, "");
    until(|| scene.check(0).status == 503);
    assert_eq!(problem(&scene.check(0)), unknown(503));
    // On a busy machine it may have lapsed before.
    let all = Change::Restore(key.statuses(ISSUER));
    until(|| scene.changes().first() == Some(&all));
    scene.publish(&[1]);
    until(|| scene.check(0).status == 200);
    assert_eq!(scene.status(0), "invalid");
}

#[test]
fn only_what_the_issuer_has_signed_for_this_address_counts() {
    let scene = Scene::new(&json!({"refresh": "1s"}));
    let uri = scene.uri();
    let with = |name: &str, value: Value| {
        let mut claims = claims(&uri, &[0]);
        claims[name] = value;
        signed("es256", &claims)
    };
    let of_others = Token::signed_by("es256").header("typ", "JWT");
    let bad = [
        String::new(),
        "a.b.c".to_owned(),
        signed("rs256", &claims(&uri, &[0])),
        of_others.with_claims_text(claims(&uri, &[0]).to_string()),
        with("sub", json!(format!("{uri}0"))),
        with("iss", json!("https://other.example")),
        with("exp", json!(now() - 3_600)),
        with("iat", json!(now() + 3_600)),
        with("status_list", json!({"bits": 3, "lst": packed(&[0])})),
        with("status_list", json!({"bits": 2, "lst": "eNo"})),
    ];
    for list in bad {
        let server = &scene.server;
        server.serve(PATH, list.clone());
        let before = server.requests(PATH);
        let answer = scene.check(0);
        assert_eq!(problem(&answer), unknown(503), "{list}");
        until(|| server.requests(PATH) > before + 1);
        assert_eq!(problem(&scene.check(0)), unknown(503), "{list}");
    }
    scene.server.serve(PATH, with("iss", json!(ISSUER)));
    until(|| scene.check(0).status == 200);
    // One from before takes nothing back.
    scene.publish(&[1]);
    until(|| scene.status(0) == "invalid");
    scene.server.serve(PATH, with("iat", json!(now() - 100)));
    let before = scene.server.requests(PATH);
    until(|| scene.server.requests(PATH) > before + 1);
    assert_eq!(scene.status(0), "invalid");
}

#[test]
fn nothing_is_called_that_the_configuration_does_not_name() {
    let scene = Scene::new(&json!({}));
    let server = format!("http://{}", scene.server.address());
    scene.server.serve("/lists/2", "");
    scene.server.answer(
        "/lists/moved",
        302,
        Some(("location", format!("{server}/elsewhere"))),
        "",
    );
    let at = |uri: &str| {
        let answer = scene.check_with(&json!({"status": {"uri": uri, "idx": 0}}));
        problem(&answer)
    };
    for uri in [
        format!("{server}/other"),
        format!("{server}/lists/../other"),
        format!("{server}/lists/%2e%2e/other"),
        format!("{server}@evil.example/lists/1"),
        "https://evil.example/lists/1".to_owned(),
        "file:///etc/passwd".to_owned(),
        "x".to_owned(),
    ] {
        assert_eq!(at(&uri), unknown(422), "{uri}");
    }
    assert_eq!(scene.server.all_requests(), 0);
    assert_eq!(at(&format!("{server}/lists/moved")), unknown(503));
    assert_eq!(
        scene.server.requests("/elsewhere"),
        0,
        "no redirect is followed"
    );
    // Lists of an issuer without any.
    let status = json!({"uri": scene.uri(), "idx": 0});
    let other = scene.check_with(&json!({"issuer": "https://other.example", "status": status}));
    assert_eq!(problem(&other), unknown(422));
    for status in [
        json!({"uri": "", "idx": 0}),
        json!({"uri": "x".repeat(1_025), "idx": 0}),
        json!({"uri": "x", "idx": 1_u64 << 53}),
        json!({"uri": "x", "idx": -1}),
        json!({"uri": "x"}),
        json!({"uri": "x", "idx": 0, "more": 0}),
    ] {
        let answer = scene.check_with(&json!({ "status": status }));
        assert_eq!(
            problem(&answer),
            (400, "request_invalid".to_owned()),
            "{status}"
        );
    }
}

#[test]
fn a_slow_server_holds_up_nothing_but_the_checks_that_need_it() {
    let scene = Scene::new(&json!({}));
    scene.server.delay(Duration::from_secs(2));
    scene.publish(&[0]);
    assert_eq!(problem(&scene.check(0)), unknown(503));
    let plain = scene.check_with(&json!({}));
    assert_eq!(plain.json()["revoked"], false);
    until(|| scene.check(0).status == 200);
    assert_eq!(scene.server.requests(PATH), 1, "the fetch went on");
}

/// Counted by what was said, and by whether a fetch was good.
#[test]
fn lists_are_counted() {
    let scene = Scene::new(&json!({}));
    scene.publish(&[0, 1, 2]);
    for index in [0, 1, 2, 9] {
        scene.check(index);
    }
    let page = scene.authority.get("/metrics").text();
    for line in [
        r#"portcullis_statuses_total{status="valid"} 1"#,
        r#"portcullis_statuses_total{status="invalid"} 1"#,
        r#"portcullis_statuses_total{status="suspended"} 1"#,
        r#"portcullis_statuses_total{status="unknown"} 1"#,
        r#"portcullis_status_list_fetches_total{result="success"} 1"#,
        r#"portcullis_status_list_fetches_total{result="failure"} 0"#,
        "portcullis_status_lists 1",
    ] {
        assert!(page.lines().any(|found| found == line), "{line}\n{page}");
    }
}
