//! Global Token Revocation: requests as Okta's Universal Logout sends them, and all others.

use std::fs;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use super::super::process::{Answer, Authority, directory, until};
use super::super::token::{ISSUER, Token};
use super::{history, is_revoked, logout, now, receiving, send, signals};

const PATH: &str = "/global-token-revocation/okta";

const PUBLIC_URL: &str = "https://signals.example";

/// An authority that takes such requests, with these members of their rules.
fn taking(directory: &Path, rules: &Value) -> Authority {
    let mut all = json!({"name": "okta"});
    for (name, value) in rules.as_object().unwrap() {
        all[name] = value.clone();
    }
    let receivers = json!({"back_channel_logout": true, "global_token_revocation": all});
    let of_issuer = json!({ "receivers": receivers });
    receiving(directory, &of_issuer, &json!({"public_url": PUBLIC_URL}))
}

/// The JWT of a caller, as Okta sends it.
fn assertion(id: &str) -> Token {
    Token::signed_by("es256")
        .header("typ", "global-token-revocation+jwt")
        .claim("sub", "web")
        .claim("aud", format!("{PUBLIC_URL}{PATH}"))
        .claim("jti", id)
        .valid_in(-300)
        .expiring_in(300)
}

fn alice() -> Value {
    json!({"subject": {"format": "iss_sub", "iss": ISSUER, "sub": "alice"}})
}

fn ask(authority: &Authority, credential: &str, body: &Value) -> Answer {
    authority.signal_json(PATH, Some(credential), &body.to_string())
}

fn issued(subject: &str, at: i64) -> Value {
    json!({"subject": subject, "issued_at": at})
}

/// The examples of the draft and of Okta's documentation.
#[test]
fn everything_of_a_user_is_revoked_however_the_user_is_named() {
    let directory = directory();
    let authority = taking(directory.path(), &json!({}));
    let asked_at = now() - 60;
    for (number, (body, kind, value)) in [
        (alice(), "subject", "alice"),
        (
            json!({"sub_id": {"format": "opaque", "id": "e193177dfdc52e3dd03f78c"}}),
            "subject",
            "e193177dfdc52e3dd03f78c",
        ),
        (
            json!({"subject": {"format": "email", "email": "user@example.com"}}),
            "claim",
            "user@example.com",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let token = assertion(&number.to_string()).claim("iat", asked_at);
        let answer = ask(&authority, &token.to_string(), &body);
        assert_eq!(answer.status, 204, "{body}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.bytes, b"");
        let entry = &history(&authority)[0];
        assert_eq!(
            (&entry["kind"], &entry["value"]),
            (&json!(kind), &json!(value))
        );
        assert_eq!(entry["not_before"], asked_at + 1);
        assert_eq!(entry["history"][0]["actor"], "global_token_revocation");
        let [record] = signals(&authority, "limit=1").try_into().unwrap();
        let record: Value = record;
        assert_eq!(record["receiver"], "global_token_revocation");
        assert_eq!(record["outcome"], "accepted");
        assert_eq!(record["jti"], number.to_string());
        assert_eq!(record["subject"], value);
        let mut revoked = json!({"kind": kind, "issuer": ISSUER, "value": value});
        if kind == "claim" {
            revoked["claim"] = json!("email");
            let needed =
                "refused only by filters that have `email` among their `revocation.claims`";
            assert_eq!(record["detail"], needed);
        } else {
            assert_eq!(record.get("detail"), None);
        }
        assert_eq!(record["revoked"], json!([revoked]));
    }
    assert_eq!(history(&authority)[0]["claim"], "email");
    assert!(is_revoked(&authority, &issued("alice", asked_at)));
    // A sign-in a second later is not disturbed, and a refresh gets nobody past it.
    assert!(!is_revoked(&authority, &issued("alice", asked_at + 1)));
    let mut refreshed = issued("alice", now());
    refreshed["auth_time"] = json!(asked_at - 3_600);
    assert!(is_revoked(&authority, &refreshed));
    let metrics = authority.get("/metrics").text();
    let counted =
        "portcullis_signals_total{receiver=\"global_token_revocation\",outcome=\"accepted\"} 3";
    assert!(metrics.contains(counted), "{metrics}");
    // What was answered is on the disk.
    authority.kill();
    let authority = Authority::start(directory.path());
    assert!(is_revoked(&authority, &issued("alice", asked_at)));
}

#[test]
fn a_jwt_counts_for_one_request_also_after_a_restart() {
    let directory = directory();
    let authority = taking(directory.path(), &json!({}));
    let token = assertion("1").to_string();
    // A request that does nothing uses nothing up.
    assert_eq!(ask(&authority, &token, &json!({})).status, 400);
    assert_eq!(ask(&authority, &token, &alice()).status, 204);
    let bob = json!({"sub_id": {"format": "opaque", "id": "bob"}});
    let expect_refusal = |authority: &Authority| {
        for body in [&alice(), &bob] {
            let answer = ask(authority, &token, body);
            assert_eq!(answer.status, 401, "{answer:?}");
            let challenge = answer.headers["www-authenticate"].to_str().unwrap();
            assert!(challenge.contains("invalid_token"), "{challenge}");
        }
        assert!(!is_revoked(authority, &issued("bob", 1)));
    };
    expect_refusal(&authority);
    authority.kill();
    expect_refusal(&taking(directory.path(), &json!({})));
}

/// Two at the same time are one too many as well.
#[test]
fn of_many_requests_with_one_jwt_at_once_one_is_done() {
    let directory = directory();
    let authority = taking(directory.path(), &json!({}));
    let token = assertion("1").to_string();
    let statuses: Vec<_> = thread::scope(|scope| {
        let ask = |number: usize| {
            let body = json!({"sub_id": {"format": "opaque", "id": number.to_string()}});
            ask(&authority, &token, &body).status
        };
        let threads: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || ask(number)))
            .collect();
        let threads = threads.into_iter();
        threads.map(|thread| thread.join().unwrap()).collect()
    });
    let done = statuses.iter().filter(|status| **status == 204).count();
    let refused = statuses.iter().filter(|status| **status == 401).count();
    assert_eq!((done, refused), (1, 7), "{statuses:?}");
    assert_eq!(history(&authority).len(), 1);
}

#[test]
fn who_may_not_ask_is_told_so_and_revokes_nothing() {
    let directory = directory();
    let authority = taking(directory.path(), &json!({}));
    // From where something genuine has come, more is looked at.
    assert_eq!(send(&authority, &logout("first").to_string()).status, 200);
    let before = history(&authority);
    let of = |token: Token| token.to_string();
    let access_token = Token::signed_by("es256").claim("jti", "1");
    for (token, status, expected) in [
        (of(access_token), 401, "audience_mismatch"),
        (of(logout("1").claim("aud", "web")), 401, "type_mismatch"),
        (
            of(assertion("1").claim("aud", format!("{PUBLIC_URL}/global-token-revocation/b"))),
            401,
            "audience_mismatch",
        ),
        (of(assertion("1").expiring_in(-120)), 401, "expired"),
        (
            of(assertion("1").without_claim("exp")),
            401,
            "expiry_missing",
        ),
        (of(assertion("1").without_claim("jti")), 401, "jti_missing"),
        (
            of(assertion("1").claim("iss", "https://other")),
            401,
            "credential_invalid",
        ),
        (
            of(assertion("1").claim("sub", "alice")),
            403,
            "caller_unknown",
        ),
        ("a.b.c.d.e".to_owned(), 401, "token_malformed"),
        (
            of(Token::signed_by("es256-other").claim("jti", "1")),
            401,
            "key_unknown",
        ),
    ] {
        let answer = ask(&authority, &token, &alice());
        assert_eq!(answer.status, status, "{expected}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        let has_challenge = answer.headers.contains_key("www-authenticate");
        assert_eq!(has_challenge, status == 401);
        let counted = format!(
            "portcullis_signals_total{{receiver=\"global_token_revocation\",outcome=\"{expected}\"}} 0"
        );
        let metrics = authority.get("/metrics").text();
        assert!(!metrics.contains(&counted), "{expected}");
    }
    let answer = authority.signal_json(PATH, None, &alice().to_string());
    assert_eq!(answer.status, 401, "{answer:?}");
    let challenge = answer.headers["www-authenticate"].to_str().unwrap();
    assert!(!challenge.contains("error"), "{challenge}");
    let elsewhere = "/global-token-revocation/other";
    let token = of(assertion("1"));
    let answer = authority.signal_json(elsewhere, Some(&token), &alice().to_string());
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(history(&authority), before);
    let log = authority.log();
    let signature = token.rsplit('.').next().unwrap();
    assert!(!log.contains(signature), "{log}");
    assert_eq!(ask(&authority, &token, &alice()).status, 204);
}

#[test]
fn a_request_that_names_no_user_of_the_caller_is_refused() {
    let directory = directory();
    let authority = taking(directory.path(), &json!({}));
    let other = json!({"format": "iss_sub", "iss": "https://other", "sub": "alice"});
    let phone = json!({"format": "phone_number", "phone_number": "+12065550100"});
    for (number, (body, status)) in [
        (json!({}), 400),
        (json!([alice()]), 400),
        (json!({"sub_id": {"format": "email"}}), 400),
        (json!({ "sub_id": phone }), 400),
        (json!({ "sub_id": other }), 403),
    ]
    .into_iter()
    .enumerate()
    {
        let token = assertion(&number.to_string()).to_string();
        let answer = ask(&authority, &token, &body);
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(
            !answer.json()["error_description"]
                .as_str()
                .unwrap()
                .is_empty()
        );
    }
    let token = assertion("form").to_string();
    let answer = authority.signal_form(PATH, &format!("sub_id={token}"));
    assert_eq!(answer.status, 400, "{answer:?}");
    assert_eq!(history(&authority), [] as [Value; 0]);
}

#[test]
fn a_secret_in_a_file_will_do_and_may_be_replaced() {
    let directory = directory();
    let secret = "0123456789abcdef0123456789abcdef";
    let file = directory.path().join("secret");
    fs::write(&file, secret).unwrap();
    let rules = json!({"authentication": "bearer", "credential": {"file": "secret"}});
    let authority = taking(directory.path(), &rules);
    let before = now();
    let answer = ask(&authority, secret, &alice());
    assert_eq!(answer.status, 204, "{answer:?}");
    // "Now" reaches as far ahead as clocks may differ.
    assert!(is_revoked(&authority, &issued("alice", before)));
    assert!(is_revoked(&authority, &issued("alice", before + 60)));
    let other = "x".repeat(32);
    assert_eq!(ask(&authority, &other, &alice()).status, 401);
    // A JWT is no secret.
    assert_eq!(
        ask(&authority, &assertion("1").to_string(), &alice()).status,
        401
    );
    fs::write(&file, format!("{other}\n")).unwrap();
    until(|| ask(&authority, &other, &alice()).status == 204);
    assert_eq!(ask(&authority, secret, &alice()).status, 401);
    until(|| authority.log().contains("credential_invalid"));
    let log = authority.log();
    assert!(!log.contains(secret) && !log.contains(&other), "{log}");
    until(|| signals(&authority, "refused=true").len() >= 3);
    let records = signals(&authority, "refused=true");
    assert!(!Value::from(records).to_string().contains(secret));
}

/// Guesses are rationed as forged tokens are, and the right secret is taken beside them.
#[test]
fn secrets_cannot_be_guessed_at_any_speed() {
    let directory = directory();
    let secret = "s".repeat(32);
    fs::write(directory.path().join("secret"), &secret).unwrap();
    let rules = json!({"authentication": "bearer", "credential": {"file": "secret"}});
    let authority = taking(directory.path(), &rules);
    let mut statuses = (0..200).map(|number: u32| {
        let guess = format!("{number:032}");
        ask(&authority, &guess, &alice()).status
    });
    assert_eq!(statuses.next(), Some(401));
    assert_eq!(statuses.find(|status| *status != 401), Some(429));
    assert_eq!(ask(&authority, &secret, &alice()).status, 204);
}

#[test]
fn a_user_of_whom_nothing_is_known_may_be_told_apart() {
    let directory = directory();
    let authority = taking(directory.path(), &json!({"unknown_subjects": "not_found"}));
    let unknown = |id: &str| ask(&authority, &assertion(id).to_string(), &alice()).status;
    assert_eq!(unknown("1"), 404);
    assert_eq!(history(&authority), [] as [Value; 0]);
    // An edge has reported a session.
    let seen = json!({"first_seen_ago": 0, "last_seen_ago": 0, "requests": 1});
    let mut report = json!({"issuer": ISSUER, "subject": "alice", "sid": "s"});
    for (name, value) in seen.as_object().unwrap() {
        report[name] = value.clone();
    }
    let reported = authority.post("/v1/activity", &json!({"version": 1, "reports": [report]}));
    assert_eq!(reported.status, 204, "{reported:?}");
    assert_eq!(unknown("2"), 204);
    // Something of a user was revoked before.
    assert_eq!(
        send(&authority, &logout("1").claim("sub", "bob").to_string()).status,
        200
    );
    let bob = json!({"sub_id": {"format": "opaque", "id": "bob"}});
    assert_eq!(
        ask(&authority, &assertion("3").to_string(), &bob).status,
        204
    );
    // Nothing is known of e-mail addresses.
    let email = json!({"sub_id": {"format": "email", "email": "carol@example.com"}});
    assert_eq!(
        ask(&authority, &assertion("4").to_string(), &email).status,
        204
    );
}

/// By its path in the signals file, wherever it should be.
#[test]
fn a_file_that_is_not_there_keeps_the_authority_from_starting_and_is_named() {
    use std::process::Command;
    let directory = directory();
    let rules = json!({"name": "a", "authentication": "bearer", "credential": {"file": "secret"}});
    let issuer = super::issuer(
        &json!({"jwks_file": "jwks.json"}),
        &json!({"receivers": {"global_token_revocation": rules}}),
    );
    fs::write(directory.path().join("jwks.json"), super::jwks(&["es256"])).unwrap();
    let file = super::configure(directory.path(), std::slice::from_ref(&issuer), &json!({}));
    let serve = || {
        let output = Command::new(super::super::process::binary())
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--signals",
                &file,
                "--data",
            ])
            .arg(directory.path().join("data"))
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let at = "`issuers[0].receivers.global_token_revocation.credential` of the signals file";
    let said = serve();
    assert!(said.contains(&format!("{at}: could not read")), "{said}");
    fs::write(directory.path().join("secret"), "short").unwrap();
    let said = serve();
    let expected = format!("{at}: expected one or two lines, each with a secret of 32 to 4096");
    assert!(said.contains(&expected), "{said}");
    fs::write(directory.path().join("secret"), "x".repeat(32)).unwrap();
    let keys = directory.path().join("jwks.json");
    for (text, expected) in [
        (Some("{}"), "expected a set of keys in"),
        (None, "could not read"),
    ] {
        match text {
            Some(text) => fs::write(&keys, text).unwrap(),
            None => fs::remove_file(&keys).unwrap(),
        }
        let said = serve();
        let expected = format!("`issuers[0].keys.jwks_file` of the signals file: {expected} `");
        assert!(said.contains(&expected), "{said}");
    }
    let tls = json!({"tls": {"certificate": "absent.pem", "key": "absent.pem"}});
    assert_eq!(super::configure(directory.path(), &[issuer], &tls), file);
    let said = serve();
    assert!(said.contains("`tls` of the signals file"), "{said}");
    assert!(said.contains("absent.pem"), "{said}");
}
