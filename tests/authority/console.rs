//! The console: who comes in, what a form needs, what a viewer may do, and what is told of a pasted token.

use std::fs;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::access::warnings;
use super::certificate::make_certificate;
use super::keys::jwks;
use super::process::{Answer, Authority, ISSUER, binary, credential, directory, serve, until};
use super::signals;

mod deeds;
mod names;
mod pages;
mod search;
mod visits;

/// Pages that show something, with what they have to be asked.
const PAGES: [&str; 9] = [
    "/console",
    "/console/live",
    "/console/search",
    "/console/user?issuer=i&subject=s",
    "/console/sessions",
    "/console/revocations",
    "/console/signals",
    "/console/edges",
    "/console/audit",
];

const HOSTILE: &str = "<img src=x onerror=alert(1)>\"'&</script>\u{202e}";

/// A browser, as far as the server can tell.
struct Browser<'a> {
    authority: &'a Authority,
    agent: ureq::Agent,
    cookie: String,
}

fn with_console(directory: &Path) -> Authority {
    let file = directory.join("credentials");
    let arguments = ["--console", "--credentials", file.to_str().unwrap()];
    Authority::start_with(directory, &arguments)
}

impl<'a> Browser<'a> {
    fn new(authority: &'a Authority) -> Self {
        let any_certificate = ureq::tls::TlsConfig::builder().disable_verification(true);
        let config = ureq::Agent::config_builder()
            .tls_config(any_certificate.build())
            .http_status_as_error(false)
            .max_redirects(0);
        Self {
            authority,
            agent: config.build().into(),
            cookie: String::new(),
        }
    }

    /// One that has signed in.
    fn signed_in(authority: &'a Authority, secret: &str) -> Self {
        let mut browser = Self::new(authority);
        let answer = browser.post("/console/sign-in", &[("credential", secret)]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        browser.cookie = cookie_of(&answer);
        browser
    }

    fn get(&self, path: &str) -> Answer {
        let request = self.agent.get(format!("{}{path}", self.authority.url));
        Answer::of(request.header("cookie", &self.cookie).call())
    }

    fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.post_with(
            path,
            fields,
            &[("sec-fetch-site", "same-origin"), ("origin", "null")],
        )
    }

    fn post_with(&self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> Answer {
        let request = self.agent.post(format!("{}{path}", self.authority.url));
        let request = request.header("cookie", &self.cookie);
        let headers = headers.iter();
        let request = headers.fold(request, |it, (name, value)| it.header(*name, *value));
        Answer::of(request.send_form(fields.iter().copied()))
    }

    /// What the forms of this visit carry.
    fn form(&self) -> String {
        let page = self.get("/console/search").text();
        let (_, rest) = page.split_once(r#"name="form" value=""#).unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// Ends the session `s` of Alice.
    fn end_session(&self, form: &str, headers: &[(&str, &str)]) -> Answer {
        let target = [
            ("kind", "session"),
            ("issuer", ISSUER),
            ("value", "s"),
            ("subject", "alice"),
        ];
        let fields = [("form", form), ("reason", "lost <phone>")];
        self.post_with(&asked("/console/revoke", &target), &fields, headers)
    }
}

/// A path with what is asked of it.
fn asked(path: &str, fields: &[(&str, &str)]) -> String {
    let escaped = |value: &str| -> String {
        let bytes = value.bytes().map(|byte| format!("%{byte:02x}"));
        bytes.collect::<Vec<_>>().concat()
    };
    let fields = fields.iter();
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}={}", escaped(value)))
        .collect();
    format!("{path}?{}", fields.join("&"))
}

/// The addresses in a page that begin like this, as a browser reads them.
fn addresses(page: &str, attribute: &str, start: &str) -> Vec<String> {
    let start_of_one = format!("{attribute}=\"{start}");
    let parts = page.split(&start_of_one);
    let ends = parts.skip(1).map(|part| part.split('"').next().unwrap());
    ends.map(|end| format!("{start}{}", end.replace("&amp;", "&")))
        .collect()
}

/// The pair that a browser sends back.
fn cookie_of(answer: &Answer) -> String {
    let set = answer.headers["set-cookie"].to_str().unwrap();
    set.split(';').next().unwrap().to_owned()
}

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.headers["location"].to_str().unwrap()
}

/// A session that an edge has seen.
fn report(authority: &Authority, subject: &str, sid: &str) {
    let report = json!({
        "issuer": ISSUER, "subject": subject, "sid": sid, "client": "app", "device": "phone",
        "issued_at": 1_767_225_600, "first_seen_ago": 5_000, "last_seen_ago": 1_000, "requests": 3,
        "sightings": [{"network": "203.0.113.0/24", "user_agent": "okhttp", "requests": 3,
                       "last_seen_ago": 1_000}],
    });
    let answer = authority.post("/v1/activity", &json!({"version": 1, "reports": [report]}));
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// A token that no key has signed.
fn token(claims: &Value) -> String {
    let [header, claims] = [json!({"alg": "RS256"}), claims.clone()]
        .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg")
}
