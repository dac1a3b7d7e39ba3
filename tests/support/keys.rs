//! The keys that test tokens are signed with, by their names.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::signer::Signer;
use serde_json::{Value, json};

/// Key of `hs256` and `hs512`, as public as all the others.
const SECRET: &[u8; 64] = b"a secret of sixty-four bytes, which is long enough for HMAC-512!";

/// Something that signs, read once for each thread: reading an RSA key takes its time.
pub(super) enum Key {
    Pair(Box<Signer>),
    /// HMAC with this algorithm.
    Secret(&'static str),
}

/// A key of `tests/vectors/keys`; the RSA key there by the name of any RSA algorithm (`ps384`);
/// or a secret, `hs256` or `hs512`.
pub(super) fn key(name: &str) -> Rc<Key> {
    thread_local! {
        static KEYS: RefCell<HashMap<String, Rc<Key>>> = RefCell::default();
    }
    if let Some(known) = KEYS.with_borrow(|keys| keys.get(name).cloned()) {
        return known;
    }
    let key = Rc::new(read(name));
    KEYS.with_borrow_mut(|keys| keys.insert(name.to_owned(), Rc::clone(&key)));
    key
}

/// The public JWK Set of some keys. Of a secret it has the secret itself.
pub(crate) fn jwks(names: &[&str]) -> String {
    let keys: Vec<_> = names.iter().map(|name| key(name).public_jwk()).collect();
    json!({ "keys": keys }).to_string()
}

impl Key {
    pub(super) fn algorithm_name(&self) -> &'static str {
        match self {
            Self::Pair(signer) => signer.algorithm_name(),
            Self::Secret(algorithm) => algorithm,
        }
    }

    pub(super) fn key_id(&self) -> Option<String> {
        match self {
            Self::Pair(signer) => signer.key_id().map(str::to_owned),
            Self::Secret(algorithm) => Some(key_id(algorithm)),
        }
    }

    pub(super) fn sign(&self, signing_input: &[u8]) -> Vec<u8> {
        match self {
            Self::Pair(signer) => signer.sign(signing_input).expect("a test key signs"),
            Self::Secret("HS256") => hmac_sha256::HMAC::mac(signing_input, SECRET).to_vec(),
            Self::Secret(_) => hmac_sha512::HMAC::mac(signing_input, SECRET).to_vec(),
        }
    }

    fn public_jwk(&self) -> Value {
        match self {
            Self::Pair(signer) => signer.public_jwk(),
            Self::Secret(algorithm) => json!({
                "kty": "oct", "alg": algorithm, "kid": key_id(algorithm),
                "k": URL_SAFE_NO_PAD.encode(SECRET),
            }),
        }
    }
}

fn read(name: &str) -> Key {
    match name {
        "hs256" => Key::Secret("HS256"),
        "hs512" => Key::Secret("HS512"),
        "rs384" | "rs512" | "ps256" | "ps384" | "ps512" => {
            let mut jwk: Value = serde_json::from_str(private_jwk("rs256")).expect("a JWK");
            let algorithm = name.to_ascii_uppercase();
            jwk["kid"] = key_id(&algorithm).into();
            jwk["alg"] = algorithm.into();
            signer(name, &jwk.to_string())
        }
        _ => signer(name, private_jwk(name)),
    }
}

fn key_id(algorithm: &str) -> String {
    format!("test-{}", algorithm.to_ascii_lowercase())
}

fn signer(name: &str, jwk: &str) -> Key {
    let signer = Signer::from_jwk(jwk);
    Key::Pair(Box::new(
        signer.unwrap_or_else(|error| panic!("{name}: {error}")),
    ))
}

fn private_jwk(name: &str) -> &'static str {
    macro_rules! key {
        ($name:literal) => {
            (
                $name,
                include_str!(concat!("../vectors/keys/", $name, ".private.jwk.json")),
            )
        };
    }
    const KEYS: [(&str, &str); 9] = [
        key!("eddsa"),
        key!("eddsa-other"),
        key!("es256"),
        key!("es256-other"),
        key!("es384"),
        key!("es512"),
        key!("rs256"),
        key!("rs256-4096"),
        key!("rs256-other"),
    ];
    let key = KEYS.iter().find(|(known, _)| *known == name);
    key.unwrap_or_else(|| panic!("no key `{name}`")).1
}
