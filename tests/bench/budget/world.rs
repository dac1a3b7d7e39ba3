//! What the filter is started in: hosts, configurations and authorities.

use serde_json::{Value, json};

use crate::feed::{self, Authority, Contents};
use crate::process::Process;
use crate::requests::CLIENT;
use crate::support::{AUDIENCE, ISSUER, jwks};
use crate::vm::{Compiled, Vm};

/// Keys of [`World::EightKeys`]; the filter tries no more with one token.
const KEYS: usize = 8;

/// The host and the configuration that the filter meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum World {
    /// Without revocation.
    Plain,
    /// With the feed of an authority that has revoked nothing.
    Revocation,
    /// The same, where the authority is told which sessions are in use.
    Activity,
    /// The same as [`World::Revocation`], with all session headers.
    SessionHeaders,
    /// The same as [`World::Revocation`], in a host without `verify_signature`.
    NoSignatures,
    /// The same, with keys for PS256 and HS256.
    OtherAlgorithms,
    /// The same, with eight keys for RS256.
    EightKeys,
    /// The same, where tokens that are bound to a key need a proof of it.
    Dpop,
    /// With an authority that has cut off the client that all tokens were issued to.
    CutOff,
    /// With a Bloom filter that says "perhaps" to everything, and an authority that says no.
    Perhaps,
    /// With a Bloom filter of so many pages that nearly every token reads two that no other has.
    LargeFilter,
}

impl World {
    pub(crate) fn start(self, compiled: &Compiled) -> Vm {
        self.start_with(compiled, &[])
    }

    /// With these variables, `NAME=value`.
    pub(crate) fn start_with(self, compiled: &Compiled, environment: &[&'static str]) -> Vm {
        let mut process = self.process();
        process.environment = environment.to_vec();
        match self {
            Self::Plain => Vm::start(compiled, process),
            _ => Vm::start_with_feed(compiled, process, Authority::new(self.contents())),
        }
    }

    /// Not yet configured.
    #[allow(dead_code, reason = "the budget asks for it")]
    pub(crate) fn load(self, compiled: &Compiled) -> Vm {
        Vm::load(compiled, self.process())
    }

    fn process(self) -> Process {
        let configuration = self.configuration().to_string().into_bytes();
        Process::new(configuration, self != Self::NoSignatures)
    }

    fn contents(self) -> Contents {
        let nothing = Contents::NOTHING;
        match self {
            Self::CutOff => Contents {
                cut_off_client: Some(CLIENT),
                ..nothing
            },
            Self::Perhaps => Contents {
                page_byte: 0xff,
                ..nothing
            },
            Self::LargeFilter => Contents {
                pages: 1_024,
                ..nothing
            },
            _ => nothing,
        }
    }

    fn configuration(self) -> Value {
        let mut configuration = json!({
            "providers": {"idp": {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "local_jwks": {"inline_string": self.keys()},
                "claim_to_headers": [
                    {"header_name": "x-user-id", "claim_name": "sub"},
                    {"header_name": "x-user-session", "claim_name": "sid"},
                ],
            }},
            "rules": [
                {"match": {"prefix": "/public"}},
                {"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}},
            ],
        });
        if self != Self::Plain {
            configuration["revocation"] = feed::settings();
        }
        if self == Self::Activity {
            configuration["activity"] = json!({"report": true});
        }
        if self == Self::SessionHeaders {
            configuration["session_headers"] = json!(true);
        }
        if self == Self::Dpop {
            configuration["providers"]["idp"]["proof_of_possession"] = json!({"dpop": {}});
        }
        if self == Self::OtherAlgorithms {
            configuration["providers"]["idp"]["allow_symmetric_keys"] = json!(true);
        }
        configuration
    }

    fn keys(self) -> String {
        match self {
            Self::OtherAlgorithms => jwks(&["ps256", "hs256"]),
            Self::EightKeys => eight_keys(),
            _ => jwks(&["rs256", "es256", "eddsa"]),
        }
    }
}

/// One key under eight names: it is tried as often as eight that differ.
fn eight_keys() -> String {
    let mut set: Value = serde_json::from_str(&jwks(&["rs256"])).expect("JSON");
    let named = |number| {
        let mut key = set["keys"][0].clone();
        key["kid"] = json!(format!("key-{number}"));
        key
    };
    let keys: Vec<_> = (0..KEYS).map(named).collect();
    set["keys"] = json!(keys);
    set.to_string()
}
