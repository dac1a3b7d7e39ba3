//! `local_jwks` and `remote_jwks`: where a provider's keys come from.

use std::rc::Rc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::sources::variable;
use crate::configuration::{Fields, Node, Read};
use crate::keys::{
    DEFAULT_CACHE_DURATION, DEFAULT_FAILED_REFETCH, DEFAULT_MAX_STALE, DEFAULT_TIMEOUT, KeySource,
    RemoteKeys, RemoteSource, Retries, Url,
};
use crate::token::{KeyRules, KeySet};

/// Attempts after the first, once `retry_policy` is there, and their pauses (Envoy's
/// `RetryPolicy` and `BackoffStrategy`, whose longest pause is ten times the first).
const DEFAULT_RETRIES: Retries = Retries {
    number: 1,
    base_interval: Duration::from_secs(1),
    max_interval: Duration::from_secs(10),
};

/// The path of the document below the issuer (OpenID Connect Discovery 1.0 section 4).
const DISCOVERY_DOCUMENT: &str = "/.well-known/openid-configuration";

const NOT_A_URL: &str = "expected a URL that begins with `https://` or `http://`";

/// Where the keys come from, by either of the two keys of a provider.
pub(super) fn source(
    fields: &mut Fields<'_>,
    issuer: Read<Option<&str>>,
    rules: &KeyRules,
) -> Read<KeySource> {
    let (is_remote, node) = fields.one_of(&[("local_jwks", false), ("remote_jwks", true)])?;
    if is_remote {
        Ok(KeySource::Remote(remote_keys(node, issuer, rules)?))
    } else {
        local_keys(node, rules)
    }
}

fn local_keys(node: Node<'_>, rules: &KeyRules) -> Read<KeySource> {
    node.object(|fields| {
        for key in ["filename", "watched_directory"] {
            fields.refused(
                key,
                "a WebAssembly module cannot read files; hint: use `inline_string`, \
                 `environment_variable` or `remote_jwks`",
            );
        }
        let (read, node) = fields.one_of(&[
            ("inline_string", written as ReadSet),
            ("inline_bytes", encoded),
            ("environment_variable", named),
        ])?;
        read(node, rules)
    })
}

/// How a set of keys that is not fetched is read.
type ReadSet = fn(Node<'_>, &KeyRules) -> Read<KeySource>;

fn written(node: Node<'_>, rules: &KeyRules) -> Read<KeySource> {
    key_set(node, node.text()?.as_bytes(), rules)
}

/// Protobuf's JSON takes either base64 alphabet, with padding or without.
fn encoded(node: Node<'_>, rules: &KeyRules) -> Read<KeySource> {
    let text = node.text()?.trim_end_matches('=');
    let bytes = URL_SAFE_NO_PAD.decode(text.replace('+', "-").replace('/', "_"));
    let bytes = bytes.map_err(|_| node.fault("expected base64"))?;
    key_set(node, &bytes, rules)
}

fn named(node: Node<'_>, rules: &KeyRules) -> Read<KeySource> {
    match variable(node)? {
        Some(text) => key_set(node, text.as_bytes(), rules),
        None => Ok(KeySource::Unknown(rules.clone())),
    }
}

fn key_set(node: Node<'_>, text: &[u8], rules: &KeyRules) -> Read<KeySource> {
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

fn remote_keys(node: Node<'_>, issuer: Read<Option<&str>>, rules: &KeyRules) -> Read<RemoteKeys> {
    node.object(|fields| {
        let cache_duration = fields.duration("cache_duration", DEFAULT_CACHE_DURATION);
        let max_stale = fields.duration("max_stale", DEFAULT_MAX_STALE);
        let failed_refetch = failed_refetch(fields);
        let retries = retries(fields);
        let server = fields.one_of(&[("http_uri", false), ("openid_discovery", true)]);
        let (is_discovered, node) = server?;
        let (source, cluster, timeout) = node.object(|fields| {
            let source = if is_discovered {
                discovered(fields, issuer)
            } else {
                json_web_keys(fields)
            };
            let cluster = fields.required_text("cluster");
            let timeout = fields.nullable_duration("timeout", DEFAULT_TIMEOUT);
            Ok((source?, cluster?.to_owned(), timeout))
        })?;
        Ok(RemoteKeys {
            source,
            cluster,
            timeout,
            cache_duration,
            failed_refetch,
            retries: retries?,
            max_stale,
            rules: KeyRules {
                allow_symmetric: false,
                ..rules.clone()
            },
        })
    })
}

fn json_web_keys(fields: &mut Fields<'_>) -> Read<RemoteSource> {
    let node = fields.required("uri")?;
    let url = Url::parse(node.text()?);
    let url = url.ok_or_else(|| node.fault(NOT_A_URL))?;
    Ok(RemoteSource::JwkSet(url))
}

fn discovered(fields: &mut Fields<'_>, provider_issuer: Read<Option<&str>>) -> Read<RemoteSource> {
    let own = fields.optional("issuer");
    let issuer = own.map_or(provider_issuer, |node| node.text().map(Some))?;
    let missing = "`issuer` is missing, here and in the provider";
    let issuer = issuer.ok_or_else(|| fields.node().fault(missing))?;
    // OpenID Connect Discovery 1.0 section 4: one `/` at the end is dropped first.
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let document = Url::parse(&format!("{base}{DISCOVERY_DOCUMENT}"));
    let document = document.ok_or_else(|| own.unwrap_or_else(|| fields.node()).fault(NOT_A_URL))?;
    Ok(RemoteSource::Discovery {
        document,
        issuer: issuer.to_owned(),
    })
}

fn failed_refetch(fields: &mut Fields<'_>) -> Duration {
    let Some(node) = fields.nullable("async_fetch") else {
        return DEFAULT_FAILED_REFETCH;
    };
    let pause = node.object(|fields| {
        if let Some(node) = fields.nullable("fast_listener")
            && let Ok(false) = node.boolean()
        {
            node.warning("a filter cannot hold a listener back; the first requests wait instead");
        }
        Ok(fields.nullable_duration("failed_refetch_duration", DEFAULT_FAILED_REFETCH))
    });
    pause.unwrap_or_default()
}

fn retries(fields: &mut Fields<'_>) -> Read<Retries> {
    let Some(node) = fields.nullable("retry_policy") else {
        return Ok(Retries {
            number: 0,
            ..DEFAULT_RETRIES
        });
    };
    node.object(|fields| {
        let number = fields.nullable("num_retries").map(Node::whole_number);
        let number = number.unwrap_or(Ok(DEFAULT_RETRIES.number));
        let pauses = fields.nullable("retry_back_off").map(pauses);
        let pauses = pauses.unwrap_or(Ok((
            DEFAULT_RETRIES.base_interval,
            DEFAULT_RETRIES.max_interval,
        )));
        let (base_interval, max_interval) = pauses?;
        Ok(Retries {
            number: number?,
            base_interval,
            max_interval,
        })
    })
}

/// The first and the longest.
fn pauses(node: Node<'_>) -> Read<(Duration, Duration)> {
    node.object(|fields| {
        let base = fields.required("base_interval");
        let longest = fields.nullable("max_interval").map(Node::duration);
        let base = base?.duration()?;
        let longest = longest.unwrap_or(Ok(base.saturating_mul(10)))?;
        if longest < base {
            let message = "expected a `max_interval` that is not below `base_interval`";
            return Err(fields.node().fault(message));
        }
        Ok((base, longest))
    })
}
