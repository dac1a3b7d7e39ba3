//! Signals that are forged, and those who send them: each kind over connections that are kept, at a pace of
//! its own, whether or not the authority keeps up.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::load::Connection;
use super::provider::{connect, logout_request, logout_token, post};
use crate::support::{ISSUER, Token, jwks};

/// Of one kind.
const CONNECTIONS: u8 = 64;

/// A second, of one kind: 5,000 of all.
const RATE: u32 = 1_225;

/// A second, of tokens with a key that is not known: each of them waits for newer keys, and its connection
/// with it.
const RATE_OF_WAITING: u32 = 100;

/// Requests for each time that a sender wakes up.
const BURST: u32 = 10;

/// Different requests of one kind.
const REQUESTS: usize = 256;

/// From here, something genuine of [`ISSUER`] has come before.
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Where security events are pushed to, by the name of their stream.
pub(crate) const STREAM: &str = "events";

/// The last part of the path for requests to revoke everything of a user.
pub(crate) const REVOKER: &str = "provider";

/// Forged signals of one kind.
pub(crate) struct Forgery {
    pub(crate) name: &'static str,
    /// Sent in turns.
    requests: Vec<String>,
    /// From where; one connection each.
    senders: Vec<Ipv4Addr>,
    /// How many a second.
    pub(crate) rate: u32,
}

/// How many answers of each status there were.
pub(crate) type Answers = BTreeMap<u16, u32>;

/// All kinds. They claim to be of [`ISSUER`], but for those of issuers that are not known.
pub(crate) fn all() -> Vec<Forgery> {
    let keys: Value = serde_json::from_str(&jwks(&["es256"])).expect("JSON");
    let key = keys["keys"][0]["kid"].clone();
    let forged = |token: Token| token.header("kid", key.clone()).to_string();
    vec![
        Forgery::new(
            "logout tokens, wrong signature, from beside a genuine sender",
            vec![NEIGHBOUR; CONNECTIONS.into()],
            |number| logout_request(&forged(logout(ISSUER, number))),
        ),
        Forgery {
            rate: RATE_OF_WAITING,
            ..Forgery::new("logout tokens, made-up key", strangers(1), |number| {
                let token = logout(ISSUER, number).header("kid", format!("made-up-{number}"));
                logout_request(&token.to_string())
            })
        },
        Forgery::new("logout tokens, unknown issuer", strangers(2), |number| {
            let issuer = format!("https://{number}.example");
            logout_request(&logout(&issuer, number).to_string())
        }),
        Forgery::new("security events, wrong signature", strangers(3), |number| {
            let head = "content-type: application/secevent+jwt\r\n";
            post(
                &format!("/ssf/streams/{STREAM}"),
                head,
                &forged(event(number)),
            )
        }),
        Forgery::new(
            "revokers' tokens, wrong signature",
            strangers(4),
            |number| {
                let token = forged(revoker(number));
                let head =
                    format!("content-type: application/json\r\nauthorization: Bearer {token}\r\n");
                let body = r#"{"sub_id":{"format":"opaque","id":"alice"}}"#;
                post(&format!("/global-token-revocation/{REVOKER}"), &head, body)
            },
        ),
    ]
}

/// So many networks of their own that nothing genuine has ever come from.
fn strangers(kind: u8) -> Vec<Ipv4Addr> {
    (1..=CONNECTIONS)
        .map(|last| Ipv4Addr::new(127, 1, kind, last))
        .collect()
}

/// By a key that is none of the issuer's, as is all that follows.
fn logout(issuer: &str, number: usize) -> Token {
    logout_token(issuer, "es256-other")
        .claim("jti", number.to_string())
        .claim("sid", "s")
}

fn event(number: usize) -> Token {
    const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
    Token::signed_by("es256-other")
        .header("typ", "secevent+jwt")
        .without_claim("sub")
        .without_claim("exp")
        .claim("aud", "https://edge.example")
        .claim("jti", number.to_string())
        .claim(
            "sub_id",
            json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"}),
        )
        .claim("events", json!({ REVOKED: {} }))
}

fn revoker(number: usize) -> Token {
    Token::signed_by("es256-other")
        .header("typ", "global-token-revocation+jwt")
        .claim("sub", "web")
        .claim("jti", number.to_string())
}

impl Forgery {
    fn new(name: &'static str, senders: Vec<Ipv4Addr>, request: impl Fn(usize) -> String) -> Self {
        let requests = (0..REQUESTS).map(request).collect();
        Self {
            name,
            requests,
            senders,
            rate: RATE,
        }
    }

    /// Sends them at their rate until it is over, and counts the answers. A connection whose answer has
    /// not come is waited for, and what was due meanwhile is sent at once afterwards.
    pub(crate) fn send(&self, to: SocketAddr, is_over: &AtomicBool) -> Answers {
        let connections = self
            .senders
            .iter()
            .map(|from| Connection::new(connect(*from, to)));
        let mut connections: Vec<_> = connections.collect();
        let count = connections.len();
        let mut requests = self.requests.iter().cycle();
        let mut answers = Answers::new();
        let mut hear = |connection: &mut Connection| {
            let (status, _) = connection.hear();
            *answers.entry(status).or_default() += 1;
        };
        let (mut sent, began) = (0, Instant::now());
        while !is_over.load(Ordering::Relaxed) {
            let due = began + Duration::from_secs(1) * sent / self.rate;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            for _ in 0..BURST {
                let connection = &mut connections[sent as usize % count];
                if sent as usize >= count {
                    hear(connection);
                }
                connection.send(requests.next().expect("no end"));
                sent += 1;
            }
        }
        connections.iter_mut().take(sent as usize).for_each(hear);
        answers
    }
}
