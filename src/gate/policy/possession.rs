//! Who may use a token that is bound to a key (`cnf`, RFC 7800).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::gate::path::hex;
use crate::gate::reason::Reason;
use crate::gate::request::Request;
use crate::gate::xfcc::{self, Forwarded};
use crate::token::{Claims, KeyRules};

/// What becomes of the tokens of a provider by what they are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Possession {
    /// Those that are bound are refused: no proof is verified here, and letting one pass as a plain bearer
    /// token would undo what its issuer meant.
    Unproved,
    /// All may be used by any bearer: something else verifies the proof (`allow_bound_tokens`).
    ProvedElsewhere,
    /// One that is bound may be used with the proofs that are verified here.
    Verified(Verified),
}

/// The proofs that are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Verified {
    /// Whether a token that is bound to nothing is refused.
    pub(in crate::gate) is_required: bool,
    /// Connections with the client certificate that the token is bound to (RFC 8705 section 3), and proxies in
    /// front that are believed when they say which one their client has shown.
    pub(in crate::gate) certificate: Option<Forwarders>,
    /// Proofs that the sender has the key that the token is bound to (RFC 9449).
    pub(in crate::gate) dpop: Option<Dpop>,
}

/// How such proofs are verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Dpop {
    /// The algorithms that count, all of them asymmetric.
    pub(in crate::gate) rules: KeyRules,
    /// How long ago a proof may have been made.
    pub(in crate::gate) max_age: Duration,
    /// Which nonce a proof has to have.
    pub(in crate::gate) nonces: Nonces,
    /// Whether `x-forwarded-proto` says by which scheme the client has come.
    pub(in crate::gate) trusts_forwarded_proto: bool,
}

/// Which nonces a proof may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Nonces {
    /// Any, or none.
    Optional,
    /// One of this edge that is fresh.
    Own,
    /// Any, since those of the edge are not known here.
    Unknown,
}

/// Proxies in front of this one, by the first alternative name of its kind in the certificate that each shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gate) struct Forwarders {
    /// Names of kind URI.
    pub(in crate::gate) uri_sans: Vec<String>,
    /// Names of kind DNS.
    pub(in crate::gate) dns_sans: Vec<String>,
}

/// A property of the connection that a request came over, as [`Host::property`](crate::host::Host::property)
/// gives it.
pub(in crate::gate) type Property<'p> = &'p dyn Fn(&[&str]) -> Option<Vec<u8>>;

/// SHA-256 of the certificate of the connection's client, in hexadecimal.
const DIGEST: [&str; 2] = ["connection", "sha256_peer_certificate_digest"];

const URI_SAN: [&str; 2] = ["connection", "uri_san_peer_certificate"];
const DNS_SAN: [&str; 2] = ["connection", "dns_san_peer_certificate"];

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Binding {
    /// Nothing.
    Bearer,
    /// This, and nothing else.
    Bound {
        /// A client's certificate.
        to_certificate: bool,
        /// A key.
        to_key: bool,
    },
    /// Something of which no proof is known here.
    Unknown,
}

/// The member of `cnf` with the hash of a certificate (RFC 8705 section 3.1).
const CERTIFICATE: &str = "x5t#S256";

/// The member with the thumbprint of a key (RFC 9449 section 6.1).
const KEY: &str = "jkt";

impl Binding {
    /// `null` binds to nothing. An object with another member than those that are known here may bind to that as
    /// well, and one without any may still bind to something.
    pub(in crate::gate) fn of(claims: &Claims) -> Self {
        match claims.get("cnf") {
            None | Some(Value::Null) => Self::Bearer,
            Some(Value::Object(members)) => {
                let [to_certificate, to_key] =
                    [CERTIFICATE, KEY].map(|it| members.contains_key(it));
                let known = usize::from(to_certificate) + usize::from(to_key);
                if known == 0 || known != members.len() {
                    return Self::Unknown;
                }
                Self::Bound {
                    to_certificate,
                    to_key,
                }
            }
            Some(_) => Self::Unknown,
        }
    }
}

/// The thumbprint of the key that a token is bound to.
pub(in crate::gate) fn bound_key(claims: &Claims) -> Option<&str> {
    claims.get("cnf")?.get(KEY)?.as_str()
}

/// That of the certificate.
fn bound_certificate(claims: &Claims) -> Option<&str> {
    claims.get("cnf")?.get(CERTIFICATE)?.as_str()
}

impl Possession {
    /// How proofs of keys are verified, if they are.
    pub(in crate::gate) const fn dpop(&self) -> Option<&Dpop> {
        match self {
            Self::Verified(Verified { dpop, .. }) => dpop.as_ref(),
            Self::Unproved | Self::ProvedElsewhere => None,
        }
    }

    /// Takes any nonce where a proof has to have one.
    pub(in crate::gate) fn forget_nonces(&mut self) {
        if let Self::Verified(Verified {
            dpop: Some(dpop), ..
        }) = self
            && dpop.nonces == Nonces::Own
        {
            dpop.nonces = Nonces::Unknown;
        }
    }

    /// Whether a token is refused that is bound to nothing.
    #[cfg(not(target_family = "wasm"))]
    pub(in crate::gate) const fn is_required(&self) -> bool {
        matches!(
            self,
            Self::Verified(Verified {
                is_required: true,
                ..
            })
        )
    }

    /// Whether a token is refused that is not bound to a key.
    pub(in crate::gate) const fn requires_key(&self) -> bool {
        matches!(
            self,
            Self::Verified(Verified {
                is_required: true,
                certificate: None,
                ..
            })
        )
    }

    /// Whether a proxy in front may say which certificate its client has shown.
    pub(in crate::gate) fn believes_forwarders(&self) -> bool {
        matches!(self, Self::Verified(Verified { certificate: Some(forwarders), .. })
            if *forwarders != Forwarders::default())
    }

    /// The thumbprint of the key or certificate that a token is bound to, where it is used with a proof of it
    /// alone.
    pub(in crate::gate) fn thumbprint<'c>(&self, claims: &'c Claims) -> Option<&'c str> {
        match self {
            Self::Verified(_) => bound_key(claims).or_else(|| bound_certificate(claims)),
            Self::Unproved | Self::ProvedElsewhere => None,
        }
    }

    /// Whether a request may use a token, as far as nothing but its connection proves it. Whether the sender
    /// has to prove that it has a key as well.
    pub(in crate::gate) fn check(
        &self,
        binding: Binding,
        claims: &Claims,
        request: &Request,
        property: Property<'_>,
    ) -> Result<bool, Reason> {
        let verified = match (self, binding) {
            (Self::ProvedElsewhere, _) | (Self::Unproved, Binding::Bearer) => return Ok(false),
            (Self::Unproved, _) => return Err(Reason::TokenBound),
            (Self::Verified(verified), _) => verified,
        };
        let (to_certificate, to_key) = match binding {
            Binding::Bearer if verified.is_required => return Err(Reason::TokenUnbound),
            Binding::Bearer => (false, false),
            Binding::Bound {
                to_certificate,
                to_key,
            } => (to_certificate, to_key),
            Binding::Unknown => return Err(Reason::TokenBound),
        };
        if to_key && verified.dpop.is_none() {
            return Err(Reason::TokenBound);
        }
        if to_certificate {
            let forwarders = verified.certificate.as_ref().ok_or(Reason::TokenBound)?;
            forwarders.check(claims, request, property)?;
        }
        Ok(to_key)
    }
}

impl Forwarders {
    /// Whether the client has the certificate that the token is bound to.
    fn check(
        &self,
        claims: &Claims,
        request: &Request,
        property: Property<'_>,
    ) -> Result<(), Reason> {
        let expected = bound_certificate(claims);
        let is_it = |digest: &[u8]| thumbprint(digest).is_some_and(|it| expected == Some(&*it));
        let own = property(&DIGEST);
        // What a forwarder has been shown counts, and not what it shows itself, as for all its clients.
        let is_forwarder = self.include(property);
        if !is_forwarder && own.as_deref().is_some_and(is_it) {
            return Ok(());
        }
        match xfcc::forwarded(request, own.as_deref()) {
            Forwarded::Certificate(digest) if is_it(digest) && is_forwarder => Ok(()),
            Forwarded::Certificate(digest) if is_it(digest) => Err(Reason::CertificateUntrusted),
            _ => Err(Reason::CertificateMismatch),
        }
    }

    /// Whether the client of the connection is one of them.
    fn include(&self, property: Property<'_>) -> bool {
        [(&self.uri_sans, &URI_SAN), (&self.dns_sans, &DNS_SAN)]
            .into_iter()
            .any(|(names, path)| {
                let found = (!names.is_empty()).then(|| property(path)).flatten();
                found.is_some_and(|found| names.iter().any(|name| *name.as_bytes() == *found))
            })
    }
}

/// A digest as `x5t#S256` has it; `None` where it is none.
fn thumbprint(digest: &[u8]) -> Option<String> {
    let mut bytes = [0_u8; 32];
    let (pairs, rest) = digest.as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != bytes.len() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex(*high)? << 4 | hex(*low)?;
    }
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    /// That of RFC 8705 section 3.1 but for its last character, which is not canonical there: no digest becomes it.
    #[wasm_bindgen_test(unsupported = test)]
    fn a_digest_becomes_a_thumbprint() {
        let digest = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";
        let expected = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";
        assert_eq!(thumbprint(digest.as_bytes()).as_deref(), Some(expected));
        assert_eq!(
            thumbprint(digest.to_uppercase().as_bytes()).as_deref(),
            Some(expected)
        );
        for odd in [
            "",
            "6f",
            &digest[1..],
            &digest.replace('6', "g"),
            &format!("{digest}00"),
        ] {
            assert_eq!(thumbprint(odd.as_bytes()), None, "{odd}");
        }
    }
}
