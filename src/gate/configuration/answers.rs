//! What clients are told, and where they are sent.

use crate::configuration::{Fields, Node, Read};
use crate::gate::policy::{Policy, SIGN_IN_PARAMETERS};
use crate::gate::refusal::{Login, RefusalSettings, says};
use crate::keys::Url;

/// The default name of the protection space in challenges (RFC 9110 section 11.5).
const DEFAULT_REALM: &str = "portcullis";

/// The default parameter that tells a login page where its visitor came from.
const DEFAULT_RETURN_PARAMETER: &str = "return_to";

pub(super) fn answers(fields: &mut Fields<'_>) -> Read<RefusalSettings> {
    let realm = fields.nullable("realm").map_or(Ok(DEFAULT_REALM), quotable);
    let metadata = fields.nullable("resource_metadata").map(metadata_url);
    let login = fields.nullable("login_redirect").map(login);
    let is_stripped = fields.nullable_flag("strip_failure_response", false);
    Ok(RefusalSettings {
        realm: realm?.to_owned(),
        resource_metadata: metadata.transpose()?.map(str::to_owned),
        login: login.transpose()?,
        is_stripped,
    })
}

/// The login page must not get a parameter twice (RFC 6749 section 3.1).
pub(super) fn refuse_repeated(fields: &Fields<'_>, policy: &Policy) {
    let login = policy.refusals.login.as_ref();
    let query = login.and_then(|login| login.url.split_once('?'));
    let Some((_, query)) = query.filter(|_| policy.asks_for_sign_in()) else {
        return;
    };
    for name in SIGN_IN_PARAMETERS {
        if says(query, name) {
            let message = format!(
                "has `{name}`, which is added where a rule asks how the user has signed in"
            );
            fields.fault_at("login_redirect.url".to_owned(), &message);
        }
    }
}

/// A text for a quoted string, of characters that need no escape there.
fn quotable(node: Node<'_>) -> Read<&str> {
    node.text_of("printable ASCII characters without `\"` and `\\`", |byte| {
        matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\'
    })
}

fn metadata_url(node: Node<'_>) -> Read<&str> {
    let url = quotable(node)?;
    // RFC 9728 section 3: an `https` URL.
    if !is_url(url) || !url.starts_with("https://") {
        return Err(node.fault("expected a URL that begins with `https://`"));
    }
    Ok(url)
}

fn login(node: Node<'_>) -> Read<Login> {
    node.object(|fields| {
        let url = fields.required("url").and_then(page_url);
        let parameter = fields.nullable("return_parameter");
        let parameter = parameter.map_or(Ok(DEFAULT_RETURN_PARAMETER), parameter_name);
        let when_revoked = fields.optional("when_revoked").map(parameters);
        Ok(Login {
            url: url?.to_owned(),
            parameter: parameter?.to_owned(),
            when_revoked: when_revoked.transpose()?.map(str::to_owned),
        })
    })
}

/// Where a browser is sent.
pub(super) fn page_url(node: Node<'_>) -> Read<&str> {
    let url = node.text()?;
    let is_path = url.starts_with('/') && !url.starts_with("//");
    if is_url(url) || (is_path && is_plain(url)) {
        return Ok(url);
    }
    Err(node.fault(
        "expected a path, or a URL that begins with `https://` or `http://`, without a fragment",
    ))
}

/// A name that needs no encoding in a query.
fn parameter_name(node: Node<'_>) -> Read<&str> {
    let name = node.text_of("letters, digits, `-`, `.`, `_` and `~`", |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    })?;
    if SIGN_IN_PARAMETERS.contains(&name) {
        return Err(node.fault("is the name of a parameter that says how the user has to sign in"));
    }
    Ok(name)
}

/// Parameters of a query, encoded.
fn parameters(node: Node<'_>) -> Read<&str> {
    node.text_of(
        "parameters of a query, `prompt=login` for instance",
        |byte| byte.is_ascii_alphanumeric() || b"-._~=&%+".contains(&byte),
    )
}

fn is_url(text: &str) -> bool {
    Url::parse(text).is_some()
}

fn is_plain(text: &str) -> bool {
    let is_odd = |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'#' | b'\\');
    !text.bytes().any(is_odd)
}
