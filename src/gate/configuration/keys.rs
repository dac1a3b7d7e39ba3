//! `local_jwks` and `remote_jwks`: where a provider's keys come from.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::reader::{Fields, Node};
use crate::gate::keys::{KeySource, Location, RemoteKeys, RemoteSource, Retries};
use crate::token::{KeyError, KeyRules, KeySet};

/// How long a fetched set is used, as in `jwt_authn`.
const DEFAULT_CACHE_DURATION: Duration = Duration::from_mins(10);

/// Pause after a failed fetch, as in `jwt_authn`.
const DEFAULT_FAILED_REFETCH: Duration = Duration::from_secs(1);

/// How long one fetch may take where `timeout` is left out, which `jwt_authn` does not allow.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long old keys stay in force while the server cannot be reached. `jwt_authn` keeps them for
/// ever or not at all; a day outlasts most outages, and less than most certificates live.
const DEFAULT_MAX_STALE: Duration = Duration::from_hours(24);

/// Attempts after the first, once `retry_policy` is there, and their pauses (Envoy's
/// `RetryPolicy` and `BackoffStrategy`, whose longest pause is ten times the first).
const DEFAULT_RETRIES: Retries = Retries {
    number: 1,
    base_interval: Duration::from_secs(1),
    max_interval: Duration::from_secs(10),
};

/// Where the keys come from, by either of the two keys of a provider.
pub(super) fn source(
    fields: &mut Fields<'_>,
    issuer: Option<&str>,
    rules: &KeyRules,
) -> Option<KeySource> {
    let local = fields.optional("local_jwks");
    let remote = fields.optional("remote_jwks");
    match (local, remote) {
        (Some(node), None) => Some(KeySource::Local(Rc::new(local_keys(&node, rules)?))),
        (None, Some(node)) => Some(KeySource::Remote(remote_keys(&node, issuer, rules)?)),
        _ => {
            fields
                .node()
                .fault("expected either `local_jwks` or `remote_jwks`");
            None
        }
    }
}

fn local_keys(node: &Node<'_>, rules: &KeyRules) -> Option<KeySet> {
    node.object(|fields| {
        for key in ["filename", "watched_directory"] {
            fields.refused(
                key,
                "a WebAssembly module cannot read files; hint: use `inline_string`, \
                 `environment_variable` or `remote_jwks`",
            );
        }
        let inline = fields.optional("inline_string");
        let bytes = fields.optional("inline_bytes");
        let variable = fields.optional("environment_variable");
        match (inline, bytes, variable) {
            (Some(node), None, None) => key_set(&node, node.text()?.as_bytes(), rules),
            (None, Some(node), None) => {
                let bytes = STANDARD.decode(node.text()?).ok();
                if bytes.is_none() {
                    node.fault("expected base64");
                }
                key_set(&node, &bytes?, rules)
            }
            (None, None, Some(node)) => {
                let text = node.variable(node.text()?);
                if text.is_none() {
                    node.fault(
                        "the variable is not set in the virtual machine; \
                         hint: name it in `vm_config.environment_variables`",
                    );
                }
                key_set(&node, text?.as_bytes(), rules)
            }
            _ => {
                let message = "expected one of `inline_string`, `inline_bytes` and \
                               `environment_variable`";
                fields.node().fault(message);
                None
            }
        }
    })
}

fn key_set(node: &Node<'_>, text: &[u8], rules: &KeyRules) -> Option<KeySet> {
    match KeySet::parse(text, rules) {
        Ok(keys) => {
            let mut is_told = false;
            for (index, error) in keys.unusable() {
                // One line says it for all that stand behind the last one.
                let is_surplus = *error == KeyError::Surplus;
                if !is_surplus || !is_told {
                    node.warning(format!("keys[{index}] is left out: {error}"));
                }
                is_told |= is_surplus;
            }
            Some(keys)
        }
        Err(error) => {
            node.fault(format!("expected a JWK Set: {error}"));
            None
        }
    }
}

fn remote_keys(node: &Node<'_>, issuer: Option<&str>, rules: &KeyRules) -> Option<RemoteKeys> {
    node.object(|fields| {
        let uri = fields.optional("http_uri");
        let discovery = fields.optional("openid_discovery");
        let cache_duration = fields.duration("cache_duration", DEFAULT_CACHE_DURATION);
        let max_stale = fields.duration("max_stale", DEFAULT_MAX_STALE);
        let failed_refetch = failed_refetch(fields);
        let retries = retries(fields);
        let (source, cluster, timeout) = match (uri, discovery) {
            (Some(node), None) => http_uri(&node)?,
            (None, Some(node)) => openid_discovery(&node, issuer)?,
            _ => {
                let message = "expected either `http_uri` or `openid_discovery`";
                fields.node().fault(message);
                return None;
            }
        };
        Some(RemoteKeys {
            source,
            cluster,
            timeout,
            cache_duration: cache_duration?,
            failed_refetch: failed_refetch?,
            retries: retries?,
            max_stale: max_stale?,
            rules: KeyRules {
                allow_symmetric: false,
                ..rules.clone()
            },
        })
    })
}

fn http_uri(node: &Node<'_>) -> Option<(RemoteSource, String, Duration)> {
    node.object(|fields| {
        let location = fields.required("uri").and_then(|node| location(&node));
        let cluster = cluster(fields);
        let timeout = fields.duration("timeout", DEFAULT_TIMEOUT);
        Some((RemoteSource::JwkSet(location?), cluster?, timeout?))
    })
}

fn openid_discovery(
    node: &Node<'_>,
    provider_issuer: Option<&str>,
) -> Option<(RemoteSource, String, Duration)> {
    node.object(|fields| {
        let own = fields.optional("issuer");
        let issuer = match &own {
            Some(node) => Some(node.text()?),
            None => provider_issuer,
        };
        if issuer.is_none() {
            fields
                .node()
                .fault("`issuer` is missing, here and in the provider");
        }
        // OpenID Connect Discovery 1.0 section 4: one `/` at the end is dropped first.
        let base = issuer.map(|issuer| issuer.strip_suffix('/').unwrap_or(issuer));
        let document =
            base.and_then(|base| Location::from_url(&format!("{base}{DISCOVERY_DOCUMENT}")));
        if issuer.is_some() && document.is_none() {
            own.as_ref().unwrap_or(fields.node()).fault(NOT_A_URL);
        }
        let cluster = cluster(fields);
        let timeout = fields.duration("timeout", DEFAULT_TIMEOUT);
        let source = RemoteSource::Discovery {
            document: document?,
            issuer: issuer?.to_owned(),
        };
        Some((source, cluster?, timeout?))
    })
}

fn cluster(fields: &mut Fields<'_>) -> Option<String> {
    let node = fields.required("cluster")?;
    node.text().map(str::to_owned)
}

fn location(node: &Node<'_>) -> Option<Location> {
    let location = Location::from_url(node.text()?);
    if location.is_none() {
        node.fault(NOT_A_URL);
    }
    location
}

fn failed_refetch(fields: &mut Fields<'_>) -> Option<Duration> {
    let Some(node) = fields.optional("async_fetch") else {
        return Some(DEFAULT_FAILED_REFETCH);
    };
    node.object(|fields| {
        if let Some(node) = fields.optional("fast_listener")
            && node.boolean() == Some(false)
        {
            node.warning("a filter cannot hold a listener back; the first requests wait instead");
        }
        fields.duration("failed_refetch_duration", DEFAULT_FAILED_REFETCH)
    })
}

fn retries(fields: &mut Fields<'_>) -> Option<Retries> {
    let Some(node) = fields.optional("retry_policy") else {
        return Some(Retries {
            number: 0,
            ..DEFAULT_RETRIES
        });
    };
    node.object(|fields| {
        let number = match fields.optional("num_retries") {
            Some(node) => node.whole_number()?,
            None => DEFAULT_RETRIES.number,
        };
        let Some(node) = fields.optional("retry_back_off") else {
            return Some(Retries {
                number,
                ..DEFAULT_RETRIES
            });
        };
        node.object(|fields| {
            let base = fields.required("base_interval")?.duration()?;
            let longest = fields.duration("max_interval", base.saturating_mul(10))?;
            if longest < base {
                fields
                    .node()
                    .fault("expected a `max_interval` that is not below `base_interval`");
            }
            Some(Retries {
                number,
                base_interval: base,
                max_interval: longest,
            })
        })
    })
}

/// Where the document is, seen from the issuer (OpenID Connect Discovery 1.0 section 4).
const DISCOVERY_DOCUMENT: &str = "/.well-known/openid-configuration";

const NOT_A_URL: &str = "expected a URL that begins with `https://` or `http://`";
