//! TLS between authorities and a real database.

use std::process::Command;

use super::certificate::Issuer;
use super::load::first_ready;
use super::member::Member;
use super::postgres::{Server, has_postgres};
use super::process::{binary, directory};

/// Expects `serve` to refuse this store, and to say each of these texts.
#[track_caller]
fn refuses(store: &str, said: &[&str]) {
    let directory = directory();
    let output = Command::new(binary())
        .args(["serve", "--listen", "127.0.0.1:0", "--store", store])
        .arg("--data")
        .arg(directory.path().join("data"))
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(said.iter().all(|text| errors.contains(text)), "{errors}");
}

/// Expects an authority to work on this store, and gives its log.
#[track_caller]
fn works(store: &str) -> String {
    let mut members = [Member::start(store)];
    let member = first_ready(&members);
    assert_eq!(member.revoke("a"), Some(200));
    assert!(member.is_revoked("a"));
    let log = member.log();
    members[0].stop();
    log
}

#[test]
fn the_database_is_known_by_its_certificate() {
    if !has_postgres() {
        return;
    }
    let (issuer, other) = (Issuer::make("one"), Issuer::make("other"));
    let server = Server::start_with_tls(&issuer.issue("IP:127.0.0.1"));
    let store = server.database("encrypted");
    let trusting = |issuer: &Issuer| {
        let certificate = issuer.certificate();
        format!("{store}?sslmode=verify-full&sslrootcert={certificate}")
    };
    let members = [Member::start(&trusting(&issuer))];
    let log = first_ready(&members).log();
    assert!(!log.contains("WARN"), "{log}");
    let connections = server.ask(
        "encrypted",
        "SELECT count(*) > 0 AND bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE application_name = 'portcullis'",
    );
    assert_eq!(connections, "t");
    drop(members);
    works(&trusting(&issuer));
    let unknown = ["cannot be reached", "UnknownIssuer", "`sslrootcert=FILE`"];
    refuses(&trusting(&other), &unknown);
    // Those that the system trusts have not signed it either.
    refuses(&format!("{store}?sslmode=verify-full"), &unknown[..1]);
    refuses(&format!("{store}?sslmode=disable"), &["no encryption"]);
    let missing = "/nowhere/authority.pem";
    let said = [missing, "cannot be encrypted"];
    refuses(&format!("{store}?sslrootcert={missing}"), &said);
}

#[test]
fn a_certificate_for_another_host_is_refused_unless_the_operator_takes_any() {
    if !has_postgres() {
        return;
    }
    let issuer = Issuer::make("one");
    let server = Server::start_with_tls(&issuer.issue("DNS:database.example"));
    let store = server.database("elsewhere");
    let trusted = format!("sslrootcert={}", issuer.certificate());
    let said = [
        "not valid for name \"127.0.0.1\"",
        "database.example",
        "the host in the URL",
    ];
    refuses(&format!("{store}?sslmode=verify-full&{trusted}"), &said);
    refuses(&format!("{store}?{trusted}"), &said);
    let log = works(&format!("{store}?sslmode=verify-ca&{trusted}"));
    assert!(log.contains("may be one for any host"), "{log}");
    let log = works(&format!("{store}?sslmode=require"));
    assert!(log.contains("is not looked at"), "{log}");
}

#[test]
fn a_connection_without_tls_is_warned_of_where_the_database_is_not_on_this_machine() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let local = server.database("plain");
    // An address that leads to this machine, and is none of loopback.
    let store = local.replace("127.0.0.1", "0.0.0.0");
    refuses(
        &store,
        &["server does not support TLS", "`sslmode=disable`"],
    );
    let log = works(&format!("{store}?sslmode=disable"));
    assert!(
        log.contains("is not encrypted: others on the way can read"),
        "{log}"
    );
    assert!(!works(&local).contains("WARN"));
}
