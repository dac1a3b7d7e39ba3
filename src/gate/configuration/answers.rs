//! What clients are told, and where they are sent.

use super::reader::{Fields, Node, Read, boolean_or};
use crate::gate::refusal::{Login, RefusalSettings};

/// What names the protection space in challenges (RFC 9110 section 11.5).
const DEFAULT_REALM: &str = "portcullis";

/// The parameter that tells a login page where its visitor came from.
const DEFAULT_RETURN_PARAMETER: &str = "return_to";

pub(super) fn answers(fields: &mut Fields<'_>) -> Read<RefusalSettings> {
    let realm = fields.nullable("realm");
    let realm = realm.map_or_else(|| Ok(DEFAULT_REALM.to_owned()), |node| quotable(&node));
    let metadata = fields.nullable("resource_metadata");
    let metadata = metadata.as_ref().map(metadata_url).transpose();
    let login = fields.nullable("login_redirect").as_ref().map(login);
    let is_stripped = boolean_or(fields.nullable("strip_failure_response"), false);
    Ok(RefusalSettings {
        realm: realm?,
        resource_metadata: metadata?,
        login: login.transpose()?,
        is_stripped,
    })
}

/// Stands in a quoted string, in the characters that need no escape there.
fn quotable(node: &Node<'_>) -> Read<String> {
    let text = node.text()?;
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
    if !text.bytes().all(is_plain) {
        return Err(node.fault("expected printable ASCII characters without `\"` and `\\`"));
    }
    Ok(text.to_owned())
}

fn metadata_url(node: &Node<'_>) -> Read<String> {
    let url = quotable(node)?;
    // RFC 9728 section 3: an `https` URL.
    if !is_url(&url) || !url.starts_with("https://") {
        return Err(node.fault("expected a URL that begins with `https://`"));
    }
    Ok(url)
}

fn login(node: &Node<'_>) -> Read<Login> {
    node.object(|fields| {
        let url = fields.required("url").and_then(|node| {
            let url = node.text()?;
            let is_path = url.starts_with('/') && !url.starts_with("//");
            let is_sound = is_url(url) || (is_path && is_plain(url));
            if !is_sound {
                return Err(node.fault(
                    "expected a path, or a URL that begins with `https://` or `http://`, \
                     without a fragment",
                ));
            }
            Ok(url.to_owned())
        });
        let parameter = match fields.nullable("return_parameter") {
            None => Ok(DEFAULT_RETURN_PARAMETER.to_owned()),
            Some(node) => parameter(&node),
        };
        Ok(Login {
            url: url?,
            parameter: parameter?,
        })
    })
}

/// A name that needs no encoding in a query.
fn parameter(node: &Node<'_>) -> Read<String> {
    let name = node.text()?;
    let is_unreserved =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    if !name.bytes().all(is_unreserved) {
        return Err(node.fault("expected letters, digits, `-`, `.`, `_` and `~`"));
    }
    Ok(name.to_owned())
}

fn is_url(text: &str) -> bool {
    crate::keys::Url::parse(text).is_some()
}

fn is_plain(text: &str) -> bool {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'\\');
    !text.bytes().any(is_odd)
}
