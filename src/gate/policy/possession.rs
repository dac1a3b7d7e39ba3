//! Who may use a token that is bound to a key (`cnf`, RFC 7800).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::gate::path::hex;
use crate::gate::reason::Reason;
use crate::gate::request::Request;
use crate::gate::xfcc::{self, Forwarded};
use crate::token::Claims;

/// What becomes of the tokens of a provider by what they are bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Possession {
    /// Those that are bound are refused: no proof is verified here, and letting one pass as a plain bearer
    /// token would undo what its issuer meant.
    Unproved,
    /// All may be used by any bearer: something else verifies the proof (`allow_bound_tokens`).
    ProvedElsewhere,
    /// One that is bound to a client's certificate (RFC 8705 section 3) may be used over connections with it.
    Certificate {
        /// Whether one that is bound to nothing is refused.
        is_required: bool,
        /// Proxies in front that are believed when they say which certificate their client has shown.
        forwarders: Forwarders,
    },
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
    /// A client's certificate, and nothing else.
    Certificate,
    /// Something of which no proof is known here.
    Unknown,
}

/// The member of `cnf` with the hash of a certificate (RFC 8705 section 3.1).
const THUMBPRINT: &str = "x5t#S256";

impl Binding {
    /// `null` binds to nothing. An object with another member than those that are known here may bind to that as
    /// well, and one without any may still bind to something.
    pub(in crate::gate) fn of(claims: &Claims) -> Self {
        match claims.get("cnf") {
            None | Some(Value::Null) => Self::Bearer,
            Some(Value::Object(members))
                if members.len() == 1 && members.contains_key(THUMBPRINT) =>
            {
                Self::Certificate
            }
            Some(_) => Self::Unknown,
        }
    }
}

impl Possession {
    /// Whether a request may use a token.
    pub(in crate::gate) fn check(
        &self,
        binding: Binding,
        claims: &Claims,
        request: &Request,
        property: Property<'_>,
    ) -> Result<(), Reason> {
        match (self, binding) {
            (
                Self::Certificate {
                    is_required: true, ..
                },
                Binding::Bearer,
            ) => Err(Reason::TokenUnbound),
            (Self::ProvedElsewhere, _) | (_, Binding::Bearer) => Ok(()),
            (Self::Certificate { forwarders, .. }, Binding::Certificate) => {
                let expected = claims
                    .get("cnf")
                    .and_then(|binding| binding.get(THUMBPRINT));
                let expected = expected.and_then(Value::as_str);
                let is_it =
                    |digest: &[u8]| thumbprint(digest).is_some_and(|it| expected == Some(&*it));
                let own = property(&DIGEST);
                // What a forwarder has been shown counts, and not what it shows itself, as for all its clients.
                let is_forwarder = forwarders.include(property);
                if !is_forwarder && own.as_deref().is_some_and(is_it) {
                    return Ok(());
                }
                match xfcc::forwarded(request, own.as_deref()) {
                    Forwarded::Certificate(digest) if is_it(digest) && is_forwarder => Ok(()),
                    Forwarded::Certificate(digest) if is_it(digest) => {
                        Err(Reason::CertificateUntrusted)
                    }
                    _ => Err(Reason::CertificateMismatch),
                }
            }
            (Self::Unproved, _) | (_, Binding::Unknown) => Err(Reason::TokenBound),
        }
    }
}

impl Forwarders {
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
