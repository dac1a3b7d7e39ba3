//! Signing out where a browser sends the token in a cookie.

use super::*;

fn from_own_page() -> MockHost {
    with_cookie("POST", SIGN_OUT).with_header("sec-fetch-site", "same-origin")
}

fn form(request: MockHost) -> MockHost {
    request
        .with_header("accept", "text/html,*/*;q=0.8")
        .with_header("sec-fetch-mode", "navigate")
        .with_header("sec-fetch-dest", "document")
}

fn redirecting() -> Fixture {
    Fixture::with_routes(|configuration| {
        configuration["sign_out"] = json!({
            "path": SIGN_OUT,
            "origins": ["https://app.example"],
            "end_session_redirect": "https://idp.example/logout?client_id=app",
        });
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn the_browser_forgets_its_cookies_and_storage() {
    let edge = Fixture::ordinary();
    let (outcome, response) = edge.served(from_own_page());
    assert_eq!((outcome, response.status), (served(Service::SignOut), 204));
    assert_eq!(
        header(&response, "clear-site-data"),
        Some("\"cookies\", \"storage\"")
    );
    let expired = "token=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
    assert_eq!(header(&response, "set-cookie"), Some(expired));
}

#[wasm_bindgen_test(unsupported = test)]
fn other_sessions_leave_the_browser_its_cookies() {
    let edge = redirecting();
    let target = format!("{SIGN_OUT}?scope=others");
    let request = with_cookie("POST", &target).with_header("sec-fetch-site", "same-origin");
    let (outcome, response) = edge.served(form(request));
    assert_eq!(
        (outcome, response.status),
        (served(Service::SignOutOthers), 204)
    );
    assert_eq!(header(&response, "clear-site-data"), None);
    assert_eq!(header(&response, "set-cookie"), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_form_of_another_site_signs_nobody_out() {
    let edge = redirecting();
    let cross_site =
        |name: &str, value: &str| with_cookie("POST", SIGN_OUT).with_header(name, value);
    for request in [
        with_cookie("POST", SIGN_OUT),
        form(cross_site("sec-fetch-site", "cross-site")),
        cross_site("origin", "https://evil.example"),
        cross_site("origin", "null"),
        bearing(
            "DELETE",
            &format!("/session/devices/{}", "0".repeat(32)),
            &claims(),
        )
        .without_header("authorization")
        .with_header("cookie", format!("token={}", token(&es256(), &claims()))),
    ] {
        let (reason, response) = edge.refused(request);
        assert_eq!(reason, Reason::CrossSite);
        assert_eq!((response.status, &*code(&response)), (403, "cross_site"));
    }
    for request in [
        cross_site("origin", "https://app.example"),
        cross_site("x-requested-with", "XMLHttpRequest"),
    ] {
        let other = Fixture::with_routes(|configuration| {
            configuration["sign_out"]["origins"] = json!(["https://app.example"]);
        });
        assert_eq!(other.served(request).1.status, 204);
    }
}

/// No page can set the `Authorization` header of a request to another site.
#[wasm_bindgen_test(unsupported = test)]
fn a_token_in_a_header_says_that_a_page_of_the_site_has_sent_it() {
    let edge = Fixture::ordinary();
    let text = token(&es256(), &claims());
    let both = with_cookie("POST", SIGN_OUT).with_header("authorization", format!("Bearer {text}"));
    let (_, response) = edge.served(both.with_header("sec-fetch-site", "cross-site"));
    assert_eq!(response.status, 204);
    assert!(
        header(&response, "set-cookie").is_some(),
        "the cookie has the token too"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_that_sends_a_form_is_sent_on_and_a_script_is_not() {
    for (request, status) in [
        (form(from_own_page()), 303),
        (from_own_page().with_header("accept", "*/*"), 204),
        (
            form(from_own_page()).with_header("content-type", "application/grpc"),
            200,
        ),
    ] {
        let edge = redirecting();
        let (_, response) = edge.served(request);
        assert_eq!(response.status, status);
        let location = (status == 303).then_some("https://idp.example/logout?client_id=app");
        assert_eq!(header(&response, "location"), location);
        assert!(header(&response, "set-cookie").is_some());
    }
    let (_, response) = Fixture::ordinary().served(form(from_own_page()));
    assert_eq!(response.status, 204);
}
