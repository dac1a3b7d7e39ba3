//! What is counted: the requests of the side-by-side measurements, and what comes before them.

use std::ops::Range;

use serde_json::{Value, json};

use crate::feed::Authority;
use crate::process::{Cost, Lines, NOW, Process};
use crate::support::{AUDIENCE, ISSUER, Token, jwks};
use crate::vm::{Compiled, Vm};

/// So many requests that what is done for one in sixteen is in it once.
pub(crate) const REQUESTS: u64 = 16;

/// Requests before those that are counted, so that everything is there that is made once.
const EARLIER: u64 = 48;

/// A counted scenario.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The host and the configuration that the filter meets.
    pub(crate) world: World,
    /// The request of this number.
    pub(crate) request: fn(u64) -> Lines,
    /// The status with which all of them are refused.
    pub(crate) refused: Option<u32>,
}

/// What the filter is started in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum World {
    /// Without revocation.
    Plain,
    /// With the feed of an authority that has revoked nothing.
    Revocation,
    /// The same, with all session headers.
    SessionHeaders,
    /// The same as [`World::Revocation`], in a host without `verify_signature`.
    NoSignatures,
}

impl World {
    pub(crate) fn start(self, compiled: &Compiled) -> Vm {
        let configuration = self.configuration().to_string().into_bytes();
        let process = Process::new(configuration, self != Self::NoSignatures);
        match self {
            Self::Plain => Vm::start(compiled, process),
            _ => Vm::start_with_feed(compiled, process),
        }
    }

    fn configuration(self) -> Value {
        let mut configuration = json!({
            "providers": {"idp": {
                "issuer": ISSUER,
                "audiences": [AUDIENCE],
                "local_jwks": {"inline_string": jwks(&["rs256", "es256", "eddsa"])},
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
            configuration["revocation"] = Authority::new().settings();
        }
        if self == Self::SessionHeaders {
            configuration["session_headers"] = json!(true);
        }
        configuration
    }
}

impl Scenario {
    pub(crate) fn all() -> Vec<Self> {
        use World::{NoSignatures, Plain, Revocation, SessionHeaders};
        let accepted = |name, world, request| Self {
            name,
            world,
            request,
            refused: None,
        };
        let refused = |name, world, status, request| Self {
            name,
            world,
            request,
            refused: Some(status),
        };
        vec![
            accepted("warm", Revocation, |_| with(token("es256", 0))),
            accepted("warm, RS256", Revocation, |_| with(token("rs256", 0))),
            accepted("warm, 32 tokens in rotation", Revocation, |number| {
                with(token("es256", number % 32))
            }),
            accepted("warm, without revocation", Plain, |_| {
                with(token("es256", 0))
            }),
            accepted("warm, all session headers", SessionHeaders, |_| {
                with(token("es256", 0))
            }),
            accepted("cold, RS256", Revocation, |number| {
                with(token("rs256", number))
            }),
            accepted("cold, ES256", Revocation, |number| {
                with(token("es256", number))
            }),
            accepted("cold, EdDSA", Revocation, |number| {
                with(token("eddsa", number))
            }),
            accepted("cold, ES256, no host function", NoSignatures, |number| {
                with(token("es256", number))
            }),
            accepted("cold, ES256, without revocation", Plain, |number| {
                with(token("es256", number))
            }),
            accepted(
                "cold, ES256, all session headers",
                SessionHeaders,
                |number| with(token("es256", number)),
            ),
            refused("forged, RS256", Revocation, 401, |number| {
                with(forged("rs256", number))
            }),
            refused("forged, ES256", Revocation, 401, |number| {
                with(forged("es256", number))
            }),
            refused("forged, EdDSA", Revocation, 401, |number| {
                with(forged("eddsa", number))
            }),
            refused("unknown key", Revocation, 401, |number| {
                with(token("es256", number).header("kid", "unknown"))
            }),
            refused("another issuer", Revocation, 401, |number| {
                with(token("es256", number).claim("iss", "https://evil.example"))
            }),
            refused("no token", Revocation, 401, |_| request("/orders/1")),
            accepted("open path", Revocation, |_| request("/public/logo")),
        ]
    }

    /// What its requests cost together.
    pub(crate) fn cost(&self, vm: &mut Vm) -> Cost {
        self.send(vm, 0..EARLIER);
        vm.cost_of(|vm| self.send(vm, EARLIER..EARLIER + REQUESTS))
    }

    /// Sends the requests of these numbers.
    pub(crate) fn send(&self, vm: &mut Vm, numbers: Range<u64>) {
        for number in numbers {
            let refused = vm.request(&(self.request)(number));
            assert_eq!(refused, self.refused, "{}", self.name);
        }
    }
}

/// A request as a mobile application sends it.
fn request(path: &str) -> Lines {
    let line = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
    let lines = [
        (":authority", "api.example"),
        (":path", path),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "MobileApp/7.1 (iPhone; iOS 19.2)"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en-GB"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "0b9a1e1c-6f53-4b0a-9b8c-0d5b6d0f3a11"),
    ];
    lines.into_iter().map(line).collect()
}

fn with(token: impl Into<String>) -> Lines {
    let mut lines = request("/orders/1");
    let value = format!("Bearer {}", token.into());
    lines.push(("authorization".to_owned(), value.into_bytes()));
    lines
}

fn token(key: &'static str, number: u64) -> Token {
    Token::signed_by(key)
        .claim("iat", NOW)
        .claim("exp", NOW + 3_600)
        .claim("sub", format!("user-{number:08}"))
        .claim("sid", format!("{number:032x}"))
        .claim("jti", format!("{:032x}", number << 32))
        .claim("scope", "read write")
        .claim("client_id", "mobile")
        .claim("email", format!("user-{number:08}@example.com"))
}

/// With the genuine signature of another token.
fn forged(key: &'static str, number: u64) -> String {
    let own = token(key, number).to_string();
    let other = token(key, u64::from(u32::MAX)).to_string();
    let (signed, _) = own.rsplit_once('.').expect("three parts");
    let (_, signature) = other.rsplit_once('.').expect("three parts");
    format!("{signed}.{signature}")
}
