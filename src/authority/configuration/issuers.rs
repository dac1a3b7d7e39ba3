//! `issuers`: whose tokens count as evidence, and where their keys are.

use std::path::{Path, PathBuf};

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
    File(PathBuf),
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
    pub certificate_authority: Option<PathBuf>,
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
        let keys = fields.required("keys").and_then(|node| {
            node.object(|fields| {
                let authority = fields.optional("certificate_authority");
                keys(fields, authority, directory)
            })
        });
        let audiences = fields.texts("audiences");
        let device_claim = fields.optional_text("device_claim");
        let cut_off_by = cut_off_by(fields);
        let sessions_end = sessions_end(fields);
        let session_policy = session_policy(fields);
        let status_lists = status_lists(fields, directory);
        Ok(Issuer {
            issuer: issuer?,
            keys: keys?,
            audiences,
            device_claim: device_claim.map(str::to_owned),
            cut_off_by,
            sessions_end,
            session_policy: session_policy?,
            status_lists: status_lists?,
        })
    })
}

/// `sessions_end`, here and for signals.
pub(in crate::authority) fn sessions_end(fields: &mut Fields<'_>) -> SessionEnd {
    fields.strict_word("sessions_end", &ENDS, SessionEnd::ForGood)
}

const ENDS: [(&str, SessionEnd); 2] = [
    ("for_good", SessionEnd::ForGood),
    ("until_sign_in", SessionEnd::UntilSignIn),
];

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
    certificate_authority: Option<PathBuf>,
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

/// The path of a file that is named in the authority's file, which is in this directory.
pub(in crate::authority) fn path(node: Node<'_>, directory: &Path) -> Read<PathBuf> {
    Ok(directory.join(node.text()?))
}
