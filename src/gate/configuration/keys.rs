//! `local_jwks` and `remote_jwks`: where a provider's keys come from.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::reader::{Fields, Node, Read, duration_or};
use crate::keys::{KeySource, RemoteKeys, RemoteSource, Retries, Url};
use crate::token::{KeyRules, KeySet};

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
    issuer: Read<Option<&str>>,
    rules: &KeyRules,
) -> Read<KeySource> {
    let local = fields.optional("local_jwks");
    let remote = fields.optional("remote_jwks");
    match (local, remote) {
        (Some(node), None) => local_keys(&node, rules),
        (None, Some(node)) => Ok(KeySource::Remote(remote_keys(&node, issuer, rules)?)),
        _ => {
            let message = "expected either `local_jwks` or `remote_jwks`";
            Err(fields.node().fault(message))
        }
    }
}

fn local_keys(node: &Node<'_>, rules: &KeyRules) -> Read<KeySource> {
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
                // Protobuf's JSON takes either alphabet, with padding or without.
                let text = node.text()?.trim_end_matches('=');
                let bytes = URL_SAFE_NO_PAD.decode(text.replace('+', "-").replace('/', "_"));
                let bytes = bytes.map_err(|_| node.fault("expected base64"))?;
                key_set(&node, &bytes, rules)
            }
            (None, None, Some(node)) => match node.variable()? {
                Some(text) => key_set(&node, text.as_bytes(), rules),
                None => Ok(KeySource::Unknown(rules.clone())),
            },
            _ => {
                let message = "expected one of `inline_string`, `inline_bytes` and \
                               `environment_variable`";
                Err(fields.node().fault(message))
            }
        }
    })
}

fn key_set(node: &Node<'_>, text: &[u8], rules: &KeyRules) -> Read<KeySource> {
    match KeySet::parse(text, rules) {
        Ok(keys) => {
            for key in keys.complaints() {
                node.warning(key.to_string());
            }
            Ok(KeySource::Local(Rc::new(keys)))
        }
        Err(error) => Err(node.fault(format!("expected a set of keys: {error}"))),
    }
}

fn remote_keys(node: &Node<'_>, issuer: Read<Option<&str>>, rules: &KeyRules) -> Read<RemoteKeys> {
    node.object(|fields| {
        let uri = fields.optional("http_uri");
        let discovery = fields.optional("openid_discovery");
        let cache_duration = fields.optional("cache_duration");
        let cache_duration = duration_or(cache_duration, DEFAULT_CACHE_DURATION);
        let max_stale = duration_or(fields.optional("max_stale"), DEFAULT_MAX_STALE);
        let failed_refetch = failed_refetch(fields);
        let retries = retries(fields);
        let (source, cluster, timeout) = match (uri, discovery) {
            (Some(node), None) => http_uri(&node)?,
            (None, Some(node)) => openid_discovery(&node, issuer)?,
            _ => {
                let message = "expected either `http_uri` or `openid_discovery`";
                return Err(fields.node().fault(message));
            }
        };
        Ok(RemoteKeys {
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

fn http_uri(node: &Node<'_>) -> Read<(RemoteSource, String, Duration)> {
    node.object(|fields| {
        let url = fields.required("uri").and_then(|node| url(&node));
        let cluster = cluster(fields);
        let timeout = duration_or(fields.nullable("timeout"), DEFAULT_TIMEOUT);
        Ok((RemoteSource::JwkSet(url?), cluster?, timeout?))
    })
}

fn openid_discovery(
    node: &Node<'_>,
    provider_issuer: Read<Option<&str>>,
) -> Read<(RemoteSource, String, Duration)> {
    node.object(|fields| {
        let own = fields.optional("issuer");
        let issuer = match &own {
            Some(node) => node.text().map(Some),
            None => provider_issuer,
        };
        let missing = "`issuer` is missing, here and in the provider";
        let issuer = issuer.and_then(|issuer| issuer.ok_or_else(|| fields.node().fault(missing)));
        // OpenID Connect Discovery 1.0 section 4: one `/` at the end is dropped first.
        let document = issuer.and_then(|issuer| {
            let base = issuer.strip_suffix('/').unwrap_or(issuer);
            let document = Url::parse(&format!("{base}{DISCOVERY_DOCUMENT}"));
            let node = own.as_ref().unwrap_or(fields.node());
            document.ok_or_else(|| node.fault(NOT_A_URL))
        });
        let cluster = cluster(fields);
        let timeout = duration_or(fields.nullable("timeout"), DEFAULT_TIMEOUT);
        let source = RemoteSource::Discovery {
            document: document?,
            issuer: issuer?.to_owned(),
        };
        Ok((source, cluster?, timeout?))
    })
}

fn cluster(fields: &mut Fields<'_>) -> Read<String> {
    let node = fields.required("cluster")?;
    node.text().map(str::to_owned)
}

fn url(node: &Node<'_>) -> Read<Url> {
    let url = Url::parse(node.text()?);
    url.ok_or_else(|| node.fault(NOT_A_URL))
}

fn failed_refetch(fields: &mut Fields<'_>) -> Read<Duration> {
    let Some(node) = fields.nullable("async_fetch") else {
        return Ok(DEFAULT_FAILED_REFETCH);
    };
    node.object(|fields| {
        if let Some(node) = fields.nullable("fast_listener")
            && let Ok(false) = node.boolean()
        {
            node.warning("a filter cannot hold a listener back; the first requests wait instead");
        }
        let pause = fields.nullable("failed_refetch_duration");
        duration_or(pause, DEFAULT_FAILED_REFETCH)
    })
}

fn retries(fields: &mut Fields<'_>) -> Read<Retries> {
    let Some(node) = fields.nullable("retry_policy") else {
        return Ok(Retries {
            number: 0,
            ..DEFAULT_RETRIES
        });
    };
    node.object(|fields| {
        let number = match fields.nullable("num_retries") {
            Some(node) => node.whole_number(),
            None => Ok(DEFAULT_RETRIES.number),
        };
        let pauses = match fields.nullable("retry_back_off") {
            Some(node) => pauses(&node),
            None => Ok((DEFAULT_RETRIES.base_interval, DEFAULT_RETRIES.max_interval)),
        };
        let (number, (base_interval, max_interval)) = (number?, pauses?);
        Ok(Retries {
            number,
            base_interval,
            max_interval,
        })
    })
}

/// The first and the longest.
fn pauses(node: &Node<'_>) -> Read<(Duration, Duration)> {
    node.object(|fields| {
        let base = fields.required("base_interval");
        let longest = fields.nullable("max_interval");
        let base = base?.duration()?;
        let longest = duration_or(longest, base.saturating_mul(10))?;
        if longest < base {
            let message = "expected a `max_interval` that is not below `base_interval`";
            return Err(fields.node().fault(message));
        }
        Ok((base, longest))
    })
}

/// Where the document is, seen from the issuer (OpenID Connect Discovery 1.0 section 4).
const DISCOVERY_DOCUMENT: &str = "/.well-known/openid-configuration";

const NOT_A_URL: &str = "expected a URL that begins with `https://` or `http://`";
