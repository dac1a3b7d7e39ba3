use serde_json::Value;
use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::gate::policy::TokenRequirement;

fn now() -> UnixTime {
    UnixTime::from_seconds(1_767_225_600).unwrap()
}

fn settings() -> RefusalSettings {
    RefusalSettings {
        realm: "api".into(),
        resource_metadata: None,
        login: None,
        is_stripped: false,
    }
}

fn request(path: &str, lines: &[(&str, &str)]) -> Request {
    let fixed = [(":method", "GET"), (":path", path)];
    let lines = fixed.iter().chain(lines);
    let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
    Request::new(lines.map(line).collect())
}

fn answer(reason: Reason, settings: &RefusalSettings, lines: &[(&str, &str)]) -> Rc<Response> {
    response(
        reason.into(),
        settings,
        &request("/x", lines),
        [].into_iter(),
    )
}

/// Made anew, and once more as one that was made before.
fn response<'l>(
    refusal: Refusal<'_>,
    settings: &RefusalSettings,
    request: &Request,
    locations: impl Iterator<Item = &'l Location> + Clone,
) -> Rc<Response> {
    let refusals = Refusals::new(settings.clone());
    let first = refusals.response(refusal, request, locations.clone(), None, None, &now);
    let second = refusals.response(refusal, request, locations, None, None, &now);
    assert_eq!(first, second, "{refusal:?}");
    first
}

fn header<'r>(response: &'r Response, name: &'r str) -> Option<&'r str> {
    let value = response.headers.values(name).next();
    value.map(|value| str::from_utf8(value).unwrap())
}

#[wasm_bindgen_test(unsupported = test)]
fn a_missing_token_gets_a_challenge_without_an_error() {
    let response = answer(Reason::TokenMissing, &settings(), &[]);
    assert_eq!(response.status, 401);
    assert_eq!(
        header(&response, "www-authenticate"),
        Some("Bearer realm=\"api\"")
    );
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(
        header(&response, "content-type"),
        Some("application/problem+json")
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn an_expired_token_is_named_in_challenge_and_problem() {
    let response = answer(Reason::TokenExpired, &settings(), &[]);
    assert_eq!(
        header(&response, "www-authenticate"),
        Some(
            "Bearer realm=\"api\", error=\"invalid_token\", \
             error_description=\"the token has expired\""
        )
    );
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(
        problem,
        json!({
            "type": "about:blank", "title": "Unauthorized", "status": 401,
            "code": "token_expired", "detail": "the token has expired", "action": "refresh",
        })
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn the_challenge_says_whether_the_token_or_the_request_is_at_fault() {
    for (reason, status, error, action) in [
        (Reason::TokenNotYetValid, 401, Some("invalid_token"), "wait"),
        (Reason::AudienceMismatch, 403, Some("invalid_token"), "none"),
        (Reason::TokenAmbiguous, 400, Some("invalid_request"), "none"),
        (Reason::NoRule, 403, None, "none"),
    ] {
        let response = answer(reason, &settings(), &[]);
        let challenge = header(&response, "www-authenticate");
        let told = challenge.map(|text| text.split('"').nth(3).unwrap());
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!((response.status, told), (status, error), "{reason:?}");
        assert_eq!(problem["action"], action, "{reason:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_challenge_tells_the_scopes_and_where_to_ask_for_tokens() {
    let settings = RefusalSettings {
        resource_metadata: Some("https://api.example/.well-known/oauth-protected-resource".into()),
        ..settings()
    };
    let request = request("/x", &[]);
    let requirement = needing_scopes();
    let missing = refused_for(Reason::ScopeMissing, &requirement);
    let response = response(missing, &settings, &request, [].into_iter());
    assert_eq!(response.status, 403);
    assert_eq!(
        header(&response, "www-authenticate"),
        Some(
            "Bearer realm=\"api\", error=\"insufficient_scope\", \
             error_description=\"the token lacks a scope that is needed here\", \
             scope=\"read write\", \
             resource_metadata=\"https://api.example/.well-known/oauth-protected-resource\""
        )
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn only_a_refusal_that_says_what_is_needed_depends_on_what_the_rule_asks_for() {
    let requirement = TokenRequirement {
        sign_in: Some(Box::default()),
        ..needing_scopes()
    };
    let refusals = Refusals::new(settings());
    let request = request("/x", &[]);
    for reason in Reason::ALL {
        let refusal = refused_for(reason, &requirement);
        let with = refusals.response(refusal, &request, [].into_iter(), None, None, &now);
        let without = refusals.response(reason.into(), &request, [].into_iter(), None, None, &now);
        let is_same = Rc::ptr_eq(&with, &without);
        let says_so = matches!(
            reason,
            Reason::ScopeMissing | Reason::AuthenticationTooWeak | Reason::AuthenticationTooOld
        );
        assert_eq!(is_same, !says_so, "{reason:?}");
    }
}

fn needing_scopes() -> TokenRequirement {
    TokenRequirement {
        scopes: Words {
            all_of: vec!["read".into(), "write".into()],
            any_of: Vec::new(),
        },
        ..TokenRequirement::PLAIN
    }
}

const fn refused_for(reason: Reason, requirement: &TokenRequirement) -> Refusal<'_> {
    Refusal {
        reason,
        provider: None,
        requirement: Some(requirement),
        signed_in_by: None,
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn missing_keys_are_the_servers_fault_and_say_when_to_come_back() {
    let response = answer(Reason::KeysUnavailable, &settings(), &[]);
    assert_eq!(response.status, 503);
    assert_eq!(header(&response, "retry-after"), Some("5"));
    assert_eq!(header(&response, "www-authenticate"), None);
    let document: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(document["retry_after"], 5);
}

#[wasm_bindgen_test(unsupported = test)]
fn only_what_passes_by_itself_says_when_to_come_back() {
    for reason in Reason::ALL {
        let response = answer(reason, &settings(), &[]);
        let document: Value = serde_json::from_slice(&response.body).unwrap();
        let passes = response.status == 503;
        assert_eq!(
            header(&response, "retry-after").is_some(),
            passes,
            "{reason:?}"
        );
        assert_eq!(document.get("retry_after").is_some(), passes, "{reason:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stripped_answer_is_a_status_and_nothing_else() {
    let settings = RefusalSettings {
        is_stripped: true,
        ..settings()
    };
    for reason in Reason::ALL {
        let response = answer(reason, &settings, &[]);
        assert_eq!(response.status, reason.problem().status);
        assert!(response.body.is_empty(), "{reason:?}");
        assert_eq!(header(&response, "www-authenticate"), None, "{reason:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn grpc_clients_get_a_grpc_status() {
    for (reason, status) in [
        (Reason::TokenMissing, 16),
        (Reason::AudienceMismatch, 7),
        (Reason::TokenAmbiguous, 3),
        (Reason::KeysUnavailable, 14),
    ] {
        let response = answer(reason, &settings(), &[("content-type", "application/grpc")]);
        assert_eq!(response.grpc_status, Some(status), "{reason:?}");
        assert_eq!(header(&response, "grpc-status"), Some(&*status.to_string()));
        let message = header(&response, "grpc-message").unwrap();
        assert!(message.starts_with(reason.problem().code), "{message}");
        assert_eq!(response.body, b"", "{reason:?}");
    }
}

/// Messages need no encoding: gRPC's are percent-encoded (PROTOCOL-HTTP2, `Status-Message`).
#[wasm_bindgen_test(unsupported = test)]
fn every_problem_can_be_written_into_the_message_of_a_grpc_status() {
    for reason in Reason::ALL {
        let problem = reason.problem();
        let mut bytes = problem.detail.bytes().chain(problem.code.bytes());
        assert!(
            bytes.all(|byte| matches!(byte, b' '..=b'~') && byte != b'%'),
            "{reason:?}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_client_that_asks_for_text_gets_a_line_of_text() {
    let response = answer(
        Reason::TokenMissing,
        &settings(),
        &[("accept", "text/plain")],
    );
    assert_eq!(
        header(&response, "content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.body, b"token_missing: a token is required\n");
}

#[wasm_bindgen_test(unsupported = test)]
fn where_the_token_was_revoked_the_login_page_is_told_to_ask_the_user_again() {
    let mut settings = with_login("/login?a=b");
    let page = [("accept", "text/html")];
    let mut location = |reason, when_revoked: Option<&str>| {
        if let Some(login) = &mut settings.login {
            login.when_revoked = when_revoked.map(str::to_owned);
        }
        let response = answer(reason, &settings, &page);
        header(&response, "location").map(str::to_owned)
    };
    let plain = Some("/login?a=b&return_to=%2Fx".to_owned());
    let asked = Some("/login?a=b&prompt=login&return_to=%2Fx".to_owned());
    for reason in [
        Reason::TokenRevoked,
        Reason::SessionIdle,
        Reason::SessionTooOld,
    ] {
        assert_eq!(location(reason, None), plain, "{reason:?}");
        assert_eq!(location(reason, Some("prompt=login")), asked, "{reason:?}");
    }
    for reason in [Reason::TokenMissing, Reason::TokenExpired] {
        assert_eq!(location(reason, Some("prompt=login")), plain, "{reason:?}");
    }
}

fn with_login(url: &str) -> RefusalSettings {
    RefusalSettings {
        login: Some(Login {
            when_revoked: None,
            url: url.into(),
            parameter: "return_to".into(),
        }),
        ..settings()
    }
}

fn redirect(path: &str) -> String {
    let request = request(path, &[("accept", "text/html")]);
    let locations = [Location::Parameter("token".into())];
    let response = response(
        Reason::TokenMissing.into(),
        &with_login("/login?a=b"),
        &request,
        locations.iter(),
    );
    assert_eq!(response.status, 302);
    header(&response, "location").unwrap().to_owned()
}

#[wasm_bindgen_test(unsupported = test)]
fn browsers_are_sent_to_sign_in_and_back_to_where_they_were() {
    assert_eq!(
        redirect("/a?b=c d&token=secret&x=%41"),
        "/login?a=b&return_to=%2Fa%3Fb%3Dc%20d%26x%3D%2541"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn the_way_back_never_leads_to_another_site() {
    for path in [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example/",
        "evil.example",
        "/\t/evil.example",
        "/.//evil.example",
        "/x/..//evil.example",
        "/%2e//evil.example",
        "/..;//evil.example",
        "/%2f/evil.example",
        "/a\\b",
        "",
    ] {
        assert_eq!(redirect(path), "/login?a=b&return_to=%2F", "{path}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn only_page_loads_that_have_to_sign_in_are_redirected() {
    let settings = with_login("/login");
    for (reason, lines) in [
        (Reason::TokenMissing, &[("accept", "application/json")][..]),
        (Reason::ScopeMissing, &[("accept", "text/html")]),
        (Reason::KeysUnavailable, &[("accept", "text/html")]),
        (
            Reason::TokenMissing,
            &[("accept", "text/html"), ("sec-fetch-mode", "cors")],
        ),
    ] {
        let response = answer(reason, &settings, lines);
        assert_eq!(header(&response, "location"), None, "{reason:?} {lines:?}");
    }
}

#[cfg(not(target_family = "wasm"))]
const README: &str = include_str!("../../../README.md");

/// The answers that the README shows are those that are given.
#[cfg(not(target_family = "wasm"))]
#[test]
fn the_refusals_that_the_readme_shows_are_given() {
    let settings = RefusalSettings {
        realm: "portcullis".into(),
        ..settings()
    };
    let given = Reason::ALL.map(|reason| answer(reason, &settings, &[]));
    let bodies = README
        .lines()
        .filter(|line| line.starts_with("{\"action\":"));
    let challenge = |line: &'static str| line.strip_prefix("www-authenticate: ");
    let challenges = README.lines().filter_map(challenge);
    let mut count = 0;
    for body in bodies {
        assert!(given.iter().any(|it| it.body == body.as_bytes()), "{body}");
        count += 1;
    }
    for challenge in challenges {
        let is_it = |it: &Rc<Response>| header(it, "www-authenticate") == Some(challenge);
        assert!(given.iter().any(is_it), "{challenge}");
        count += 1;
    }
    assert_eq!(count, 4);
}

/// Every code with its status and what to do about it.
#[cfg(not(target_family = "wasm"))]
#[test]
fn the_documents_list_exactly_the_codes_of_refusals() {
    use std::collections::BTreeMap;

    let document = include_str!("../../../envoy/operations.md");
    let (_, table) = document.split_once("| code | status |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut listed = BTreeMap::new();
    for row in table.lines().skip(2) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let what = [
            "sign in",
            "have the user",
            "refresh the token",
            "wait",
            "try again",
            "make a new proof",
        ];
        let what = what.into_iter().find(|what| cells[3].starts_with(what));
        for code in cells[1].split(", ").map(|code| code.trim_matches('`')) {
            listed.insert(code, (cells[2].parse().unwrap(), what));
        }
    }
    let given = Reason::ALL.map(Reason::problem).map(|problem| {
        let what = match problem.action {
            Action::SignIn => Some("sign in"),
            Action::StepUp => Some("have the user"),
            Action::Refresh => Some("refresh the token"),
            Action::Retry => Some("make a new proof"),
            Action::Wait if problem.code == "host_fault" => Some("try again"),
            Action::Wait => Some("wait"),
            Action::None => None,
        };
        (problem.code, (problem.status, what))
    });
    assert_eq!(listed, BTreeMap::from(given));
}
