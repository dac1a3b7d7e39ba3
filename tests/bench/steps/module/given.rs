//! What the steps are taken with: a configuration, keys and genuine tokens, from outside.

use std::cell::RefCell;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use portcullis::host::{ForeignAnswer, SignatureHost};
use portcullis::token::{Backend, KeyRules, KeySet, UnverifiedToken};
use serde_json::Value;

use crate::step::now;

pub(crate) struct Given {
    /// A configuration with a provider whose tokens these are.
    pub(crate) configuration: Vec<u8>,
    /// A set of three keys.
    pub(crate) key_set: Vec<u8>,
    all: Value,
}

/// A token that its key has signed, as the signature check sees it.
pub(crate) struct Signed {
    pub(crate) text: Vec<u8>,
    pub(crate) signature: Vec<u8>,
}

impl Given {
    pub(crate) fn read(text: &[u8]) -> Self {
        let all: Value = serde_json::from_slice(text).expect("JSON");
        Self {
            configuration: all["configuration"].to_string().into_bytes(),
            key_set: all["key_set"].to_string().into_bytes(),
            all,
        }
    }

    /// A genuine token, by the name of its algorithm in lower case.
    pub(crate) fn token(&self, algorithm: &str) -> &str {
        let token = self.all["tokens"][algorithm].as_str();
        token.unwrap_or_else(|| panic!("no token for {algorithm}"))
    }

    /// The public JWK Set of that algorithm's key alone.
    pub(crate) fn keys(&self, algorithm: &str) -> KeySet {
        let text = self.all["keys"][algorithm].to_string();
        let rules = KeyRules {
            allow_symmetric: true,
            ..KeyRules::default()
        };
        KeySet::parse(text.as_bytes(), &rules).expect("keys")
    }

    /// A binary member of that key.
    pub(crate) fn member(&self, algorithm: &str, name: &str) -> Vec<u8> {
        let member = self.all["keys"][algorithm]["keys"][0][name].as_str();
        decode(member.unwrap_or_else(|| panic!("no {name} in the key for {algorithm}")))
    }

    pub(crate) fn signed(&self, algorithm: &str) -> Signed {
        let (text, signature) = self.token(algorithm).rsplit_once('.').expect("three parts");
        Signed {
            text: text.as_bytes().to_vec(),
            signature: decode(signature),
        }
    }

    /// The message that Envoy's `verify_signature` is asked with about that token.
    pub(crate) fn question(&self, algorithm: &str) -> Vec<u8> {
        let listener = Listener::default();
        let token = UnverifiedToken::parse(self.token(algorithm).as_bytes()).expect("a token");
        let verified = token.verify(&self.keys(algorithm), Backend::Host, &listener);
        assert!(verified.is_ok(), "the listener believes everything");
        listener.0.into_inner()
    }

    pub(crate) fn now_milliseconds() -> u64 {
        let since_epoch = now().duration_since(SystemTime::UNIX_EPOCH);
        let milliseconds = since_epoch.expect("a clock past 1970").as_millis();
        milliseconds.try_into().expect("a clock of this age")
    }
}

/// Hears what the host is asked.
#[derive(Default)]
struct Listener(RefCell<Vec<u8>>);

impl SignatureHost for Listener {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        self.0.replace(arguments.to_vec());
        ForeignAnswer::Genuine
    }
}

fn decode(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}
