//! Where claims go: `claim_to_headers` and the like.

use super::headers::header_name;
use crate::configuration::{Fields, Node, Read, all};
use crate::gate::alias::canonical_name;
use crate::gate::policy::{ClaimHeader, FilterStateClaim, Form, PayloadHeader};

/// Headers that carry the request itself. A claim must not overwrite them, and a token that came in
/// one of them could not be removed.
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
    let headers_of = fields.each("claim_to_headers", |node| Ok((node, claim_header(node)?)));
    for (node, header) in headers_of {
        let name = canonical_name(&header.header);
        refuse_reserved(node, &name, "a claim");
        let mut earlier = headers.iter();
        if earlier.any(|earlier| canonical_name(&earlier.header) == name) {
            node.fault(format!("`{name}` is already filled from another claim"));
        }
        headers.push(header);
    }
    headers
}

/// Refuses one of them as a header that is set for the upstream or removed on the way there.
pub(super) fn refuse_reserved(node: Node<'_>, name: &str, what: &str) {
    if RESERVED_HEADERS.contains(&name) {
        node.fault(format!(
            "`{name}` carries the request itself and cannot hold {what}"
        ));
    }
}

fn claim_header(node: Node<'_>) -> Read<ClaimHeader> {
    node.object(|fields| {
        let header = fields.required("header_name").and_then(header_name);
        let path = claim_path(fields);
        let forms = [
            ("base64", Form::Base64),
            ("json", Form::Json),
            ("comma", Form::Comma),
        ];
        let form = fields.word("form", &forms, Form::Base64);
        Ok(ClaimHeader {
            header: header?,
            path: path?,
            form,
        })
    })
}

/// `claim_name`, with `.` between the names of nested claims, or `claim_path`, a list of names
/// that may have dots themselves, each as it is or as `jwt_authn` writes it, `{key: name}`.
pub(super) fn claim_path(fields: &mut Fields<'_>) -> Read<Vec<String>> {
    let (is_path, node) = fields.one_of(&[("claim_name", false), ("claim_path", true)])?;
    if is_path {
        return all(node.some_elements("name")?, segment);
    }
    Ok(node.text()?.split('.').map(str::to_owned).collect())
}

fn segment(node: Node<'_>) -> Read<String> {
    let name = if node.is_object() {
        node.object(|fields| fields.required_text("key"))
    } else {
        node.text()
    };
    name.map(str::to_owned)
}

pub(super) fn payload_header(fields: &mut Fields<'_>) -> Option<PayloadHeader> {
    let is_padded = fields.nullable_flag("pad_forward_payload_header", false);
    let node = fields.unset_if_empty("forward_payload_header")?;
    let name = header_name(node).ok()?;
    refuse_reserved(node, &canonical_name(&name), "a claim");
    Some(PayloadHeader { name, is_padded })
}

/// ◆ Claims that access logs may show as `%FILTER_STATE(wasm.<name>:PLAIN)%`.
pub(super) fn filter_state(fields: &mut Fields<'_>) -> Read<Vec<FilterStateClaim>> {
    match fields.nullable("claims_to_filter_state") {
        None => Ok(Vec::new()),
        Some(node) => all(node.elements()?, filter_state_claim),
    }
}

fn filter_state_claim(node: Node<'_>) -> Read<FilterStateClaim> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| {
            node.text_of("letters, digits, `-`, `.` and `_`", |byte| {
                byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
            })
        });
        let path = claim_path(fields);
        Ok(FilterStateClaim {
            name: name?.to_owned(),
            path: path?,
        })
    })
}
