//! A revocation authority whose every byte is the same on every run.

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis::revocation::page::PAGE_BYTES;
use portcullis::revocation::{
    Batch, Chain, Change, Evidence, FeedSignature, FilterKey, Fingerprint, Kind, Manifest,
    SEGMENT_BYTES, Segment, Settled, Signable, cut_off, proof,
};
use portcullis::time::UnixTime;
use serde_json::{Value, json};

use crate::process::{NOW, OpenCall};
use crate::support::{ISSUER, encode_part};

const FILTER_KEY: FilterKey = FilterKey::new([7; 16]);

/// What the authority has published.
pub(crate) struct Contents {
    /// Pages of the Bloom filter, all the same.
    pub(crate) pages: u32,
    /// The byte that pages are made of: with 0 nothing is in them, and with 0xff everything.
    pub(crate) page_byte: u8,
    /// The client whose tokens are cut off that were issued until now.
    pub(crate) cut_off_client: Option<&'static str>,
}

impl Contents {
    /// Nothing is revoked.
    pub(crate) const NOTHING: Self = Self {
        pages: 4,
        page_byte: 0,
        cut_off_client: None,
    };
}

/// The authority. It has one generation, and news when [`Authority::revoke`] makes some.
pub(crate) struct Authority {
    key: SigningKey,
    contents: Contents,
    history: Vec<Change>,
}

/// The `revocation` part of the filter's configuration.
pub(crate) fn settings() -> Value {
    json!({
        "cluster": "authority",
        "credential": {"inline_string": "edge"},
        "public_keys": [encode_part(signing_key().verifying_key().as_bytes())],
    })
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

impl Authority {
    pub(crate) fn new(contents: Contents) -> Self {
        Self {
            key: signing_key(),
            contents,
            history: Vec::new(),
        }
    }

    /// Revokes this many sessions that no token has.
    pub(crate) fn revoke(&mut self, sessions: u64) {
        let first = self.history.len() as u64;
        let session = |number| fingerprint(Kind::Session, &format!("revoked-{number}"));
        let changes = (first..first + sessions).map(|number| Change::Add(session(number)));
        self.history.extend(changes);
    }

    /// The body of an answer; `None` for a long poll as long as there is no news.
    pub(crate) fn answer(&self, call: &OpenCall) -> Option<Vec<u8>> {
        let path = call.path.as_str();
        if path == "/v1/activity" {
            return Some(Vec::new());
        }
        if path == "/v1/feed/manifest" {
            return Some(self.manifest());
        }
        if path == "/v1/check" {
            return Some(self.not_revoked(&call.body));
        }
        if let Some((_, index)) = path
            .strip_prefix("/v1/feed/segments/")
            .and_then(|segment| segment.split_once('/'))
        {
            let index = index.parse().expect("a number");
            return self.segments().nth(index);
        }
        let query = path.strip_prefix("/v1/feed/deltas?").expect("a path");
        let parameter = |name: &str| -> u64 {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(key, _)| *key == name);
            value.expect("a parameter").1.parse().expect("a number")
        };
        let after = parameter("after");
        let has_news = after < self.history.len() as u64;
        (has_news || parameter("wait") == 0).then(|| self.batch(parameter("nonce"), after))
    }

    fn manifest(&self) -> Vec<u8> {
        let segment = |bytes: Vec<u8>| Segment::of(&bytes).expect("a small segment");
        let mut segments: Vec<_> = self.segments().map(segment).collect();
        let cut_offs = segments.pop().expect("the cut-offs");
        let manifest = Manifest {
            created: NOW * 1_000,
            epoch: 1,
            generation: 1,
            sequence: 0,
            chain: Chain::EMPTY,
            filter_key: FILTER_KEY,
            entries: 0,
            page_count: self.contents.pages,
            bucket_count: 2,
            filter_segments: segments,
            cut_off_segments: vec![cut_offs],
        };
        self.sign(Signable::Manifest, manifest.encode())
    }

    /// The pages of the filter, and last the cut-offs, of which there is one segment.
    fn segments(&self) -> impl Iterator<Item = Vec<u8>> {
        let bytes = self.contents.pages as usize * PAGE_BYTES;
        let starts = (0..bytes).step_by(SEGMENT_BYTES);
        let pages = starts.map(move |start| {
            let length = SEGMENT_BYTES.min(bytes - start);
            vec![self.contents.page_byte; length]
        });
        let cut_off = self.contents.cut_off_client.map(|client| cut_off::CutOff {
            key: fingerprint(Kind::Client, client),
            not_before: UnixTime::from_seconds(NOW + 1).expect("an instant"),
            except: None,
            is_compound: false,
        });
        pages.chain([cut_off::encode(cut_off.as_slice())])
    }

    fn batch(&self, nonce: u64, after: u64) -> Vec<u8> {
        let (before, changes) = self.history.split_at(after as usize);
        let batch = Batch {
            nonce,
            time: NOW * 1_000,
            epoch: 1,
            generation: 1,
            head: self.history.len() as u64,
            after,
            chain: before.iter().fold(Chain::EMPTY, Chain::followed_by),
            changes: changes.to_vec(),
            evidence: Evidence([0; 72]),
        };
        self.sign(Signable::Batch, batch.encode())
    }

    /// The answer to a check of one token.
    fn not_revoked(&self, check: &[u8]) -> Vec<u8> {
        let proof = self.sign(
            Signable::Check,
            proof::statement(check, Settled::NotRevoked),
        );
        let answer = json!({"revoked": false, "proof": proof::encode(&proof)});
        answer.to_string().into_bytes()
    }

    fn sign(&self, kind: Signable, body: Vec<u8>) -> Vec<u8> {
        let signature = FeedSignature {
            key: self.key.verifying_key(),
            signature: self.key.sign(&kind.input(&body)),
        };
        signature.append_to(body)
    }
}

fn fingerprint(kind: Kind, value: &str) -> Fingerprint {
    FILTER_KEY.fingerprint(kind, ISSUER, value)
}
