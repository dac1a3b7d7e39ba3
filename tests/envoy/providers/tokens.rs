//! What real providers issue, at the gate.

use std::thread;
use std::time::Duration;

use super::application::Provider;
use super::browser::Browser;
use super::glewlwyd::Glewlwyd;
use super::oidc_provider::OidcProvider;
use super::scene::{PHONE, Scene, TELEVISION, WEB};

/// Cut-offs are compared in whole seconds; this waits until a sign-in counts as later.
pub(super) const NEXT_SECOND: Duration = Duration::from_millis(1_100);

#[test]
fn tokens_of_every_algorithm_get_through_and_a_session_ends_with_what_is_refreshed_in_it() {
    let Some(provider) = OidcProvider::start(&["sid", "auth_time"]) else {
        return;
    };
    let mut scene = Scene::new(provider, &[WEB, PHONE, TELEVISION]);
    let (mut browser, mut other) = (Browser::of("alice"), Browser::of("alice"));
    let devices = [WEB, PHONE, TELEVISION].map(|application| {
        let tokens = scene.provider.sign_in(&mut browser, &application);
        scene.wait_until_accepted(&tokens);
        tokens
    });
    let elsewhere = scene.provider.sign_in(&mut other, &PHONE);
    scene.wait_until_accepted(&elsewhere);

    let phone = &devices[1];
    scene.revoke("session", phone, "sid");
    scene.wait_until_refused(phone);
    // Each application has its own `sid` in a session of this provider.
    scene.assert_accepted(&devices[0]);
    scene.assert_accepted(&elsewhere);
    let refreshed = scene.provider.endpoints().refresh(phone).unwrap();
    assert_eq!(refreshed.claims()["sid"], phone.claims()["sid"]);
    scene.assert_refused(&refreshed);
}

#[test]
fn a_user_who_was_signed_out_everywhere_gets_in_by_a_new_sign_in() {
    let Some(provider) = Glewlwyd::start() else {
        return;
    };
    let mut scene = Scene::new(provider, &[WEB]);
    let mut browser = Browser::of("alice");
    let tokens = scene.provider.sign_in(&mut browser, &WEB);
    let tokens = scene.provider.endpoints().refresh(&tokens).unwrap();
    scene.wait_until_accepted(&tokens);
    scene.revoke("subject", &tokens, "sub");
    scene.wait_until_refused(&tokens);
    scene.provider.sign_out(&mut browser, &tokens);
    let refused = scene.provider.endpoints().refresh(&tokens).unwrap_err();
    assert!(refused.starts_with("400 "), "{refused}");
    thread::sleep(NEXT_SECOND);
    let fresh = scene.provider.sign_in(&mut Browser::of("alice"), &WEB);
    scene.wait_until_accepted(&fresh);
    scene.assert_refused(&tokens);
}
