//! A route that asks for a fresh sign-in, and a provider that is asked for one as the refusal says.

use std::thread;

use super::application::Provider;
use super::browser::Browser;
use super::oidc_provider::OidcProvider;
use super::scene::{FRESH, Scene, WEB};
use super::tokens::NEXT_SECOND;
use crate::support::assert_refused;

#[test]
fn a_user_who_has_signed_in_too_long_ago_signs_in_again_and_goes_on() {
    let Some(provider) = OidcProvider::start(&["sid", "auth_time"]) else {
        return;
    };
    let mut scene = Scene::new(provider, &[WEB]);
    let mut browser = Browser::of("alice");
    let tokens = scene.provider.sign_in(&mut browser, &WEB);
    scene.wait_until_accepted(&tokens);
    thread::sleep(FRESH + NEXT_SECOND);
    let refusals = scene.ask_for("/pay", &tokens);
    let max_age = FRESH.as_secs();
    for reply in &refusals {
        assert_refused(reply, 401, "authentication_insufficient");
        assert_eq!(reply.json()["action"], "step_up");
        assert_eq!(reply.json()["max_age"], max_age);
        let challenge = reply.header("www-authenticate").unwrap();
        let asked = format!("max_age=\"{max_age}\"");
        assert!(challenge.ends_with(&asked), "{challenge}");
    }
    // A refresh tells of the same sign-in.
    let refreshed = scene.provider.endpoints().refresh(&tokens).unwrap();
    for reply in scene.ask_for("/pay", &refreshed) {
        assert_refused(&reply, 401, "authentication_insufficient");
    }

    let asked = format!("max_age={}", refusals[0].json()["max_age"]);
    let stronger = scene.provider.sign_in_as_asked(&mut browser, &WEB, &asked);
    assert!(stronger.claims()["auth_time"].as_u64() > tokens.claims()["auth_time"].as_u64());
    for reply in scene.ask_for("/pay", &stronger) {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    // Elsewhere, what was good before still is.
    scene.assert_accepted(&tokens);
}
