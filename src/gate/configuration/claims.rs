//! Where claims go: `claim_to_headers` and the like.

use super::header_name;
use super::reader::{Fields, Node, Read, all, boolean_or};
use crate::gate::alias::canonical_name;
use crate::gate::policy::{FilterStateClaim, PayloadHeader};
use crate::gate::session::{ClaimHeader, Form};

/// Headers that carry the request itself. A claim must not be written over them, and a token that
/// came in one of them could not be taken off.
pub(super) const RESERVED_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn claim_headers(fields: &mut Fields<'_>) -> Vec<ClaimHeader> {
    let mut headers: Vec<ClaimHeader> = Vec::new();
    for node in fields.list("claim_to_headers") {
        let Ok(header) = claim_header(&node) else {
            continue;
        };
        let name = canonical_name(&header.header);
        refuse_reserved(&node, &name, "a claim");
        if headers
            .iter()
            .any(|earlier| canonical_name(&earlier.header) == name)
        {
            node.fault(format!("`{name}` is already filled from another claim"));
        }
        headers.push(header);
    }
    headers
}

/// Neither what goes to the upstream nor what is taken off on the way there may be one of them.
pub(super) fn refuse_reserved(node: &Node<'_>, name: &str, what: &str) {
    if RESERVED_HEADERS.contains(&name) {
        node.fault(format!(
            "`{name}` carries the request itself and cannot hold {what}"
        ));
    }
}

fn claim_header(node: &Node<'_>) -> Read<ClaimHeader> {
    node.object(|fields| {
        let header = fields
            .required("header_name")
            .and_then(|node| header_name(&node));
        let path = claim_path(fields);
        let form = match fields.nullable("form") {
            None => Ok(Form::Base64),
            Some(node) => form(&node),
        };
        Ok(ClaimHeader {
            header: header?,
            path: path?,
            form: form?,
        })
    })
}

/// `claim_name`, with `.` between the names of nested claims, or `claim_path`, a list of names
/// that may have dots themselves, each as it is or as `jwt_authn` writes it, `{key: name}`.
pub(super) fn claim_path(fields: &mut Fields<'_>) -> Read<Vec<String>> {
    let name = fields.optional("claim_name");
    let path = fields.optional("claim_path");
    match (name, path) {
        (Some(node), None) => Ok(node.text()?.split('.').map(str::to_owned).collect()),
        (None, Some(node)) => {
            let names = all(&node.elements()?, segment)?;
            if names.is_empty() {
                return Err(node.fault("expected at least one name"));
            }
            Ok(names)
        }
        _ => {
            let message = "expected either `claim_name` or `claim_path`";
            Err(fields.node().fault(message))
        }
    }
}

fn segment(node: &Node<'_>) -> Read<String> {
    let name = if node.is_object() {
        node.object(|fields| fields.required("key")?.text())
    } else {
        node.text()
    };
    name.map(str::to_owned)
}

fn form(node: &Node<'_>) -> Read<Form> {
    match node.text()? {
        "base64" => Ok(Form::Base64),
        "json" => Ok(Form::Json),
        "comma" => Ok(Form::Comma),
        _ => Err(node.fault("expected `base64`, `json` or `comma`")),
    }
}

pub(super) fn payload_header(fields: &mut Fields<'_>) -> Read<Option<PayloadHeader>> {
    let is_padded = boolean_or(fields.nullable("pad_forward_payload_header"), false);
    let Some(node) = fields.unset_if_empty("forward_payload_header") else {
        return Ok(None);
    };
    let name = header_name(&node)?;
    refuse_reserved(&node, &canonical_name(&name), "a claim");
    Ok(Some(PayloadHeader { name, is_padded }))
}

/// ◆ Claims that access logs may show as `%FILTER_STATE(wasm.<name>:PLAIN)%`.
pub(super) fn filter_state(fields: &mut Fields<'_>) -> Read<Vec<FilterStateClaim>> {
    match fields.nullable("claims_to_filter_state") {
        None => Ok(Vec::new()),
        Some(node) => all(&node.elements()?, filter_state_claim),
    }
}

fn filter_state_claim(node: &Node<'_>) -> Read<FilterStateClaim> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| {
            let name = node.text()?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !name.bytes().all(is_plain) {
                return Err(node.fault("expected letters, digits, `-`, `.` and `_`"));
            }
            Ok(name.to_owned())
        });
        let path = claim_path(fields);
        Ok(FilterStateClaim {
            name: name?,
            path: path?,
        })
    })
}
