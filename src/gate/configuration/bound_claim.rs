//! ◆ What a provider's tokens are bound to by their claims: `bind_to`.

use super::claims::{claim_path, refuse_reserved};
use super::headers::header_name;
use crate::configuration::{Fields, Node, Read};
use crate::gate::alias::canonical_name;
use crate::gate::policy::{BoundClaim, BoundTo};

/// The properties of a connection that are texts, with the words for them. All but the last say who is at its
/// other end.
const PROPERTIES: [(&str, &str); 5] = [
    (
        "connection.uri_san_peer_certificate",
        "uri_san_peer_certificate",
    ),
    (
        "connection.dns_san_peer_certificate",
        "dns_san_peer_certificate",
    ),
    (
        "connection.subject_peer_certificate",
        "subject_peer_certificate",
    ),
    (
        "connection.sha256_peer_certificate_digest",
        "sha256_peer_certificate_digest",
    ),
    ("connection.requested_server_name", "requested_server_name"),
];

/// How one of the things that a claim may be compared with is read.
type ReadOther = fn(Node<'_>) -> Read<BoundTo>;

pub(super) fn bound_claims(fields: &mut Fields<'_>) -> Vec<BoundClaim> {
    fields.some("bind_to", "claim", |node| node.object(bound_claim))
}

fn bound_claim(fields: &mut Fields<'_>) -> Read<BoundClaim> {
    let path = claim_path(fields);
    let (read, node) = fields.one_of(&[
        ("header", header as ReadOther),
        ("property", |node| {
            node.word(&PROPERTIES).map(BoundTo::Connection)
        }),
        ("filter_state", |node| {
            node.text()
                .map(|name| BoundTo::FilterState(name.to_owned()))
        }),
    ])?;
    let to = read(node);
    Ok(BoundClaim {
        path: path?,
        to: to?,
    })
}

fn header(node: Node<'_>) -> Read<BoundTo> {
    let name = header_name(node)?;
    refuse_reserved(
        node,
        &canonical_name(&name),
        "what a claim is compared with",
    );
    Ok(BoundTo::Header(name))
}
