//! What clients are told, and where they are sent.

use super::reader::{Fields, Node};
use crate::gate::refusal::{Answers, Login};

/// What names the protection space in challenges (RFC 9110 section 11.5).
const DEFAULT_REALM: &str = "portcullis";

/// The parameter that tells a login page where its visitor came from.
const DEFAULT_RETURN_PARAMETER: &str = "return_to";

pub(super) fn answers(fields: &mut Fields<'_>) -> Answers {
    let realm = fields.optional("realm").and_then(|node| quotable(&node));
    let metadata = fields.optional("resource_metadata");
    let login_redirect = fields.optional("login_redirect");
    Answers {
        realm: realm.unwrap_or_else(|| DEFAULT_REALM.to_owned()),
        resource_metadata: metadata.and_then(|node| metadata_url(&node)),
        login: login_redirect.and_then(|node| login(&node)),
        is_stripped: fields.flag("strip_failure_response", false),
    }
}

/// Stands in a quoted string, in the characters that need no escape there.
fn quotable(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
    if !text.bytes().all(is_plain) {
        node.fault("expected printable ASCII characters without `\"` and `\\`");
        return None;
    }
    Some(text.to_owned())
}

fn metadata_url(node: &Node<'_>) -> Option<String> {
    let url = quotable(node)?;
    // RFC 9728 section 3: an `https` URL.
    if !is_url(&url) || !url.starts_with("https://") {
        node.fault("expected a URL that begins with `https://`");
        return None;
    }
    Some(url)
}

fn login(node: &Node<'_>) -> Option<Login> {
    node.object(|fields| {
        let url = fields.required("url").and_then(|node| {
            let url = node.text()?;
            let is_path = url.starts_with('/') && !url.starts_with("//");
            let is_sound = is_url(url) || (is_path && is_plain(url));
            if !is_sound {
                node.fault(
                    "expected a path, or a URL that begins with `https://` or `http://`, \
                     without a fragment",
                );
                return None;
            }
            Some(url.to_owned())
        });
        let parameter = match fields.optional("return_parameter") {
            None => Some(DEFAULT_RETURN_PARAMETER.to_owned()),
            Some(node) => parameter(&node),
        };
        Some(Login {
            url: url?,
            parameter: parameter?,
        })
    })
}

/// A name that needs no encoding in a query.
fn parameter(node: &Node<'_>) -> Option<String> {
    let name = node.text()?;
    let is_unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if !name.bytes().all(is_unreserved) {
        node.fault("expected letters, digits, `-`, `.`, `_` and `~`");
        return None;
    }
    Some(name.to_owned())
}

fn is_url(text: &str) -> bool {
    crate::gate::keys::Location::from_url(text).is_some()
}

fn is_plain(text: &str) -> bool {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'\\');
    !text.bytes().any(is_odd)
}
