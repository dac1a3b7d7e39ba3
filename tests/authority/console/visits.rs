//! Coming in, and what keeps others out.

use super::*;

#[test]
fn without_the_option_there_is_no_console() {
    let directory = directory();
    credential(directory.path(), "admin", "alice");
    let authority = super::super::access::guarded(directory.path());
    for path in [
        "/console",
        "/console/sign-in",
        "/console/style.css",
        "/console/x",
    ] {
        assert_eq!(authority.get(path).status, 404, "{path}");
    }
}

#[test]
fn it_is_not_served_to_everyone_nor_in_the_open() {
    let directory = directory();
    credential(directory.path(), "admin", "alice");
    let file = directory.path().join("credentials");
    let file = file.to_str().unwrap();
    let refusal = |listen: &str, more: &[&str]| {
        let mut arguments = serve(directory.path());
        let own = arguments.iter().position(|text| text == "127.0.0.1:0");
        arguments[own.unwrap()] = listen.to_owned();
        let output = Command::new(binary())
            .args(&arguments)
            .arg("--console")
            .args(more)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    let open = ["--credentials", file, "--allow-insecure-listen"];
    let said = refusal("0.0.0.0:0", &open);
    assert!(
        said.contains("refused to serve the console on 0.0.0.0:0"),
        "{said}"
    );
    let said = refusal("127.0.0.1:0", &[]);
    assert!(said.contains("--credentials"), "{said}");
}

#[test]
fn a_stranger_is_led_to_where_one_signs_in() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path());
    let mut browser = Browser::new(&authority);
    for cookie in [
        "",
        "portcullis-console=",
        "portcullis-console=AAAA",
        "portcullis-console",
    ] {
        browser.cookie = cookie.to_owned();
        for page in PAGES {
            let answer = browser.get(page);
            assert!(
                location(&answer).starts_with("/console/sign-in"),
                "{page} {cookie}"
            );
        }
        // A form that was filled in is not done, and that is said.
        for (path, next) in [
            ("/console/revoke?kind=session&issuer=i&value=a%20", true),
            ("/console/restore?id=x&seen=y", true),
            ("/console/token", false),
        ] {
            let answer = browser.post(path, &[("reason", "r")]);
            assert_eq!(answer.status, 401, "{path}");
            let page = answer.text();
            assert!(page.contains("nothing was done"), "{page}");
            let asked = path.replace('&', "&amp;");
            let asked = format!("name=\"next\" value=\"{asked}\"");
            assert_eq!(page.contains(&asked), next, "{page}");
        }
        let left = browser.post("/console/sign-out", &[]);
        assert_eq!(location(&left), "/console/sign-in");
    }
    let asked = browser.get("/console/user?issuer=i&subject=a%26b");
    let next = "/console/user?issuer=i&subject=a%26b";
    assert_eq!(
        location(&asked),
        "/console/sign-in?next=%2Fconsole%2Fuser%3Fissuer%3Di%26subject%3Da%2526b"
    );
    let fields = [("credential", &*admin), ("next", next)];
    assert_eq!(location(&browser.post("/console/sign-in", &fields)), next);
    let fields = [("credential", &*admin), ("next", "//evil.example")];
    assert_eq!(
        location(&browser.post("/console/sign-in", &fields)),
        "/console"
    );
    // A credential in a header is for programs.
    let authority = authority.with_credential(&admin);
    let shown = authority.get("/console/search");
    assert!(
        shown.text().contains("name=\"credential\""),
        "{}",
        shown.text()
    );
}

#[test]
fn only_credentials_of_people_sign_in_and_the_cookie_is_for_this_server_alone() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let viewer = credential(directory.path(), "viewer", "bob");
    let edge = credential(directory.path(), "edge", "envoys");
    let scrape = credential(directory.path(), "scrape", "prometheus");
    let authority = with_console(directory.path());
    let mut browser = Browser::new(&authority);
    for wrong in ["", "x", &edge, &scrape, &admin[1..]] {
        let answer = browser.post("/console/sign-in", &[("credential", wrong)]);
        assert_eq!(answer.status, 401, "{}", answer.text());
        assert!(!answer.headers.contains_key("set-cookie"));
        assert!(wrong.is_empty() || wrong == "x" || !answer.text().contains(wrong));
    }
    let mut cookies = Vec::new();
    for secret in [&admin, &viewer] {
        let answer = browser.post(
            "/console/sign-in",
            &[("credential", &format!(" {secret}\n"))],
        );
        let set = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        let (pair, attributes) = set.split_once("; ").unwrap();
        assert_eq!(attributes, "Path=/console; HttpOnly; SameSite=Strict");
        assert!(pair.starts_with("portcullis-console="), "{pair}");
        cookies.push(pair.to_owned());
    }
    browser.cookie = cookies.join("; ");
    assert_eq!(browser.get("/console").status, 303, "two visits at once");
    browser.cookie = format!("a=b; {}; c=d", cookies[0]);
    assert_eq!(browser.get("/console").status, 200);
    let form = browser.form();
    let left = browser.post("/console/sign-out", &[("form", &form)]);
    assert_eq!(location(&left), "/console/sign-in");
    assert!(
        left.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(browser.get("/console").status, 303);
    let log = authority.log();
    for secret in [&admin, &viewer, &edge, &scrape] {
        assert!(!log.contains(secret.as_str()), "{log}");
    }
    for cookie in &cookies {
        assert!(!log.contains(cookie.split_once('=').unwrap().1), "{log}");
    }
}

#[test]
fn over_tls_the_cookie_never_goes_over_anything_else() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let (certificate, key) = make_certificate(directory.path());
    let file = directory.path().join("credentials");
    let arguments = [
        "--console",
        "--credentials",
        file.to_str().unwrap(),
        "--tls-certificate",
        &certificate,
        "--tls-key",
        &key,
    ];
    let authority = Authority::start_with(directory.path(), &arguments);
    let browser = Browser::new(&authority);
    let fields = [("credential", &*admin)];
    let answer = browser.post("/console/sign-in", &fields);
    let set = answer.headers["set-cookie"].to_str().unwrap();
    let (pair, attributes) = set.split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-portcullis="), "{pair}");
    assert_eq!(attributes, "Path=/; Secure; HttpOnly; SameSite=Strict");
    let own = [("origin", &*authority.url)];
    assert_eq!(
        browser.post_with("/console/sign-in", &fields, &own).status,
        303
    );
    let plain = authority.url.replace("https", "http");
    let other = [("origin", &*plain)];
    assert_eq!(
        browser
            .post_with("/console/sign-in", &fields, &other)
            .status,
        403
    );
}

#[test]
fn signing_in_may_fail_only_so_often() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path());
    let browser = Browser::new(&authority);
    let attempt = |secret: &str| browser.post("/console/sign-in", &[("credential", secret)]);
    for _ in 0..10 {
        assert_eq!(attempt("portcullis_wrong").status, 401);
    }
    let answer = attempt("portcullis_wrong");
    assert_eq!(answer.status, 429, "{}", answer.text());
    let wait = answer.headers["retry-after"].to_str().unwrap();
    let wait: u64 = wait.parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // People who share an address with someone who guesses are not kept out.
    assert_eq!(attempt(&admin).status, 303);
    assert_eq!(attempt("portcullis_wrong").status, 429);
    until(|| warnings(&authority, "refused a caller").len() == 1);
    let [line] = &*warnings(&authority, "refused a caller") else {
        panic!("one line")
    };
    assert_eq!(
        (&line["code"], &line["route"]),
        (&"too_many_attempts".into(), &"/console/sign-in".into())
    );
    assert!(!authority.log().contains("portcullis_wrong"));
}

#[test]
fn a_visit_ends_with_its_credential() {
    let directory = directory();
    let first = credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path());
    let browser = Browser::signed_in(&authority, &first);
    assert_eq!(browser.get("/console").status, 200);
    let file = directory.path().join("credentials");
    let hash = fs::read_to_string(&file).unwrap();
    // A viewer from one second to the next, and then no one.
    fs::write(&file, hash.replace("admin", "viewer")).unwrap();
    until(|| {
        browser
            .get("/console/revoke?kind=subject&issuer=i&value=v")
            .status
            == 403
    });
    assert_eq!(browser.get("/console").status, 200);
    fs::write(&file, "").unwrap();
    credential(directory.path(), "admin", "carol");
    until(|| browser.get("/console").status == 303);
    fs::write(&file, &hash).unwrap();
    // Not by signing in, which may fail only so often.
    let is_known = || {
        let request = browser.agent.get(format!("{}/v1/stats", authority.url));
        let request = request.header("authorization", format!("Bearer {first}"));
        Answer::of(request.call()).status == 200
    };
    until(is_known);
    assert_eq!(
        browser.get("/console").status,
        303,
        "the visit does not come back"
    );
}

#[test]
fn a_form_has_to_come_from_a_page_of_the_same_visit() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path()).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    let other = Browser::signed_in(&authority, &admin);
    let (form, others_form) = (browser.form(), other.form());
    assert_ne!(form, others_form);
    let own = [("sec-fetch-site", "same-origin"), ("origin", "null")];
    for wrong in [
        "",
        "0",
        &others_form,
        &form[2..],
        &form.to_uppercase().replace('A', "B"),
    ] {
        let answer = browser.end_session(wrong, &own);
        assert_eq!(answer.status, 403, "{wrong} {}", answer.text());
        assert!(answer.text().contains("form_refused"), "{}", answer.text());
    }
    let url = authority.url.clone();
    for headers in [
        &[][..],
        &[
            ("sec-fetch-site", "cross-site"),
            ("origin", "https://evil.example"),
        ],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", &url)],
        &[
            ("sec-fetch-site", "same-origin"),
            ("origin", "https://evil.example"),
        ],
        &[
            ("sec-fetch-site", "same-origin"),
            ("host", "evil.example"),
            ("origin", "null"),
        ],
    ] {
        let status = browser.end_session(&form, headers).status;
        assert!([403, 421].contains(&status), "{headers:?}: {status}");
        let secret = [("credential", &*admin)];
        let status = browser
            .post_with("/console/sign-in", &secret, headers)
            .status;
        assert!([403, 421].contains(&status), "{headers:?}: {status}");
    }
    assert!(!authority.is_session_revoked("s"));
    for headers in [&own[..], &[("origin", &*url)]] {
        assert_eq!(browser.end_session(&form, headers).status, 303);
    }
    assert!(authority.is_session_revoked("s"));
}

#[test]
fn what_is_refused_before_it_comes_to_a_page_has_the_same_headers() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "alice");
    let authority = with_console(directory.path());
    let browser = Browser::signed_in(&authority, &admin);
    let answers = [
        (405, browser.get("/console/token")),
        (405, browser.get("/console/sign-out")),
        (405, browser.post("/console/audit", &[])),
        (405, browser.post("/console/style.css", &[])),
        (400, browser.get("/console?a=%zz")),
        (400, browser.get("/console/%ff")),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status, "{}", answer.text());
        for (name, value) in [
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
        ] {
            assert_eq!(answer.headers[name], value, "{}", answer.text());
        }
        let policy = answer.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
    }
    let elsewhere = authority.get("/consolex");
    assert!(!elsewhere.headers.contains_key("x-frame-options"));
}
