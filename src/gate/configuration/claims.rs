//! Where claims go: `claim_to_headers` and the like.

use super::header_name;
use super::reader::{Fields, Node};
use crate::gate::policy::{FilterStateClaim, PayloadHeader};
use crate::gate::session::{ClaimHeader, Form, canonical_name};

/// Headers that carry the request itself. A claim must not be written over them.
const RESERVED_HEADERS: [&str; 10] = [
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
        let Some(header) = claim_header(&node) else {
            continue;
        };
        let name = canonical_name(&header.header);
        refuse_reserved(&node, &name);
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

fn refuse_reserved(node: &Node<'_>, name: &str) {
    if RESERVED_HEADERS.contains(&name) {
        node.fault(format!(
            "`{name}` carries the request itself and cannot hold a claim"
        ));
    }
}

fn claim_header(node: &Node<'_>) -> Option<ClaimHeader> {
    node.object(|fields| {
        let header = fields
            .required("header_name")
            .and_then(|node| header_name(&node));
        let path = claim_path(fields);
        let form = match fields.optional("form") {
            None => Some(Form::Base64),
            Some(node) => form(&node),
        };
        Some(ClaimHeader {
            header: header?,
            path: path?,
            form: form?,
        })
    })
}

/// `claim_name`, with `.` between the names of nested claims, or `claim_path`, a list of names
/// that may have dots themselves, each as it is or as `jwt_authn` writes it, `{key: name}`.
pub(super) fn claim_path(fields: &mut Fields<'_>) -> Option<Vec<String>> {
    let name = fields.optional("claim_name");
    let path = fields.optional("claim_path");
    match (name, path) {
        (Some(node), None) => Some(node.text()?.split('.').map(str::to_owned).collect()),
        (None, Some(node)) => {
            let names = node.elements()?.map(|name| segment(&name));
            let names: Vec<_> = names.collect();
            let names: Option<Vec<_>> = names.into_iter().collect();
            let names = names?;
            if names.is_empty() {
                node.fault("expected at least one name");
            }
            Some(names)
        }
        _ => {
            let message = "expected either `claim_name` or `claim_path`";
            fields.node().fault(message);
            None
        }
    }
}

fn segment(node: &Node<'_>) -> Option<String> {
    let name = if node.is_object() {
        node.object(|fields| fields.required("key")?.text())
    } else {
        node.text()
    };
    name.map(str::to_owned)
}

fn form(node: &Node<'_>) -> Option<Form> {
    let form = match node.text()? {
        "base64" => Some(Form::Base64),
        "json" => Some(Form::Json),
        "comma" => Some(Form::Comma),
        _ => None,
    };
    if form.is_none() {
        node.fault("expected `base64`, `json` or `comma`");
    }
    form
}

pub(super) fn payload_header(fields: &mut Fields<'_>) -> Option<PayloadHeader> {
    let header = fields.optional("forward_payload_header");
    let is_padded = fields.flag("pad_forward_payload_header", false);
    let node = header?;
    let name = header_name(&node)?;
    refuse_reserved(&node, &canonical_name(&name));
    Some(PayloadHeader { name, is_padded })
}

/// ◆ Claims that access logs may show as `%FILTER_STATE(wasm.<name>:PLAIN)%`.
pub(super) fn filter_state(fields: &mut Fields<'_>) -> Vec<FilterStateClaim> {
    let entries = fields.list("claims_to_filter_state").into_iter();
    entries
        .filter_map(|node| filter_state_claim(&node))
        .collect()
}

fn filter_state_claim(node: &Node<'_>) -> Option<FilterStateClaim> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| {
            let name = node.text()?;
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !name.bytes().all(is_plain) {
                node.fault("expected letters, digits, `-`, `.` and `_`");
                return None;
            }
            Some(name.to_owned())
        });
        let path = claim_path(fields);
        Some(FilterStateClaim {
            name: name?,
            path: path?,
        })
    })
}
