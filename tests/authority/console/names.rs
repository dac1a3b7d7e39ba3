//! Names are exact: what a link says is what is done, to the last blank.

use super::*;

/// Follows the links from the list of sessions to where a user is signed out, and signs that user out.
fn sign_out(browser: &Browser<'_>, form: &str, subject: &str) {
    let follow = |page: &str, attribute: &str, start: &str, expected: &str| {
        let found = addresses(page, attribute, start);
        let is_expected = |address: &&String| {
            let (_, value) = address.rsplit_once('=').unwrap();
            percent_decoded(value) == expected
        };
        let found = found.iter().find(is_expected);
        found.unwrap_or_else(|| panic!("{page}")).clone()
    };
    let list = browser.get("/console/sessions").text();
    let user = follow(&list, "href", "/console/user?", subject);
    let user = browser.get(&user).text();
    let ask = follow(&user, "href", "/console/revoke?", subject);
    let ask = browser.get(&ask).text();
    let revoke = follow(&ask, "action", "/console/revoke?", subject);
    let fields = [("form", form), ("reason", "stolen")];
    location(&browser.post(&revoke, &fields));
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut parts = text.split('%');
    bytes.extend(parts.next().unwrap().bytes());
    for part in parts {
        bytes.push(u8::from_str_radix(&part[..2], 16).unwrap());
        bytes.extend(part[2..].bytes());
    }
    String::from_utf8(bytes).unwrap()
}

#[test]
fn names_that_look_alike_are_told_apart_from_the_link_to_the_revocation() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    let names = [
        "alice",
        "alice ",
        " alice",
        "alice\n",
        "alice\r\n",
        "al\nice",
        "al\rice",
        "ali\0ce",
        "alice\u{a0}",
        "alice\t",
        " ",
        "a&b=c+d%20",
    ];
    for (index, name) in names.iter().enumerate() {
        report(&authority, name, &format!("s{index}"));
    }
    let browser = Browser::signed_in(&authority, &admin);
    let form = browser.form();
    let is_revoked = |name: &str| {
        let check = json!({"issuer": ISSUER, "subject": name, "issued_at": 1_767_225_600});
        authority.post("/v1/check", &check).json()["revoked"] == true
    };
    // Those that look like another one first.
    for last in (0..names.len()).rev() {
        sign_out(&browser, &form, names[last]);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(
                is_revoked(name),
                index >= last,
                "{name:?} {:?}",
                names[last]
            );
        }
    }
}

#[test]
fn blanks_around_what_a_person_types_do_not_count_and_those_of_names_are_seen() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    report(&authority, "alice", "s");
    report(&authority, "bob ", "t");
    let browser = Browser::signed_in(&authority, &admin);
    let typed = browser.get("/console/search?what=subject&name=+alice%0a");
    assert!(typed.text().contains("okhttp"), "{}", typed.text());
    let shown = browser.get("/console/sessions?subject=bob+").text();
    assert!(shown.contains(">bob\\u{20}<"), "{shown}");
    // What the interface refuses is refused here, and is not another name.
    for target in [
        [("kind", "subject"), ("issuer", ISSUER), ("value", "")],
        [("kind", "subject"), ("issuer", ""), ("value", "alice")],
    ] {
        let fields = [("form", &*browser.form()), ("reason", "r")];
        let answer = browser.post(&asked("/console/revoke", &target), &fields);
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    // A target in the body would be one that browsers have changed.
    let target = [("kind", "subject"), ("issuer", ISSUER), ("value", "alice")];
    let fields = [("form", &*browser.form()), ("reason", "r"), target[2]];
    let answer = browser.post(&asked("/console/revoke", &target), &fields);
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn a_query_of_many_fields_is_refused_before_they_are_compared() {
    let directory = directory();
    credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path());
    let browser = Browser::new(&authority);
    let many: Vec<_> = (0..17).map(|number| format!("{number}=")).collect();
    let many = many.join("&");
    let answer = browser.get(&format!("/console/sign-in?{many}"));
    assert_eq!(answer.status, 400);
    assert!(
        answer.text().contains("at most 16 fields"),
        "{}",
        answer.text()
    );
    let fields = vec![("a", ""); 17];
    let answer = browser.post("/console/sign-in", &fields);
    assert!(answer.text().contains("there twice"), "{}", answer.text());
}
