//! Whether a cluster of a bootstrap leads to the server that is meant, and to it alone.

use serde_json::Value;

use super::surroundings::{elements, member};
use crate::cli::yaml::plain;
use crate::configuration::boolean;

/// A finding about a cluster that a configuration names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterFinding {
    /// There is none of this name.
    Missing,
    /// It may come from elsewhere.
    Unknown,
    /// Traffic to its servers can be read and changed on the way.
    Plaintext,
    /// It speaks TLS with anything that answers.
    Unverified,
    /// It speaks TLS with any server that has a certificate of those that are trusted.
    Unnamed,
}

/// What is wrong with a cluster that is there, where that is certain.
pub(super) fn finding(cluster: &Value) -> Option<ClusterFinding> {
    let mut hosts = Vec::new();
    if let Some(assignment) = member(cluster, "load_assignment") {
        collect_hosts(assignment, &mut hosts);
    }
    if hosts.iter().all(|host| is_loopback(host))
        || member(cluster, "transport_socket_matches").is_some()
    {
        return None;
    }
    let Some(socket) = member(cluster, "transport_socket") else {
        return Some(ClusterFinding::Plaintext);
    };
    let context = member(socket, "typed_config")?;
    let kind = context.get("@type")?.as_str()?;
    if kind.ends_with(".raw_buffer.v3.RawBuffer") {
        return Some(ClusterFinding::Plaintext);
    }
    if !kind.ends_with(".tls.v3.UpstreamTlsContext") {
        return None;
    }
    trust(context, cluster)
}

/// What is wrong with the TLS of a cluster. What comes from elsewhere, or is left to an extension, is not
/// known here.
fn trust(context: &Value, cluster: &Value) -> Option<ClusterFinding> {
    let none = Value::Null;
    let common = member(context, "common_tls_context").unwrap_or(&none);
    let has = |value: &Value, keys: &[&str]| keys.iter().any(|key| member(value, key).is_some());
    if has(common, &ELSEWHERE) {
        return None;
    }
    let validation = member(common, "validation_context").unwrap_or(&none);
    if has(validation, &PINNED) {
        return None;
    }
    let accepts_any = member(validation, "trust_chain_verification");
    if !has(validation, &TRUSTED)
        || accepts_any.is_some_and(|it| *it == "ACCEPT_UNTRUSTED" || *it == 1)
    {
        return Some(ClusterFinding::Unverified);
    }
    let mut names = NAMES.iter().filter_map(|key| member(validation, key));
    let is_named = names.any(|names| !elements(names).is_empty())
        || is_set(context, "autosnisanvalidation")
        || is_set(cluster, "autosanvalidation");
    (!is_named).then_some(ClusterFinding::Unnamed)
}

/// Whether a switch of this name is on, anywhere inside.
fn is_set(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => members.iter().any(|(key, inner)| {
            plain(key) == name && boolean(inner) == Some(true) || is_set(inner, name)
        }),
        Value::Array(elements) => elements.iter().any(|inner| is_set(inner, name)),
        _ => false,
    }
}

/// Where what is trusted comes from elsewhere.
const ELSEWHERE: [&str; 6] = [
    "validation_context_sds_secret_config",
    "combined_validation_context",
    "validation_context_certificate_provider",
    "validation_context_certificate_provider_instance",
    "custom_handshaker",
    "custom_tls_certificate_selector",
];

/// Certificates, or their keys, that are named one by one, and what an extension decides.
const PINNED: [&str; 4] = [
    "verify_certificate_spki",
    "verify_certificate_hash",
    "custom_validator_config",
    "ca_certificate_provider_instance",
];

const TRUSTED: [&str; 2] = ["trusted_ca", "system_root_certs"];

const NAMES: [&str; 2] = ["match_typed_subject_alt_names", "match_subject_alt_names"];

/// The addresses of all socket addresses.
fn collect_hosts<'v>(value: &'v Value, hosts: &mut Vec<&'v str>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                let address = inner.get("address").and_then(Value::as_str);
                if let ("socketaddress", Some(address)) = (plain(key).as_str(), address) {
                    hosts.push(address);
                }
                collect_hosts(inner, hosts);
            }
        }
        Value::Array(elements) => {
            for inner in elements {
                collect_hosts(inner, hosts);
            }
        }
        _ => {}
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Of a cluster with an endpoint elsewhere, and this TLS.
    fn of(context: &Value) -> Option<ClusterFinding> {
        of_kind("tls.v3.UpstreamTlsContext", context)
    }

    fn of_kind(kind: &str, context: &Value) -> Option<ClusterFinding> {
        let mut context = context.clone();
        let kind = format!("type.googleapis.com/envoy.extensions.transport_sockets.{kind}");
        context["@type"] = kind.into();
        finding(&json!({
            "name": "idp", "transport_socket": {"typed_config": context},
            "load_assignment": {"endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": "idp.example"}}}},
            ]}]},
        }))
    }

    fn with(validation: &Value) -> Option<ClusterFinding> {
        of(&json!({"sni": "idp.example", "common_tls_context": {"validation_context": validation}}))
    }

    #[test]
    fn a_socket_that_encrypts_nothing_is_found() {
        let plain = of_kind("raw_buffer.v3.RawBuffer", &json!({}));
        assert_eq!(plain, Some(ClusterFinding::Plaintext));
        assert_eq!(of_kind("alts.v3.Alts", &json!({})), None);
    }

    #[test]
    fn tls_that_verifies_nothing_is_found() {
        assert_eq!(of(&json!({})), Some(ClusterFinding::Unverified));
        for validation in [
            json!({}),
            json!({"match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "a"}}]}),
            json!({"trusted_ca": {"filename": "ca"}, "trustChainVerification": "ACCEPT_UNTRUSTED"}),
        ] {
            assert_eq!(
                with(&validation),
                Some(ClusterFinding::Unverified),
                "{validation}"
            );
        }
    }

    #[test]
    fn tls_with_a_server_of_any_name_is_found() {
        for validation in [
            json!({"trusted_ca": {"filename": "ca"}}),
            json!({"system_root_certs": {}, "match_typed_subject_alt_names": []}),
        ] {
            assert_eq!(
                with(&validation),
                Some(ClusterFinding::Unnamed),
                "{validation}"
            );
        }
    }

    #[test]
    fn tls_that_verifies_or_may_do_so_is_no_finding() {
        let trusted = json!({"trusted_ca": {"filename": "ca"}});
        let named = json!({"trustedCa": {}, "match_typed_subject_alt_names": {"san_type": "DNS"}});
        assert_eq!(with(&named), None);
        assert_eq!(with(&json!({"verify_certificate_spki": ["a"]})), None);
        let by_sni = json!({
            "auto_sni_san_validation": true, "common_tls_context": {"validation_context": trusted},
        });
        assert_eq!(of(&by_sni), None);
        let elsewhere = json!({"common_tls_context": {"validation_context_sds_secret_config": {}}});
        assert_eq!(of(&elsewhere), None);
    }
}
