//! What pages show, and what can be done there.

use super::*;

#[test]
fn every_answer_keeps_the_browser_from_doing_more_than_show_it() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path());
    let browser = Browser::signed_in(&authority, &admin);
    let stranger = Browser::new(&authority);
    let assets = [
        "/console/style.css",
        "/console/live.js",
        "/console/icon.svg",
    ];
    let more = [
        "/console/sign-in",
        "/console/nothing",
        "/console/session?id=x",
        "/console/revoke?kind=issuer",
    ];
    for path in PAGES.iter().chain(&more).chain(&assets) {
        for answer in [browser.get(path), stranger.get(path)] {
            let header = |name: &str| answer.headers[name].to_str().unwrap();
            assert_eq!(
                header("content-security-policy"),
                "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
                 connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            );
            assert_eq!(header("x-content-type-options"), "nosniff");
            assert_eq!(header("referrer-policy"), "no-referrer");
            assert_eq!(header("cross-origin-opener-policy"), "same-origin");
            assert_eq!(header("cross-origin-resource-policy"), "same-origin");
            let caching = if assets.contains(path) {
                "no-cache"
            } else {
                "no-store"
            };
            assert_eq!(header("cache-control"), caching, "{path}");
            if assets.contains(path) {
                continue;
            }
            let text = answer.text();
            for inline in [" style=", "<style", " onclick", "javascript:", "://"] {
                assert!(!text.contains(inline), "{path}: {inline} in {text}");
            }
            let scripts = text.matches("<script").count();
            assert_eq!(
                scripts,
                text.matches("<script defer src=\"/console/live.js\"></script>")
                    .count()
            );
        }
    }
}

#[test]
fn the_style_sheet_is_sent_once() {
    let directory = directory();
    credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path());
    let first = authority.get("/console/style.css");
    assert_eq!(first.headers["content-type"], "text/css; charset=utf-8");
    let tag = first.headers["etag"].to_str().unwrap();
    let again = authority.get_with("/console/style.css", &[("if-none-match", tag)]);
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    let other = authority.get_with("/console/style.css", &[("if-none-match", "\"x\"")]);
    assert_eq!((other.status, other.bytes), (200, first.bytes));
}

#[test]
fn a_session_is_ended_and_restored_with_a_reason_and_under_the_operators_name() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice.ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    report(&authority, "alice", "s");
    let browser = Browser::signed_in(&authority, &admin);
    let found = browser.get("/console/search?what=session&name=s").text();
    assert!(
        found.contains("/console/session?") && found.contains("okhttp"),
        "{found}"
    );
    let page = browser.get(&format!(
        "/console/revoke?kind=session&issuer={ISSUER}&value=s&subject=alice"
    ));
    assert!(
        page.text().contains("Every token of this session"),
        "{}",
        page.text()
    );

    let form = browser.form();
    let own = [("sec-fetch-site", "same-origin")];
    let target = [("kind", "session"), ("issuer", ISSUER), ("value", "s")];
    let fields = [("form", &*form), ("reason", " ")];
    let answer = browser.post(&asked("/console/revoke", &target), &fields);
    assert_eq!(answer.status, 400, "no reason: {}", answer.text());
    assert!(!authority.is_session_revoked("s"));

    let ended = browser.end_session(&form, &own);
    let entry = location(&ended).to_owned();
    assert!(authority.is_session_revoked("s"));
    let page = browser.get(&entry).text();
    for shown in [
        "alice.ops",
        "lost &lt;phone&gt;",
        "Revoked. It is on the disk.",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    // Loaded again, it does nothing again.
    browser.get(&entry);
    let id = entry
        .split("id=")
        .nth(1)
        .unwrap()
        .split('&')
        .next()
        .unwrap();
    let history = authority.get(&format!("/v1/revocations/{id}")).json()["history"].clone();
    let [event] = &*history.as_array().unwrap().clone() else {
        panic!("{history}")
    };
    assert_eq!(
        (&event["actor"], &event["reason"]),
        (&"alice.ops".into(), &"lost <phone>".into())
    );

    let page = browser.get(&format!("/console/restore?id={id}")).text();
    assert!(page.contains("alice.ops"), "{page}");
    let fields = [("form", &*form), ("reason", "found again")];
    let [restore] = &*addresses(&page, "action", "/console/restore?") else {
        panic!("{page}")
    };
    let restored = browser.post(restore, &fields);
    assert!(location(&restored).contains("done=restored"));
    assert!(!authority.is_session_revoked("s"));
    let audit = browser.get("/console/audit").text();
    for shown in [
        "found again",
        "lost &lt;phone&gt;",
        "signed in to the console",
        "127.0.0.1",
    ] {
        assert!(audit.contains(shown), "{shown}: {audit}");
    }
    let twice = browser.post(restore, &fields);
    assert_eq!(twice.status, 409, "{}", twice.text());
    let [again] = &*addresses(&twice.text(), "action", "/console/restore?") else {
        panic!("{}", twice.text())
    };
    let again = browser.post(again, &fields);
    assert_eq!(again.status, 422, "{}", again.text());
}

#[test]
fn signing_out_everywhere_is_one_cut_off() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    report(&authority, "alice", "s");
    let browser = Browser::signed_in(&authority, &admin);
    let user = format!("/console/user?issuer={ISSUER}&subject=alice");
    assert!(browser.get(&user).text().contains("Sign out everywhere"));
    let form = browser.form();
    let fields = [("form", &*form), ("reason", "stolen laptop")];
    let sign_out = |kind: &str| {
        let target = [("kind", kind), ("issuer", ISSUER), ("value", "alice")];
        browser.post(&asked("/console/revoke", &target), &fields)
    };
    location(&sign_out("subject"));
    let check = json!({"issuer": ISSUER, "subject": "alice", "issued_at": 1_767_225_600});
    assert_eq!(authority.post("/v1/check", &check).json()["revoked"], true);
    until(|| browser.get(&user).text().contains(">ended<"));
    let page = browser.get(&user).text();
    assert!(
        page.contains("“")
            && page.contains("stolen laptop")
            && page.contains("/console/restore?id="),
        "{page}"
    );
    // What concerns more than one user is not one click away.
    for kind in ["client", "issuer", "claim", "subject_and_client", "x"] {
        assert_eq!(sign_out(kind).status, 400, "{kind}");
    }
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let viewer = credential(directory.path(), "viewer", "support");
    let authority = with_console(directory.path()).with_credential(&admin);
    report(&authority, "alice", "s");
    let revoked = authority.revoke("device", "d").json();
    let id = revoked["id"].as_str().unwrap();
    let browser = Browser::signed_in(&authority, &viewer);
    let entry = format!("/console/revocation?id={id}");
    let user = format!("/console/user?issuer={ISSUER}&subject=alice");
    for page in PAGES.iter().copied().chain([&*entry, &user]) {
        let answer = browser.get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        for act in ["/console/revoke?", "/console/restore?"] {
            assert!(!answer.text().contains(act), "{page}: {}", answer.text());
        }
    }
    let form = browser.form();
    let own = [("sec-fetch-site", "same-origin")];
    assert_eq!(
        browser.get(&format!("/console/restore?id={id}")).status,
        403
    );
    assert_eq!(browser.end_session(&form, &own).status, 403);
    let fields = [("form", &*form), ("reason", "r")];
    let restore = format!("/console/restore?id={id}");
    assert_eq!(browser.post(&restore, &fields).status, 403);
    assert!(!authority.is_session_revoked("s"));
    let entry = authority.get(&format!("/v1/revocations/{id}")).json();
    assert_eq!(entry["in_force"], true);
}

#[test]
fn a_pasted_token_is_read_and_leaves_no_trace() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let file = directory.path().join("credentials");
    let arguments = [
        "--console",
        "--log-level",
        "debug",
        "--credentials",
        file.to_str().unwrap(),
    ];
    let authority = Authority::start_with(directory.path(), &arguments).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    let token = token(
        &json!({"iss": ISSUER, "sub": "alice", "sid": "s", "jti": HOSTILE, "iat": 1_767_225_600}),
    );
    let form = browser.form();
    let read = |pasted: &str| browser.post("/console/token", &[("form", &form), ("token", pasted)]);
    let answer = read(&format!("Authorization: Bearer {token}\n"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let page = answer.text();
    assert!(
        page.contains("Not revoked by any name below")
            && page.contains("Nothing about this token was verified"),
        "{page}"
    );
    assert!(
        page.contains("&lt;img src=x") && !page.contains("<img src=x"),
        "{page}"
    );
    authority.revoke("session", "s");
    let page = read(&token).text();
    assert!(page.contains("Revoked, by its session."), "{page}");
    assert!(
        read("nonsense")
            .text()
            .contains("no token that the gate would accept")
    );
    assert_eq!(
        browser.get(&format!("/console/token?token={token}")).status,
        405
    );
    let log = authority.log();
    assert!(log.contains("token_read"), "{log}");
    let parts: Vec<&str> = token.split('.').collect();
    for told in [&*page, &log, &browser.get("/console/audit").text()] {
        for part in &parts[1..] {
            assert!(!told.contains(part), "{told}");
        }
    }
}

#[test]
fn names_that_strangers_choose_are_text_on_every_page() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let report = json!({
        "issuer": HOSTILE, "subject": HOSTILE, "sid": HOSTILE, "client": HOSTILE, "device": HOSTILE,
        "first_seen_ago": 5_000, "last_seen_ago": 1_000, "requests": 3,
        "sightings": [{"user_agent": HOSTILE, "requests": 3, "last_seen_ago": 1_000}],
    });
    let answer = authority.post("/v1/activity", &json!({"version": 1, "reports": [report]}));
    assert_eq!(answer.status, 204, "{}", answer.text());
    let id = authority.get("/v1/sessions").json()["sessions"][0]["id"].clone();
    let request = json!({"kind": "session", "issuer": HOSTILE, "value": HOSTILE, "subject": HOSTILE,
                         "reason": HOSTILE, "actor": HOSTILE, "origin": HOSTILE});
    let entry = authority.post("/v1/revocations", &request).json()["id"].clone();
    let request = json!({"kind": "claim", "claim": HOSTILE, "issuer": HOSTILE, "value": HOSTILE});
    authority.post("/v1/revocations", &request);
    let encoded: Vec<_> = HOSTILE.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let encoded = encoded.concat();
    let browser = Browser::signed_in(&authority, &admin);
    let (id, entry) = (id.as_str().unwrap(), entry.as_str().unwrap());
    let pages = [
        format!("/console/user?issuer={encoded}&subject={encoded}"),
        format!("/console/session?issuer={encoded}&subject={encoded}&id={id}"),
        format!("/console/search?what=session&name={encoded}"),
        format!("/console/search?what=subject&name={encoded}&issuer={encoded}"),
        format!("/console/sessions?ended=yes&subject={encoded}&issuer={encoded}"),
        format!("/console/revocations?issuer={encoded}"),
        format!("/console/revocation?id={entry}"),
        format!("/console/restore?id={entry}"),
        format!("/console/revoke?kind=session&issuer={encoded}&value={encoded}&subject={encoded}"),
        format!("/console/signals?subject={encoded}&issuer={encoded}"),
        "/console/audit".to_owned(),
    ];
    for page in &pages {
        let answer = browser.get(page);
        assert_eq!(answer.status, 200, "{page}: {}", answer.text());
        let text = answer.text();
        assert!(text.contains("&lt;img src=x"), "{page}: {text}");
        assert!(
            !text.contains("<img src=x") && !text.contains("onerror=alert(1)>"),
            "{page}: {text}"
        );
    }
    for page in [
        format!("/console/{encoded}"),
        format!("/console/session?issuer=i&id={encoded}"),
    ] {
        assert!(!browser.get(&page).text().contains("<img src=x"), "{page}");
    }
}

#[test]
fn signals_are_shown_with_their_verdict_and_effect() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    fs::write(directory.path().join("jwks.json"), jwks(&["es256"])).unwrap();
    let of_issuer = signals::issuer(&json!({"jwks_file": "jwks.json"}), &json!({}));
    let file = signals::configure(directory.path(), &[of_issuer], &json!({}));
    let credentials = directory.path().join("credentials");
    let arguments = [
        "--console",
        "--signals",
        &file,
        "--credentials",
        credentials.to_str().unwrap(),
    ];
    let authority = Authority::start_with(directory.path(), &arguments);
    let good = signals::logout("one").claim("sub", HOSTILE).to_string();
    assert_eq!(signals::send(&authority, &good).status, 200);
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{signed}.{other}{}", &signature[1..]);
    assert_eq!(signals::send(&authority, &forged).status, 400);
    let browser = Browser::signed_in(&authority, &admin);
    let page = || browser.get("/console/signals").text();
    until(|| page().contains("signature_invalid"));
    let shown = page();
    assert!(shown.contains(">accepted<"), "{shown}");
    assert!(
        shown.contains("revoked subject") && shown.contains("&lt;img src=x"),
        "{shown}"
    );
    assert!(!shown.contains("<img src=x"), "{shown}");
    let refused = browser.get("/console/signals?refused=yes").text();
    assert!(
        refused.contains("signature_invalid") && !refused.contains(">accepted<"),
        "{refused}"
    );
}
