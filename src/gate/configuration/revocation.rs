//! The `revocation` key: where the feed comes from, and what counts without it.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;

use super::claims::claim_path;
use super::sources::{variable, written_or_named};
use crate::configuration::{Fields, Node, Read, all, each_once, joined};
use crate::gate::policy::Provider;
use crate::gate::revocation::{ClaimSource, Posture, RevocationSettings};
use crate::namespace::RecordSecret;
use crate::revocation::wire::MAX_CLAIMS;
use crate::revocation::{FeedKeys, MAX_CLOCK_SKEW, MAX_NAME_BYTES};

const DEFAULT_MAX_STALENESS: Duration = Duration::from_secs(30);
const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_RELOAD_JITTER: Duration = Duration::from_secs(30);

/// An operator has this long to bring an authority back before connections are lost.
const DEFAULT_STREAM_GRACE: Duration = Duration::from_mins(5);

/// Shorter silence could not be told from an ordinary pause between two heartbeats.
const SHORTEST_MAX_STALENESS: Duration = Duration::from_secs(3);

/// The settings, if revocation is on, for these providers.
pub(super) fn settings(
    fields: &mut Fields<'_>,
    providers: &[(String, Read<Provider>)],
) -> Read<Option<RevocationSettings>> {
    let Some(node) = fields.optional("revocation") else {
        refuse_status_lists(fields, providers);
        return Ok(None);
    };
    refuse_long_skews(fields.node(), providers);
    settings_of(node).map(Some)
}

fn settings_of(node: Node<'_>) -> Read<RevocationSettings> {
    node.object(|fields| {
        let cluster = fields.required_text("cluster");
        let authority = fields.nullable("authority").map(Node::text);
        let credential = fields.required("credential").and_then(credential);
        let keys = public_keys(fields);
        let device_claim = fields.optional_text("device_claim");
        let claims = listed_claims(fields);
        let max_staleness = max_staleness(fields);
        let on_stale = fields.word("on_stale", &CONFIRMABLE, Posture::Deny);
        let on_missing_feed = fields.word("on_missing_feed", &CONFIRMABLE, Posture::Deny);
        let on_unconfirmed = fields.word("on_unconfirmed", &POSTURES, Posture::Deny);
        let on_unnamed = fields.word("on_unnamed", &POSTURES, Posture::Deny);
        let check_timeout = fields.nullable_duration("check_timeout", DEFAULT_CHECK_TIMEOUT);
        let reload_jitter = fields.nullable_duration("reload_jitter", DEFAULT_RELOAD_JITTER);
        let stream_grace = fields.grace("stream_grace", DEFAULT_STREAM_GRACE);
        Ok(RevocationSettings {
            cluster: cluster?.to_owned(),
            authority: authority.unwrap_or(cluster)?.to_owned(),
            record_secret: RecordSecret::none(),
            credential: credential?,
            keys: keys?,
            device_claim: device_claim.map(str::to_owned),
            claims: claims?,
            max_staleness,
            on_stale,
            on_missing_feed,
            on_unconfirmed,
            on_unnamed,
            check_timeout,
            reload_jitter,
            stream_grace,
        })
    })
}

/// ◆ The claims by which tokens can be revoked beside those that always name one.
pub(crate) fn listed_claims(fields: &mut Fields<'_>) -> Read<Vec<ClaimSource>> {
    let Some(node) = fields.optional("claims") else {
        return Ok(Vec::new());
    };
    let nodes = node.some_elements("claim")?;
    if nodes.len() > MAX_CLAIMS {
        return Err(node.fault(format!(
            "expected at most {MAX_CLAIMS}: each is looked up for every new token"
        )));
    }
    each_once(nodes, listed_claim, |source| source.name.as_str())
}

/// Claims that are times or lists, so that no token could be told by them and each would be refused.
const NO_NAMES: [&str; 5] = ["exp", "nbf", "iat", "auth_time", "aud"];

/// Those that name a token without being listed.
const LISTED_ANYWAY: [&str; 4] = ["iss", "sub", "jti", "sid"];

/// A claim as it is called, or one with a name and where it is.
fn listed_claim(node: Node<'_>) -> Read<ClaimSource> {
    if !node.is_object() {
        let name = claim_name(node)?;
        if NO_NAMES.contains(&name) || LISTED_ANYWAY.contains(&name) {
            return Err(node.fault(format!(
                "`{name}` is a time, a list or a name by which tokens are revoked anyway"
            )));
        }
        return Ok(ClaimSource::at(name));
    }
    node.object(|fields| {
        let name = fields.required("name").and_then(claim_name);
        let path = claim_path(fields);
        if let Ok([claim]) = path.as_deref()
            && NO_NAMES.contains(&claim.as_str())
        {
            return Err(fields.node().fault(format!(
                "`{claim}` is a time or a list, by which no token can be revoked"
            )));
        }
        Ok(ClaimSource {
            name: name?.to_owned(),
            path: path?,
        })
    })
}

/// A name as the authority takes it.
fn claim_name(node: Node<'_>) -> Read<&str> {
    let name = node.text()?;
    if name.len() > MAX_NAME_BYTES {
        return Err(node.fault(format!("expected at most {MAX_NAME_BYTES} bytes")));
    }
    Ok(name)
}

/// It is the authority that reads status lists.
fn refuse_status_lists(fields: &Fields<'_>, providers: &[(String, Read<Provider>)]) {
    for (name, provider) in providers {
        if provider
            .as_ref()
            .is_ok_and(|provider| provider.honours_status)
        {
            let path = joined(&joined("providers", name), "status_list");
            fields.fault_at(
                path,
                "expected `revocation` with `honour`: its authority reads the lists",
            );
        }
    }
}

/// An entry is dropped some time after its tokens have expired. A provider that lets tokens pass
/// for longer than that would let revoked ones pass again.
fn refuse_long_skews(node: Node<'_>, providers: &[(String, Read<Provider>)]) {
    for (name, provider) in providers {
        let skew = provider.as_ref().map(|provider| provider.clock_skew);
        if skew.is_ok_and(|skew| skew > MAX_CLOCK_SKEW) {
            node.fault(format!(
                "`clock_skew_seconds` of provider `{name}`: expected at most {} with `revocation`, \
                 whose entries do not outlive their tokens by more",
                MAX_CLOCK_SKEW.as_secs()
            ));
        }
    }
}

fn max_staleness(fields: &mut Fields<'_>) -> Duration {
    let node = fields.optional("max_staleness");
    let duration = node.map(|node| (node, node.duration().unwrap_or(DEFAULT_MAX_STALENESS)));
    let Some((node, duration)) = duration else {
        return DEFAULT_MAX_STALENESS;
    };
    if duration < SHORTEST_MAX_STALENESS {
        node.fault("expected at least `3s`: heartbeats come every third of it");
    }
    duration
}

const POSTURES: [(&str, Posture); 2] = [("deny", Posture::Deny), ("allow", Posture::Allow)];

const CONFIRMABLE: [(&str, Posture); 3] = [
    ("deny", Posture::Deny),
    ("confirm", Posture::Confirm),
    ("allow", Posture::Allow),
];

/// A credential that can be sent in a header.
fn credential(node: Node<'_>) -> Read<String> {
    let is_credential =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let expected = "expected a credential as `portcullis credential` prints it";
    written_or_named(node, is_credential, expected).map(Option::unwrap_or_default)
}

fn public_keys(fields: &mut Fields<'_>) -> Read<FeedKeys> {
    let node = fields.required("public_keys")?;
    let keys = node.some_elements("key, as `portcullis serve` prints it at start")?;
    let keys = all(keys, public_key)?;
    Ok(FeedKeys::new(keys.into_iter().flatten().collect()))
}

/// A key as text, or the variable that holds it; `None` where only Envoy knows what it holds.
fn public_key(node: Node<'_>) -> Read<Option<VerifyingKey>> {
    let text = if node.is_object() {
        node.object(|source| variable(source.required("environment_variable")?))?
    } else {
        Some(node.text()?.to_owned())
    };
    let Some(text) = text else { return Ok(None) };
    let bytes = URL_SAFE_NO_PAD.decode(text).ok();
    let key = bytes.and_then(|bytes| VerifyingKey::try_from(bytes.as_slice()).ok());
    key.map(Some).ok_or_else(|| {
        node.fault("expected an Ed25519 public key: 32 bytes in base64url without padding")
    })
}
