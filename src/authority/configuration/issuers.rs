//! `issuers`: whose tokens count as evidence, and where their keys are.

use std::path::Path;

use super::file::{ConfiguredFile, Document, file};
use super::session_policy::session_policy;
use super::status_lists::{StatusListSource, status_lists};
use crate::authority::SessionPolicy;
use crate::authority::http::is_loopback;
use crate::configuration::{Fields, Node, Read, each_once};
use crate::gate::cut_off_by;
use crate::keys::Url;
use crate::revocation::{CutOffBy, MAX_NAME_BYTES};

/// An issuer whose tokens count as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// `iss`, exactly.
    pub issuer: String,
    /// Where its keys are.
    pub keys: IssuerKeys,
    /// `aud` has to have one of these; anything when empty.
    pub audiences: Vec<String>,
    /// The claim that names the device.
    pub device_claim: Option<String>,
    /// What cut-offs of its tokens compare with, as in the filters.
    pub cut_off_by: CutOffBy,
    /// For how long sessions end that users or a policy end.
    pub sessions_end: SessionEnd,
    /// When its sessions end by themselves.
    pub session_policy: Option<SessionPolicy>,
    /// Where the status lists are that its tokens may refer to.
    pub status_lists: Option<StatusListSource>,
}

/// For how long a session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionEnd {
    /// For good.
    #[default]
    ForGood,
    /// Until its user signs in anew, for issuers that give a `sid` again.
    UntilSignIn,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKeys {
    /// In a file.
    File(ConfiguredFile),
    /// On a server.
    Server(KeyServer),
    /// On a server, at the address that the discovery document at this URL has (OpenID Connect
    /// Discovery 1.0).
    Discovery(KeyServer),
}

impl IssuerKeys {
    /// The server that is asked, if there is one.
    #[must_use]
    pub const fn server(&self) -> Option<&KeyServer> {
        match self {
            Self::File(_) => None,
            Self::Server(server) | Self::Discovery(server) => Some(server),
        }
    }
}

/// What is fetched from a server: a JWK Set, or the discovery document that leads to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyServer {
    /// Scheme and authority: what is connected to.
    pub origin: String,
    /// What is asked for.
    pub url: Url,
    /// The file with the certificate authorities to trust, in place of the public ones.
    pub certificate_authority: Option<ConfiguredFile>,
}

/// The section. Without it no token counts as evidence.
pub(super) fn issuers(fields: &mut Fields<'_>, directory: &Path) -> Read<Vec<Issuer>> {
    let Some(node) = fields.optional("issuers") else {
        return Ok(Vec::new());
    };
    let nodes = node.some_elements("issuer")?;
    each_once(
        nodes,
        |node| issuer(node, directory),
        |issuer| issuer.issuer.as_str(),
    )
}

fn issuer(node: Node<'_>, directory: &Path) -> Read<Issuer> {
    node.object(|fields| {
        let issuer = fields.required("issuer").and_then(name);
        let keys = fields.required("keys");
        let [local, remote, _] = KEY_PLACES;
        let keys = keys
            .and_then(|node| issuer_keys(node, &[local, remote], directory, Document::Authority));
        let audiences = audiences(fields);
        let device_claim = fields.optional_text("device_claim");
        let cut_off_by = cut_off_by(fields);
        let sessions_end = sessions_end(fields);
        let session_policy = session_policy(fields);
        let status_lists = status_lists(fields, directory);
        Ok(Issuer {
            issuer: issuer?,
            keys: keys?,
            audiences: audiences?,
            device_claim: device_claim.map(str::to_owned),
            cut_off_by,
            sessions_end,
            session_policy: session_policy?,
            status_lists: status_lists?,
        })
    })
}

/// None where there is no such key, and then tokens for anyone count.
fn audiences(fields: &mut Fields<'_>) -> Read<Vec<String>> {
    let Some(node) = fields.optional("audiences") else {
        return Ok(Vec::new());
    };
    let nodes = node.some_elements("audience")?;
    nodes
        .into_iter()
        .map(|node| node.text().map(str::to_owned))
        .collect()
}

/// `sessions_end`, here and for signals.
pub(in crate::authority) fn sessions_end(fields: &mut Fields<'_>) -> SessionEnd {
    fields.strict_word("sessions_end", &ENDS, SessionEnd::ForGood)
}

const ENDS: [(&str, SessionEnd); 2] = [
    ("for_good", SessionEnd::ForGood),
    ("until_sign_in", SessionEnd::UntilSignIn),
];

/// Where the keys of an issuer, or of an OAuth client, can be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::authority) enum KeyPlace {
    File,
    Server,
    Discovery,
}

/// The keys that name these places. Discovery documents are of issuers of signals alone, and the last of
/// them.
pub(in crate::authority) const KEY_PLACES: [(&str, KeyPlace); 3] = [
    ("jwks_file", KeyPlace::File),
    ("jwks_uri", KeyPlace::Server),
    ("discovery", KeyPlace::Discovery),
];

/// `keys`, here and for signals, at one of these places.
pub(in crate::authority) fn issuer_keys(
    node: Node<'_>,
    places: &[(&'static str, KeyPlace)],
    directory: &Path,
    document: Document,
) -> Read<IssuerKeys> {
    node.object(|fields| {
        let authority = fields.optional("certificate_authority");
        let (place, node) = fields.one_of(places)?;
        if place == KeyPlace::File {
            return match authority {
                Some(authority) => Err(authority.fault("has no effect without a server")),
                None => file(node, directory, document).map(IssuerKeys::File),
            };
        }
        let authority = authority.map(|node| file(node, directory, document));
        let server = server(node, authority.transpose()?)?;
        Ok(if place == KeyPlace::Discovery {
            IssuerKeys::Discovery(server)
        } else {
            IssuerKeys::Server(server)
        })
    })
}

/// A name, as long as one in a revocation may be.
pub(in crate::authority) fn name(node: Node<'_>) -> Read<String> {
    let name = node.text()?;
    if name.len() > MAX_NAME_BYTES {
        return Err(node.fault(format!("expected at most {MAX_NAME_BYTES} bytes")));
    }
    Ok(name.to_owned())
}

/// Keys over plain HTTP could be replaced by an attacker on the way.
pub(in crate::authority) fn server(
    node: Node<'_>,
    certificate_authority: Option<ConfiguredFile>,
) -> Read<KeyServer> {
    let expected = "expected a URL that begins with `https://`, or with `http://` where its host is \
                    on loopback";
    let text = node.text()?;
    let url = Url::parse(text).ok_or_else(|| node.fault(expected))?;
    let is_secure = text.starts_with("https://");
    if !is_secure && !is_loopback(url.authority.as_bytes()) {
        return Err(node.fault(expected));
    }
    let scheme = if is_secure { "https" } else { "http" };
    Ok(KeyServer {
        origin: format!("{scheme}://{}", url.authority),
        url,
        certificate_authority,
    })
}
