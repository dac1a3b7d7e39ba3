//! An authority for tests that is a list of changes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use super::page::{PAGE_BYTES, insert, page_of};
use super::*;
use crate::host::{Call, CallOutcome};
use crate::time::UnixTime;

/// The secret of all its filters.
pub const FILTER_KEY: FilterKey = FilterKey::new([7; 16]);

/// Whole records only.
const TABLE_BYTES: usize = SEGMENT_BYTES / cut_off::RECORD_BYTES * cut_off::RECORD_BYTES;

/// The name of something that `iss` has issued.
#[must_use]
pub fn name_of(kind: Kind, value: &str) -> Fingerprint {
    FILTER_KEY.fingerprint(kind, "iss", value)
}

/// The `revocation` section of a gate's configuration that follows an authority with its first key.
#[must_use]
pub fn settings() -> Value {
    let key = MockAuthority::new().key.verifying_key();
    json!({
        "cluster": "authority",
        "credential": {"inline_string": "edge"},
        "public_keys": [URL_SAFE_NO_PAD.encode(key.as_bytes())],
    })
}

/// The authority.
#[derive(Clone, Debug)]
pub struct MockAuthority {
    /// What it signs with.
    pub key: SigningKey,
    /// The epoch.
    pub epoch: u64,
    /// The number of the generation.
    pub generation: u64,
    /// Changes that are in the generation.
    pub base: usize,
    /// All changes.
    pub changes: Vec<Change>,
    /// Those of the epoch before.
    pub former: Vec<Change>,
    /// Why something was revoked, where there is more to say than that it was.
    pub causes: Vec<(Fingerprint, Cause)>,
    /// Statuses that are not valid, by index, whatever their list.
    pub statuses: Vec<(u64, Cause)>,
    /// Changes that were in the backup with which the epoch began.
    pub restored: usize,
    /// Pages of the filter.
    pub page_count: u32,
    /// Buckets of cut-offs.
    pub bucket_count: u32,
    /// Bytes of a segment of cut-offs, at most.
    pub table_bytes: usize,
}

impl Default for MockAuthority {
    fn default() -> Self {
        Self::new()
    }
}

impl MockAuthority {
    /// One without changes.
    #[must_use]
    pub fn new() -> Self {
        Self {
            key: SigningKey::from_bytes(&[1; 32]),
            epoch: 1,
            generation: 1,
            base: 0,
            changes: Vec::new(),
            former: Vec::new(),
            causes: Vec::new(),
            statuses: Vec::new(),
            restored: 0,
            page_count: 3,
            bucket_count: 2,
            table_bytes: TABLE_BYTES,
        }
    }

    /// Revokes the token with this `jti`.
    pub fn revoke(&mut self, token: &str) {
        self.changes.push(Change::Add(name_of(Kind::Token, token)));
    }

    /// Revokes the token with this `jti`, whose place another one has taken.
    pub fn rotate(&mut self, token: &str) {
        self.causes
            .push((name_of(Kind::Token, token), Cause::Rotated));
        self.revoke(token);
    }

    /// Publishes a generation with all changes.
    pub fn publish_generation(&mut self) {
        self.base = self.changes.len();
        self.generation += 1;
    }

    /// Restores a backup with so many changes.
    pub fn restore(&mut self, changes: usize) {
        self.former = self.changes.clone();
        self.changes.truncate(changes);
        self.base = changes;
        self.restored = changes;
        self.epoch += 1;
        self.generation = 1;
    }

    /// The chain over this many changes.
    #[must_use]
    pub fn chain(&self, sequence: usize) -> Chain {
        let changes = &self.changes[..sequence];
        changes.iter().fold(Chain::EMPTY, Chain::followed_by)
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, kind: Signable, body: Vec<u8>) -> Vec<u8> {
        let signature = FeedSignature {
            key: self.key.verifying_key(),
            signature: self.key.sign(&kind.input(&body)),
        };
        signature.append_to(body)
    }

    /// The segments of the generation: of the filter, and of cut-offs.
    #[must_use]
    pub fn segments(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut pages = vec![0; self.page_count as usize * PAGE_BYTES];
        let mut records = Vec::new();
        for change in &self.changes[..self.base] {
            match change {
                Change::Add(name) => {
                    let start = page_of(*name, self.page_count) as usize * PAGE_BYTES;
                    insert(&mut pages[start..start + PAGE_BYTES], *name);
                }
                Change::SetCutOff(cut_off) => cut_off::set(&mut records, cut_off),
                Change::ClearCutOff(name) => cut_off::clear(&mut records, *name),
                Change::Restore(_) => {}
            }
        }
        let mut table = cut_off::decode(&records).unwrap();
        cut_off::sort(&mut table);
        let records = cut_off::encode(&table);
        let pages = pages.chunks(SEGMENT_BYTES).map(<[u8]>::to_vec).collect();
        let mut tables: Vec<_> = records
            .chunks(self.table_bytes)
            .map(<[u8]>::to_vec)
            .collect();
        // An authority without cut-offs has no segment of them; this one has an empty one.
        tables.resize(tables.len().max(1), Vec::new());
        (pages, tables)
    }

    /// The manifest of the generation.
    #[must_use]
    pub fn manifest(&self) -> Vec<u8> {
        let (pages, records) = self.segments();
        let segments = |bytes: &[Vec<u8>]| {
            bytes
                .iter()
                .map(|bytes| Segment::of(bytes).unwrap())
                .collect()
        };
        let manifest = Manifest {
            created: 0,
            epoch: self.epoch,
            generation: self.generation,
            sequence: self.base as u64,
            chain: self.chain(self.base),
            filter_key: FILTER_KEY,
            entries: self.base as u64,
            page_count: self.page_count,
            bucket_count: self.bucket_count,
            filter_segments: segments(&pages),
            cut_off_segments: segments(&records),
        };
        self.sign(Signable::Manifest, manifest.encode())
    }

    /// The changes after this many.
    #[must_use]
    pub fn batch(&self, after: usize, nonce: u64) -> Vec<u8> {
        let changes = self.changes[after..]
            .iter()
            .take(MAX_BATCH_CHANGES as usize);
        let changes: Vec<_> = changes.copied().collect();
        let batch = Batch {
            nonce,
            time: 0,
            epoch: self.epoch,
            generation: self.generation,
            head: self.changes.len() as u64,
            after: after as u64,
            chain: self.chain(after),
            evidence: self.evidence(after + changes.len()),
            changes,
        };
        self.sign(Signable::Batch, batch.encode())
    }

    fn evidence(&self, sequence: usize) -> Evidence {
        let statement = Evidence::statement(self.epoch, sequence as u64, self.chain(sequence));
        Evidence::of_signed(&self.sign(Signable::Head, statement)).unwrap()
    }

    /// The answer to a call; `None` for a long poll without news.
    #[must_use]
    pub fn answer(&self, call: &Call) -> Option<CallOutcome> {
        let ok = |body| CallOutcome::Answered {
            status: 200,
            headers: Vec::new(),
            body,
        };
        let path = call.path.as_str();
        if path == "/v1/check" {
            return Some(ok(self.check(call.body.as_deref().unwrap_or_default())));
        }
        if path == "/v1/feed/manifest" {
            return Some(ok(self.manifest()));
        }
        if let Some(segment) = path.strip_prefix("/v1/feed/segments/") {
            let (generation, index) = segment.split_once('/').unwrap();
            if generation != self.generation.to_string() {
                return Some(CallOutcome::Answered {
                    status: 404,
                    headers: Vec::new(),
                    body: Vec::new(),
                });
            }
            let (pages, records) = self.segments();
            let all: Vec<_> = pages.into_iter().chain(records).collect();
            return Some(ok(all[index.parse::<usize>().unwrap()].clone()));
        }
        let query = path.strip_prefix("/v1/feed/deltas?").unwrap();
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .next()
                .unwrap()
        };
        let after = parameter("after").parse::<usize>().unwrap();
        if parameter("epoch") != self.epoch.to_string() || after > self.changes.len() {
            return Some(CallOutcome::Answered {
                status: 410,
                headers: Vec::new(),
                body: Vec::new(),
            });
        }
        let is_news = after < self.changes.len() || parameter("wait") == "0";
        let nonce = parameter("nonce").parse().unwrap();
        is_news.then(|| ok(self.batch(after, nonce)))
    }

    /// The answer to a call, and to a long poll without news when its time is up.
    #[must_use]
    pub fn answer_or_heartbeat(&self, call: &Call) -> Option<CallOutcome> {
        let (path, _) = call.path.rsplit_once("&wait=").unwrap_or((&call.path, ""));
        let at_once = Call {
            path: format!("{path}&wait=0"),
            ..call.clone()
        };
        let is_poll = call.path.contains("/deltas?");
        self.answer(if is_poll { &at_once } else { call })
    }

    /// The answer to a check, signed.
    #[must_use]
    pub fn check(&self, body: &[u8]) -> Vec<u8> {
        let members: Value = serde_json::from_slice(body).unwrap();
        let cause = self.cause_of(&members);
        let settled = cause.map_or(Settled::NotRevoked, Settled::Revoked);
        let proof = self.proof(body, settled);
        let answer = json!({"revoked": cause.is_some(), "proof": proof});
        answer.to_string().into_bytes()
    }

    /// The proof of an answer to a check.
    #[must_use]
    pub fn proof(&self, body: &[u8], settled: Settled) -> String {
        let statement = proof::statement(body, settled);
        proof::encode(&self.sign(Signable::Check, statement))
    }

    /// The answer to a request that this authority has carried out for a user, signed.
    #[must_use]
    pub fn done(&self, body: &[u8]) -> Vec<u8> {
        let proof = proof::encode(&self.sign(Signable::SignOut, proof::completion(body)));
        json!({ "proof": proof }).to_string().into_bytes()
    }

    fn cause_of(&self, token: &Value) -> Option<Cause> {
        let issuer = token["issuer"].as_str().unwrap();
        let name = |member: &str, kind| {
            let value = token[member].as_str()?;
            Some(FILTER_KEY.fingerprint(kind, issuer, value))
        };
        let own_issuer = FILTER_KEY.fingerprint(Kind::Issuer, issuer, "");
        let session = name("sid", Kind::Session);
        let names = [
            name("jti", Kind::Token),
            session,
            name("device", Kind::Device),
            name("subject", Kind::Subject),
            name("client", Kind::Client),
            name("azp", Kind::Client),
            Some(own_issuer),
        ];
        let client = |member: &str| {
            let (client, subject) = (token[member].as_str()?, token["subject"].as_str()?);
            Some(FILTER_KEY.compound(Kind::SubjectAndClient, issuer, client, subject))
        };
        let pairs = [client("client"), client("azp")];
        let claims = token["claims"].as_array().cloned().unwrap_or_default();
        let claims = claims.into_iter().map(|claim| {
            let (name, value) = (claim["name"].as_str()?, claim["value"].as_str()?);
            Some(FILTER_KEY.compound(Kind::Claim, issuer, name, value))
        });
        let names = names.into_iter().chain(pairs).chain(claims);
        let is_in_progress = token["in_progress"].as_bool().unwrap_or_default();
        let time = |member: &str| token[member].as_u64().and_then(UnixTime::from_seconds);
        let issuance = Issuance::new(time("issued_at"), time("auth_time"));
        let revoked = |name: Fingerprint| {
            let mut causes = self.causes.iter();
            let cause = causes.rfind(|(named, _)| *named == name);
            let cause = cause.map_or(Cause::Plain, |(_, cause)| *cause);
            let mut changes = self.changes.iter();
            let is_revoked = match changes.rfind(|change| change.fingerprint() == name) {
                Some(Change::Add(_)) => !is_in_progress || cause.ends_streams(),
                Some(Change::SetCutOff(cut_off)) => {
                    let is_issuer = name == own_issuer;
                    let kind = if is_issuer {
                        Kind::Issuer
                    } else {
                        Kind::Subject
                    };
                    cut_off.revokes(issuance.for_kind(kind), session)
                }
                None | Some(Change::Restore(_) | Change::ClearCutOff(_)) => false,
            };
            is_revoked.then_some(cause)
        };
        let index = token["status"]["idx"].as_u64();
        let status = self.statuses.iter().find(|(idx, _)| Some(*idx) == index);
        let causes = names.flatten().filter_map(revoked);
        causes
            .chain(status.map(|(_, cause)| *cause))
            .reduce(Cause::and)
    }
}
