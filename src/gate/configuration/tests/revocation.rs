//! What is said of `revocation`, and what providers may not do beside it.

use super::*;
use crate::gate::Posture;

#[wasm_bindgen_test(unsupported = test)]
fn revocation_is_strict_unless_told_otherwise() {
    let settings = read_value(&complete()).unwrap().policy.revocation.unwrap();
    assert_eq!(settings.on_unconfirmed, Posture::Allow);
    assert_eq!(settings.max_staleness, Duration::from_secs(20));
    let least = json!({
        "cluster": "authority",
        "credential": {"inline_string": "edge"},
        "public_keys": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
    });
    let settings = read_value(&with(&["revocation"], least)).unwrap();
    let settings = settings.policy.revocation.unwrap();
    for posture in [
        settings.on_stale,
        settings.on_missing_feed,
        settings.on_unconfirmed,
        settings.on_unnamed,
    ] {
        assert_eq!(posture, Posture::Deny);
    }
    assert_eq!(settings.authority, "authority");
    assert!(
        !format!("{settings:?}").contains("edge"),
        "the credential is not shown"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn faults_of_revocation_are_told_with_their_paths() {
    let found = faults(&with(
        &["revocation"],
        json!({
            "credential": {},
            "public_keys": ["AAAA"],
            "max_staleness": "1s",
            "on_stale": "perhaps",
            "on_unconfirmed": "confirm",
        }),
    ));
    for expected in [
        "revocation: `cluster` is missing",
        "revocation.credential: expected either `inline_string` or `environment_variable`",
        "revocation.max_staleness: expected at least `3s`: heartbeats come every third of it",
        "revocation.on_stale: expected `deny`, `confirm` or `allow`",
        "revocation.on_unconfirmed: expected `deny` or `allow`",
        "revocation.public_keys[0]: \
         expected an Ed25519 public key: 32 bytes in base64url without padding",
    ] {
        assert!(
            found.iter().any(|fault| fault == expected),
            "{expected}: {found:?}"
        );
    }
}

/// Otherwise a revoked token would pass again between the end of its entry and its own.
#[wasm_bindgen_test(unsupported = test)]
fn no_provider_lets_tokens_pass_for_longer_than_their_revocations_are_kept() {
    let with_skew = |seconds: u32| {
        let mut configuration = complete();
        for provider in configuration["providers"]
            .as_object_mut()
            .unwrap()
            .values_mut()
        {
            provider["clock_skew_seconds"] = seconds.into();
        }
        configuration
    };
    assert!(read_value(&with_skew(600)).is_ok());
    let found = faults(&with_skew(601));
    assert!(
        found
            .iter()
            .all(|fault| fault.contains("expected at most 600 with `revocation`")),
        "{found:?}"
    );
    assert!(read_value(&without_revocation(with_skew(601))).is_ok());
}

#[wasm_bindgen_test(unsupported = test)]
fn claims_that_cannot_be_listed_are_faults() {
    let with = |claims: Value| {
        let mut configuration = complete();
        configuration["revocation"]["claims"] = claims;
        configuration
    };
    let many: Vec<String> = (0..9).map(|number| format!("claim-{number}")).collect();
    for (claims, expected) in [
        (json!([]), "revocation.claims: expected at least one claim"),
        (
            json!(many),
            "revocation.claims: expected at most 8: each is looked up for every new token",
        ),
        (
            json!(["a", "a"]),
            "revocation.claims[1]: `a` is in the list already",
        ),
        (
            json!(["a", {"name": "a", "claim_path": ["b"]}]),
            "revocation.claims[1]: `a` is in the list already",
        ),
        (
            json!([{"name": "a"}]),
            "revocation.claims[0]: expected either `claim_name` or `claim_path`",
        ),
        (
            json!(["x".repeat(1_025)]),
            "revocation.claims[0]: expected at most 1024 bytes",
        ),
        (
            json!(["tenant", "exp"]),
            "revocation.claims[1]: `exp` is a time, a list or a name by which tokens are revoked anyway",
        ),
        (
            json!(["sid"]),
            "revocation.claims[0]: `sid` is a time, a list or a name by which tokens are revoked anyway",
        ),
        (
            json!([{"name": "a", "claim_name": "exp"}]),
            "revocation.claims[0]: `exp` is a time or a list, by which no token can be revoked",
        ),
        (
            json!([{"name": "a", "claim_path": ["aud"]}]),
            "revocation.claims[0]: `aud` is a time or a list, by which no token can be revoked",
        ),
    ] {
        let found = faults(&with(claims.clone()));
        assert!(
            found.iter().any(|fault| fault == expected),
            "{claims}: {found:?}"
        );
    }
    assert!(read_value(&with(json!(many[..8]))).is_ok());
    // Under another name, it is another.
    let email = json!([{"name": "email", "claim_path": ["sub"]}]);
    assert!(read_value(&with(email)).is_ok());
}
