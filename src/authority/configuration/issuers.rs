//! `issuers`: whose tokens count as evidence, and where their keys are.

use std::path::{Path, PathBuf};

use super::session_policy::session_policy;
use crate::authority::SessionPolicy;
use crate::authority::http::is_loopback;
use crate::configuration::{Fields, Node, Read, all};
use crate::keys::Url;
use crate::revocation::MAX_NAME_BYTES;

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
    /// When its sessions end by themselves.
    pub session_policy: Option<SessionPolicy>,
}

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IssuerKeys {
    /// In a file.
    File(PathBuf),
    /// On a server.
    Server(KeyServer),
}

/// A JWK Set on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyServer {
    /// Scheme and authority: what is connected to.
    pub origin: String,
    /// What is asked for.
    pub url: Url,
    /// The file with the certificate authorities to trust, in place of the public ones.
    pub certificate_authority: Option<PathBuf>,
}

/// The section. Without it no token counts as evidence.
pub(super) fn issuers(fields: &mut Fields<'_>, directory: &Path) -> Read<Vec<Issuer>> {
    let Some(node) = fields.optional("issuers") else {
        return Ok(Vec::new());
    };
    let nodes: Vec<_> = node.some_elements("issuer")?.collect();
    let issuers = all(nodes.iter().copied(), |node| issuer(node, directory))?;
    for (index, (node, issuer)) in nodes.iter().zip(&issuers).enumerate() {
        let mut before = issuers.iter().take(index);
        if before.any(|earlier| earlier.issuer == issuer.issuer) {
            return Err(node.fault(format!("`{}` is in the list already", issuer.issuer)));
        }
    }
    Ok(issuers)
}

fn issuer(node: Node<'_>, directory: &Path) -> Read<Issuer> {
    node.object(|fields| {
        let issuer = fields.required("issuer").and_then(|node| {
            let issuer = node.text()?;
            if issuer.len() > MAX_NAME_BYTES {
                return Err(node.fault(format!("expected at most {MAX_NAME_BYTES} bytes")));
            }
            Ok(issuer.to_owned())
        });
        let keys = fields.required("keys").and_then(|node| {
            node.object(|fields| {
                let authority = fields.optional("certificate_authority");
                keys(fields, authority, directory)
            })
        });
        let audiences = fields.texts("audiences");
        let device_claim = fields.optional_text("device_claim");
        let session_policy = session_policy(fields);
        Ok(Issuer {
            issuer: issuer?,
            keys: keys?,
            audiences,
            device_claim: device_claim.map(str::to_owned),
            session_policy: session_policy?,
        })
    })
}

fn keys(
    fields: &mut Fields<'_>,
    authority: Option<Node<'_>>,
    directory: &Path,
) -> Read<IssuerKeys> {
    let (is_remote, node) = fields.one_of(&[("jwks_file", false), ("jwks_uri", true)])?;
    if is_remote {
        let authority = authority.map(|node| path(node, directory)).transpose()?;
        return server(node, authority).map(IssuerKeys::Server);
    }
    if let Some(authority) = authority {
        return Err(authority.fault("has no effect without `jwks_uri`"));
    }
    path(node, directory).map(IssuerKeys::File)
}

/// Keys over plain HTTP could be replaced by an attacker on the way.
pub(super) fn server(node: Node<'_>, certificate_authority: Option<PathBuf>) -> Read<KeyServer> {
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

/// The path of a file that is named in the authority's file, which is in this directory.
pub(super) fn path(node: Node<'_>, directory: &Path) -> Read<PathBuf> {
    Ok(directory.join(node.text()?))
}
