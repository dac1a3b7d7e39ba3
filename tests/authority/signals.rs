//! Signals of identity providers: the listener, logout tokens, what they revoke, and their records.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::certificate::make_certificate;
use super::jwks_server::JwksServer;
use super::keys::jwks;
use super::process::{Answer, Authority, directory, until};
use super::token::{ISSUER, Token, encode_part};

mod description;
mod events;
mod global_revocation;
mod records;

const PATH: &str = "/backchannel-logout";

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

/// A logout token of `alice` with this `jti`.
pub(crate) fn logout(id: &str) -> Token {
    Token::signed_by("es256")
        .header("typ", "logout+jwt")
        .claim("aud", "web")
        .claim("jti", id)
        .claim("events", json!({ EVENT: {} }))
        .expiring_in(120)
}

pub(crate) fn send(authority: &Authority, token: &str) -> Answer {
    authority.signal_form(PATH, &format!("logout_token={token}"))
}

fn status(authority: &Authority, token: &Token) -> u16 {
    send(authority, &token.to_string()).status
}

/// The issuer [`ISSUER`] with the keys of this value, and more members.
pub(crate) fn issuer(keys: &Value, members: &Value) -> Value {
    let mut issuer = json!({
        "issuer": ISSUER, "keys": keys, "client_ids": ["web"],
        "receivers": {"back_channel_logout": true},
    });
    for (name, member) in members.as_object().unwrap() {
        issuer[name] = member.clone();
    }
    issuer
}

/// Writes a signals file with these issuers, and more members.
pub(crate) fn configure(directory: &Path, issuers: &[Value], members: &Value) -> String {
    let file = directory.join("signals.json");
    let mut document = json!({"listen": "127.0.0.1:0", "issuers": issuers});
    for (name, member) in members.as_object().unwrap() {
        document[name] = member.clone();
    }
    fs::write(&file, document.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// An authority that receives signals of [`ISSUER`], whose keys are in a file.
fn receiving(directory: &Path, of_issuer: &Value, members: &Value) -> Authority {
    fs::write(directory.join("jwks.json"), jwks(&["es256"])).unwrap();
    let issuer = issuer(&json!({"jwks_file": "jwks.json"}), of_issuer);
    let file = configure(directory, &[issuer], members);
    Authority::start_with(directory, &["--signals", &file])
}

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

fn signals(authority: &Authority, query: &str) -> Vec<Value> {
    let answer = authority.get(&format!("/v1/signals?{query}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["signals"].as_array().unwrap().clone()
}

/// Of so many signals, each of which was sent so many times, each was carried out once.
fn expect_done_once(authority: &Authority, signals_sent: usize, times: usize) {
    let entries = history(authority);
    assert_eq!(entries.len(), signals_sent);
    for entry in &entries {
        assert_eq!(entry["history"].as_array().unwrap().len(), 1, "{entry}");
    }
    let count = |outcome: &str| {
        let all = signals(authority, "limit=1000").into_iter();
        all.filter(|signal| signal["outcome"] == outcome).count()
    };
    until(|| count("repeated") == signals_sent * (times - 1));
    assert_eq!(count("accepted"), signals_sent);
}

#[test]
fn a_session_that_ended_at_the_provider_is_revoked_and_no_other() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let answer = send(&authority, &logout("1").claim("sid", "s").to_string());
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.bytes, b"");
    let token = |sid: &str| json!({"sid": sid, "subject": "alice", "issued_at": 1});
    assert!(is_revoked(&authority, &token("s")));
    assert!(!is_revoked(&authority, &token("other")));
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(entry["subject"], "alice");
    let event = &entry["history"][0];
    assert_eq!(event["actor"], "back_channel_logout");
    assert_eq!(event["reason"], "signed out at the identity provider");
    // What was answered is on the disk.
    authority.kill();
    let authority = Authority::start(directory.path());
    assert!(is_revoked(&authority, &token("s")));
}

#[test]
fn without_a_session_what_was_issued_until_then_is_revoked() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let logged_out = now() - 60;
    let token = logout("1").claim("iat", logged_out);
    assert_eq!(status(&authority, &token), 200);
    let issued = |at: i64| json!({"sid": "s", "subject": "alice", "issued_at": at});
    assert!(is_revoked(&authority, &issued(logged_out)));
    assert!(!is_revoked(&authority, &issued(logged_out + 1)));
    let other = json!({"subject": "bob", "issued_at": 1});
    assert!(!is_revoked(&authority, &other));
}

#[test]
fn access_tokens_may_lack_sid_and_call_users_otherwise() {
    let directory = directory();
    let of_issuer = json!({
        "tokens_carry_sid": false, "access_token_issuer": "https://api.example",
        "subject": {"by": "template", "template": "user:{subject}"},
    });
    let authority = receiving(directory.path(), &of_issuer, &json!({}));
    let token = logout("1").claim("sid", "s");
    assert_eq!(status(&authority, &token), 200);
    let [entry] = history(&authority).try_into().unwrap();
    assert_eq!(entry["kind"], "subject");
    assert_eq!(entry["value"], "user:alice");
    assert_eq!(entry["issuer"], "https://api.example");
    let token = logout("2").claim("sid", "s").without_claim("sub");
    assert_eq!(status(&authority, &token), 400);
}

/// Headers and claims as real providers send them.
#[test]
fn what_real_providers_send_is_taken() {
    let directory = directory();
    let vectors: Value =
        serde_json::from_str(include_str!("../vectors/logout-tokens.json")).unwrap();
    let vectors = vectors["tokens"].as_array().unwrap();
    let issuers = vectors.iter().enumerate().map(|(index, vector)| {
        let mut set: Value = serde_json::from_str(&jwks(&["rs256"])).unwrap();
        set["keys"][0]["kid"] = vector["header"]["kid"].clone();
        let keys = format!("{index}.json");
        fs::write(directory.path().join(&keys), set.to_string()).unwrap();
        let members = json!({
            "issuer": format!("https://{index}.example"), "client_ids": [vector["claims"]["aud"]],
        });
        issuer(&json!({ "jwks_file": keys }), &members)
    });
    let file = configure(directory.path(), &issuers.collect::<Vec<_>>(), &json!({}));
    let authority = Authority::start_with(directory.path(), &["--signals", &file]);
    for (index, vector) in vectors.iter().enumerate() {
        let mut claims = vector["claims"].clone();
        claims["iss"] = json!(format!("https://{index}.example"));
        claims["iat"] = json!(now());
        if claims.get("exp").is_some() {
            claims["exp"] = json!(now() + 120);
        }
        let header = encode_part(vector["header"].to_string());
        let token = Token::signed_by("rs256");
        let token = token.with_parts(&header, &encode_part(claims.to_string()));
        let answer = send(&authority, &token);
        assert_eq!(answer.status, 200, "{vector}: {answer:?}");
        let [signal] = signals(&authority, "limit=1").try_into().unwrap();
        let signal: Value = signal;
        let mut revoked = vector["revoked"].clone();
        for revoked in revoked.as_array_mut().unwrap() {
            revoked["issuer"] = claims["iss"].clone();
        }
        assert_eq!(signal["revoked"], revoked, "{vector}");
        assert_eq!(signal["jti"], claims["jti"]);
    }
}

#[test]
fn no_token_that_is_not_in_order_revokes_anything() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    // From where something genuine has come, more is looked at.
    assert_eq!(status(&authority, &logout("first")), 200);
    let before = history(&authority);
    let good = logout("good").to_string();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (_, claims) = input.split_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let none = encode_part(r#"{"alg":"none","typ":"logout+jwt"}"#);
    let of = |token: Token| token.to_string();
    let at_jwt = logout("1").header("typ", "at+jwt");
    let ahead = logout("1").issued_in(120);
    let events = json!({"other": {}});
    for (token, expected) in [
        (of(logout("1").claim("aud", "other")), "audience_mismatch"),
        (
            of(logout("1").claim("iss", "https://other")),
            "issuer_unknown",
        ),
        (
            of(logout("1").claim("iss", format!("{ISSUER}/"))),
            "issuer_unknown",
        ),
        (of(at_jwt), "type_mismatch"),
        (of(ahead), "issued_ahead"),
        (of(logout("1").issued_in(-700)), "too_old"),
        (of(logout("1").without_claim("iat")), "issue_time_missing"),
        (of(logout("1").expiring_in(-120)), "expired"),
        (of(logout("1").without_claim("jti")), "jti_missing"),
        (of(logout("1").without_claim("events")), "events_invalid"),
        (of(logout("1").claim("events", events)), "events_invalid"),
        (of(logout("1").claim("nonce", "n")), "nonce_present"),
        (of(logout("1").without_claim("sub")), "subject_missing"),
        (of(logout("1").claim("sid", 7)), "subject_invalid"),
        (
            of(logout("1").claim("iat", now() * 1000)),
            "time_in_milliseconds",
        ),
        (
            of(logout("1").header("crit", json!(["x"]))),
            "critical_header",
        ),
        (String::new(), "token_missing"),
        ("a.b.c.d.e".to_owned(), "token_malformed"),
        (
            format!("{input}.{other}{}", &signature[1..]),
            "signature_invalid",
        ),
        (format!("{none}.{claims}."), "algorithm_mismatch"),
        (format!("{none}.{claims}.{signature}"), "algorithm_mismatch"),
        (
            of(Token::signed_by("es256-other").claim("aud", "web")),
            "key_unknown",
        ),
        (
            of(Token::signed_by("hs256").claim("aud", "web")),
            "key_unknown",
        ),
    ] {
        let answer = send(&authority, &token);
        assert_eq!(answer.status, 400, "{expected}: {answer:?}");
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["content-type"], "application/json");
        let body = answer.json();
        assert_eq!(body["error"], "invalid_request");
        assert!(!body["error_description"].as_str().unwrap().is_empty());
        let counted = format!(
            "portcullis_signals_total{{receiver=\"back_channel_logout\",outcome=\"{expected}\"}}"
        );
        let metrics = authority.get("/metrics").text();
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&counted))
            .unwrap();
        assert!(!line.ends_with(" 0"), "{expected}: {line}");
    }
    assert_eq!(history(&authority), before);
    // The log says what to do about it, and has nothing of a signature.
    let expected = "client id `other` is not among the `client_ids` of its issuer: `web`";
    until(|| authority.log().contains(expected) && authority.log().contains("key_unknown"));
    let log = authority.log();
    assert!(
        log.contains("`iss` is `https://other`, which is none"),
        "{log}"
    );
    for part in [signature, claims] {
        assert!(!log.contains(part), "{log}");
    }
    assert_eq!(send(&authority, &good).status, 200);
}

#[test]
fn a_request_that_is_no_form_with_one_token_is_refused() {
    let directory = directory();
    let limits = json!({"limits": {"body": 2048}});
    let authority = receiving(directory.path(), &json!({}), &limits);
    let token = logout("1").to_string();
    let padded = format!("logout_token={token}&x={}", "x".repeat(2_048));
    for body in [
        "",
        "token=1",
        &format!("logout_token={token}&logout_token={token}"),
        "logout_token=%zz",
        &padded,
    ] {
        let answer = authority.signal_form(PATH, body);
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
        assert_eq!(answer.json()["error"], "invalid_request");
    }
    let url = format!("{}{PATH}", authority.signals_url.as_deref().unwrap());
    let posted = ureq::post(&url)
        .config()
        .http_status_as_error(false)
        .build()
        .content_type("application/json")
        .send(format!("logout_token={token}"));
    assert_eq!(posted.unwrap().status(), 400);
    let asked = ureq::get(&url)
        .config()
        .http_status_as_error(false)
        .build()
        .call();
    assert_eq!(asked.unwrap().status(), 405);
    assert_eq!(history(&authority), [] as [Value; 0]);
    let body = format!("x=1&logout_token={token}&y");
    assert_eq!(authority.signal_form(PATH, &body).status, 200);
}

/// What a provider can reach is never the interface of operators and edges, nor the other way round.
#[test]
fn the_listener_has_the_receivers_and_nothing_else() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let signals_url = authority.signals_url.clone().unwrap();
    let description = authority.get("/v1/openapi.json").json();
    let paths = description["paths"].as_object().unwrap().keys();
    for path in paths.map(String::as_str).chain([
        "/",
        "/v1/openapi.json",
        "/v1/openapi-signals.json",
        "/metrics",
    ]) {
        for method in ["GET", "POST", "DELETE"] {
            let request = ureq::http::Request::builder().method(method);
            let request = request
                .uri(format!("{signals_url}{path}"))
                .body(())
                .unwrap();
            let config = ureq::Agent::config_builder().http_status_as_error(false);
            let agent = ureq::Agent::from(config.build());
            assert_eq!(agent.run(request).unwrap().status(), 404, "{method} {path}");
        }
    }
    let there = authority.post_text(PATH, "application/x-www-form-urlencoded", "logout_token=x");
    assert_eq!(there.status, 404);
}

#[test]
fn a_token_that_comes_again_does_nothing_more_also_after_a_restart() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let token = logout("1").claim("sid", "s");
    for _ in 0..3 {
        assert_eq!(status(&authority, &token), 200);
    }
    let entries = history(&authority);
    assert_eq!(entries[0]["history"].as_array().unwrap().len(), 1);
    // An operator has restored it: a replay must not revoke it again.
    let restored = json!({"kind": "session", "issuer": ISSUER, "value": "s"});
    assert_eq!(authority.post("/v1/restorations", &restored).status, 200);
    assert_eq!(status(&authority, &token), 200);
    assert!(!is_revoked(&authority, &json!({"sid": "s"})));
    authority.kill();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    assert_eq!(status(&authority, &token), 200);
    assert!(!is_revoked(&authority, &json!({"sid": "s"})));
    let outcomes: Vec<_> = signals(&authority, "limit=10");
    let outcomes: Vec<_> = outcomes.iter().map(|signal| &signal["outcome"]).collect();
    assert_eq!(outcomes[0], "repeated");
    assert_eq!(outcomes.last().unwrap(), &"accepted");
    // Another token for the same session is another signal.
    assert_eq!(status(&authority, &logout("2").claim("sid", "s")), 200);
    assert!(is_revoked(&authority, &json!({"sid": "s"})));
}

#[test]
fn of_many_copies_of_a_token_at_once_one_is_carried_out() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    for number in 0..4 {
        let id = number.to_string();
        let token = logout(&id).claim("sid", id);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(status(&authority, &token), 200));
            }
        });
    }
    expect_done_once(&authority, 4, 8);
}

/// The process dies after the revocation is on the disk and before the ledger has the `jti`: the
/// provider, which had no answer, sends the token again.
#[test]
fn a_token_whose_acceptance_was_lost_moves_nothing_when_it_comes_again() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let tokens = [logout("1"), logout("2").claim("sid", "s")];
    for token in &tokens {
        assert_eq!(status(&authority, token), 200);
    }
    let before = history(&authority);
    assert_eq!(before.len(), 2);
    authority.kill();
    fs::remove_file(directory.path().join("data/signals.redb")).unwrap();
    // Past the next second, where an instant by this clock would come out otherwise.
    thread::sleep(Duration::from_millis(1_100));
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    for token in &tokens {
        assert_eq!(status(&authority, token), 200);
    }
    assert_eq!(history(&authority), before);
}

#[test]
fn what_was_answered_is_on_the_disk_whenever_the_process_is_killed() {
    let directory = directory();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..5 {
        let authority = receiving(directory.path(), &json!({}), &json!({}));
        let url = format!("{}{PATH}", authority.signals_url.as_deref().unwrap());
        let sender = thread::spawn(move || {
            let mut done = Vec::new();
            for number in 0..100_000 {
                let name = format!("{round}-{number}");
                let token = logout(&name).claim("sid", name.as_str()).to_string();
                let request = ureq::post(&url).content_type("application/x-www-form-urlencoded");
                match request.send(format!("logout_token={token}")) {
                    Ok(answer) if answer.status() == 200 => done.push(name),
                    _ => return done,
                }
            }
            done
        });
        let wanted = acknowledged.len() + 20;
        until(|| signals(&authority, "limit=1000").len() >= wanted);
        authority.kill();
        acknowledged.extend(sender.join().unwrap());
    }
    assert!(acknowledged.len() >= 90, "{}", acknowledged.len());
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    for name in &acknowledged {
        assert!(authority.is_session_revoked(name), "{name} is lost");
    }
    // Each of them is known again.
    let last = acknowledged.last().unwrap();
    assert_eq!(
        status(&authority, &logout(last).claim("sid", "elsewhere")),
        200
    );
    assert!(!authority.is_session_revoked("elsewhere"));
}

#[test]
fn keys_are_found_by_discovery_and_rotated_ones_are_fetched_when_they_are_needed() {
    let directory = directory();
    let server = JwksServer::with_keys(jwks(&["es256-other"]));
    let origin = format!("http://{}", server.address());
    let document = json!({"issuer": ISSUER, "jwks_uri": format!("{origin}/jwks")});
    server.serve("/.well-known/openid-configuration", document.to_string());
    let keys = json!({"discovery": format!("{origin}/.well-known/openid-configuration")});
    let issuer = issuer(&keys, &json!({}));
    let file = configure(directory.path(), &[issuer], &json!({}));
    let authority = Authority::start_with(directory.path(), &["--signals", &file]);
    let old = Token::signed_by("es256-other")
        .claim("aud", "web")
        .claim("jti", "old")
        .claim("events", json!({ EVENT: {} }));
    assert_eq!(status(&authority, &old), 200);
    server.serve("/jwks", jwks(&["es256"]));
    assert_eq!(status(&authority, &logout("new")), 200);
    // The provider's server is gone: that is no fault of the token.
    server.answer("/jwks", 500, None, "");
    let unknown = logout("unknown").header("kid", "never-seen");
    let answer = send(&authority, &unknown.to_string());
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.json()["error"], "temporarily_unavailable");
    assert!(answer.headers.contains_key("retry-after"));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        status(&authority, &logout("another")),
        200,
        "the last good keys"
    );
    let failures = format!(
        "portcullis_issuer_keys_fetches_total{{issuer=\"{ISSUER}\",of=\"signals\",outcome=\"failure\"}} "
    );
    until(|| {
        let metrics = authority.get("/metrics").text();
        let (_, count) = metrics.split_once(&failures).unwrap_or_default();
        !count.is_empty() && !count.starts_with('0')
    });
}

#[test]
fn a_server_that_never_had_keys_is_an_outage_and_the_answer_comes_in_time() {
    let directory = directory();
    let server = JwksServer::start();
    server.delay(Duration::from_secs(30));
    let keys = json!({"jwks_uri": format!("http://{}/jwks", server.address())});
    let issuer = issuer(&keys, &json!({}));
    let file = configure(directory.path(), &[issuer], &json!({}));
    let authority = Authority::start_with(directory.path(), &["--signals", &file]);
    let begun = Instant::now();
    let answer = send(&authority, &logout("1").to_string());
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    // Whom it was about is known, though not that it was.
    until(|| signals(&authority, "refused=true").len() == 1);
    let [signal] = signals(&authority, "refused=true").try_into().unwrap();
    assert_eq!(signal["outcome"], "keys_unavailable");
    assert_eq!(signal["unverified"], true);
    assert_eq!(
        (&signal["jti"], &signal["issuer"]),
        (&json!("1"), &json!(ISSUER))
    );
    assert!(signal["subject"].is_string(), "{signal}");
    let usable = format!("portcullis_issuer_keys_usable{{issuer=\"{ISSUER}\",of=\"signals\"}} 0\n");
    until(|| authority.get("/metrics").text().contains(&usable));
    assert_eq!(history(&authority), [] as [Value; 0]);
}

#[test]
fn a_body_that_does_not_come_is_not_waited_for() {
    let directory = directory();
    let limits = json!({"limits": {"timeout": "0.5s"}});
    let authority = receiving(directory.path(), &json!({}), &limits);
    let address = authority.signals_url.clone().unwrap();
    let address = address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: 100\r\n\r\nlogout_token="
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// A flood of forged tokens costs a bounded number of checks, and leaves genuine ones alone.
#[test]
fn forged_tokens_are_soon_refused_without_a_look_at_their_signatures() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    // From where something genuine has come, more is looked at.
    assert_eq!(status(&authority, &logout("first")), 200);
    let good = logout("forged").to_string();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{input}.{other}{}", &signature[1..]);
    // As many as it takes: a busy machine sends not many more than are looked at.
    let mut statuses = (0..10_000).map(|_| send(&authority, &forged).status);
    assert_eq!(statuses.next(), Some(400));
    let refused = statuses.find(|status| *status != 400);
    assert_eq!(refused, Some(429));
    until(|| authority.log().contains("too_many_failures"));
    // Not one of them has moved anything, and a second later a genuine one is taken.
    until(|| status(&authority, &logout("last").claim("sid", "s")) == 200);
    assert!(is_revoked(&authority, &json!({"sid": "s"})));
    // Their records are few, and in the way of none that is genuine.
    let all = signals(&authority, "limit=1000");
    let accepted = all.iter().filter(|signal| signal["outcome"] == "accepted");
    assert_eq!(accepted.count(), 2);
}

/// Every user has tokens that the issuer has signed.
#[test]
fn tokens_that_are_signed_and_tell_of_no_logout_open_nothing() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let access_token = Token::signed_by("es256").claim("aud", "web").to_string();
    let flood = |times: usize| -> Vec<_> {
        let statuses = (0..times).map(|_| send(&authority, &access_token).status);
        statuses.collect()
    };
    let start = Instant::now();
    let statuses = flood(1_000);
    // A hundred at once and one a second; what was looked at was refused.
    let looked_at = statuses.iter().filter(|status| **status != 429);
    let looked_at: Vec<_> = looked_at.collect();
    assert!(looked_at.iter().all(|status| **status == 400));
    let most = 101 + usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!((100..=most).contains(&looked_at.len()), "{looked_at:?}");
    // One that comes again and again costs no check, so that another is looked at all the same.
    let repeated = logout("1").claim("sid", "s").to_string();
    until(|| send(&authority, &repeated).status == 200);
    for _ in 0..2_000 {
        assert_eq!(send(&authority, &repeated).status, 200);
    }
    assert_eq!(status(&authority, &logout("2").claim("sid", "t")), 200);
    // Records of all these are few.
    let all = signals(&authority, "limit=1000");
    let others = all.iter().filter(|signal| signal["outcome"] != "accepted");
    let most = 55 + 5 * usize::try_from(start.elapsed().as_secs()).unwrap();
    assert!(others.count() <= most);
}

#[test]
fn more_genuine_signals_than_configured_are_put_off() {
    let directory = directory();
    let limits = json!({"limits": {"requests_per_second": 1}});
    let authority = receiving(directory.path(), &json!({}), &limits);
    let statuses = (0..40).map(|number| send(&authority, &logout(&number.to_string()).to_string()));
    let statuses: Vec<_> = statuses.map(|answer| answer.status).collect();
    assert_eq!(statuses[..10], [200; 10]);
    assert!(statuses.contains(&429), "{statuses:?}");
}

/// Eighty at once, from where nothing has come before. Nothing is said about how fast.
#[test]
fn no_sign_out_of_a_burst_is_lost() {
    let directory = directory();
    let limits = json!({"limits": {"timeout": "10s"}});
    let authority = receiving(directory.path(), &json!({}), &limits);
    let burst = |name: &str, size: usize| {
        let tokens = (0..size).map(|number| logout(&format!("{name} {number}")).to_string());
        let tokens: Vec<_> = tokens.collect();
        let barrier = Barrier::new(size);
        let refused: Vec<_> = thread::scope(|scope| {
            let sending = tokens.iter().map(|token| {
                scope.spawn(|| {
                    barrier.wait();
                    send(&authority, token).status
                })
            });
            let sending: Vec<_> = sending.collect();
            let statuses = sending.into_iter().map(|sending| sending.join().unwrap());
            statuses.filter(|status| *status != 200).collect()
        });
        assert_eq!(refused, [0; 0], "{name}: {}", authority.log());
    };
    burst("first", 80);
}

#[test]
fn tls_is_spoken_where_a_certificate_is_configured() {
    let directory = directory();
    let (certificate, key) = make_certificate(directory.path());
    let members = json!({"tls": {"certificate": certificate, "key": key}});
    let authority = receiving(directory.path(), &json!({}), &members);
    assert!(
        authority
            .signals_url
            .as_deref()
            .unwrap()
            .starts_with("https://")
    );
    assert!(authority.url.starts_with("http://"));
    assert_eq!(status(&authority, &logout("1")), 200);
}
