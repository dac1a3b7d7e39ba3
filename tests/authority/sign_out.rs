//! Users sign out: what counts as evidence, what is revoked, and what is answered.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis::revocation::proof;
use portcullis::revocation::wire::proof_in;
use serde_json::{Value, json};

use super::certificate::make_certificate;
use super::jwks_server::JwksServer;
use super::keys::jwks;
use super::process::{Answer, Authority, binary, credential, directory, serve, until};
use super::token::{ISSUER, Token, encode_part};

const PATH: &str = "/v1/sign-out";

/// A user's token.
fn token() -> Token {
    Token::signed_by("es256")
        .claim("sid", "session")
        .claim("jti", "token")
}

fn body(token: &str, scope: &str) -> Value {
    json!({"token": token, "scope": scope, "nonce": 7})
}

fn sign_out(authority: &Authority, token: &Token, scope: &str) -> Answer {
    authority.post(PATH, &body(&token.to_string(), scope))
}

/// The status, and the code of the problem.
pub(crate) fn problem(answer: &Answer) -> (u16, String) {
    let code = answer.json()["code"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    (answer.status, code)
}

/// Writes the authority's file, with the keys of [`ISSUER`] where `keys` says.
fn configure(directory: &Path, keys: &Value) -> String {
    let file = directory.join("authority.json");
    let issuers = json!([{"issuer": ISSUER, "keys": keys, "audiences": ["api"]}]);
    fs::write(&file, json!({ "issuers": issuers }).to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// An authority that trusts [`ISSUER`] for the keys in a file, which are these.
pub(crate) fn with_file(directory: &Path, keys: &[&str]) -> Authority {
    fs::write(directory.join("jwks.json"), jwks(keys)).unwrap();
    let file = configure(directory, &json!({"jwks_file": "jwks.json"}));
    Authority::start_with(directory, &["--config", &file])
}

/// Some identity providers keep a `sid` when the user signs in again.
#[test]
fn where_a_sid_comes_again_signing_out_ends_the_session_until_the_next_sign_in() {
    let directory = directory();
    fs::write(directory.path().join("jwks.json"), jwks(&["es256"])).unwrap();
    let file = directory.path().join("authority.json");
    let issuer = json!({
        "issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}, "audiences": ["api"],
        "sessions_end": "until_sign_in",
    });
    fs::write(&file, json!({"issuers": [issuer]}).to_string()).unwrap();
    let file = file.to_str().unwrap();
    let authority = Authority::start_with(directory.path(), &["--config", file]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = i64::try_from(now.as_secs()).unwrap();
    let of = |auth_time: i64, issued_at: i64| json!({"sid": "session", "auth_time": auth_time, "issued_at": issued_at});
    let old = token().claim("auth_time", now - 600);
    assert_eq!(sign_out(&authority, &old, "session").status, 200);
    assert!(
        is_revoked(&authority, &of(now - 600, now + 300)),
        "refreshed"
    );
    let anew = of(now + 3, now + 3);
    assert!(!is_revoked(&authority, &anew));
    // What is sent once more, by anyone who has the old token, ends no sign-in since then.
    thread::sleep(Duration::from_secs(4));
    assert_eq!(sign_out(&authority, &old, "session").status, 200);
    assert!(!is_revoked(&authority, &anew));
    // Where it is not known when the user signed in, it ends for good.
    let other = Token::signed_by("es256").claim("sid", "other");
    assert_eq!(sign_out(&authority, &other, "session").status, 200);
    let names = json!({"sid": "other", "auth_time": now + 60, "issued_at": now + 60});
    assert!(is_revoked(&authority, &names));
}

/// Whether a token with these names would be refused.
fn is_revoked(authority: &Authority, names: &Value) -> bool {
    let mut check = json!({"issuer": ISSUER});
    for (name, value) in names.as_object().unwrap() {
        check[name] = value.clone();
    }
    authority.post("/v1/check", &check).json()["revoked"] == true
}

fn history(authority: &Authority) -> Vec<Value> {
    let listed = authority.get("/v1/revocations").json();
    listed["entries"].as_array().unwrap().clone()
}

#[test]
fn a_session_is_ended_for_good_and_the_answer_proves_it() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let request = body(&token().to_string(), "session");
    for _ in 0..2 {
        let answer = authority.post(PATH, &request);
        assert_eq!(answer.status, 200, "{answer:?}");
        let proof = proof_in(&answer.bytes).unwrap();
        let sent = request.to_string();
        assert!(proof::is_done(
            &proof,
            sent.as_bytes(),
            &authority.public_keys()
        ));
        assert!(!proof::is_done(&proof, b"{}", &authority.public_keys()));
    }
    assert!(is_revoked(&authority, &json!({"sid": "session"})));
    assert!(!is_revoked(
        &authority,
        &json!({"jti": "token", "subject": "alice"})
    ));
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(
        (&entry["kind"], &entry["subject"]),
        (&json!("session"), &json!("alice"))
    );
    let event = &entry["history"][0];
    assert_eq!(event["actor"], "anybody:the user");
    assert_eq!(event["reason"], "signed out by the user (session)");
    // What was answered is on the disk.
    authority.kill();
    let authority = Authority::start(directory.path());
    assert!(is_revoked(&authority, &json!({"sid": "session"})));
}

#[test]
fn without_a_session_the_token_alone_is_ended() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let token = Token::signed_by("es256").claim("jti", "token");
    assert_eq!(sign_out(&authority, &token, "session").status, 200);
    assert!(is_revoked(&authority, &json!({"jti": "token"})));
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(entry["kind"], "token");
}

#[test]
fn others_and_everywhere_end_what_was_issued_until_now() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let of = |sid: &str| json!({"subject": "alice", "sid": sid, "issued_at": 1});
    assert_eq!(sign_out(&authority, &token(), "others").status, 200);
    assert!(is_revoked(&authority, &of("other")));
    assert!(!is_revoked(&authority, &of("session")));
    assert_eq!(sign_out(&authority, &token(), "everywhere").status, 200);
    assert!(is_revoked(&authority, &of("session")));
    let [entry] = history(&authority).try_into().unwrap();
    let events = entry["history"].as_array().unwrap().iter();
    let reasons: Vec<_> = events.map(|event| event["reason"].clone()).collect();
    let expected = ["others", "everywhere"];
    assert_eq!(
        reasons,
        expected.map(|scope| format!("signed out by the user ({scope})"))
    );
    // Again: it does not reach further than before, and so no later sign-in is ended.
    let not_before = entry["not_before"].clone();
    thread::sleep(Duration::from_millis(1_100));
    for scope in ["others", "everywhere"] {
        assert_eq!(sign_out(&authority, &token(), scope).status, 200);
    }
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(entry["not_before"], not_before);
}

#[test]
fn no_token_that_is_not_genuine_and_current_ends_anything() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256", "rs256"]);
    let good = token().to_string();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (_, claims) = input.split_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{input}.{other}{}", &signature[1..]);
    let header = encode_part(r#"{"alg":"none"}"#);
    let mut refused = vec![
        String::new(),
        "a.b.c".to_owned(),
        format!("{good}x"),
        forged,
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{signature}"),
    ];
    refused.extend(
        [
            token().expiring_in(-120),
            token().valid_in(120),
            token().issued_in(120),
            token().claim("aud", "another"),
            token().claim("iss", "https://another.example"),
            token().claim("exp", "soon"),
            Token::signed_by("es256-other").claim("sid", "session"),
            Token::signed_by("hs256").claim("sid", "session"),
        ]
        .iter()
        .map(Token::to_string),
    );
    for token in &refused {
        for scope in ["session", "others", "everywhere"] {
            let answer = authority.post(PATH, &body(token, scope));
            let expected = (422, "token_refused".to_owned());
            assert_eq!(problem(&answer), expected, "{token}");
        }
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
    let metrics = authority.get("/metrics").text();
    let counted = format!(
        "portcullis_sign_outs_total{{scope=\"others\",outcome=\"token_refused\"}} {}",
        refused.len()
    );
    assert!(metrics.contains(&counted), "{metrics}");
    // The log says why, and has nothing of the tokens.
    until(|| authority.log().contains("signature_invalid"));
    let log = authority.log();
    assert!(
        log.contains("strange_issuer") && log.contains("token_expired"),
        "{log}"
    );
    let parts = refused.iter().flat_map(|token| token.split('.'));
    for part in parts.filter(|part| part.len() > 3) {
        assert!(!log.contains(part), "{part}: {log}");
    }
    assert!(!log.contains("another.example"), "{log}");
}

#[test]
fn a_token_that_names_nothing_is_told_apart() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let bare = Token::signed_by("es256");
    for (token, scope) in [
        (bare.clone(), "session"),
        (
            bare.clone().claim("sid", 7).claim("jti", "token"),
            "session",
        ),
        (bare.clone().claim("jti", "token"), "others"),
        (
            bare.clone().claim("sid", "session").claim("sub", ""),
            "others",
        ),
        (bare.claim("sub", ""), "everywhere"),
    ] {
        let answer = sign_out(&authority, &token, scope);
        assert_eq!(
            problem(&answer),
            (422, "token_unnamed".to_owned()),
            "{scope}"
        );
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
}

#[test]
fn a_revoked_token_ends_nothing_else() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    assert_eq!(authority.revoke("token", "token").status, 200);
    for scope in ["session", "others", "everywhere"] {
        let answer = sign_out(&authority, &token(), scope);
        assert_eq!(problem(&answer), (422, "token_refused".to_owned()));
    }
    assert_eq!(history(&authority).len(), 1);
}

#[test]
fn nothing_is_proved_for_what_another_session_has_done() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let refused = (422, "token_refused".to_owned());
    let of = |sid: &str| {
        Token::signed_by("es256")
            .claim("sid", sid)
            .claim("jti", sid)
    };
    let names = |sid: &str| json!({"subject": "alice", "sid": sid, "issued_at": 1});
    // One session has ended all others, and lives: another one has ended nothing by asking as well.
    assert_eq!(sign_out(&authority, &of("one"), "others").status, 200);
    for scope in ["others", "everywhere"] {
        let answer = sign_out(&authority, &of("other"), scope);
        assert_eq!(problem(&answer), refused, "{scope}");
    }
    assert!(!is_revoked(&authority, &names("one")));
    assert_eq!(
        history(&authority)[0]["history"].as_array().unwrap().len(),
        1
    );
    // The one itself may ask again, and what it has ended stays ended.
    for scope in ["others", "everywhere", "everywhere"] {
        assert_eq!(sign_out(&authority, &of("one"), scope).status, 200);
        assert!(is_revoked(&authority, &names("other")));
    }
    assert!(is_revoked(&authority, &names("one")));
}

#[test]
fn nothing_is_proved_for_a_cut_off_of_earlier() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let earlier = json!({
        "kind": "subject", "issuer": ISSUER, "value": "alice", "not_before": now - 50,
    });
    assert_eq!(authority.post("/v1/revocations", &earlier).status, 200);
    let old = token().claim("iat", now - 100);
    let answer = sign_out(&authority, &old, "everywhere");
    assert_eq!(problem(&answer), (422, "token_refused".to_owned()));
    let since = json!({"subject": "alice", "sid": "since", "issued_at": now - 10});
    assert!(
        !is_revoked(&authority, &since),
        "it would have been told that this has ended"
    );
    assert_eq!(sign_out(&authority, &token(), "everywhere").status, 200);
    assert!(is_revoked(&authority, &since));
    // It has ended by now, for whichever token asks.
    assert_eq!(sign_out(&authority, &old, "everywhere").status, 200);
}

#[test]
fn only_a_credential_that_may_sign_users_out_does() {
    let directory = directory();
    fs::write(directory.path().join("jwks.json"), jwks(&["es256"])).unwrap();
    let file = configure(directory.path(), &json!({"jwks_file": "jwks.json"}));
    let credentials = directory.path().join("credentials");
    let allowed = |allow: &str| {
        let made = Command::new(binary())
            .args(["credential", "--role", "edge", "--allow", allow])
            .args(["--name", "phones", "--file"])
            .arg(&credentials)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        String::from_utf8(made.stdout).unwrap().trim().to_owned()
    };
    let mut secrets = vec![
        (credential(directory.path(), "scrape", "scrape"), 403),
        (credential(directory.path(), "edge", "edge"), 403),
        (allowed("activity,sessions"), 403),
        (allowed("sign-out"), 200),
        (credential(directory.path(), "admin", "admin"), 200),
    ];
    secrets.insert(0, ("portcullis_wrong".to_owned(), 401));
    let credentials = credentials.to_str().unwrap();
    let mut authority = Authority::start_with(
        directory.path(),
        &["--credentials", credentials, "--config", &file],
    );
    for (secret, expected) in &secrets {
        authority = authority.with_credential(secret);
        let answer = sign_out(&authority, &token(), "session");
        assert_eq!(answer.status, *expected, "{answer:?}");
        if *expected == 403 {
            let code = problem(&answer).1;
            assert!(["role_missing", "permission_missing"].contains(&code.as_str()));
        }
    }
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(entry["history"][0]["actor"], "phones:the user");
}

#[test]
fn without_issuers_no_token_is_evidence() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let answer = sign_out(&authority, &token(), "session");
    assert_eq!(problem(&answer), (422, "token_refused".to_owned()));
}

#[test]
fn keys_are_read_again_when_their_file_changes() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256-other"]);
    let status = || sign_out(&authority, &token(), "session").status;
    assert_eq!(status(), 422);
    let file = directory.path().join("jwks.json");
    fs::write(&file, jwks(&["es256", "rs256"])).unwrap();
    until(|| status() == 200);
    fs::write(&file, "{").unwrap();
    until(|| authority.log().contains("those from before stay in force"));
    assert_eq!(status(), 200);
}

#[test]
fn keys_come_from_a_server_and_a_new_one_is_fetched_when_it_is_needed() {
    let directory = directory();
    let server = JwksServer::with_keys(jwks(&["es256-other"]));
    let uri = format!("http://{}/jwks", server.address());
    let file = configure(directory.path(), &json!({ "jwks_uri": uri }));
    let authority = Authority::start_with(directory.path(), &["--config", &file]);
    let other = Token::signed_by("es256-other").claim("sid", "other");
    assert_eq!(sign_out(&authority, &other, "session").status, 200);
    server.serve("/jwks", jwks(&["es256", "es256-other"]));
    assert_eq!(sign_out(&authority, &token(), "session").status, 200);
    // An outage is told as one where it matters, and nothing is revoked.
    server.answer("/jwks", 500, None, "");
    let unknown = Token::signed_by("rs256").claim("sid", "unknown");
    let answer = sign_out(&authority, &unknown, "session");
    assert_eq!(problem(&answer), (503, "keys_unavailable".to_owned()));
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(sign_out(&authority, &token(), "session").status, 200);
    assert!(!is_revoked(&authority, &json!({"sid": "unknown"})));
}

#[test]
fn a_server_is_trusted_for_the_certificate_authority_that_is_named() {
    let directory = directory();
    let (certificate, key) = make_certificate(directory.path());
    // Whatever speaks TLS with this certificate will do as a server of keys: another authority does,
    // and has none.
    let home = directory.path().join("server");
    fs::create_dir(&home).unwrap();
    let server = Authority::start_with(
        &home,
        &["--tls-certificate", &certificate, "--tls-key", &key],
    );
    let uri = format!("{}/healthz", server.url);
    let trusting = json!({"jwks_uri": uri, "certificate_authority": certificate});
    let log_of = |name: &str, keys: &Value| {
        let place = directory.path().join(name);
        fs::create_dir(&place).unwrap();
        let file = configure(&place, keys);
        let authority = Authority::start_with(&place, &["--config", &file]);
        until(|| authority.log().contains("there are none"));
        authority.log()
    };
    assert!(log_of("trusting", &trusting).contains("JWK Set"));
    assert!(log_of("cautious", &json!({ "jwks_uri": uri })).contains("no answer"));
}

#[test]
fn an_authority_whose_file_is_of_no_use_does_not_start() {
    let directory = directory();
    let start = |keys: &Value| {
        let file = configure(directory.path(), keys);
        let output = Command::new(binary())
            .args(serve(directory.path()))
            .args(["--config", &file])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, told) = start(&json!({"jwks_uri": "http://id.example/jwks"}));
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains("authority.json:1: error: issuers[0].keys.jwks_uri: "),
        "{told}"
    );
    let (code, told) = start(&json!({"jwks_file": "nowhere.json"}));
    assert_eq!(code, Some(10), "{told}");
    assert!(
        told.contains("`issuers[0].keys.jwks_file` of the authority's file: could not read `")
            && told.contains("nowhere.json"),
        "{told}"
    );
    fs::write(directory.path().join("empty.json"), "{\"keys\":[]}").unwrap();
    let (code, told) = start(&json!({"jwks_file": "empty.json"}));
    assert_eq!(code, Some(1), "{told}");
    assert!(
        told.contains(
            "`issuers[0].keys.jwks_file` of the authority's file: expected a set of keys in `"
        ) && told.contains("empty.json"),
        "{told}"
    );
    let keys =
        json!({"jwks_uri": "https://id.example/jwks", "certificate_authority": "empty.json"});
    let (code, told) = start(&keys);
    assert_eq!(code, Some(1), "{told}");
    let expected = "`issuers[0].keys.certificate_authority` of the authority's file: expected certificates \
                    in PEM in `";
    assert!(told.contains(expected), "{told}");
}

#[test]
fn nothing_pretends_when_the_authority_is_killed() {
    let directory = directory();
    let mut signed_out: Vec<String> = Vec::new();
    for round in 0..5_u64 {
        let authority = with_file(directory.path(), &["es256"]);
        for sid in &signed_out {
            assert!(
                is_revoked(&authority, &json!({ "sid": sid })),
                "{sid} is lost"
            );
        }
        let keys = authority.public_keys();
        let url = format!("{}{PATH}", authority.url);
        let client = thread::spawn(move || {
            let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
            let mut done = Vec::new();
            loop {
                let sid = format!("{round}-{}", done.len());
                let token = Token::signed_by("es256").claim("sid", sid.as_str());
                let body = body(&token.to_string(), "session").to_string();
                let request = agent.post(&url).header("content-type", "application/json");
                let Ok(mut answer) = request.send(&body) else {
                    return done;
                };
                let Ok(answer) = answer.body_mut().read_to_vec() else {
                    return done;
                };
                let proof = proof_in(&answer).unwrap();
                assert!(proof::is_done(&proof, body.as_bytes(), &keys));
                done.push(sid);
            }
        });
        thread::sleep(Duration::from_millis(150 + round * 37));
        authority.kill();
        let done = client.join().unwrap();
        assert!(!done.is_empty(), "round {round}: nobody was signed out");
        signed_out.extend(done);
    }
}
