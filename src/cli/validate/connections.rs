//! What proves that a token is its sender's, against what the connections of a listener have; and whom
//! the clusters lead to that the filter calls.

use serde_json::{Map, Value};

use super::super::configuration_file::{ClusterFinding, Surroundings};
use crate::configuration::joined;

/// Where it does not work, or proves nothing, and why.
pub(super) fn findings(
    configuration: &Value,
    surroundings: &Surroundings,
) -> Vec<(String, &'static str)> {
    let mut findings = Vec::new();
    let providers = configuration.get("providers").and_then(Value::as_object);
    for (name, provider) in providers.into_iter().flat_map(Map::iter) {
        let path = joined("providers", name);
        let proof = provider.get("proof_of_possession").unwrap_or(&Value::Null);
        let proof_path = joined(&path, "proof_of_possession");
        certificates(
            proof,
            &joined(&proof_path, "mtls"),
            surroundings,
            &mut findings,
        );
        let trusts = proof
            .get("dpop")
            .and_then(|dpop| dpop.get("trust_forwarded_proto"));
        if surroundings.writes_forwarded_proto() && trusts.is_some_and(|trusts| *trusts == true) {
            findings.push((
                format!("{proof_path}.dpop.trust_forwarded_proto"),
                OVERWRITTEN,
            ));
        }
        for (index, property) in bound_to_connections(provider) {
            let path = format!("{path}.bind_to[{index}].property");
            let is_of_certificate = property.contains("peer_certificate");
            let is_name = is_of_certificate && !property.contains("sha256");
            if is_of_certificate && surroundings.asks_for_no_certificate() {
                findings.push((path, NOT_ASKED_FOR));
            } else if is_name && surroundings.takes_unverified_certificates() {
                findings.push((path, UNVERIFIED));
            }
        }
    }
    findings
}

/// What to say of a cluster that is named at this path.
pub(super) fn of_cluster(path: &str, cluster: &str, finding: ClusterFinding) -> String {
    let harm = if path.starts_with("revocation") {
        "can read the credential, and the key that the feed's names are hashed with"
    } else {
        "can put keys of its own in place of the issuer's"
    };
    match finding {
        ClusterFinding::Missing => {
            format!("`{cluster}` is none of the clusters in this file, so no call gets there")
        }
        ClusterFinding::Unknown => format!(
            "clusters come from `cds_config` too, so whether `{cluster}` is one of them is not known here"
        ),
        ClusterFinding::Plaintext => format!(
            "`{cluster}` leads to another machine without TLS: an attacker on the way {harm}; hint: \
             `transport_socket`"
        ),
        ClusterFinding::Unverified => format!(
            "`{cluster}` takes the certificate of any server: an attacker on the way {harm}; hint: \
             `trusted_ca`, and `match_typed_subject_alt_names`, in the `validation_context` of its \
             `transport_socket`"
        ),
        ClusterFinding::Unnamed => format!(
            "`{cluster}` takes a certificate for any name from those that it trusts: an attacker on the \
             way who has one {harm}; hint: `match_typed_subject_alt_names` beside `trusted_ca`, or \
             `auto_sni_san_validation`"
        ),
    }
}

/// `proof_of_possession.mtls`, which has this path.
fn certificates(
    proof: &Value,
    path: &str,
    surroundings: &Surroundings,
    findings: &mut Vec<(String, &'static str)>,
) {
    let Some(mtls) = proof.get("mtls") else {
        return;
    };
    if surroundings.asks_for_no_certificate() {
        findings.push((path.to_owned(), NOT_ASKED_FOR));
    } else if mtls.get("xfcc").is_some() {
        if surroundings.removes_forwarded_certificates() {
            findings.push((joined(path, "xfcc"), REMOVED));
        }
        if surroundings.takes_unverified_certificates() {
            findings.push((format!("{path}.xfcc.trusted"), UNVERIFIED));
        }
    }
}

/// The properties of the connection that a provider's tokens are bound to, each with its index.
fn bound_to_connections(provider: &Value) -> impl Iterator<Item = (usize, &str)> {
    let bound = provider.get("bind_to").and_then(Value::as_array);
    let bound = bound.into_iter().flatten().enumerate();
    bound.filter_map(|(index, claim)| Some((index, claim.get("property")?.as_str()?)))
}

const NOT_ASKED_FOR: &str = "the listener asks no client for a certificate, so every token that is bound to one is \
                             refused; hint: `trusted_ca` in the `validation_context` of its `transport_socket`";

const REMOVED: &str = "the connection manager removes `x-forwarded-client-cert` from every request; hint: \
                       `forward_client_cert_details: APPEND_FORWARD`";

const UNVERIFIED: &str = "goes by names in certificates, and the listener takes those of any issuer, so any client \
                          can show one with these names; hint: no `ACCEPT_UNTRUSTED`";

const OVERWRITTEN: &str = "the connection manager writes `x-forwarded-proto` itself, so it says whether the connection \
                           here is encrypted, as it does without this; hint: leave it out, or, only where a proxy in \
                           front overwrites the header, `xff_num_trusted_hops: 1` beside `use_remote_address`";

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;

    /// What is warned of where a connection manager does this with certificates, and a listener and a provider have
    /// these settings.
    fn under(forwarding: &str, validation: &str, provider: &str) -> String {
        let text = format!(
            "\
static_resources:
  listeners:
  - filter_chains:
    - transport_socket: {{typed_config: {{common_tls_context: {{{validation}}}}}}}
      filters:
      - typed_config:
          forward_client_cert_details: {forwarding}
          http_filters:
          - typed_config:
              config:
                configuration:
                  '@type': type.googleapis.com/google.protobuf.Struct
                  value:
                    providers:
                      idp:
                        audiences: [api]
                        local_jwks: {{environment_variable: PORTCULLIS_TEST_LISTED}}
                        {provider}
                    rules: [{{match: {{prefix: /}}, requires: {{provider_name: idp}}}}]
"
        );
        outcome(&text, false).1
    }

    const XFCC: &str = "proof_of_possession: {mtls: {xfcc: {trusted: {dns_sans: [lb]}}}}";
    const BOUND: &str = "bind_to: [{claim_name: a, property: connection.uri_san_peer_certificate}]";
    const VERIFIED: &str = "validation_context: {trusted_ca: {filename: ca.pem}}";
    const ANY: &str = "validation_context: {trust_chain_verification: ACCEPT_UNTRUSTED}";

    #[test]
    fn a_certificate_that_never_gets_to_the_filter_is_told_with_its_place() {
        let asks_none = "the listener asks no client for a certificate";
        let line = |warnings: &str, line: usize, expected: &str| {
            let place = format!("portcullis.yaml:{line}: ");
            let mut lines = warnings.lines();
            lines.any(|told| told.starts_with(&place) && told.contains(expected))
        };
        let warnings = under("SANITIZE", "", XFCC);
        let expected = format!("providers.idp.proof_of_possession.mtls: {asks_none}");
        assert!(line(&warnings, 18, &expected), "{warnings}");
        let warnings = under("SANITIZE", ANY, XFCC);
        let expected =
            "providers.idp.proof_of_possession.mtls.xfcc: the connection manager removes";
        assert!(line(&warnings, 18, expected), "{warnings}");
        assert!(!warnings.contains(asks_none), "{warnings}");
        // Envoy asks for none without anything to verify it by.
        for validation in ["", "validation_context: {}"] {
            let warnings = under("SANITIZE", validation, BOUND);
            let expected = format!("providers.idp.bind_to[0].property: {asks_none}");
            assert!(line(&warnings, 18, &expected), "{warnings}");
        }
        let server = BOUND.replace("uri_san_peer_certificate", "requested_server_name");
        let warnings = under("SANITIZE", "", &server);
        assert!(!warnings.contains("bind_to"), "{warnings}");
    }

    #[test]
    fn names_in_certificates_that_nothing_verifies_are_told() {
        let told = "goes by names in certificates";
        let accepting = "validation_context: {trusted_ca: {filename: ca.pem}, \
                         trust_chain_verification: ACCEPT_UNTRUSTED}";
        for validation in [ANY, accepting] {
            let warnings = under("APPEND_FORWARD", validation, XFCC);
            let place = "proof_of_possession.mtls.xfcc.trusted: ";
            assert!(warnings.contains(&format!("{place}{told}")), "{warnings}");
            let warnings = under("APPEND_FORWARD", validation, BOUND);
            let expected = format!("bind_to[0].property: {told}");
            assert!(warnings.contains(&expected), "{warnings}");
        }
        let digest = BOUND.replace("uri_san_peer_certificate", "sha256_peer_certificate_digest");
        for (validation, provider) in [
            (VERIFIED, XFCC),
            (VERIFIED, BOUND),
            ("validation_context_sds_secret_config: {name: ca}", XFCC),
            (ANY, "proof_of_possession: {mtls: {}}"),
            (ANY, &*digest),
        ] {
            let warnings = under("APPEND_FORWARD", validation, provider);
            let case = format!("{validation}, {provider}: {warnings}");
            assert!(!warnings.contains(told), "{case}");
        }
    }

    #[test]
    fn a_scheme_that_envoy_writes_itself_is_told() {
        let trusting = "proof_of_possession: {dpop: {trust_forwarded_proto: true}}";
        let told = "the connection manager writes `x-forwarded-proto` itself";
        let beside = "SANITIZE\n          use_remote_address: true";
        let hops = format!("{beside}\n          xff_num_trusted_hops: 1");
        for (manager, provider, is_told) in [
            (beside, trusting, true),
            ("SANITIZE", trusting, false),
            (&*hops, trusting, false),
            (beside, "proof_of_possession: {dpop: {}}", false),
        ] {
            let warnings = under(manager, "", provider);
            assert_eq!(warnings.contains(told), is_told, "{manager}: {warnings}");
        }
    }
}
