//! What a search tells of where it has not looked.

use super::*;

#[test]
fn a_search_says_what_it_has_not_looked_at() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "ops");
    let authority = with_console(directory.path()).with_credential(&admin);
    report(&authority, "bob", "t");
    for number in 0..51 {
        report(&authority, "alice", &format!("s{number}"));
        let token = json!({"kind": "token", "issuer": ISSUER, "value": format!("t{number}"),
                           "subject": "alice"});
        assert_eq!(authority.post("/v1/revocations", &token).status, 200);
    }
    let browser = Browser::signed_in(&authority, &admin);
    let found = |query: &str| {
        let page = browser.get(&format!("/console/search?{query}")).text();
        let (_, found) = page.split_once("<h2>Users").unwrap();
        found.to_owned()
    };
    let shown = found("what=subject&name=alice");
    let (sessions, entries) = shown.split_once("<h2>Revocations").unwrap();
    assert!(sessions.contains("There may be more"), "{sessions}");
    assert!(entries.contains("There are more"), "{entries}");
    let shown = found("what=subject&name=bob");
    assert!(!shown.contains("more:"), "{shown}");
    let shown = found("what=session&name=t");
    assert!(
        shown.contains("Looked for at each issuer that the form offers (1)"),
        "{shown}"
    );
    let shown = found(&format!("what=session&name=t&issuer={ISSUER}"));
    assert!(
        !shown.contains("Looked for") && shown.contains("okhttp"),
        "{shown}"
    );
}
