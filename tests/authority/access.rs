//! Roles, credentials and listeners.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::connections::connection;
use super::process::{Authority, binary, credential, directory, revocation, serve, until};

/// An authority that requires a credential from the file in this directory.
pub(crate) fn guarded(directory: &Path) -> Authority {
    let file = directory.join("credentials");
    Authority::start_with(directory, &["--credentials", file.to_str().unwrap()])
}

#[test]
fn each_role_may_do_its_own_and_no_credential_means_nothing() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "console");
    let edge = credential(directory.path(), "edge", "envoys");
    let scrape = credential(directory.path(), "scrape", "prometheus");
    let viewer = credential(directory.path(), "viewer", "support");
    let authority = guarded(directory.path());
    let statuses = |authority: &Authority| {
        let check = json!({"issuer": "i", "sid": "s"});
        [
            authority.revoke("session", "s").status,
            authority
                .post("/v1/restorations", &revocation("session", "s"))
                .status,
            authority.get("/v1/revocations").status,
            authority
                .post_text("/v1/import", "application/x-ndjson", "")
                .status,
            authority.get("/v1/stats").status,
            authority.post("/v1/feed/keys", &json!({})).status,
            authority.post("/v1/backup", &json!({})).status,
            authority.post("/v1/check", &check).status,
            authority.get("/v1/feed/keys").status,
            authority.get("/metrics").status,
            authority.get("/healthz").status,
        ]
    };
    assert_eq!(
        statuses(&authority),
        [401, 401, 401, 401, 401, 401, 401, 401, 401, 401, 200]
    );
    let authority = authority.with_credential(&edge);
    assert_eq!(
        statuses(&authority),
        [403, 403, 403, 403, 403, 403, 403, 200, 200, 403, 200]
    );
    let authority = authority.with_credential(&scrape);
    assert_eq!(
        statuses(&authority),
        [403, 403, 403, 403, 403, 403, 403, 403, 403, 200, 200]
    );
    let authority = authority.with_credential(&viewer);
    assert_eq!(
        statuses(&authority),
        [403, 403, 200, 403, 200, 403, 403, 403, 403, 403, 200]
    );
    for path in [
        "/v1/sessions",
        "/v1/signals",
        "/v1/edges",
        "/v1/streams",
        "/v1/issuers?issuer=i",
    ] {
        assert_eq!(authority.get(path).status, 200, "{path}");
    }
    assert_eq!(
        authority.post("/v1/streams", &json!({"name": "s"})).status,
        403
    );
    let authority = authority.with_credential(&admin);
    assert_eq!(statuses(&authority), [200; 11]);
    let authority = authority.with_credential("portcullis_wrong");
    let refused = authority.get("/v1/stats");
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.headers["www-authenticate"],
        r#"Bearer realm="portcullis authority""#
    );
    let log = authority.log();
    assert!(!log.contains(&admin) && !log.contains(&edge), "{log}");
}

/// The warnings in a log with this text.
pub(crate) fn warnings(authority: &Authority, text: &str) -> Vec<Value> {
    let log = authority.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let is_it = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.contains(text)
    };
    lines.filter(is_it).collect()
}

#[test]
fn refused_callers_are_logged_once_in_a_while_and_their_secrets_never() {
    let directory = directory();
    let edge = credential(directory.path(), "edge", "envoys");
    let authority = guarded(directory.path()).with_credential("portcullis_wrong");
    for _ in 0..20 {
        assert_eq!(authority.get("/v1/feed/manifest").status, 401);
    }
    let authority = authority.with_credential(&edge);
    for _ in 0..20 {
        assert_eq!(authority.get("/v1/stats").status, 403);
    }
    until(|| warnings(&authority, "refused a caller").len() == 2);
    let lines = warnings(&authority, "refused a caller");
    let of = |name: &str| {
        lines
            .iter()
            .map(|line| line[name].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(of("code"), ["credential_missing", "role_missing"]);
    assert_eq!(of("route"), ["/v1/feed/manifest", "/v1/stats"]);
    assert_eq!(of("address"), ["127.0.0.1", "127.0.0.1"]);
    assert_eq!(of("credential"), [Value::Null, "envoys".into()]);
    let log = authority.log();
    assert!(
        !log.contains("portcullis_") && !log.contains(&edge),
        "{log}"
    );
}

#[test]
fn a_credential_is_replaced_without_a_restart() {
    let directory = directory();
    let first = credential(directory.path(), "admin", "first");
    let authority = guarded(directory.path()).with_credential(&first);
    assert_eq!(authority.get("/v1/stats").status, 200);
    let file = directory.path().join("credentials");
    fs::write(&file, "").unwrap();
    let second = credential(directory.path(), "admin", "second");
    // The file may have been read when nothing was in it.
    let authority = authority.with_credential(&second);
    until(|| authority.get("/v1/stats").status == 200);
    let authority = authority.with_credential(&first);
    assert_eq!(authority.get("/v1/stats").status, 401);
    let authority = authority.with_credential(&second);
    // A malformed file changes nothing.
    fs::write(&file, "nonsense").unwrap();
    until(|| authority.log().contains("those from before stay in force"));
    assert_eq!(authority.get("/v1/stats").status, 200);
}

/// Sends a request with these headers, which no well-behaved client sends, and returns status and
/// body.
fn ask(authority: &Authority, target: &str, headers: &[&str]) -> (u16, String) {
    let headers = headers.join("\r\n");
    let text = format!("{target} HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    connection(authority, &text)
        .read_to_end(&mut answer)
        .unwrap();
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1.to_owned();
    (status, body)
}

/// A page can have been loaded from a name that points to 127.0.0.1.
#[test]
fn without_credentials_the_operators_interface_answers_to_loopback_names_only() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.manifest();
    for host in [
        "localhost",
        "LOCALHOST:10002",
        "127.0.0.1:80",
        "127.9.9.9",
        "[::1]:7",
    ] {
        let host = format!("host: {host}");
        assert_eq!(ask(&authority, "GET /v1/stats", &[&host]).0, 200, "{host}");
    }
    let operators = [
        "GET /v1/stats",
        "GET /metrics",
        "GET /v1/revocations",
        "GET /v1/revocations/00",
        "POST /v1/revocations",
        "POST /v1/restorations",
        "POST /v1/import",
        "POST /v1/feed/keys",
        "POST /v1/backup",
    ];
    for host in [
        "evil.example",
        "localhost.evil.example:10002",
        "10.0.0.1",
        "",
    ] {
        let host = format!("host: {host}");
        for target in operators {
            let (status, body) = ask(&authority, target, &[&host, "content-length: 0"]);
            assert_eq!(status, 421, "{target} {host}");
            assert!(body.contains("host_not_loopback"), "{body}");
            assert!(body.contains("expected a loopback name"), "{body}");
        }
        let edges = [
            "GET /v1/feed/keys",
            "GET /v1/feed/manifest",
            "GET /healthz",
            "GET /readyz",
        ];
        for target in edges {
            assert_eq!(ask(&authority, target, &[&host]).0, 200, "{target} {host}");
        }
    }
    let two = ["host: localhost", "host: evil.example"];
    assert_ne!(ask(&authority, "GET /v1/stats", &two).0, 200);
    let other_target = "GET http://evil.example/v1/stats";
    assert_eq!(ask(&authority, other_target, &["host: localhost"]).0, 421);
}

#[test]
fn without_credentials_pages_of_other_sites_are_refused() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let mark = |mark: &str, target: &str| ask(&authority, target, &["host: localhost", mark]);
    for own in [
        "sec-fetch-site: none",
        "sec-fetch-site: same-origin",
        "origin: http://localhost:3000",
        "origin: https://127.0.0.1",
    ] {
        assert_eq!(mark(own, "GET /v1/stats").0, 200, "{own}");
    }
    for other in [
        "sec-fetch-site: cross-site",
        "sec-fetch-site: same-site",
        "sec-fetch-site: none\r\nsec-fetch-site: cross-site",
        "origin: https://evil.example",
        "origin: https://localhost.evil.example",
        "origin: null",
        "origin: file://",
        "origin:",
    ] {
        for target in [
            "GET /v1/stats",
            "GET /metrics",
            "GET /v1/feed/deltas?epoch=0&after=0",
        ] {
            let (status, body) = mark(other, target);
            assert_eq!(status, 403, "{other}");
            assert!(body.contains("\"code\":\"cross_site\""), "{body}");
        }
        assert_eq!(mark(other, "GET /healthz").0, 200, "{other}");
    }
}

/// No page has a credential.
#[test]
fn with_credentials_the_authority_may_have_any_name() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "console");
    let authority = guarded(directory.path());
    let credential = format!("authorization: Bearer {admin}");
    let headers = [
        "host: authority.example",
        "origin: https://console.example",
        &credential,
    ];
    assert_eq!(ask(&authority, "GET /v1/stats", &headers).0, 200);
    assert_eq!(ask(&authority, "GET /v1/stats", &headers[..2]).0, 401);
}

#[test]
fn histories_name_the_caller() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "console");
    let authority = guarded(directory.path()).with_credential(&admin);
    let mut request = revocation("session", "s");
    request["actor"] = "alice".into();
    request["reason"] = "lost telephone".into();
    let id = authority.post("/v1/revocations", &request).json()["id"].clone();
    authority.post("/v1/restorations", &revocation("session", "s"));
    let path = format!("/v1/revocations/{}", id.as_str().unwrap());
    let history = authority.get(&path).json()["history"].clone();
    assert_eq!(history[0]["actor"], "console:alice");
    assert_eq!(history[0]["reason"], "lost telephone");
    assert_eq!(history[0]["action"], "revoked");
    assert_eq!(history[1]["actor"], "console");
    assert_eq!(history[1]["action"], "restored");
}

#[test]
fn where_others_can_connect_credentials_and_tls_are_needed() {
    let directory = directory();
    credential(directory.path(), "admin", "console");
    let file = directory.path().join("credentials");
    let with = |arguments: &[&str]| {
        let mut all = serve(directory.path());
        all[2] = "0.0.0.0:0".to_owned();
        let output = Command::new(binary()).args(all).args(arguments).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let refusal = "error: refused to listen on 0.0.0.0:0, where others can connect, without";
    assert!(with(&[]).starts_with(&format!("{refusal} credentials\n\nhint: ")));
    let credentials = ["--credentials", file.to_str().unwrap()];
    assert!(with(&credentials).starts_with(&format!("{refusal} TLS\n\nhint: ")));

    let insisting = ["--listen", "0.0.0.0:0", "--allow-insecure-listen"];
    let data = directory.path().join("data");
    let mut process = Command::new(binary())
        .args(["serve", "--data", data.to_str().unwrap()])
        .args(insisting)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = process.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(line.contains("http://0.0.0.0:"), "{line}");
}

#[test]
fn a_directory_in_which_others_may_write_is_refused() {
    let directory = directory();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let permit = |mode: u32| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
    for mode in [0o777, 0o770, 0o775, 0o702, 0o1777] {
        permit(mode);
        let output = Command::new(binary())
            .args(serve(directory.path()))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{mode:o}");
        let told = String::from_utf8(output.stderr).unwrap();
        let sentence = format!("where others may write (mode {mode:o})\n\nhint: `chmod go-w` it");
        assert!(told.contains(&sentence), "{told}");
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0);
    }
    permit(0o755);
    Authority::start(directory.path()).kill();
    let inner = data.join("inner");
    fs::create_dir(&inner).unwrap();
    fs::set_permissions(&inner, fs::Permissions::from_mode(0o777)).unwrap();
    let authority = Authority::start(&inner);
    let mode = fs::metadata(inner.join("data"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700, "made for nobody else");
    authority.kill();
}

#[test]
fn arguments_have_bounds_and_defaults_and_the_help_says_which() {
    let help = Command::new(binary())
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
    // Those that the documents name.
    for default in ["31d", "60s", "127.0.0.1:10002"] {
        let default = format!("[default: {default}]");
        assert!(help.contains(&default), "{default}: {help}");
    }
    let directory = directory();
    for (argument, wrong, bounds) in [
        (
            "--false-positive-rate",
            &["nan", "0", "1", "5", "inf", "-1", "1e-7"][..],
            "1.7e-6 to 3e-5",
        ),
        (
            "--max-token-lifetime",
            &["0s", "59s", "733d", "900d", "1.5s"],
            "1m to 732d",
        ),
        ("--clock-skew", &["11m", "-1s", "500ms"], "0s to 10m"),
        ("--generation-interval", &["0s", "2d"], "1s to 1d"),
        ("--drain", &["2h", "10"], "0s to 1h"),
        ("--store-cache", &["0", "65537", "-1"], "1 to 65536"),
    ] {
        assert!(help.contains(bounds), "{argument}: {help}");
        for value in wrong {
            let mut command = Command::new(binary());
            command
                .args(serve(directory.path()))
                .arg(format!("{argument}={value}"));
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{argument} {value}");
            let told = String::from_utf8(output.stderr).unwrap();
            assert!(told.contains(argument), "{told}");
        }
    }
    assert!(!directory.path().join("data").exists());
}
