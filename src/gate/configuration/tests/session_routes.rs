//! The routes that the gate serves itself.

use super::*;
use crate::gate::session_routes::SignOutRoute;

fn sign_out(written: Value) -> SignOutRoute {
    let configured = read_value(&with(&["sign_out"], written)).unwrap();
    configured.policy.session_routes.unwrap().sign_out.unwrap()
}

fn faults_of(key: &'static str, written: Value) -> Vec<String> {
    faults(&with(&[key], written))
}

#[wasm_bindgen_test(unsupported = test)]
fn signing_out_takes_a_post_for_every_scope_by_default() {
    let route = sign_out(json!({"path": "/out"}));
    assert_eq!(route.methods, ["POST"]);
    assert!(route.others && route.everywhere && route.at.origins.is_empty());
    assert_eq!(route.end_session_redirect, None);
    let route = sign_out(json!({"path": "/out", "methods": "DELETE", "others": false}));
    assert_eq!(route.methods, ["DELETE"]);
    assert!(!route.others && route.everywhere);
}

#[wasm_bindgen_test(unsupported = test)]
fn without_an_authority_there_is_nobody_to_end_a_session() {
    for key in ["sign_out", "sessions"] {
        let mut configuration = without_revocation(complete());
        configuration[key] = json!({"path": "/out"});
        let expected =
            format!("{key}: expected `revocation` beside it, whose authority ends sessions");
        assert_eq!(faults(&configuration), [expected]);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_path_can_be_read_in_one_way_only() {
    for path in [
        "", "out", "/", "/out/", "/a//b", "/a/../b", "/out?x", "/out#", "/o%75t", "/a b", "/out;a",
    ] {
        for key in ["sign_out", "sessions"] {
            let faults = faults_of(key, json!({ "path": path }));
            assert_eq!(faults.len(), 1, "{path}: {faults:?}");
            assert!(
                faults[0].starts_with(&format!("{key}.path: ")),
                "{faults:?}"
            );
        }
    }
    let path = complete()["sessions"]["path"].as_str().unwrap().to_owned();
    for below in [path.clone(), format!("{path}/out")] {
        let expected =
            "sign_out.path: expected a path that is neither `sessions.path` nor below it";
        assert_eq!(faults_of("sign_out", json!({ "path": below })), [expected]);
    }
    sign_out(json!({"path": format!("{path}-out")}));
}

#[wasm_bindgen_test(unsupported = test)]
fn origins_are_written_as_browsers_send_them() {
    let origins = [
        "https://app.example",
        "http://localhost:3000",
        "https://[::1]:8443",
    ];
    let route = sign_out(json!({"path": "/out", "origins": origins}));
    assert_eq!(route.at.origins, origins);
    for origin in [
        "*",
        "null",
        "app.example",
        "https://",
        "https://app.example/",
        "https://app.example/x",
        "https://App.example",
        "https://*.example",
        "HTTPS://app.example",
        "https://user@app.example",
    ] {
        for key in ["sign_out", "sessions"] {
            let faults = faults_of(key, json!({"path": "/out", "origins": [origin]}));
            assert_eq!(faults.len(), 1, "{origin}: {faults:?}");
            let expected = format!("{key}.origins[0]: expected an origin");
            assert!(faults[0].starts_with(&expected), "{faults:?}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_is_sent_on_to_a_page_with_tls_or_of_the_same_host() {
    for url in ["https://idp.example/logout?client_id=app", "/signed-out"] {
        let route = sign_out(json!({"path": "/out", "end_session_redirect": url}));
        assert_eq!(route.end_session_redirect.as_deref(), Some(url));
    }
    for url in [
        "http://idp.example",
        "//idp.example",
        "javascript:x",
        "https://x/#a",
        "",
    ] {
        let faults = faults_of(
            "sign_out",
            json!({"path": "/out", "end_session_redirect": url}),
        );
        assert_eq!(faults.len(), 1, "{url}: {faults:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn nothing_that_is_written_counts_as_absent() {
    for written in [json!(null), json!({}), json!({"path": null})] {
        for key in ["sign_out", "sessions"] {
            assert!(
                !faults_of(key, written.clone()).is_empty(),
                "{key}: {written}"
            );
        }
    }
    for (member, value) in [
        ("methods", json!([])),
        ("methods", json!(["GET"])),
        ("methods", json!(["post"])),
        ("origins", json!(null)),
        ("others", json!(null)),
        ("end_session_redirect", json!(null)),
    ] {
        let mut written = json!({"path": "/out"});
        written[member] = value;
        assert_eq!(faults_of("sign_out", written.clone()).len(), 1, "{written}");
    }
}
