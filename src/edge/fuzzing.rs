//! What holds for edges, whatever has overwritten the feed's records in shared data.

use std::cell::Cell;

use serde_json::{Value, json};

use super::State;
use super::mock::VirtualMachine;
use crate::gate::{Outcome, Reason};
use crate::host::mock::{MockHost, MockProcess};
use crate::host::{Expected, SharedData};
use crate::namespace::Namespace;
use crate::revocation::cut_off::CutOff;
use crate::revocation::mock_authority::{self, MockAuthority, name_of};
use crate::revocation::page::page_of;
use crate::revocation::{Change, Kind};
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, jwk_set, token};

/// 2026-01-01T00:00:00Z, when the clock of a mock process begins.
const NOW: u64 = 1_767_225_600;

const PAGES: u32 = 2;

/// Overwrites records of a feed, one after the other: which record, how, and with what, each behind
/// a byte that says how long it is.
///
/// Unless a record was forged whole, checksum included, no revoked token passes: neither at an edge
/// that held the state before, even with the token in its cache, nor at one that comes later. And
/// the authority's next answers put everything right again.
pub fn shared_feed(bytes: &[u8]) {
    let (process, mut authority) = (MockProcess::default(), authority());
    let [leader, other, behind] = [(); 3].map(|()| Edge::new(&process));
    leader.settle(&authority);
    for edge in [&other, &behind] {
        edge.machine.tick();
        assert_eq!(edge.send(REVOKED_SINCE), Word::Passes);
    }
    authority.revoke(REVOKED_SINCE.1);
    leader.settle(&authority);
    other.machine.tick();
    assert!(other.knows_all(), "the feed as it was written");
    let is_forged = meddle(&process, &other.machine.feed_space(), bytes);
    behind.machine.tick();
    assert!(is_forged || behind.send(REVOKED_SINCE) != Word::Passes);
    let onlookers = [other, Edge::new(&process)];
    for edge in &onlookers {
        for _ in 0..2 {
            assert!(is_forged || edge.lets_nothing_through());
            edge.machine.tick();
        }
    }
    for round in 0..10 {
        process.pass(11_000);
        leader.settle(&authority);
        for edge in &onlookers {
            edge.machine.tick();
        }
        // A fault may show only with the next change or the next generation.
        if round >= 3 && onlookers.iter().all(Edge::knows_all) {
            return;
        }
    }
    assert!(is_forged, "the feed is not put right again");
}

/// Overwrites the records, and says whether one of them was forged.
fn meddle(process: &MockProcess, space: &Namespace, bytes: &[u8]) -> bool {
    let mut keys = process.keys();
    keys.sort_by_key(|key| key.ends_with("/lease"));
    let genuine: Vec<Vec<u8>> = keys.iter().map(|key| value(process, key)).collect();
    let mut rest = bytes;
    while let [index, how, length, tail @ ..] = rest {
        let index = usize::from(*index) % keys.len();
        let (with, tail) = tail.split_at(tail.len().min(usize::from(*length)));
        let written = overwritten(space, &keys[index], &genuine, index, *how, with);
        process.set_shared(&keys[index], &written, Expected::Anything);
        rest = tail;
    }
    let mut records = keys.iter().zip(&genuine);
    records.any(|(key, genuine)| is_forged(space, key, genuine, &value(process, key)))
}

/// The kind and the value of a name.
type Named = (Kind, &'static str);

const REVOKED_BEFORE: Named = (Kind::Token, "revoked before");
const REVOKED_SINCE: Named = (Kind::Token, "revoked since");
const SIGNED_OUT: Named = (Kind::Subject, "signed out");

/// Tokens that are never revoked, one for each page.
fn never_revoked() -> [Named; PAGES as usize] {
    let names = ["never", "not once", "at no time", "in no way"];
    [0, 1].map(|page| {
        let on_page = |name: &&&str| page_of(name_of(Kind::Token, name), PAGES) == page;
        (Kind::Token, *names.iter().find(on_page).unwrap())
    })
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Passes,
    /// It waits for the authority.
    Asks,
    /// Its token is revoked.
    Revoked,
    /// It is refused, since nothing is known.
    Refused,
}

/// An edge that follows the feed.
struct Edge<'p> {
    machine: VirtualMachine<&'p MockProcess>,
    sent: Cell<u64>,
}

impl<'p> Edge<'p> {
    fn new(process: &'p MockProcess) -> Self {
        Self {
            machine: VirtualMachine::new(process, &configuration()),
            sent: Cell::new(0),
        }
    }

    /// Lets it tick, and the authority answer, until no call is open.
    fn settle(&self, authority: &MockAuthority) {
        self.machine.tick();
        for _ in 0..20 {
            if !self
                .machine
                .answer_round(|call| authority.answer_or_heartbeat(call))
            {
                break;
            }
        }
        self.machine.tick();
    }

    /// Always sends the same token.
    fn send(&self, named: Named) -> Word {
        self.send_with(named, &json!(null))
    }

    /// Sends a token that was not seen before.
    fn send_new(&self, named: Named) -> Word {
        self.sent.set(self.sent.get() + 1);
        self.send_with(named, &self.sent.get().into())
    }

    fn send_with(&self, (kind, value): Named, nonce: &Value) -> Word {
        let name = if kind == Kind::Token { "jti" } else { "sub" };
        let claims = json!({
            "iss": "iss", name: value, "iat": NOW - 10, "exp": NOW + 3_600, "nonce": nonce,
        });
        let bearer = format!("Bearer {}", token(&eddsa(), &claims));
        let request = MockHost::get("/", UnixTime::EPOCH).with_header("authorization", bearer);
        let context = self.machine.send(request);
        let word = match (self.machine.state(context), self.machine.outcome(context)) {
            (State::Held, _) => Word::Asks,
            (_, Some(Outcome::Allowed(_))) => Word::Passes,
            (_, Some(Outcome::Refused(Reason::TokenRevoked))) => Word::Revoked,
            _ => Word::Refused,
        };
        self.machine.leave(context);
        word
    }

    fn knows_all(&self) -> bool {
        let revoked = [REVOKED_BEFORE, REVOKED_SINCE, SIGNED_OUT];
        let others = never_revoked();
        revoked.map(|named| self.send_new(named)) == [Word::Asks, Word::Asks, Word::Revoked]
            && others.map(|named| self.send_new(named)) == [Word::Passes; 2]
    }

    fn lets_nothing_through(&self) -> bool {
        let revoked = [REVOKED_BEFORE, REVOKED_SINCE, SIGNED_OUT];
        let mut all = revoked.into_iter();
        all.all(|named| ![self.send(named), self.send_new(named)].contains(&Word::Passes))
    }
}

fn configuration() -> Value {
    let mut revocation = mock_authority::settings();
    revocation["reload_jitter"] = json!("1s");
    json!({
        "providers": {"idp": {
            "issuer": "iss", "local_jwks": {"inline_string": jwk_set(&[&eddsa()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        "revocation": revocation,
    })
}

/// An authority that has published a generation.
fn authority() -> MockAuthority {
    let mut authority = MockAuthority {
        page_count: PAGES,
        ..MockAuthority::new()
    };
    authority.revoke(REVOKED_BEFORE.1);
    authority.changes.push(Change::SetCutOff(CutOff {
        key: name_of(SIGNED_OUT.0, SIGNED_OUT.1),
        not_before: UnixTime::MAX,
        except: None,
        is_compound: false,
    }));
    authority.publish_generation();
    authority
}

fn value(process: &MockProcess, key: &str) -> Vec<u8> {
    process.shared(key).unwrap().bytes
}

/// Bytes of a sealed record before its payload.
const SEALED_HEADER_BYTES: usize = 20;

/// The name of the record with this key, if it is one that is sealed and not a page or a bucket.
fn sealed_name<'k>(space: &Namespace, key: &'k str) -> Option<&'k str> {
    let name = key.strip_prefix(space.prefix()).unwrap();
    let is_large = name.starts_with("page/") || name.starts_with("bucket/");
    (!is_large).then_some(name)
}

/// Bytes of a page's or a bucket's record before its checksum.
const HEADER_BYTES: usize = 32;

/// What is written over a record.
fn overwritten(
    space: &Namespace,
    key: &str,
    genuine: &[Vec<u8>],
    index: usize,
    how: u8,
    with: &[u8],
) -> Vec<u8> {
    let mut record = genuine[index].clone();
    let (start, rest) = with.split_first_chunk().unwrap_or((&[0; 2], with));
    let start = usize::from(u16::from_le_bytes(*start)) % record.len();
    match how % 5 {
        0 => return with.to_vec(),
        1 => {
            for (to, from) in record[start..].iter_mut().zip(rest) {
                *to ^= from;
            }
        }
        2 => return genuine[start % genuine.len()].clone(),
        3 => record.truncate(start),
        // Forged: right in everything but its content.
        _ => {
            let Some(name) = sealed_name(space, key) else {
                let header = &genuine[index][..HEADER_BYTES];
                let checksum = space.checksum(&[header, rest]);
                return [header, &checksum.to_le_bytes(), rest].concat();
            };
            let mut payload = record[SEALED_HEADER_BYTES..].to_vec();
            let start = start.min(payload.len());
            for (to, from) in payload[start..].iter_mut().zip(rest) {
                *to ^= from;
            }
            return space.seal(name, &payload);
        }
    }
    record
}

/// Whether a record has changed and still has everything that makes it believed. That takes the
/// secret of the filter, which only a reader of our memory has.
fn is_forged(space: &Namespace, key: &str, genuine: &[u8], found: &[u8]) -> bool {
    if found == genuine {
        return false;
    }
    if let Some(name) = sealed_name(space, key) {
        return space.open(name, found).is_some();
    }
    let (header, _) = genuine.split_at(HEADER_BYTES);
    let body = found.strip_prefix(header);
    let sealed = body.and_then(|body| body.split_first_chunk());
    sealed.is_some_and(|(checksum, body)| {
        u64::from_le_bytes(*checksum) == space.checksum(&[header, body])
    })
}
