//! Key pairs on P-521, which `jwt-simple` does not have.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p521::ecdsa::SigningKey;
use p521::elliptic_curve::Generate as _;
use serde_json::{Value, json};

use crate::token::thumbprint;

/// A key pair for ES512 with its `kid`.
pub(super) struct P521KeyPair {
    pub(super) key: SigningKey,
    pub(super) id: Option<String>,
}

impl P521KeyPair {
    pub(super) fn generate(id: Option<&str>) -> Self {
        let mut pair = Self {
            key: SigningKey::generate(),
            id: None,
        };
        pair.id = id
            .map(str::to_owned)
            .or_else(|| thumbprint(&pair.public_jwk()));
        pair
    }

    /// Reads a private JWK; the private key has to belong to the public one.
    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, jwt_simple::Error> {
        let refuse = || jwt_simple::Error::from(jwt_simple::JWTError::InvalidKeyPair);
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let secret = member("d").and_then(|secret| URL_SAFE_NO_PAD.decode(secret).ok());
        let pair = Self {
            key: SigningKey::from_slice(&secret.unwrap_or_default()).map_err(|_| refuse())?,
            id: member("kid").map(str::to_owned),
        };
        let public = pair.public_jwk();
        let belongs = ["x", "y"]
            .iter()
            .all(|name| public.get(*name) == jwk.get(*name));
        let is_for_signing = member("alg").is_none_or(|name| name == "ES512")
            && member("use").is_none_or(|usage| usage == "sig");
        if belongs && is_for_signing {
            Ok(pair)
        } else {
            Err(refuse())
        }
    }

    /// The public key as a JWK with `alg`, `use` and `kid`.
    pub(super) fn public_jwk(&self) -> Value {
        let point = self.key.verifying_key().to_sec1_point(false);
        let coordinate = |bytes: Option<&[u8]>| URL_SAFE_NO_PAD.encode(bytes.unwrap_or_default());
        let mut jwk = json!({
            "kty": "EC", "crv": "P-521", "alg": "ES512", "use": "sig",
            "x": coordinate(point.x().map(AsRef::as_ref)),
            "y": coordinate(point.y().map(AsRef::as_ref)),
        });
        if let (Some(id), Some(members)) = (&self.id, jwk.as_object_mut()) {
            members.insert("kid".to_owned(), id.as_str().into());
        }
        jwk
    }

    /// The key pair as a JWK, private key included.
    pub(super) fn to_jwk(&self) -> Value {
        let mut jwk = self.public_jwk();
        if let Some(members) = jwk.as_object_mut() {
            let secret = URL_SAFE_NO_PAD.encode(self.key.to_bytes());
            members.insert("d".to_owned(), secret.into());
        }
        jwk
    }
}
