//! The discovery document of OpenID Connect (Discovery 1.0), as far as it leads to keys.

use serde_json::Value;

use super::Url;
use crate::token::{JsonError, parse_json};

/// Longest document that is read. Those of large identity providers are below 8 KiB.
const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Why a discovery document leads to no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// Longer than 64 KiB.
    #[error("expected at most {MAX_DOCUMENT_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// `issuer` is not the configured one, byte by byte (Discovery 1.0 section 4.3).
    #[error("`issuer` is not the configured one")]
    Issuer,
    /// No `jwks_uri`, or one that cannot be called.
    #[error("expected `jwks_uri` to be an http or https URL without user and fragment")]
    Uri,
    /// `jwks_uri` is on another server than the document. Calls go to the configured cluster, so
    /// that server would never be asked.
    #[error(
        "`jwks_uri` is on another server than this document; \
         hint: configure it as `remote_jwks.http_uri` with its own cluster"
    )]
    Elsewhere,
}

/// Where the JWK Set is, according to a document that was fetched from `asked`.
pub(super) fn jwk_set_url(
    document: &[u8],
    issuer: &str,
    asked: &Url,
) -> Result<Url, DiscoveryError> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(DiscoveryError::TooLarge(document.len()));
    }
    let document = parse_json(document)?;
    let member = |name: &str| document.get(name).and_then(Value::as_str);
    if member("issuer") != Some(issuer) {
        return Err(DiscoveryError::Issuer);
    }
    let uri = member("jwks_uri").ok_or(DiscoveryError::Uri)?;
    let found = Url::parse(uri).ok_or(DiscoveryError::Uri)?;
    if server(&found.authority) != server(&asked.authority) {
        return Err(DiscoveryError::Elsewhere);
    }
    Ok(Url {
        authority: asked.authority.clone(),
        path: found.path,
    })
}

/// An authority in the spelling that all names of the same server share. The default port of a
/// scheme may be left out; the scheme of a call is the cluster's business.
fn server(authority: &str) -> String {
    let bare = authority
        .strip_suffix(":443")
        .or_else(|| authority.strip_suffix(":80"))
        .unwrap_or(authority);
    bare.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    const ISSUER: &str = "https://issuer.example/tenant";

    fn read(document: &Value) -> Result<String, DiscoveryError> {
        let asked = Url {
            authority: "issuer.example".to_owned(),
            path: "/tenant/.well-known/openid-configuration".to_owned(),
        };
        let found = jwk_set_url(document.to_string().as_bytes(), ISSUER, &asked)?;
        assert_eq!(found.authority, "issuer.example");
        Ok(found.path)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_uri_on_the_same_server_is_followed() {
        for uri in [
            "https://issuer.example/keys?v=2",
            "https://ISSUER.example:443/keys?v=2",
            "http://issuer.example/keys?v=2",
        ] {
            let document = json!({"issuer": ISSUER, "jwks_uri": uri, "scopes_supported": []});
            assert_eq!(read(&document).as_deref(), Ok("/keys?v=2"), "{uri}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_uri_on_another_server_is_not() {
        for uri in [
            "https://keys.issuer.example/keys",
            "https://issuer.example:8443/keys",
            "http://169.254.169.254/latest/meta-data",
        ] {
            let document = json!({"issuer": ISSUER, "jwks_uri": uri});
            assert_eq!(read(&document), Err(DiscoveryError::Elsewhere), "{uri}");
        }
        for uri in [
            "",
            "/keys",
            "file:///etc/passwd",
            "https://user@issuer.example/",
        ] {
            let document = json!({"issuer": ISSUER, "jwks_uri": uri});
            assert_eq!(read(&document), Err(DiscoveryError::Uri), "{uri}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_issuer_has_to_be_the_configured_one_to_the_byte() {
        for issuer in [
            "https://issuer.example/tenant/",
            "https://issuer.example",
            "",
            "HTTPS://issuer.example/tenant",
        ] {
            let document = json!({"issuer": issuer, "jwks_uri": "https://issuer.example/keys"});
            assert_eq!(read(&document), Err(DiscoveryError::Issuer), "{issuer}");
        }
        let document = json!({"jwks_uri": "https://issuer.example/keys"});
        assert_eq!(read(&document), Err(DiscoveryError::Issuer));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_no_document_is_refused() {
        let asked = Url {
            authority: "issuer.example".to_owned(),
            path: "/".to_owned(),
        };
        for document in [&b""[..], b"<html>", b"{\"issuer\":", &[0xff; 8]] {
            let outcome = jwk_set_url(document, ISSUER, &asked);
            assert!(
                matches!(outcome, Err(DiscoveryError::Json(_))),
                "{document:?}"
            );
        }
        let long = vec![b' '; MAX_DOCUMENT_BYTES + 1];
        assert_eq!(
            jwk_set_url(&long, ISSUER, &asked),
            Err(DiscoveryError::TooLarge(long.len()))
        );
        assert_eq!(read(&json!([])), Err(DiscoveryError::Issuer));
    }
}
