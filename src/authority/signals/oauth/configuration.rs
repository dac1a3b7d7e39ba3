//! `oauth`: which OAuth clients may revoke tokens, and which resource servers may ask about them.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::authority::IssuerKeys;
use crate::authority::configuration::{Document, KEY_PLACES, issuer_keys, name};
use crate::authority::signals::configuration::{SecretSource, secret_source};
use crate::configuration::{Fields, Node, Read, all, each_once};
use crate::gate::{ClaimSource, listed_claims};

/// What the signals file says of OAuth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OAuthConfiguration {
    /// Who may ask.
    pub clients: Vec<OAuthClient>,
    /// What `aud` of a client's assertion may be, beside the URLs of this listener.
    pub assertion_audiences: Vec<String>,
    /// Claims by which tokens can be revoked, as the filters list them, beside those that are called
    /// by their own names.
    pub claims: Vec<ClaimSource>,
}

/// An OAuth client, or a resource server: who it is, and what it may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthClient {
    /// `client_id`, as its tokens have it.
    pub client_id: String,
    /// Where its secret is.
    pub secret: Option<SecretSource>,
    /// Where the keys are that it signs assertions with.
    pub keys: Option<IssuerKeys>,
    /// Which tokens it may revoke.
    pub revoke: Option<RevokeRule>,
    /// Which tokens it may ask about.
    pub introspect: Option<IntrospectRule>,
}

/// Which tokens a client may revoke: its own, of these issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeRule {
    /// `iss` of its tokens.
    pub issuers: Vec<String>,
    /// What a token takes with it.
    pub ends: RevokeScope,
    /// The claim that says for which client they were issued, where that is neither `client_id` nor `azp`.
    pub client_claim: Option<String>,
}

/// What ends with a token that its client revokes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RevokeScope {
    /// The token, and the requests in progress with it.
    #[default]
    Token,
    /// The token: another one has taken its place, and requests in progress go on.
    RotatedToken,
    /// Its session; the token alone where it has none.
    Session,
}

/// Which tokens a resource server may ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IntrospectRule {
    /// Those for one of these audiences.
    Audiences(Vec<String>),
    /// All of them.
    Any,
}

/// What a form and a header can carry, and a history.
const MOST_BYTES_OF_ID: usize = 128;

/// The section. `public_url` has to be there where this is.
pub(in crate::authority::signals) fn oauth(
    fields: &mut Fields<'_>,
    directory: &Path,
    has_public_url: bool,
) -> Read<Option<OAuthConfiguration>> {
    let Some(node) = fields.optional("oauth") else {
        return Ok(None);
    };
    if !has_public_url {
        return Err(node.fault(
            "`public_url` is missing beside it: clients say for whom their assertions are, and \
             signed answers say who has signed them",
        ));
    }
    let read = |fields: &mut Fields<'_>| {
        let clients = fields.required("clients");
        let clients = clients.and_then(|node| clients_of(node, directory));
        let assertion_audiences = fields.each("assertion_audiences", name);
        let claims = listed_claims(fields);
        Ok(OAuthConfiguration {
            clients: clients?,
            assertion_audiences,
            claims: claims?,
        })
    };
    node.object(read).map(Some)
}

fn clients_of(node: Node<'_>, directory: &Path) -> Read<Vec<OAuthClient>> {
    each_once(
        node.some_elements("client")?,
        |node| client(node, directory),
        |client| client.client_id.as_str(),
    )
}

fn client(node: Node<'_>, directory: &Path) -> Read<OAuthClient> {
    node.object(|fields| {
        let client_id = fields.required("client_id").and_then(client_id);
        let secret = fields.optional("secret");
        let secret = secret.map(|node| secret_source(node, directory));
        let keys = fields.optional("keys");
        let [local, remote, _] = KEY_PLACES;
        let keys =
            keys.map(|node| issuer_keys(node, &[local, remote], directory, Document::Signals));
        let revoke = fields.optional("revoke").map(|node| node.object(revoke));
        let introspect = fields.optional("introspect");
        let introspect = introspect.map(|node| node.object(introspect_rule));
        if secret.is_none() && keys.is_none() {
            node.fault("expected `secret`, `keys` or both: every client has to show who it is");
        }
        if revoke.is_none() && introspect.is_none() {
            node.warning("has neither `revoke` nor `introspect`, so it may do nothing");
        }
        Ok(OAuthClient {
            client_id: client_id?,
            secret: secret.transpose()?,
            keys: keys.transpose()?,
            revoke: revoke.transpose()?,
            introspect: introspect.transpose()?,
        })
    })
}

/// RFC 6749 appendix A.1: visible ASCII and blanks.
fn client_id(node: Node<'_>) -> Read<String> {
    const VISIBLE: RangeInclusive<u8> = b' '..=b'~';
    let text = node.text_of("letters, digits, blanks and signs of ASCII", |byte| {
        VISIBLE.contains(&byte)
    })?;
    if text.len() > MOST_BYTES_OF_ID {
        return Err(node.fault(format!("expected at most {MOST_BYTES_OF_ID} bytes")));
    }
    Ok(text.to_owned())
}

fn revoke(fields: &mut Fields<'_>) -> Read<RevokeRule> {
    let words = [
        ("token", RevokeScope::Token),
        ("rotated_token", RevokeScope::RotatedToken),
        ("session", RevokeScope::Session),
    ];
    let issuers = fields.required("issuers").and_then(|node| {
        let nodes = node.some_elements("issuer")?;
        all(nodes, name)
    });
    let ends = fields.strict_word("ends", &words, RevokeScope::default());
    let client_claim = fields.optional("client_claim").map(name);
    Ok(RevokeRule {
        issuers: issuers?,
        ends,
        client_claim: client_claim.transpose()?,
    })
}

fn introspect_rule(fields: &mut Fields<'_>) -> Read<IntrospectRule> {
    let (is_list, node) = fields.one_of(&[("audiences", true), ("any_audience", false)])?;
    if is_list {
        let nodes = node.some_elements("audience")?;
        return all(nodes, name).map(IntrospectRule::Audiences);
    }
    if node.boolean()? {
        return Ok(IntrospectRule::Any);
    }
    Err(node.fault("expected `true`, or `audiences` in its place"))
}
