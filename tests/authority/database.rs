//! An authority on a PostgreSQL database: nothing acknowledged is lost, and nothing is made up while the
//! database is away.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::keys::jwks;
use super::member::Member;
use super::patience::until;
use super::postgres::{Server, free_port, has_postgres};
use super::process::{Answer, binary, directory};
use super::token::{ISSUER, Token};

/// Rounds of killing: 100 in the long form, which `PORTCULLIS_LONG=1` asks for.
fn rounds() -> usize {
    match std::env::var_os("PORTCULLIS_LONG") {
        Some(_) => 100,
        None => 6,
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_authority_or_database_are_killed() {
    if !has_postgres() {
        return;
    }
    let mut server = Server::start();
    let mut member = Member::start(&server.database("kills"));
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds() {
        member.wait_until_ready();
        for value in &acknowledged {
            assert!(member.is_revoked(value), "round {round}: {value} is lost");
        }
        let count = AtomicUsize::new(0);
        let new: Vec<String> = thread::scope(|scope| {
            let clients: Vec<_> = (0..4)
                .map(|client| {
                    let (member, count) = (&member, &count);
                    scope.spawn(move || revoke_until(member, &format!("{round}-{client}"), count))
                })
                .collect();
            until(
                || "a revocation".to_owned(),
                || count.load(Ordering::Relaxed) > 0,
            );
            thread::sleep(Duration::from_millis(60 + (round as u64 * 37) % 90));
            if round % 2 == 0 {
                member.signal("KILL");
            } else {
                server.kill();
            }
            clients
                .into_iter()
                .flat_map(|client| client.join().unwrap())
                .collect()
        });
        assert!(!new.is_empty(), "round {round}: nothing was acknowledged");
        acknowledged.extend(new);
        if round % 2 == 0 {
            member.kill();
            member.start_again();
        } else {
            server.restart();
            // By itself, when the database is back.
            until(
                || format!("a revocation: {}", member.log()),
                || member.revoke("back") == Some(200),
            );
        }
    }
    member.wait_until_ready();
    assert!(acknowledged.iter().all(|value| member.is_revoked(value)));
    let epochs = server.ask(
        "kills",
        "SELECT count(*) FROM portcullis.settings WHERE name = 'epoch'",
    );
    assert_eq!(epochs, "1");
    assert!(!member.log().contains("new epoch"), "{}", member.log());
}

/// Revokes until something has gone wrong, or it is told to stop; what was acknowledged.
fn revoke_until(member: &Member, prefix: &str, count: &AtomicUsize) -> Vec<String> {
    let mut acknowledged = Vec::new();
    loop {
        let value = format!("{prefix}-{}", acknowledged.len());
        if member.revoke(&value) != Some(200) {
            return acknowledged;
        }
        count.fetch_add(1, Ordering::Relaxed);
        acknowledged.push(value);
    }
}

#[test]
fn the_tables_are_made_once_and_the_password_is_read_from_a_file() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("migrated");
    let directory = directory();
    let password = directory.path().join("password");
    std::fs::write(&password, "trusted\n").unwrap();
    for said in [
        "made the tables\n",
        "the tables are there, and up to date\n",
    ] {
        let output = Command::new(binary())
            .args(["migrate", "--store", &store, "--store-password"])
            .arg(&password)
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), said, "{errors}");
    }
}

#[test]
fn a_database_that_is_away_longer_than_the_lease_is_said_and_waited_for() {
    if !has_postgres() {
        return;
    }
    let mut server = Server::start();
    let member = Member::start(&server.database("away"));
    member.wait_until_ready();
    assert_eq!(member.revoke("a"), Some(200));
    server.kill();
    let away = "the database was not reached for too long\n";
    until(|| member.ready(), || member.ready() == away);
    assert_eq!(member.check("a").map(|answer| answer.status), Some(503));
    assert_eq!(member.revoke("b"), Some(503));
    assert!(member.log().contains("cannot follow the database"));
    let said = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut said = Vec::new();
            let is_ready = || {
                said.push(member.ready());
                said.last().is_some_and(|last| last == "ready\n")
            };
            until(|| member.log(), is_ready);
            said
        });
        server.restart();
        asking.join().unwrap()
    });
    let is_expected = |text: &String| [away, "ready\n"].contains(&text.as_str());
    assert!(said.iter().all(is_expected), "{said:?}");
    assert!(member.is_revoked("a"));
    until(|| member.log(), || member.revoke("b") == Some(200));
}

/// As one whose disk is full, which can be read all the while.
#[test]
fn a_database_that_takes_nothing_for_a_while_is_found_to_take_something_again() {
    const REFUSE: &str = "
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
            AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''53100''; END';
        CREATE TRIGGER refuse BEFORE UPDATE ON portcullis.state
            FOR EACH ROW EXECUTE FUNCTION refuse()";
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let member = Member::start(&server.database("refusing"));
    member.wait_until_ready();
    assert_eq!(member.revoke("a"), Some(200));
    server.ask("refusing", REFUSE);
    assert_eq!(member.revoke("b"), Some(503));
    assert_eq!(member.stats()["store_writable"], false);
    // It is tried now and then, and not so often that nothing else is in the log.
    thread::sleep(Duration::from_secs(3));
    assert_eq!(member.stats()["store_writable"], false);
    let log = member.log();
    let tried = log.matches("could not write").count();
    assert!((1..=3).contains(&tried), "{log}");
    assert!(member.is_revoked("a") && member.ready() == "ready\n");
    server.ask("refusing", "DROP TRIGGER refuse ON portcullis.state");
    until(|| member.log(), || member.stats()["store_writable"] == true);
}

/// Another authority may have revoked the token meanwhile.
#[test]
fn no_token_is_said_to_be_active_without_the_database() {
    const SECRET: &str = "a-secret-of-32-characters-and-more";
    if !has_postgres() {
        return;
    }
    let directory = directory();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    write("jwks.json", jwks(&["es256"]));
    write("secret", SECRET.to_owned());
    let issuer = json!({"issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}});
    let config = write("authority.json", json!({"issuers": [issuer]}).to_string());
    let listener = format!("127.0.0.1:{}", free_port());
    let client = json!({"client_id": "api", "secret": {"file": "secret"},
        "introspect": {"any_audience": true}});
    let signals = json!({"listen": listener, "public_url": "https://signals.example",
        "oauth": {"clients": [client]}});
    let signals = write("signals.json", signals.to_string());
    let mut server = Server::start();
    let store = server.database("introspected");
    let member = Member::start_in(
        directory,
        &store,
        &["--config", &config, "--signals", &signals],
    );
    member.wait_until_ready();
    let token = Token::signed_by("es256")
        .claim("sid", "s")
        .claim("jti", "t");
    let form = format!("client_id=api&client_secret={SECRET}&token={token}");
    let introspect = || {
        let request = member
            .agent
            .post(format!("http://{listener}/oauth/introspect"));
        let request = request.content_type("application/x-www-form-urlencoded");
        Answer::of(request.send(form.as_bytes()))
    };
    assert_eq!(introspect().json()["active"], true);
    server.kill();
    let away = "the database was not reached for too long\n";
    until(|| member.ready(), || member.ready() == away);
    let answer = introspect();
    assert_eq!(answer.status, 503, "{answer:?}");
    server.restart();
    member.wait_until_ready();
    assert_eq!(introspect().json()["active"], true);
}

#[test]
fn what_is_for_a_database_alone_is_refused_without_one() {
    for option in ["--lease", "--follow-interval"] {
        let output = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", option, "2s"])
            .env_remove("PORTCULLIS_STORE")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code() == Some(2) && text.contains("--store"),
            "{option}: {text}"
        );
    }
}

#[test]
fn a_database_that_has_another_name_is_told_from_one_that_is_away() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let output = Command::new(binary())
        .args(["migrate", "--store", &server.url("nowhere")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(1) && text.contains("CREATE DATABASE"),
        "{text}"
    );
}

#[test]
fn what_does_not_go_with_a_database_is_refused_and_no_password_is_shown() {
    let directory = directory();
    let store = "postgres://portcullis:s3cret@127.0.0.1:1/p";
    let data = directory.path().join("data");
    let run = |arguments: &[&str]| {
        let output = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(&data)
            .args(arguments)
            .env("PORTCULLIS_STORE", store)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("s3cret"), "{text}");
        (output.status.code(), text)
    };
    let (code, text) = run(&["--accept-loss"]);
    assert!(code == Some(2) && text.contains("--accept-loss"), "{text}");
    let (code, text) = run(&["--lease", "5s", "--follow-interval", "2501ms"]);
    assert!(code == Some(2) && text.contains("half of"), "{text}");
    let (code, text) = run(&["--store", "postgres://u:s3cret@h/p?sslmode=prefer"]);
    assert!(code == Some(2) && text.contains("verify-full"), "{text}");
    let (code, text) = run(&["--store-password", "/nowhere/password"]);
    assert!(
        code == Some(10) && text.contains("/nowhere/password"),
        "{text}"
    );
    let (code, text) = run(&[]);
    assert!(
        code == Some(1) && text.contains("cannot be reached") && text.contains("whether it runs"),
        "{text}"
    );
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("authority.redb"), "").unwrap();
    let (code, text) = run(&[]);
    assert!(
        code == Some(1) && text.contains("a store of its own"),
        "{text}"
    );
}
