//! OAuth clients: who may ask, what a revoked token takes with it, and what is told of tokens.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::jwks_server::JwksServer;
use super::keys::jwks;
use super::process::{Answer, Authority, binary, directory, serve, until};
use super::token::{ISSUER, Token};

mod library;

const REVOKE: &str = "/oauth/revoke";
const INTROSPECT: &str = "/oauth/introspect";

/// What the listener is called.
const URL: &str = "https://signals.example";

const SECRET: &str = "a-secret:of/32+characters-and-100%";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An access token of `alice` that `web` has got.
fn token(id: &str) -> Token {
    Token::signed_by("es256")
        .claim("jti", id)
        .claim("sid", "s")
        .claim("client_id", "web")
}

/// Text of a form.
fn encoded(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}

fn form(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter();
    let pairs = pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// Sends a form with these headers.
fn post(authority: &Authority, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let url = format!("{}{path}", authority.signals_url.as_deref().unwrap());
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    let mut request = ureq::Agent::from(config.build()).post(&url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.content_type("application/x-www-form-urlencoded");
    Answer::of(request.send(body.as_bytes()))
}

/// As a client with this name and [`SECRET`].
fn ask(authority: &Authority, path: &str, client: &str, token: &str) -> Answer {
    let pair = format!("{}:{}", encoded(client), encoded(SECRET));
    let basic = format!("Basic {}", STANDARD.encode(pair));
    let headers = [("authorization", &*basic)];
    post(authority, path, &headers, &form(&[("token", token)]))
}

fn revoke(authority: &Authority, token: &Token) -> Answer {
    ask(authority, REVOKE, "web", &token.to_string())
}

/// What a resource server is told.
fn told(authority: &Authority, token: &Token) -> Value {
    let answer = ask(authority, INTROSPECT, "api", &token.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    answer.json()
}

fn is_active(authority: &Authority, token: &Token) -> bool {
    let told = told(authority, token);
    if told["active"] == true {
        return true;
    }
    assert_eq!(told, json!({"active": false}));
    false
}

/// `error`, with the status.
fn error(answer: &Answer) -> (u16, String) {
    assert_eq!(answer.headers["cache-control"], "no-store");
    let error = answer.json()["error"].as_str().unwrap().to_owned();
    (answer.status, error)
}

/// The clients `web`, which may revoke, `api`, which may introspect, and `app`, which may do nothing of
/// either.
fn clients() -> Value {
    json!([
        {"client_id": "web", "secret": {"file": "secret"}, "revoke": {"issuers": [ISSUER]}},
        {"client_id": "api", "secret": {"file": "secret"}, "keys": {"jwks_file": "client.json"},
         "introspect": {"audiences": ["api"]}},
        {"client_id": "app", "secret": {"env": "OF_A_TEST"}, "keys": {"jwks_file": "client.json"},
         "revoke": {"issuers": [ISSUER], "ends": "session"}, "introspect": {"any_audience": true}},
    ])
}

/// The command line of an authority that answers these clients, with the keys of [`ISSUER`] there.
fn command(directory: &Path, keys: &Value, oauth: &Value) -> Command {
    let write = |name: &str, text: String| fs::write(directory.join(name), text).unwrap();
    write("jwks.json", jwks(&["es256"]));
    write("client.json", jwks(&["eddsa"]));
    write("secret", format!("{SECRET}\n"));
    let issuer = json!({"issuer": ISSUER, "keys": keys, "audiences": ["api", "web"]});
    write("authority.json", json!({"issuers": [issuer]}).to_string());
    let signals = json!({"listen": "127.0.0.1:0", "public_url": URL, "oauth": oauth});
    write("signals.json", signals.to_string());
    let mut command = Command::new(binary());
    command.args(serve(directory)).env("OF_A_TEST", SECRET);
    for (option, file) in [
        ("--config", "authority.json"),
        ("--signals", "signals.json"),
    ] {
        command.arg(option).arg(directory.join(file));
    }
    command
}

fn answering(directory: &Path, clients: &Value) -> Authority {
    let keys = json!({"jwks_file": "jwks.json"});
    Authority::spawn(&mut command(
        directory,
        &keys,
        &json!({ "clients": clients }),
    ))
}

/// The names of a token, asked about as edges do.
fn is_revoked(authority: &Authority, id: &str) -> bool {
    let check = json!({"issuer": ISSUER, "jti": id, "sid": "s", "subject": "alice"});
    authority.post("/v1/check", &check).json()["revoked"] == true
}

fn history(authority: &Authority) -> Vec<Value> {
    let listed = authority.get("/v1/revocations").json();
    listed["entries"].as_array().unwrap().clone()
}

fn signals(authority: &Authority) -> Vec<Value> {
    let answer = authority.get("/v1/signals");
    answer.json()["signals"].as_array().unwrap().clone()
}

#[test]
fn a_token_that_its_client_revokes_is_refused_and_no_other() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let answer = revoke(&authority, &token("1"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.bytes, b"");
    assert!(is_revoked(&authority, "1"));
    assert!(!is_revoked(&authority, "2"));
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(entry["kind"], "token");
    assert_eq!(entry["subject"], "alice");
    assert_eq!(entry["history"][0]["actor"], "oauth_revoke:web");
    assert_eq!(entry["history"][0]["reason"], "revoked by its client");
    until(|| !signals(&authority).is_empty());
    let [signal] = signals(&authority).try_into().unwrap();
    assert_eq!(signal["receiver"], "oauth_revoke");
    assert_eq!(signal["outcome"], "accepted");
    assert_eq!(signal["client"], "web");
    let revoked = json!({"kind": "token", "issuer": ISSUER, "value": "1"});
    assert_eq!(signal["revoked"], json!([revoked]));
    // It may be revoked again, and what was answered is on the disk.
    assert_eq!(revoke(&authority, &token("1")).status, 200);
    authority.kill();
    let authority = Authority::start(directory.path());
    assert!(is_revoked(&authority, "1"));
    assert!(!is_revoked(&authority, "2"));
}

#[test]
fn a_session_ends_with_a_token_where_the_file_says_so_also_with_one_that_has_expired() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let expired = token("1").claim("client_id", "app").expiring_in(-7_200);
    let answer = ask(&authority, REVOKE, "app", &expired.to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(authority.is_session_revoked("s"));
    // It does not where the token alone ends.
    let other = token("2").claim("sid", "other").expiring_in(-7_200);
    assert_eq!(revoke(&authority, &other).status, 200);
    assert_eq!(history(&authority).len(), 1);
    assert!(!authority.is_session_revoked("other"));
}

#[test]
fn a_token_in_whose_place_there_is_another_ends_no_requests_in_progress() {
    let directory = directory();
    let rule = json!({"issuers": [ISSUER], "ends": "rotated_token"});
    let client = json!({"client_id": "web", "secret": {"file": "secret"}, "revoke": rule});
    let authority = answering(directory.path(), &json!([client]));
    assert_eq!(revoke(&authority, &token("1")).status, 200);
    assert!(is_revoked(&authority, "1"));
    let check = json!({"issuer": ISSUER, "jti": "1", "sid": "s", "in_progress": true});
    let answer = authority.post("/v1/check", &check).json();
    assert_eq!(answer["revoked"], false);
}

#[test]
fn what_is_no_token_of_a_known_issuer_is_nothing_to_do() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let strange = token("1").claim("iss", "https://other").to_string();
    let forged = Token::signed_by("es256-other").header("kid", "test-es256");
    let forged = forged
        .claim("jti", "1")
        .claim("client_id", "web")
        .to_string();
    let malformed = format!("{}x", token("1"));
    for text in [
        "an opaque refresh token",
        "a.b.c",
        &strange,
        &forged,
        &malformed,
    ] {
        let answer = ask(&authority, REVOKE, "web", text);
        assert_eq!(answer.status, 200, "{text}: {answer:?}");
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
    until(|| signals(&authority).len() == 5);
    for signal in signals(&authority) {
        assert_eq!(signal["outcome"], "ignored", "{signal}");
    }
    let refused = authority.get("/v1/signals?refused=true").json();
    assert_eq!(refused["signals"], json!([]));
}

#[test]
fn a_token_that_is_not_the_clients_own_or_has_no_name_is_refused() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    for (token, expected) in [
        (token("1").claim("client_id", "app"), "invalid_grant"),
        (token("1").without_claim("client_id"), "invalid_grant"),
        (token("1").without_claim("jti"), "unsupported_token_type"),
        (
            token("1").without_claim("client_id").claim("azp", "app"),
            "invalid_grant",
        ),
    ] {
        let answer = revoke(&authority, &token);
        assert_eq!(error(&answer), (400, expected.to_owned()));
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
    let by_party = token("1").without_claim("client_id").claim("azp", "web");
    assert_eq!(revoke(&authority, &by_party).status, 200);
    let log = authority.log();
    assert!(log.contains("it was issued to `app`"), "{log}");
}

#[test]
fn a_client_has_to_show_who_it_is_in_one_way() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let token = token("1").to_string();
    let posted = |more: &[(&str, &str)]| {
        let parameters = [&[("token", &*token)], more].concat();
        post(&authority, REVOKE, &[], &form(&parameters))
    };
    let secret = ("client_secret", SECRET);
    assert_eq!(posted(&[("client_id", "web"), secret]).status, 200);
    let wrong = "b-secret:of/32+characters-and-100%";
    for (answer, expected) in [
        (posted(&[]), (401, "invalid_client")),
        (posted(&[("client_id", "web")]), (401, "invalid_client")),
        (
            posted(&[("client_id", "web"), ("client_secret", wrong)]),
            (401, "invalid_client"),
        ),
        (
            posted(&[("client_id", "none"), secret]),
            (401, "invalid_client"),
        ),
        (
            posted(&[("client_id", "api"), secret]),
            (400, "unauthorized_client"),
        ),
        (
            ask(&authority, INTROSPECT, "web", &token),
            (400, "unauthorized_client"),
        ),
        (
            posted(&[("client_id", "web"), secret, ("client_assertion", "a")]),
            (400, "invalid_request"),
        ),
        (
            posted(&[("client_id", "web"), secret, secret]),
            (400, "invalid_request"),
        ),
        (
            post(
                &authority,
                REVOKE,
                &[],
                &form(&[("client_id", "web"), secret]),
            ),
            (400, "invalid_request"),
        ),
    ] {
        assert_eq!(
            error(&answer),
            (expected.0, expected.1.to_owned()),
            "{answer:?}"
        );
        let challenge = answer.headers.get("www-authenticate");
        assert_eq!(challenge.is_some(), answer.status == 401);
    }
    let log = authority.log();
    for secret in [SECRET, wrong, &token] {
        assert!(!log.contains(secret), "{log}");
    }
    // The log has one line for each code at a time; the records have all.
    let detail = "`none` is none of the `oauth.clients` in the signals file";
    until(|| {
        signals(&authority)
            .iter()
            .any(|signal| signal["detail"] == detail)
    });
}

/// An assertion of the client `api`.
fn assertion(id: &str) -> Token {
    Token::signed_by("eddsa")
        .claim("iss", "api")
        .claim("sub", "api")
        .claim("aud", URL)
        .claim("jti", id)
        .expiring_in(60)
}

/// Introspects with an assertion.
fn with_assertion(authority: &Authority, assertion: &Token) -> Answer {
    let (token, assertion) = (token("1").to_string(), assertion.to_string());
    let parameters = [
        ("token", &*token),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &assertion),
    ];
    post(authority, INTROSPECT, &[], &form(&parameters))
}

#[test]
fn an_assertion_counts_once_also_after_a_restart() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let first = assertion("1");
    let answer = with_assertion(&authority, &first);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["active"], true);
    let refused = (401, "invalid_client".to_owned());
    assert_eq!(error(&with_assertion(&authority, &first)), refused);
    let endpoint = assertion("2").claim("aud", format!("{URL}{INTROSPECT}"));
    assert_eq!(with_assertion(&authority, &endpoint).status, 200);
    authority.kill();
    let authority = answering(directory.path(), &clients());
    assert_eq!(error(&with_assertion(&authority, &first)), refused);
    assert_eq!(error(&with_assertion(&authority, &endpoint)), refused);
    assert_eq!(with_assertion(&authority, &assertion("3")).status, 200);
    for wrong in [
        assertion("4").claim("aud", format!("{URL}{REVOKE}")),
        assertion("4").claim("aud", json!([URL, "https://other"])),
        assertion("4").claim("sub", "web"),
        assertion("4").expiring_in(3_600),
        assertion("4").expiring_in(-120),
        assertion("4").without_claim("jti"),
        assertion("4").claim("iss", "web").claim("sub", "web"),
    ] {
        assert_eq!(error(&with_assertion(&authority, &wrong)), refused);
    }
    let forged = Token::signed_by("eddsa-other").header("kid", "test-eddsa");
    let forged = forged
        .claim("iss", "api")
        .claim("sub", "api")
        .claim("aud", URL);
    assert_eq!(
        error(&with_assertion(&authority, &forged.claim("jti", "5"))),
        refused
    );
    // An issuer's token is no assertion, whatever it says.
    let other = assertion("6").claim("iss", ISSUER).claim("sub", ISSUER);
    assert_eq!(error(&with_assertion(&authority, &other)), refused);
    assert_eq!(with_assertion(&authority, &assertion("4")).status, 200);
}

#[test]
fn guesses_are_rationed_and_keep_out_no_client_that_has_its_secret() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let guess = |number: usize| {
        let secret = format!("guess {number} of 24 characters");
        let parameters = [
            ("token", "t"),
            ("client_id", "web"),
            ("client_secret", &secret),
        ];
        post(&authority, REVOKE, &[], &form(&parameters)).status
    };
    let statuses: Vec<_> = (0..200).map(guess).collect();
    assert_eq!(statuses.first(), Some(&401));
    assert_eq!(statuses.last(), Some(&429));
    // Of a network from which no client had shown who it is, and beside more guesses.
    for number in 0..20 {
        let answer = revoke(&authority, &token(&number.to_string()));
        assert_eq!(answer.status, 200, "{answer:?}");
        guess(number);
    }
}

/// What a stranger could not send: a hundred.
#[test]
fn from_where_a_client_has_shown_who_it_is_is_known_after_a_restart() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    assert_eq!(with_assertion(&authority, &assertion("1")).status, 200);
    authority.kill();
    let authority = answering(directory.path(), &clients());
    let wrong = [
        ("token", "t"),
        ("client_id", "web"),
        ("client_secret", "another one"),
    ];
    for number in 0..150 {
        let status = post(&authority, REVOKE, &[], &form(&wrong)).status;
        assert_eq!(status, 401, "{number}");
    }
}

#[test]
fn an_active_token_is_told_with_what_it_says_and_another_is_not() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let good = token("1")
        .claim("scope", "read write")
        .claim("email", "a@b");
    let told = told(&authority, &good);
    let claims: Value = serde_json::from_str(&good.claims_text()).unwrap();
    let mut expected = claims;
    expected.as_object_mut().unwrap().remove("email");
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    assert_eq!(told, expected);
    for bad in [
        token("1").expiring_in(-120),
        token("1").valid_in(120),
        token("1").issued_in(120),
        token("1").claim("aud", "web"),
        token("1").claim("aud", "other"),
        token("1").claim("iss", "https://other"),
        token("1").header("typ", "logout+jwt"),
        token("1").claim("jti", "x".repeat(2_000)),
        token("1").without_claim("exp"),
        token("1").header("alg", "none"),
        Token::signed_by("es256-other").header("kid", "test-es256"),
    ] {
        assert!(!is_active(&authority, &bad), "{}", bad.claims_text());
    }
    for text in ["an opaque token", "a.b.c"] {
        let answer = ask(&authority, INTROSPECT, "api", text);
        assert_eq!(answer.json(), json!({"active": false}));
    }
    // One that may ask about every token is told of one for another audience.
    let other = token("1").claim("aud", "web").to_string();
    assert_eq!(
        ask(&authority, INTROSPECT, "app", &other).json()["active"],
        true
    );
    let metrics = authority.get("/metrics").text();
    for outcome in ["active", "inactive"] {
        let line = format!(
            "portcullis_signals_total{{receiver=\"oauth_introspect\",outcome=\"{outcome}\"}}"
        );
        let found = metrics
            .lines()
            .find(|found| found.starts_with(&line))
            .unwrap();
        assert!(!found.ends_with(" 0"), "{found}");
    }
    assert_eq!(signals(&authority), [] as [Value; 0], "it is only counted");
}

#[test]
fn no_revoked_token_is_active_whatever_revokes_it() {
    let directory = directory();
    let oauth = json!({
        "clients": clients(),
        "claims": [{"name": "organisation", "claim_path": ["org", "id"]}],
    });
    let keys = json!({"jwks_file": "jwks.json"});
    let authority = Authority::spawn(&mut command(directory.path(), &keys, &oauth));
    for (number, revocation) in [
        json!({"kind": "token", "value": "{}"}),
        json!({"kind": "session", "value": "{}"}),
        json!({"kind": "subject", "value": "{}"}),
        json!({"kind": "client", "value": "{}"}),
        json!({"kind": "subject_and_client", "value": "{}", "client": "{}"}),
        json!({"kind": "claim", "claim": "email", "value": "{}"}),
        json!({"kind": "claim", "claim": "organisation", "value": "{}"}),
        json!({"kind": "issuer"}),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("name-{number}");
        let token = ["sid", "sub", "client_id", "email"].into_iter().fold(
            token(&name).claim("org", json!({"id": name})),
            |token, claim| token.claim(claim, name.as_str()),
        );
        assert!(is_active(&authority, &token), "{revocation}");
        let text = revocation.to_string().replace("{}", &name);
        let mut revocation: Value = serde_json::from_str(&text).unwrap();
        revocation["issuer"] = json!(ISSUER);
        let answer = authority.post("/v1/revocations", &revocation);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(!is_active(&authority, &token), "{revocation}");
    }
}

#[test]
fn what_is_not_known_is_no_answer() {
    let directory = directory();
    let server = JwksServer::start();
    server.delay(Duration::from_secs(30));
    let keys = json!({"jwks_uri": format!("http://{}/jwks", server.address())});
    let oauth = json!({ "clients": clients() });
    let authority = Authority::spawn(&mut command(directory.path(), &keys, &oauth));
    for (path, client) in [(REVOKE, "web"), (INTROSPECT, "api")] {
        let answer = ask(&authority, path, client, &token("1").to_string());
        assert_eq!(error(&answer), (503, "temporarily_unavailable".to_owned()));
        assert!(answer.headers.contains_key("retry-after"));
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
}

#[test]
fn the_paths_are_there_for_clients_only_and_say_what_they_do() {
    let directory = directory();
    let authority = answering(directory.path(), &clients());
    let get = |path: &str| {
        let url = format!("{}{path}", authority.signals_url.as_deref().unwrap());
        let config = ureq::Agent::config_builder().http_status_as_error(false);
        Answer::of(ureq::Agent::from(config.build()).get(&url).call())
    };
    let metadata = get("/.well-known/oauth-authorization-server").json();
    assert_eq!(metadata["issuer"], URL);
    assert_eq!(metadata["revocation_endpoint"], format!("{URL}{REVOKE}"));
    assert_eq!(
        metadata["introspection_endpoint"],
        format!("{URL}{INTROSPECT}")
    );
    assert_eq!(metadata["jwks_uri"], format!("{URL}/oauth/jwks"));
    let keys = get("/oauth/jwks").json();
    assert_eq!(keys["keys"][0]["alg"], "ES256");
    assert_eq!(keys["keys"][0].get("d"), None);
    assert_eq!(get(REVOKE).status, 405);
    authority.kill();
    let authority = answering(directory.path(), &clients());
    let url = format!("{}/oauth/jwks", authority.signals_url.as_deref().unwrap());
    assert_eq!(
        Answer::of(ureq::get(&url).call()).json(),
        keys,
        "it stays the same"
    );
}

#[test]
fn a_client_for_an_issuer_that_is_not_known_keeps_the_authority_from_starting() {
    let directory = directory();
    let mut strange = clients();
    strange[0]["revoke"]["issuers"] = json!(["https://other"]);
    let mut unset = clients();
    unset[0]["secret"] = json!({"env": "NOT_SET_BY_A_TEST"});
    for (clients, expected) in [
        (
            strange,
            "has `https://other`, which is none of the `issuers` in the authority's file",
        ),
        (
            unset,
            "`oauth.clients[0].secret` of the signals file: the environment variable \
             `NOT_SET_BY_A_TEST` is not set",
        ),
    ] {
        let oauth = json!({ "clients": clients });
        let keys = json!({"jwks_file": "jwks.json"});
        let output = command(directory.path(), &keys, &oauth).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains(expected), "{text}");
    }
}
