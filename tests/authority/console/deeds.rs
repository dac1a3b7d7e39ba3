//! What was done, as pages tell it: of the entry as it is, with what makes it doubtful, and never left out.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;

/// Revokes, and returns the address of the page after it.
fn revoke(browser: &Browser<'_>, form: &str, target: &[(&str, &str)], reason: &str) -> String {
    let fields = [("form", form), ("reason", reason)];
    location(&browser.post(&asked("/console/revoke", target), &fields)).to_owned()
}

/// The id in such an address.
fn id_of(address: &str) -> &str {
    let (_, rest) = address.split_once("id=").unwrap();
    rest.split('&').next().unwrap()
}

const SESSION: [(&str, &str); 4] = [
    ("kind", "session"),
    ("issuer", ISSUER),
    ("value", "s"),
    ("subject", "alice"),
];

#[test]
fn restoring_is_refused_where_the_entry_has_changed_since_it_was_shown() {
    let directory = directory();
    let [anna, bob] = ["anna", "bob"].map(|name| credential(directory.path(), "admin", name));
    let authority = with_console(directory.path()).with_credential(&anna);
    let browser = Browser::signed_in(&authority, &anna);
    let other = Browser::signed_in(&authority, &bob);
    let entry = revoke(&browser, &browser.form(), &SESSION, "lost phone");
    let page = browser.get(&format!("/console/restore?id={}", id_of(&entry)));
    let restore = |page: &str| {
        let [action] = &*addresses(page, "action", "/console/restore?") else {
            panic!("{page}")
        };
        let fields = [("form", &*browser.form()), ("reason", "found it")];
        browser.post(action, &fields)
    };
    // A second later, it is kept for longer, which its history has.
    let form = other.form();
    let warning = "COMPROMISED, do not restore";
    until(|| {
        revoke(&other, &form, &SESSION, warning);
        browser.get(&entry).text().contains(warning)
    });
    let refused = restore(&page.text());
    assert_eq!(refused.status, 409, "{}", refused.text());
    let refused = refused.text();
    for shown in ["nothing was restored", warning, "bob"] {
        assert!(refused.contains(shown), "{shown}: {refused}");
    }
    assert!(authority.is_session_revoked("s"));
    // Now it was seen.
    assert!(location(&restore(&refused)).contains("done=restored"));
    assert!(!authority.is_session_revoked("s"));
    // Without what was seen, nothing is restored either.
    let entry = revoke(&browser, &browser.form(), &SESSION, "once more");
    let fields = [("form", &*browser.form()), ("reason", "r")];
    let blind = format!("/console/restore?id={}", id_of(&entry));
    assert_eq!(browser.post(&blind, &fields).status, 400);
    assert!(authority.is_session_revoked("s"));
}

#[test]
fn a_page_says_what_was_done_only_where_the_entry_is_so() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    let entry = revoke(&browser, &browser.form(), &SESSION, "r");
    let id = id_of(&entry);
    let told = |done: &str| {
        let page = browser.get(&format!("/console/revocation?id={id}&done={done}"));
        page.text().contains("role=\"status\"")
    };
    let all = ["revoked", "already", "restored", "withdrawn", "x"];
    assert_eq!(all.map(told), [true, true, false, false, false]);
    let request = json!({"kind": "session", "issuer": ISSUER, "value": "s"});
    assert_eq!(authority.post("/v1/restorations", &request).status, 200);
    assert_eq!(all.map(told), [false, false, true, false, false]);
}

#[test]
fn a_deed_is_in_the_audit_log_even_if_its_browser_hangs_up() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    // An edge that lacks the change, so that the answer waits.
    let manifest = authority.get("/v1/edges").json();
    let poll = format!(
        "/v1/feed/deltas?epoch={}&after={}&wait=0",
        manifest["epoch"], manifest["sequence"]
    );
    authority.get_with(&poll, &[("portcullis-edge", "1 0.1.0 77 100 0 edge-1")]);
    let body = format!("form={}&reason=r", browser.form());
    let host = authority.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(host).unwrap();
    let request = format!(
        "POST {} HTTP/1.1\r\nhost: {host}\r\nsec-fetch-site: same-origin\r\ncookie: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        asked("/console/revoke", &SESSION),
        browser.cookie,
        body.len(),
    );
    connection.write_all(request.as_bytes()).unwrap();
    until(|| authority.is_session_revoked("s"));
    let brief = Some(Duration::from_millis(10));
    connection.set_read_timeout(brief).unwrap();
    let answered = connection.read(&mut [0; 16]).is_ok();
    assert!(!answered, "there is an edge to wait for");
    connection.shutdown(Shutdown::Both).unwrap();
    drop(connection);
    until(|| {
        let page = browser.get("/console/audit").text();
        let (_, deeds) = page.split_once("In this console").unwrap();
        deeds.contains("revoked <a href=\"/console/revocation?id=")
    });
    assert!(authority.log().contains("\"action\":\"revoked\""));
}

#[test]
fn a_cut_off_by_a_clock_that_edges_doubt_comes_with_a_warning() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let ahead = now.as_millis() + 600_000;
    let poll = format!("/v1/feed/deltas?epoch=0&after=0&wait=0&time={ahead}");
    assert_eq!(authority.get(&poll).status, 410);
    let subject = [("kind", "subject"), ("issuer", ISSUER), ("value", "alice")];
    let warns = |address: &str| browser.get(address).text().contains("seconds ahead of");
    until(|| warns(&asked("/console/revoke", &subject)));
    let form = browser.form();
    assert!(warns(&revoke(&browser, &form, &subject, "stolen")));
    // A session has no instant that a clock could get wrong.
    assert!(!warns(&asked("/console/revoke", &SESSION)));
    assert!(!warns(&revoke(&browser, &form, &SESSION, "stolen")));
}

#[test]
fn an_issuer_that_nothing_is_known_of_is_doubted_before_it_is_revoked_at() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    let ask = |issuer: &str| {
        let target = [("kind", "subject"), ("issuer", issuer), ("value", "alice")];
        browser.get(&asked("/console/revoke", &target)).text()
    };
    assert!(ask(ISSUER).contains("was ever revoked here"));
    report(&authority, "alice", "s");
    until(|| !ask(ISSUER).contains("was ever revoked here"));
    authority.revoke("session", "t");
    let slip = format!("{ISSUER}/");
    let page = ask(&slip);
    assert!(page.contains("was ever revoked here"), "{page}");
    let (_, hint) = page.split_once("Did you mean").unwrap();
    let [link, ..] = &*addresses(hint, "href", "/console/revoke?") else {
        panic!("{page}")
    };
    let meant = browser.get(link).text();
    assert!(
        meant.contains("Sign out everywhere") && !meant.contains("was ever revoked here"),
        "{meant}"
    );
}

#[test]
fn a_cut_off_is_told_of_however_much_else_of_the_user_was_revoked() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let browser = Browser::signed_in(&authority, &admin);
    let own =
        json!({"kind": "subject", "issuer": ISSUER, "value": "alice", "reason": "stolen laptop"});
    assert_eq!(authority.post("/v1/revocations", &own).status, 200);
    for number in 0..120 {
        let token = json!({"kind": "token", "issuer": ISSUER, "value": format!("t{number}"),
                           "subject": "alice"});
        assert_eq!(authority.post("/v1/revocations", &token).status, 200);
    }
    let mut next = Some(format!("/console/user?issuer={ISSUER}&subject=alice"));
    let mut pages = 0;
    while let Some(address) = next {
        let page = browser.get(&address).text();
        let (banner, _) = page.split_once("<h2>Sessions").unwrap();
        assert!(
            banner.contains("are refused") && banner.contains("stolen laptop"),
            "{page}"
        );
        let more = addresses(&page, "href", "/console/user?");
        next = more.into_iter().find(|link| link.contains("cursor="));
        pages += 1;
    }
    assert_eq!(pages, 3);
}

#[test]
fn every_line_of_the_console_can_be_read() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let viewer = credential(directory.path(), "viewer", "support");
    let authority = with_console(directory.path());
    let stranger = Browser::new(&authority);
    stranger.post("/console/sign-in", &[("credential", "x")]);
    Browser::signed_in(&authority, &viewer);
    let browsers: Vec<_> = (0..50)
        .map(|_| Browser::signed_in(&authority, &admin))
        .collect();
    let browser = browsers.last().unwrap();
    let page = browser.get("/console/audit").text();
    let (_, lines) = page.split_once("In this console").unwrap();
    let (deeds, refusals) = lines.split_once("Refused sign-ins").unwrap();
    assert_eq!(deeds.matches("<tr>").count(), 1 + 50, "{page}");
    assert!(
        !deeds.contains("support") && !deeds.contains("refused"),
        "{page}"
    );
    assert!(refusals.contains("was refused at the console"), "{page}");
    let [more] = &*addresses(deeds, "href", "/console/audit?before=") else {
        panic!("{deeds}")
    };
    let page = browser.get(more).text();
    let (_, lines) = page.split_once("In this console").unwrap();
    assert!(lines.contains("support"), "{page}");
    assert!(!lines.contains("/console/audit?before="), "{page}");
}
