//! A revocation authority without revocations, whose every byte is the same on every run.

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis::revocation::page::PAGE_BYTES;
use portcullis::revocation::{Batch, Chain, FeedSignature, FilterKey, Manifest, Segment, Signable};
use serde_json::{Value, json};

use crate::process::NOW;
use crate::support::encode_part;

const PAGES: u32 = 4;

/// The authority. It has one generation, and never news.
pub(crate) struct Authority {
    key: SigningKey,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self {
            key: SigningKey::from_bytes(&[1; 32]),
        }
    }

    /// The `revocation` part of the filter's configuration.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "cluster": "authority",
            "credential": {"inline_string": "edge"},
            "public_keys": [encode_part(self.key.verifying_key().as_bytes())],
        })
    }

    /// The body of an answer; `None` for a long poll, which is never answered.
    pub(crate) fn answer(&self, path: &str) -> Option<Vec<u8>> {
        if path == "/v1/feed/manifest" {
            return Some(self.manifest());
        }
        if let Some((_, index)) = path
            .strip_prefix("/v1/feed/segments/")
            .and_then(|segment| segment.split_once('/'))
        {
            let index: usize = index.parse().expect("a number");
            return Some(segments().swap_remove(index));
        }
        let query = path.strip_prefix("/v1/feed/deltas?").expect("a path");
        let parameter = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.find(|(key, _)| *key == name);
            value.expect("a parameter").1
        };
        let nonce = parameter("nonce").parse().expect("a number");
        (parameter("wait") == "0").then(|| self.batch(nonce))
    }

    fn manifest(&self) -> Vec<u8> {
        let segment = |bytes: &Vec<u8>| Segment::of(bytes).expect("a small segment");
        let [pages, cut_offs] = &segments()[..] else {
            unreachable!("there are two segments");
        };
        let manifest = Manifest {
            created: NOW * 1_000,
            epoch: 1,
            generation: 1,
            sequence: 0,
            chain: Chain::EMPTY,
            filter_key: FilterKey::new([7; 16]),
            entries: 0,
            page_count: PAGES,
            bucket_count: 2,
            filter_segments: vec![segment(pages)],
            cut_off_segments: vec![segment(cut_offs)],
        };
        self.sign(Signable::Manifest, manifest.encode())
    }

    fn batch(&self, nonce: u64) -> Vec<u8> {
        let batch = Batch {
            nonce,
            time: NOW * 1_000,
            epoch: 1,
            generation: 1,
            after: 0,
            chain: Chain::EMPTY,
            changes: Vec::new(),
        };
        self.sign(Signable::Batch, batch.encode())
    }

    fn sign(&self, kind: Signable, body: Vec<u8>) -> Vec<u8> {
        let signature = FeedSignature {
            key: self.key.verifying_key(),
            signature: self.key.sign(&kind.input(&body)),
        };
        signature.append_to(body)
    }
}

/// The pages of the filter, and no cut-offs.
fn segments() -> Vec<Vec<u8>> {
    vec![vec![0; PAGES as usize * PAGE_BYTES], Vec::new()]
}
