//! The `revocation` key: where the feed comes from, and what counts while it does not.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;

use super::reader::{Fields, Node, Read, all, duration_or};
use crate::gate::policy::Provider;
use crate::gate::revocation::{Posture, RevocationSettings};
use crate::namespace::RecordSecret;
use crate::revocation::{FeedKeys, MAX_CLOCK_SKEW};

const DEFAULT_MAX_STALENESS: Duration = Duration::from_secs(30);
const DEFAULT_CHECK_TIMEOUT: Duration = Duration::from_secs(1);
const DEFAULT_RELOAD_JITTER: Duration = Duration::from_secs(30);

/// A shorter silence than this cannot be told from an ordinary pause between two heartbeats.
const SHORTEST_MAX_STALENESS: Duration = Duration::from_secs(3);

pub(super) fn settings(node: &Node<'_>) -> Read<RevocationSettings> {
    node.object(|fields| {
        let cluster = fields.required("cluster").and_then(|node| node.text());
        let authority = fields.nullable("authority").map(|node| node.text());
        let credential = fields.required("credential").and_then(|node| secret(&node));
        let keys = public_keys(fields);
        let device_claim = fields.optional_as("device_claim", Node::text);
        let max_staleness = max_staleness(fields);
        let on_stale = posture(fields, "on_stale", true);
        let on_missing_feed = posture(fields, "on_missing_feed", true);
        let on_unconfirmed = posture(fields, "on_unconfirmed", false);
        let on_unnamed = posture(fields, "on_unnamed", false);
        let check_timeout = duration_or(fields.nullable("check_timeout"), DEFAULT_CHECK_TIMEOUT);
        let reload_jitter = duration_or(fields.nullable("reload_jitter"), DEFAULT_RELOAD_JITTER);
        Ok(RevocationSettings {
            cluster: cluster?.to_owned(),
            authority: authority.unwrap_or(cluster)?.to_owned(),
            record_secret: RecordSecret::none(),
            credential: credential?,
            keys: keys?,
            device_claim: device_claim?.map(str::to_owned),
            max_staleness: max_staleness?,
            on_stale,
            on_missing_feed,
            on_unconfirmed,
            on_unnamed,
            check_timeout: check_timeout?,
            reload_jitter: reload_jitter?,
        })
    })
}

/// An entry is dropped some time after its tokens have expired. A provider that lets them pass for
/// longer than that would let revoked ones pass again.
pub(super) fn refuse_long_skews(node: &Node<'_>, providers: &[(String, Read<Provider>)]) {
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

fn max_staleness(fields: &mut Fields<'_>) -> Read<Duration> {
    let duration = fields.optional_as("max_staleness", |node| {
        let duration = node.duration()?;
        if duration < SHORTEST_MAX_STALENESS {
            let message = "expected at least `3s`: heartbeats come every third of it";
            return Err(node.fault(message));
        }
        Ok(duration)
    });
    Ok(duration?.unwrap_or(DEFAULT_MAX_STALENESS))
}

fn posture(fields: &mut Fields<'_>, key: &'static str, can_confirm: bool) -> Posture {
    let read = |node: Node<'_>| match (node.string()?, can_confirm) {
        ("deny", _) => Ok(Posture::Deny),
        ("allow", _) => Ok(Posture::Allow),
        ("confirm", true) => Ok(Posture::Confirm),
        _ => Err(node.fault(if can_confirm {
            "expected `deny`, `confirm` or `allow`"
        } else {
            "expected `deny` or `allow`"
        })),
    };
    let posture = fields.nullable(key).map(read);
    posture
        .unwrap_or(Ok(Posture::Deny))
        .unwrap_or(Posture::Deny)
}

/// `inline_string` or `environment_variable`, as for keys; what is sent as a header has to be one.
fn secret(node: &Node<'_>) -> Read<String> {
    let is_credential =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let expected = "expected a credential as `portcullis credential` prints it";
    written_or_named(node, is_credential, expected).map(Option::unwrap_or_default)
}

/// The text that stands in `inline_string` or in the variable that `environment_variable` names,
/// without blanks around it; `None` where only Envoy knows what the variable holds.
pub(super) fn written_or_named(
    node: &Node<'_>,
    is_good: impl Fn(&str) -> bool,
    expected: &str,
) -> Read<Option<String>> {
    node.object(|source| {
        let inline = source.optional("inline_string");
        let variable = source.optional("environment_variable");
        let (node, text) = match (inline, variable) {
            (Some(node), None) => (node.clone(), node.text()?.to_owned()),
            (None, Some(node)) => match node.variable()? {
                Some(text) => (node, text),
                None => return Ok(None),
            },
            _ => {
                let message = "expected either `inline_string` or `environment_variable`";
                return Err(source.node().fault(message));
            }
        };
        let text = text.trim();
        if !is_good(text) {
            return Err(node.fault(expected));
        }
        Ok(Some(text.to_owned()))
    })
}

fn public_keys(fields: &mut Fields<'_>) -> Read<FeedKeys> {
    let node = fields.required("public_keys")?;
    let elements = node.elements()?;
    if elements.is_empty() {
        let message = "expected at least one key, as `portcullis serve` prints it at start";
        return Err(node.fault(message));
    }
    let keys = all(&elements, public_key)?;
    Ok(FeedKeys::new(keys.into_iter().flatten().collect()))
}

/// A key as text, or the variable that holds it; `None` where only Envoy knows what it holds.
fn public_key(node: &Node<'_>) -> Read<Option<VerifyingKey>> {
    let text = if node.is_object() {
        node.object(|source| source.required("environment_variable")?.variable())?
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
