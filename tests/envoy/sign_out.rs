//! Users sign out at the gate.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::revocation::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, ISSUER, PATIENCE, Plugin, Request, Response, Token,
    assert_refused, until,
};

const SIGN_OUT: &str = "/api/session/sign-out";

const DEVICES: &str = "/api/session/devices";

/// An Envoy that follows an authority, and a client of every worker.
struct Scene {
    authority: Authority,
    envoy: Envoy,
    workers: Vec<Client>,
}

impl Scene {
    fn new(authority: Authority, change: impl FnOnce(&mut Value)) -> Self {
        let mut configuration = settings(&authority, &json!({}));
        let provider = &mut configuration["providers"]["demo"];
        provider["from_headers"] = json!([{"name": "authorization", "value_prefix": "Bearer "}]);
        provider["from_cookies"] = json!(["jwt"]);
        configuration["sign_out"] = json!({"path": SIGN_OUT});
        configuration["sessions"] = json!({"path": DEVICES});
        change(&mut configuration);
        let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
        let envoy = Envoy::start(&bootstrap.with_authority(authority.address()));
        let workers = envoy.client_of_every_worker();
        let scene = Self {
            authority,
            envoy,
            workers,
        };
        let is_loaded = || scene.metric("feed.generations") > 0;
        until(|| scene.envoy.log(), is_loaded);
        thread::sleep(Duration::from_millis(300));
        scene
    }

    fn ordinary() -> Self {
        Self::new(Authority::for_users(&[]), |_| ())
    }

    fn metric(&self, name: &str) -> u64 {
        let name = format!("wasmcustom.portcullis.{name}");
        self.envoy.stat(&name).unwrap_or(0)
    }

    fn ask(&mut self, token: &Token) -> Vec<Response> {
        let request = Request::get("/api").bearer(token);
        let workers = self.workers.iter_mut();
        workers.map(|client| client.send(&request)).collect()
    }

    /// Waits until every worker refuses a token; how long that took.
    #[track_caller]
    fn wait_until_refused(&mut self, token: &Token) -> Duration {
        let since = Instant::now();
        loop {
            let replies = self.ask(token);
            if replies.iter().all(|reply| reply.status == 401) {
                for reply in &replies {
                    assert_refused(reply, 401, "token_revoked");
                }
                return since.elapsed();
            }
            assert!(since.elapsed() < PATIENCE, "{replies:?}");
        }
    }

    #[track_caller]
    fn assert_accepted(&mut self, token: &Token) {
        for reply in self.ask(token) {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }
}

fn sign_out(query: &str) -> Request {
    Request::post(format!("{SIGN_OUT}{query}"), "")
}

fn with_cookie(token: &Token) -> Request {
    sign_out("").header("cookie", format!("a=b; jwt={token}"))
}

fn values<'r>(reply: &'r Response, name: &str) -> Vec<&'r str> {
    let lines = reply.headers.iter().filter(|(line, _)| line == name);
    lines.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn a_post_signs_out_in_every_worker_and_what_was_answered_is_on_the_disk() {
    let mut scene = Scene::ordinary();
    let [phone, laptop] = ["phone", "laptop"].map(|id| session(id).claim("jti", id));
    scene.assert_accepted(&phone);
    scene.assert_accepted(&laptop);
    let address = scene.envoy.address_of("portcullis");
    let output = Command::new("curl")
        .args(["-s", "-i", "-X", "POST", "-d", "whatever is sent", "-H"])
        .arg(format!("Authorization: Bearer {phone}"))
        .arg(format!("http://{address}{SIGN_OUT}"))
        .output()
        .expect("curl");
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.starts_with("HTTP/1.1 204 "), "{shown}");
    assert!(shown.contains("cache-control: no-store"), "{shown}");
    assert!(!shown.contains("set-cookie"), "{shown}");
    scene.authority.kill();
    scene.authority.restart();
    let took = scene.wait_until_refused(&phone);
    println!("refused by every worker after {took:?}");
    scene.assert_accepted(&laptop);
    assert_eq!(scene.metric("requests.served.sign_out_session.demo"), 1);
    // Once more: the session is over.
    let reply = scene.workers[0].send(&sign_out("").bearer(&phone));
    assert_refused(&reply, 401, "token_revoked");
}

#[test]
fn the_worker_that_has_answered_refuses_the_token_at_once() {
    let mut scene = Scene::ordinary();
    for number in 0..20 {
        let token = session(&format!("session {number}"));
        let worker = &mut scene.workers[number % 2];
        assert_eq!(
            worker.send(&Request::get("/api").bearer(&token)).status,
            200
        );
        assert_eq!(worker.send(&sign_out("").bearer(&token)).status, 204);
        let reply = worker.send(&Request::get("/api").bearer(&token));
        assert_refused(&reply, 401, "token_revoked");
    }
}

#[test]
fn a_user_signs_out_of_the_others_and_everywhere() {
    let mut scene = Scene::ordinary();
    let [phone, laptop] = ["phone", "laptop"].map(|id| session(id).issued_in(-10));
    let other_user = session("other").claim("sub", "mallory").issued_in(-10);
    let reply = scene.workers[0].send(&sign_out("?scope=others").bearer(&phone));
    assert_eq!(reply.status, 204, "{reply:?}");
    scene.wait_until_refused(&laptop);
    scene.assert_accepted(&phone);
    scene.assert_accepted(&other_user);
    let reply = scene.workers[1].send(&sign_out("?scope=everywhere").bearer(&phone));
    assert_eq!(reply.status, 204, "{reply:?}");
    scene.wait_until_refused(&phone);
    scene.assert_accepted(&other_user);
}

#[test]
fn a_browser_forgets_its_cookie_and_a_form_of_another_site_does_nothing() {
    let mut scene = Scene::new(Authority::for_users(&[]), |configuration| {
        configuration["sign_out"]["origins"] = json!(["https://app.example"]);
        configuration["sign_out"]["end_session_redirect"] = json!("https://idp.example/logout");
    });
    let [first, second] = ["a", "b"].map(session);
    let form = |request: Request| {
        request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "text/html,application/xhtml+xml")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
    };
    for site in ["cross-site", "same-site"] {
        let forged = form(with_cookie(&first))
            .header("origin", "https://evil.example")
            .header("sec-fetch-site", site);
        assert_refused(&scene.workers[0].send(&forged), 403, "cross_site");
    }
    assert_refused(
        &scene.workers[0].send(&with_cookie(&first)),
        403,
        "cross_site",
    );
    scene.assert_accepted(&first);
    let script = with_cookie(&first).header("origin", "https://app.example");
    let reply = scene.workers[0].send(&script);
    assert_eq!((reply.status, &*reply.body), (204, ""));
    let clear = "\"cookies\", \"storage\"";
    assert_eq!(reply.header("clear-site-data"), Some(clear));
    let expired = "jwt=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(values(&reply, "set-cookie"), [expired]);
    scene.wait_until_refused(&first);
    let own = form(with_cookie(&second)).header("sec-fetch-site", "same-origin");
    let reply = scene.workers[1].send(&own);
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(reply.header("location"), Some("https://idp.example/logout"));
    assert_eq!(values(&reply, "set-cookie"), [expired]);
    scene.wait_until_refused(&second);
}

/// Tells the authority of a session as an edge would, which has seen it just now.
fn report(authority: &Authority, subject: &str, id: &str) {
    let report = json!({
        "issuer": ISSUER, "subject": subject, "sid": id, "device": format!("device of {id}"),
        "first_seen_ago": 5_000, "last_seen_ago": 1_000, "requests": 3,
    });
    let body = json!({"version": 1, "reports": [report]});
    let (status, answer) = authority.post("/v1/activity", &body.to_string());
    assert_eq!(status, 204, "{answer}");
}

#[test]
fn a_user_sees_his_own_sessions_and_ends_one_of_them() {
    let mut scene = Scene::ordinary();
    for (subject, id) in [
        ("alice", "phone"),
        ("alice", "laptop"),
        ("mallory", "other"),
    ] {
        report(&scene.authority, subject, id);
    }
    let [phone, laptop] = ["phone", "laptop"].map(session);
    let other = session("other").claim("sub", "mallory");
    let mut list = |token: &Token, query: &str| {
        let request = Request::get(format!("{DEVICES}{query}")).bearer(token);
        let reply = scene.workers[0].send(&request);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        reply.json()
    };
    let listed = list(&phone, "");
    let sessions = listed["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2, "{listed}");
    let of_laptop = sessions
        .iter()
        .find(|one| one["device"] == "device of laptop")
        .unwrap();
    assert_eq!(of_laptop["current"], false);
    assert!(
        sessions.iter().any(|one| one["current"] == true),
        "{listed}"
    );
    let first = list(&phone, "?limit=1");
    let next = first["next"].as_str().unwrap();
    let second = list(&phone, &format!("?limit=1&after={next}"));
    assert_ne!(first["sessions"][0]["id"], second["sessions"][0]["id"]);
    let of_other = list(&other, "")["sessions"][0]["id"].clone();
    let mut end = |id: &Value| {
        let target = format!("{DEVICES}/{}", id.as_str().unwrap());
        let request = Request::get(target).method("DELETE").bearer(&phone);
        scene.workers[1].send(&request)
    };
    assert_refused(&end(&of_other), 404, "session_not_found");
    assert_eq!(end(&of_laptop["id"]).status, 204);
    scene.wait_until_refused(&laptop);
    scene.assert_accepted(&phone);
    scene.assert_accepted(&other);
}

#[test]
fn while_the_authority_is_down_nobody_is_told_that_he_is_signed_out() {
    let mut scene = Scene::ordinary();
    let token = session("a");
    scene.assert_accepted(&token);
    scene.authority.kill();
    let reply = scene.workers[0].send(&sign_out("").bearer(&token));
    assert_refused(&reply, 503, "sign_out_failed");
    assert_eq!(reply.header("retry-after"), Some("5"));
    scene.assert_accepted(&token);
    assert_eq!(scene.metric("requests.refused.sign_out_failed.demo"), 1);
    scene.authority.restart();
    let deadline = Instant::now() + PATIENCE;
    // Envoy may keep the broken connection for a moment.
    while scene.workers[0].send(&sign_out("").bearer(&token)).status != 204 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(100));
    }
    scene.wait_until_refused(&token);
}

#[test]
fn an_edge_that_may_not_sign_out_says_that_it_has_failed() {
    let mut scene = Scene::new(Authority::start(), |_| ());
    let token = session("a");
    let reply = scene.workers[0].send(&sign_out("").bearer(&token));
    assert_refused(&reply, 503, "sign_out_failed");
    scene.assert_accepted(&token);
}

#[test]
fn a_client_that_goes_before_the_answer_is_signed_out_all_the_same() {
    let mut scene = Scene::ordinary();
    let token = session("a");
    scene.assert_accepted(&token);
    scene.workers[0].send_and_leave(&sign_out("").bearer(&token));
    scene.wait_until_refused(&token);
    let other = session("b");
    assert_eq!(
        scene.workers[0].send(&sign_out("").bearer(&other)).status,
        204
    );
}

#[test]
fn bodies_trailers_and_other_methods_change_nothing() {
    let mut scene = Scene::ordinary();
    let long = session("a");
    let body = Request::post(SIGN_OUT, "x".repeat(3_000_000)).bearer(&long);
    let reply = scene.workers[0].send(&body);
    assert_eq!(reply.status, 204, "{reply:?}");
    let chunked = session("b");
    let request = Request::get(SIGN_OUT).method("POST").bearer(&chunked);
    let request = request.chunked("4\r\nbody\r\n0\r\nx-session-subject: mallory\r\n\r\n");
    assert_eq!(scene.workers[0].send(&request).status, 204);
    for token in [long, chunked] {
        scene.wait_until_refused(&token);
    }
    let token = session("c");
    for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
        let request = Request::get(SIGN_OUT).method(method).bearer(&token);
        let reply = scene.workers[0].send(&request);
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(reply.header("allow"), Some("POST"), "{method}");
        if method != "HEAD" {
            assert_refused(&reply, 405, "method_not_allowed");
        }
    }
    let reply = scene.workers[0].send(&sign_out(""));
    assert_refused(&reply, 401, "token_missing");
    let reply = scene.workers[0].send(&Request::post("/api/session//sign-out", "").bearer(&token));
    assert_refused(&reply, 400, "path_ambiguous");
    let reply = scene.workers[0].send(&sign_out("?scope=all").bearer(&token));
    assert_refused(&reply, 400, "parameter_invalid");
    scene.assert_accepted(&token);
}

#[test]
fn a_grpc_client_gets_a_status() {
    let mut scene = Scene::ordinary();
    let token = session("a");
    let call = || {
        sign_out("")
            .bearer(&token)
            .header("content-type", "application/grpc")
    };
    scene.authority.kill();
    let reply = scene.workers[0].send(&call());
    assert_eq!(
        (reply.status, reply.header("grpc-status")),
        (200, Some("14"))
    );
    scene.authority.restart();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = scene.workers[0].send(&call());
        assert_eq!(reply.status, 200, "{reply:?}");
        match reply.header("grpc-status") {
            Some("0") => break,
            status => assert_eq!(status, Some("14"), "{reply:?}"),
        }
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(100));
    }
    let reply = scene.workers[0].send(&call());
    assert_eq!(reply.header("grpc-status"), Some("16"), "{reply:?}");
}
