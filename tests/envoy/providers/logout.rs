//! Signing out at a real identity provider, which the gate learns of by a logout token and nothing else.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::application::{Provider, Tokens};
use super::browser::Browser;
use super::glewlwyd::Glewlwyd;
use super::oidc_provider::OidcProvider;
use super::scene::{OLD, PHONE, Scene, TELEVISION, WEB};
use super::tokens::NEXT_SECOND;

/// From the provider's last word to the refusal of the last worker.
const PROMISED: Duration = Duration::from_secs(1);

fn browsers() -> [Browser; 3] {
    ["alice", "alice", "bob"].map(Browser::of)
}

#[test]
fn a_session_that_ends_at_the_provider_ends_at_the_gate_and_no_other_does() {
    let Some(provider) = OidcProvider::start(&["sid", "auth_time"]) else {
        return;
    };
    let mut scene = Scene::new(provider, &[WEB, PHONE, TELEVISION]);
    let [mut here, mut there, _] = browsers();
    // One key of each algorithm, and a session with three applications.
    let ended = [WEB, PHONE, TELEVISION].map(|application| {
        let tokens = scene.provider.sign_in(&mut here, &application);
        scene.wait_until_accepted(&tokens);
        tokens
    });
    let other = scene.provider.sign_in(&mut there, &PHONE);
    scene.wait_until_accepted(&other);

    // It answers when each application's receiver has.
    scene.provider.sign_out(&mut here, &ended[0]);
    let took: Duration = ended
        .iter()
        .map(|tokens| scene.wait_until_refused(tokens))
        .sum();
    println!("refused by every worker after {took:?}");
    assert!(took < PROMISED, "{took:?}");
    scene.assert_accepted(&other);

    // With `offline_access`, its refresh tokens outlive the session, whose name they keep.
    thread::sleep(NEXT_SECOND);
    let refreshed = scene.provider.endpoints().refresh(&ended[1]).unwrap();
    scene.assert_refused(&refreshed);
    let refreshed = scene.provider.endpoints().refresh(&other).unwrap();
    scene.assert_accepted(&refreshed);
    let again = scene.provider.sign_in(&mut here, &WEB);
    assert_ne!(again.claims()["sid"], ended[0].claims()["sid"]);
    scene.assert_accepted(&again);
    for tokens in &ended {
        scene.assert_refused(tokens);
    }
}

#[test]
fn a_logout_that_names_no_session_ends_all_of_its_subject_until_a_new_sign_in() {
    let Some(provider) = OidcProvider::start(&["sid", "auth_time"]) else {
        return;
    };
    let mut scene = Scene::new(provider, &[OLD, PHONE]);
    let [mut here, mut there, mut elsewhere] = browsers();
    let ended = scene.provider.sign_in(&mut here, &OLD);
    scene.wait_until_accepted(&ended);
    let other_device = scene.provider.sign_in(&mut there, &PHONE);
    let other_user = scene.provider.sign_in(&mut elsewhere, &PHONE);

    scene.provider.sign_out(&mut here, &ended);
    scene.wait_until_refused(&ended);
    scene.wait_until_refused(&other_device);
    scene.assert_accepted(&other_user);

    // A refresh is no sign-in, nor is a session that the provider has still.
    thread::sleep(2 * NEXT_SECOND);
    let refreshed = scene.provider.endpoints().refresh(&other_device).unwrap();
    scene.assert_refused(&refreshed);
    let silent = scene.provider.sign_in(&mut there, &PHONE);
    assert_eq!(
        silent.claims()["auth_time"],
        other_device.claims()["auth_time"]
    );
    scene.assert_refused(&silent);
    let again = scene.provider.sign_in_anew(&mut there, &PHONE);
    scene.assert_accepted(&again);
}

#[test]
fn where_access_tokens_name_no_session_a_logout_ends_all_of_its_subject() {
    let Some(provider) = OidcProvider::start(&[]) else {
        return;
    };
    let scene = Scene::with(provider, &[WEB, PHONE], |issuer| {
        issuer["tokens_carry_sid"] = false.into();
    });
    let (mut scene, [ended, other_device]) = sign_out_of_one_device(scene);
    // There is nothing in these tokens that a refresh does not change. The provider's session of the
    // other device goes on, and with it what is refreshed there.
    for tokens in [ended, other_device] {
        thread::sleep(NEXT_SECOND);
        let refreshed = scene.provider.endpoints().refresh(&tokens).unwrap();
        scene.assert_accepted(&refreshed);
        scene.assert_refused(&tokens);
    }
}

/// It writes no `exp` into logout tokens, `JWT` as their type, and no `sid` into access tokens.
#[test]
fn signing_out_at_glewlwyd_ends_all_of_its_subject() {
    let Some(provider) = Glewlwyd::start() else {
        return;
    };
    let keys = json!({"jwks_uri": provider.endpoints().of("jwks_uri")});
    let scene = Scene::with(provider, &[WEB, PHONE], |issuer| {
        issuer["keys"] = keys;
        issuer["tokens_carry_sid"] = false.into();
    });
    let (mut scene, [ended, other_device]) = sign_out_of_one_device(scene);
    // Its refresh tokens end with the session.
    let refused = scene.provider.endpoints().refresh(&ended).unwrap_err();
    assert!(refused.starts_with("400 "), "{refused}");
    thread::sleep(NEXT_SECOND);
    let refreshed = scene.provider.endpoints().refresh(&other_device).unwrap();
    scene.assert_accepted(&refreshed);
    let again = scene.provider.sign_in(&mut Browser::of("alice"), &WEB);
    scene.assert_accepted(&again);
}

/// Of two devices and another user, signs out of the first. Gives the tokens of the two, both of which
/// are refused then.
fn sign_out_of_one_device<P: Provider>(mut scene: Scene<P>) -> (Scene<P>, [Tokens; 2]) {
    let [mut here, mut there, mut elsewhere] = browsers();
    let ended = scene.provider.sign_in(&mut here, &WEB);
    scene.wait_until_accepted(&ended);
    let other_device = scene.provider.sign_in(&mut there, &PHONE);
    scene.assert_accepted(&other_device);
    let other_user = scene.provider.sign_in(&mut elsewhere, &PHONE);
    scene.provider.sign_out(&mut here, &ended);
    scene.wait_until_refused(&ended);
    scene.wait_until_refused(&other_device);
    scene.assert_accepted(&other_user);
    (scene, [ended, other_device])
}

#[test]
fn a_logout_while_the_authority_is_down_is_lost_and_can_be_made_up_for_by_hand() {
    let Some(provider) = OidcProvider::start(&["sid", "auth_time"]) else {
        return;
    };
    let mut scene = Scene::new(provider, &[WEB, PHONE]);
    let [mut here, ..] = browsers();
    let tokens = scene.provider.sign_in(&mut here, &WEB);
    scene.wait_until_accepted(&tokens);
    scene.authority.kill();
    scene.provider.sign_out(&mut here, &tokens);
    let line = scene.provider.process.wait_for_line(r#"{"not_told":"#);
    assert_eq!(line["not_told"], "web", "{line}");
    scene.authority.restart();
    // It tries once. The authority is ready, and so are its receivers.
    let again = scene.provider.sign_in(&mut here, &WEB);
    scene.wait_until_accepted(&again);
    scene.assert_accepted(&tokens);
    scene.revoke("session", &tokens, "sid");
    scene.wait_until_refused(&tokens);
    scene.assert_accepted(&again);
    // The next one arrives, at the same address.
    scene.provider.sign_out(&mut here, &again);
    scene.wait_until_refused(&again);
}

#[test]
fn a_logout_of_an_application_that_is_not_named_changes_nothing_and_the_log_says_why() {
    let Some(provider) = OidcProvider::start(&["sid"]) else {
        return;
    };
    let mut scene = Scene::with(provider, &[WEB, PHONE], |issuer| {
        issuer["client_ids"] = json!(["phone"]);
    });
    let [mut here, ..] = browsers();
    let [web, phone] = [WEB, PHONE].map(|application| {
        let tokens = scene.provider.sign_in(&mut here, &application);
        scene.wait_until_accepted(&tokens);
        tokens
    });
    scene.provider.sign_out(&mut here, &web);
    let line = scene.provider.process.wait_for_line(r#"{"not_told":"#);
    assert!(line["error"].as_str().unwrap().contains("400"), "{line}");
    scene.wait_until_refused(&phone);
    scene.assert_accepted(&web);
    let log = scene.authority.log();
    assert!(log.contains("client id `web` is not among"), "{log}");
    assert!(!log.contains(&web.access), "{log}");
}
