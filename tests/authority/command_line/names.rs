//! Naming what is meant: by kind and name, or by a token that has it.

use std::fs;

use serde_json::{Value, json};

use super::super::access::guarded;
use super::super::process::{Authority, ISSUER, credential, directory};
use super::{mint, run, told};

#[test]
fn what_is_not_named_in_full_is_a_wrong_command_line() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (typed, message) in [
        (
            "revoke session --issuer i",
            "expected the name of a session, found none\n\nhint: it stands behind the kind",
        ),
        ("check subject s", "expected `--issuer`, found none"),
        (
            "restore issuer https://i",
            "hint: write `issuer --issuer ISSUER`",
        ),
        ("list issuer https://i", "write `issuer --issuer"),
        ("list --token -", "expected one of `token`, `session`"),
        ("revoke --issuer i", "<TARGET>"),
        (
            "revoke session s --issuer i --expires-in=-1h",
            "found one in the past\n\nhint: it says when the tokens expire that are meant; to \
             revoke what",
        ),
        (
            "revoke session s --issuer i --expires-in -1h",
            "`--not-before-in -1h`",
        ),
        (
            "revoke subject s --issuer i --not-before -1h",
            "goes into the option that ends in `-in`",
        ),
        (
            "revoke subject s --issuer i --not-before-in 2026-12-01T00:00:00Z",
            "found an instant: that goes into `--expires-at` or `--not-before`",
        ),
        (
            "revoke subject s --issuer i --not-before-in -99999d",
            "`--not-before-in`: expected a time after 1970, found one before",
        ),
    ] {
        let arguments: Vec<_> = typed.split(' ').collect();
        let (code, output, errors) = run(&authority, &arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{typed} {errors}");
        assert!(errors.contains(message), "{typed}: {errors}");
    }
    assert_eq!(authority.stats()["sequence"], 0);
}

#[test]
fn names_that_begin_with_a_hyphen_are_revoked() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (number, name) in ["-hABC", "-Vx", "--Zy0", "-", "--_"]
        .into_iter()
        .enumerate()
    {
        let revoke = ["revoke", "session", "--issuer", ISSUER, name];
        let (code, text, errors) = run(&authority, &revoke);
        assert_eq!(code, 0, "{name}: {errors}");
        assert!(text.starts_with("revoked\n"), "{name}: {text}");
        assert!(authority.is_session_revoked(name));
        assert_eq!(authority.stats()["entries"], number + 1);
        let check = ["check", "session", name, "--issuer", ISSUER];
        assert_eq!(run(&authority, &check).0, 1);
    }
    let marked = ["revoke", "session", "--issuer", ISSUER, "--", "-h"];
    assert_eq!(run(&authority, &marked).0, 0);
    assert!(authority.is_session_revoked("-h"));
}

#[test]
fn a_token_names_what_is_meant_and_is_shown_nowhere() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let claims = ["--subject", "ada", "--session", "-s1", "--client", "app"];
    let token = mint(&[&claims[..], &["--claim", "device_id=d1"]].concat());
    let file = directory.path().join("token");
    fs::write(&file, format!("Bearer {token}")).unwrap();
    let file = file.to_str().unwrap();
    let ask = |arguments: &[&str]| {
        let told = told(&authority.command_with(arguments, &token));
        let (_, output, errors) = &told;
        for part in token.trim().split('.') {
            assert!(!output.contains(part) && !errors.contains(part));
        }
        told
    };
    let check = ["check", "--token", "-", "--device-claim", "device_id"];
    let states = |text: &str| -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(words).collect()
    };
    let (code, text, errors) = ask(&check);
    assert_eq!(code, 0, "{errors}");
    assert!(errors.contains("nothing of the issuer"), "{errors}");
    let lines = states(&text);
    assert_eq!(lines[0], "not revoked");
    assert_eq!(lines[1], format!("issuer iss not revoked {ISSUER}"));
    assert!(lines[2].starts_with("token jti not revoked "), "{text}");
    assert_eq!(
        lines[3..],
        [
            "session sid not revoked -s1",
            "device device_id not revoked d1",
            "subject sub not revoked ada",
            "client client_id not revoked app",
            "subject_and_client sub not revoked ada at app",
        ]
    );
    for kind in ["token", "session", "device", "subject", "client", "issuer"] {
        let from = |verb, file| {
            let names = [verb, kind, "--from-token", file];
            ask(&[&names[..], &["--device-claim", "device_id"]].concat())
        };
        let (code, text, errors) = from("revoke", "-");
        assert_eq!(code, 0, "{kind}: {errors}");
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with(kind) && line.ends_with(ISSUER), "{text}");
        for input in [file, "-"] {
            assert_eq!(from("check", input).0, 1, "{kind}");
        }
        let (_, text, _) = from("list", file);
        assert!(text.contains(&format!("  revoked  {kind}  ")), "{text}");
        let (code, text, _) = ask(&check);
        assert_eq!(code, 1);
        assert!(text.starts_with(&format!("revoked by {kind}\n")), "{text}");
        let revoked: Vec<_> = states(&text);
        let revoked = revoked[1..].iter().filter(|line| !line.contains(" not "));
        let revoked: Vec<_> = revoked.collect();
        assert_eq!(revoked.len(), 1, "{text}");
        assert!(revoked[0].starts_with(kind), "{text}");
        assert_eq!(from("restore", file).0, 0, "{kind}");
    }
    let at_client = |verb| {
        let (code, text, _) = ask(&[verb, "subject", "--client", "app", "--from-token", "-"]);
        assert_eq!(code, 0, "{text}");
    };
    at_client("revoke");
    let (_, text, _) = ask(&check);
    let line = "subject_and_client sub revoked ada at app";
    assert!(states(&text).iter().any(|found| found == line), "{text}");
    at_client("restore");
    // A token's entry is kept as long as the token lives, and is found by subject.
    let revoke = ["revoke", "token", "--from-token", "-"];
    let (_, text, _) = ask(&revoke);
    let is_kept_for_half_an_hour = ["(29m ", "(30m"].iter().any(|time| text.contains(time));
    assert!(is_kept_for_half_an_hour, "with the margin: {text}");
    let (_, text, _) = ask(&["list", "--of-subject", "ada"]);
    assert!(text.contains("  revoked  token  "), "{text}");
    let (_, text, _) = ask(&["check", "--token", file, "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["by"], "token");
    assert_eq!(
        answer["names"][2],
        json!({"kind": "session", "claim": "sid", "value": "-s1", "revoked": false})
    );

    let (code, _, errors) = ask(&["check", "--token", token.trim()]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("expected the name of a file, found a token"),
        "{errors}"
    );
    assert_eq!(ask(&["check", "--token", "absent"]).0, 10);
    let (code, _, errors) = told(&authority.command_with(&["check", "--token", "-"], "opaque"));
    assert_eq!(code, 10);
    assert!(errors.contains("expected three parts"), "{errors}");
    let (code, _, errors) = ask(&["revoke", "device", "--from-token", "-"]);
    assert_eq!(code, 2);
    assert!(errors.contains("expected `--device-claim`"), "{errors}");
}

/// Every set of revocations that could affect one token, each under an issuer of its own.
#[test]
fn a_check_blames_exactly_what_revokes_the_token() {
    let names = [
        ("token", "jti", "t"),
        ("session", "sid", "s"),
        ("device", "device", "d"),
        ("subject", "sub", "u"),
        ("client", "client_id", "c"),
        ("client", "azp", "z"),
        ("issuer", "iss", ""),
    ];
    let directory = directory();
    let authority = Authority::start(directory.path());
    let mut lines = String::new();
    let mut cases = Vec::new();
    for set in 0_u32..1 << names.len() {
        for spares in [false, true] {
            let issuer = format!("{ISSUER}/{set}/{spares}");
            let mut blamed = Vec::new();
            let members = names.iter().enumerate();
            for &(kind, claim, value) in members
                .filter(|(bit, _)| set >> bit & 1 == 1)
                .map(|(_, it)| it)
            {
                let mut line = json!({"kind": kind, "issuer": issuer});
                if kind != "issuer" {
                    line["value"] = value.into();
                }
                if kind == "subject" && spares {
                    line["except_session"] = "s".into();
                } else {
                    blamed.push(claim);
                }
                lines.extend([line.to_string(), "\n".to_owned()]);
            }
            cases.push((issuer, blamed));
        }
    }
    let import = authority.post_text("/v1/import", "application/x-ndjson", &lines);
    assert_eq!(import.status, 200);
    for (issuer, blamed) in cases {
        let claims = [
            &format!("iss={issuer}"),
            "jti=t",
            "sid=s",
            "device=d",
            "sub=u",
            "client_id=c",
            "azp=z",
        ];
        let claims = claims.iter().flat_map(|claim| ["--claim", claim]);
        let token = mint(&claims.collect::<Vec<_>>());
        let check = [
            "check",
            "--token",
            "-",
            "--device-claim",
            "device",
            "--json",
        ];
        let (code, text, errors) = told(&authority.command_with(&check, &token));
        let answer: Value = serde_json::from_str(&text).unwrap();
        let revoked = answer["names"].as_array().unwrap().iter();
        let revoked = revoked.filter(|name| name["revoked"] == true);
        let mut told: Vec<_> = revoked
            .map(|name| name["claim"].as_str().unwrap())
            .collect();
        // The issuer is told of first, and looked up last.
        if told.first() == Some(&"iss") {
            told.rotate_left(1);
        }
        assert_eq!(told, blamed, "{issuer}: {errors}");
        assert_eq!(code, i32::from(!blamed.is_empty()), "{issuer}");
        let first = names
            .iter()
            .find(|(_, claim, _)| Some(claim) == blamed.first());
        assert_eq!(
            answer["by"].as_str(),
            first.map(|(kind, ..)| *kind),
            "{issuer}"
        );
    }
}

/// A refusal in the log means that a credential is wrong.
#[test]
fn a_check_with_the_credential_of_an_edge_is_refused_nothing() {
    let directory = directory();
    let edge = credential(directory.path(), "edge", "edges");
    let authority = guarded(directory.path()).with_credential(&edge);
    let token = mint(&["--subject", "u"]);
    for arguments in [
        &["check", "session", "s", "--issuer", ISSUER][..],
        &["check", "--token", "-"],
    ] {
        let (code, text, errors) = told(&authority.command_with(arguments, &token));
        assert_eq!((code, errors.as_str()), (0, ""), "{text}");
        assert!(text.starts_with("not revoked\n"), "{text}");
    }
    assert!(!authority.log().contains("role_missing"));
}

#[test]
fn an_issuer_that_was_never_heard_of_is_doubted() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let doubt = |verb, issuer| {
        let name = if verb == "list" { "t" } else { "s" };
        let (_, _, errors) = run(&authority, &[verb, "session", name, "--issuer", issuer]);
        errors
    };
    let first = doubt("revoke", ISSUER);
    assert!(
        first.contains("nothing of the issuer `https://issuer.example` was"),
        "{first}"
    );
    for verb in ["revoke", "check", "list", "restore"] {
        assert_eq!(doubt(verb, ISSUER), "", "{verb}");
    }
    for verb in ["check", "list", "restore", "revoke"] {
        let told = doubt(verb, "https://issuer.example/");
        let meant = "; did you mean `https://issuer.example`?\n";
        assert!(
            told.starts_with("warning: ") && told.ends_with(meant),
            "{told}"
        );
    }
    let other = doubt("check", "https://quite.another.example");
    assert!(other.ends_with("was ever revoked here\n"), "{other}");
}
