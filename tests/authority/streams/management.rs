//! How streams are made, found again, changed, paused and deleted.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use super::super::process::{Authority, binary, directory, serve, until};
use super::super::transmitter::{SESSION_REVOKED, Transmitter};
use super::{configure, following, is_revoked, polling, stream};

const CLIENT: &str = "port";
/// As the transmitter expects it, with a character that has to be escaped.
const SECRET: &str = "s,h";

fn run(authority: &Authority, arguments: &[&str]) -> Output {
    authority.command(&[&["streams"], arguments].concat())
}

fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_restart_makes_no_second_stream_and_neither_does_a_lost_file() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let authority = polling(directory.path(), &transmitter);
    until(|| stream(&authority)["stream_id"] == "stream-1");
    authority.kill();
    let authority = polling(directory.path(), &transmitter);
    assert_eq!(stream(&authority)["stream_id"], "stream-1");
    until(|| stream(&authority)["status"] == "enabled");
    authority.kill();
    fs::remove_file(directory.path().join("data/signals.redb")).unwrap();
    let authority = polling(directory.path(), &transmitter);
    until(|| stream(&authority)["status"] == "enabled");
    assert_eq!(stream(&authority)["stream_id"], "stream-1");
    authority.kill();
    // The transmitter has lost it: there is a new one.
    transmitter.forget_streams();
    let authority = polling(directory.path(), &transmitter);
    until(|| stream(&authority)["stream_id"] == "stream-2");
    assert_eq!(transmitter.streams_made(), 2);
}

#[test]
fn a_stream_that_stands_in_the_way_is_adopted_if_it_is_ours_and_said_to_be_there_otherwise() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().allows_one_stream = true;
    let poll = json!({"method": "urn:ietf:rfc:8936"});
    transmitter.add_stream(&json!({"delivery": poll, "description": "another receiver"}));
    let authority = polling(directory.path(), &transmitter);
    until(|| stream(&authority)["fault"]["reason"] == "conflict");
    let detail = stream(&authority)["fault"]["detail"].clone();
    let detail = detail.as_str().unwrap();
    assert!(
        detail.contains("`stream-1`") && detail.contains("transmitter.stream_id"),
        "{detail}"
    );
    authority.kill();
    // The operator takes it over.
    let described = json!({"transmitter": {"stream_id": "stream-1"}});
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["stream_id"] == "stream-1");
    until(|| stream(&authority)["verified"].is_string());
    assert_eq!(transmitter.streams_made(), 1);
    assert!(
        transmitter.stream()["events_requested"]
            .as_array()
            .unwrap()
            .len()
            > 3
    );
}

#[test]
fn a_stream_is_changed_to_what_the_file_says() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().knows_no_patch = true;
    let events = |events: &[&str]| json!({"transmitter": {"events_requested": events}});
    let described = events(&["https://a.example/event"]);
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["status"] == "enabled");
    authority.kill();
    let described = events(&[SESSION_REVOKED]);
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["status"] == "enabled");
    assert_eq!(
        transmitter.stream()["events_requested"],
        json!([SESSION_REVOKED])
    );
    assert_eq!(transmitter.requests("PATCH /streams"), 1);
    assert_eq!(transmitter.requests("PUT /streams"), 1);
    assert_eq!(transmitter.streams_made(), 1);
}

#[test]
fn a_stream_is_made_and_found_again_at_an_older_transmitter_of_risc() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().is_older = true;
    let described = json!({"transmitter": {"well_known": "risc"}});
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["verified"].is_string());
    let delivery = transmitter.stream()["delivery"].clone();
    let method = "https://schemas.openid.net/secevent/risc/delivery-method/poll";
    assert_eq!(delivery["delivery_method"], method);
    assert_eq!(delivery.get("method"), None);
    transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
    until(|| is_revoked(&authority, &transmitter, "alice"));
    authority.kill();
    fs::remove_file(directory.path().join("data/signals.redb")).unwrap();
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["stream_id"] == "stream-1");
    until(|| stream(&authority)["status"] == "enabled");
    assert_eq!(transmitter.streams_made(), 1);
    assert_eq!(transmitter.requests("PATCH"), 0, "it is as it should be");
}

#[test]
fn an_operator_lists_verifies_pauses_resumes_deletes_and_creates() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let authority = polling(directory.path(), &transmitter);
    until(|| stream(&authority)["verified"].is_string());
    let listed = printed(&run(&authority, &["list"]));
    let expected = format!("idp  poll  enabled  stream-1  {}\n", transmitter.issuer());
    assert!(listed.starts_with(&expected), "{listed}");
    let verified = printed(&run(&authority, &["verify", "idp", "--wait", "60s"]));
    assert!(
        verified.starts_with("the verification event came after"),
        "{verified}"
    );
    let paused = printed(&run(
        &authority,
        &["pause", "idp", "--reason", "maintenance"],
    ));
    assert!(paused.contains("  paused  "), "{paused}");
    assert_eq!(transmitter.status(), "paused");
    // It cannot come while the stream is paused.
    let verified = run(&authority, &["verify", "idp", "--wait", "0s"]);
    assert_eq!(verified.status.code(), Some(1), "{verified:?}");
    printed(&run(&authority, &["resume", "idp"]));
    assert_eq!(transmitter.status(), "enabled");
    printed(&run(&authority, &["delete", "idp"]));
    assert_eq!(transmitter.streams(), 0);
    authority.kill();
    // It is not made again by itself.
    let authority = polling(directory.path(), &transmitter);
    assert_eq!(stream(&authority)["deleted"], true);
    let created = printed(&run(&authority, &["create", "idp", "--json"]));
    let created: Value = serde_json::from_str(&created).unwrap();
    assert_eq!(created["stream_id"], "stream-2");
    transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
    until(|| is_revoked(&authority, &transmitter, "alice"));
    let unknown = run(&authority, &["verify", "other"]);
    assert!(!unknown.status.success(), "{unknown:?}");
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(
        said.contains("the signals file has no stream of this name"),
        "{said}"
    );
    transmitter.forget_streams();
    let failed = authority.post("/v1/streams/verification", &json!({"name": "idp"}));
    assert_eq!(
        (failed.status, &failed.json()["code"]),
        (502, &json!("transmitter_failed"))
    );
}

#[test]
fn a_token_is_fetched_for_client_credentials_and_anew_when_it_is_refused() {
    for method in ["client_secret_basic", "client_secret_post"] {
        let directory = directory();
        let transmitter = Transmitter::start();
        transmitter.world().credential = Some("Bearer none yet".to_owned());
        fs::write(directory.path().join("secret"), format!("{SECRET}\n")).unwrap();
        let endpoint = format!("{}/token", transmitter.issuer());
        let described = json!({"transmitter": {"authorization": {"client_credentials": {
            "token_endpoint": endpoint, "client_id": CLIENT, "client_secret": {"file": "secret"},
            "method": method, "scope": "ssf.manage ssf.read",
        }}}});
        let authority = following(directory.path(), &transmitter, &described);
        until(|| stream(&authority)["verified"].is_string());
        assert_eq!(transmitter.world().tokens_made, 1);
        transmitter.world().forgets_tokens = true;
        transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
        until(|| transmitter.is_acknowledged("1"));
        until(|| transmitter.world().tokens_made == 2);
        let log = authority.log();
        assert!(!log.contains(SECRET) && !log.contains("token-1"), "{log}");
    }
}

#[test]
fn a_credential_that_is_refused_is_told_and_one_that_is_not_there_keeps_from_starting() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().credential = Some("Bearer right".to_owned());
    fs::write(directory.path().join("secret"), "wrong").unwrap();
    let described = json!({"transmitter": {"authorization": {"bearer": {"file": "secret"}}}});
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["fault"]["reason"] == "unauthorized");
    until(|| authority.log().contains("unauthorized"));
    // It is read again.
    fs::write(directory.path().join("secret"), "right").unwrap();
    until(|| stream(&authority)["verified"].is_string());
    assert!(!authority.log().contains("wrong"));
    drop(authority);
    fs::remove_file(directory.path().join("secret")).unwrap();
    let file = configure(directory.path(), &transmitter, &described);
    let output = std::process::Command::new(binary())
        .args(serve(directory.path()))
        .args(["--signals", &file])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("stream `idp`") && said.contains("secret"),
        "{said}"
    );
}

#[test]
fn a_stream_that_is_pushed_is_made_with_the_url_of_the_listener() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = port.local_addr().unwrap();
    drop(port);
    fs::write(directory.path().join("push"), "Bearer-of-the-push").unwrap();
    let described = json!({"delivery": {"push": {"authorization": {"file": "push"}}}});
    let file = configure(directory.path(), &transmitter, &described);
    let text = fs::read_to_string(&file).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    document["listen"] = json!(address.to_string());
    document["public_url"] = json!(format!("http://{address}"));
    fs::write(&file, document.to_string()).unwrap();
    let authority = Authority::start_with(directory.path(), &["--signals", &file]);
    until(|| stream(&authority)["verified"].is_string());
    let delivery = transmitter.stream()["delivery"].clone();
    assert_eq!(delivery["method"], "urn:ietf:rfc:8935");
    let url = delivery["endpoint_url"].as_str().unwrap();
    assert!(
        url.starts_with(&format!("http://{address}/")) && url.ends_with("/idp"),
        "{url}"
    );
    until(|| transmitter.is_acknowledged("verification-1"));
    let verified = printed(&run(&authority, &["verify", "idp"]));
    assert!(
        verified.starts_with("the verification event came"),
        "{verified}"
    );
    // Another secret: the transmitter is told, and what it pushes is taken before and after.
    fs::write(directory.path().join("push"), "Bearer-of-another-push").unwrap();
    let is_told = || {
        let delivery = transmitter.stream()["delivery"].clone();
        delivery["authorization_header"] == "Bearer-of-another-push"
    };
    let verified = printed(&run(&authority, &["verify", "idp"]));
    assert!(
        verified.starts_with("the verification event came"),
        "{verified}"
    );
    until(is_told);
    let verified = printed(&run(&authority, &["verify", "idp"]));
    assert!(
        verified.starts_with("the verification event came"),
        "{verified}"
    );
    // So it is where that was changed while there was no authority.
    let log = authority.log();
    assert!(!log.contains("authorization_invalid"), "{log}");
    drop(authority);
    fs::write(directory.path().join("push"), "Bearer-of-the-push").unwrap();
    let authority = Authority::start_with(directory.path(), &["--signals", &file]);
    until(|| !is_told());
    until(|| stream(&authority)["verified"].is_string());
}

#[test]
fn what_a_transmitter_does_not_do_for_a_stream_is_told_and_the_rest_works() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let unknown = "https://a.example/event";
    transmitter.world().undelivered = Some(unknown.to_owned());
    let email = |email: &str| json!({"format": "email", "email": email});
    let described = json!({"transmitter": {
        "events_requested": [SESSION_REVOKED, unknown],
        "subjects": [email("refused@example.com"), email("a@example.com")],
    }});
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["verified"].is_string());
    assert_eq!(transmitter.world().subjects, [email("a@example.com")]);
    let listed = printed(&run(&authority, &["list"]));
    for expected in [
        "  warning  `transmitter.subjects[0]` was not added: ",
        "  warning  `events_delivered` of the stream lacks `https://a.example/event`",
    ] {
        assert!(listed.contains(expected), "{listed}");
    }
    assert_eq!(stream(&authority)["failures"], 0);
    let log = authority.log();
    assert!(
        log.contains("`transmitter.subjects[0]` was not added"),
        "{log}"
    );
}

#[test]
fn a_stream_that_does_not_say_of_whom_it_is_is_not_believed() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().hides_issuer = true;
    let authority = polling(directory.path(), &transmitter);
    until(|| stream(&authority)["fault"]["reason"] == "answer_invalid");
    let detail = stream(&authority)["fault"]["detail"].clone();
    assert!(
        detail
            .as_str()
            .unwrap()
            .starts_with("`iss` of the stream is missing"),
        "{detail}"
    );
}

#[test]
fn metadata_of_another_issuer_is_not_believed() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let other = Transmitter::start();
    let url = format!("{}/.well-known/ssf-configuration", other.issuer());
    let described = json!({"transmitter": {"metadata": url}});
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["fault"]["reason"] == "metadata_invalid");
    assert_eq!(other.streams(), 0);
    assert_eq!(transmitter.world().requests.len(), 0);
}
