//! What an authority publishes, for fuzz targets to begin with.

use std::time::Duration;

use tokio::sync::watch;

use crate::authority::feed::{Poll, PollAnswer};
use crate::authority::generation::{Generation, Plan};
use crate::authority::history::Tally;
use crate::authority::import::Import;
use crate::authority::store::Store;
use crate::authority::tests::start;
use crate::authority::{Authority, clock};
use crate::revocation::{Batch, Manifest, Signable};

/// The signed parts of what edges fetch, without their signatures.
pub(crate) struct Published {
    /// Of a generation with everything in it.
    pub(crate) manifest: Vec<u8>,
    /// The last segment of that generation.
    pub(crate) cut_offs: Vec<u8>,
    /// With all changes, and with none.
    pub(crate) batches: [(Vec<u8>, Batch); 2],
}

/// What an authority publishes that has imported these lines.
pub(crate) async fn published(lines: &str) -> Published {
    let directory = tempfile::tempdir().unwrap();
    let (authority, stop) = start(directory.path());
    let stopping = stop.subscribe();
    let import = Import::begin(&authority, "operator".into()).await;
    let mut import = import.unwrap();
    import.take(lines.as_bytes()).await.unwrap();
    import.finish().await.unwrap();
    let (manifest, cut_offs) = generation(&authority);
    let last = authority.history.head().sequence;
    Published {
        manifest,
        cut_offs,
        batches: [
            batch(&authority, 0, &stopping).await,
            batch(&authority, last, &stopping).await,
        ],
    }
}

/// By the authority's clock, in seconds.
pub(crate) fn in_an_hour() -> u64 {
    clock::now().seconds() + 3_600
}

fn generation(authority: &Authority) -> (Vec<u8>, Vec<u8>) {
    let plan = Plan {
        epoch: authority.feed.epoch(),
        number: 2,
        head: authority.history.head(),
        tally: Tally::default(),
        bits: 24,
        filter_key: authority.store.filter_key(),
        now_milliseconds: clock::now_milliseconds(),
    };
    let generation = Generation::build(&authority.index, &plan).unwrap();
    let body = generation.manifest.encode();
    let signer = &authority.signer;
    let message = signer.sign(Signable::Manifest, body.clone(), clock::now());
    assert!(Manifest::decode(&message, &signer.public_keys(clock::now())).is_ok());
    (body, generation.segments.last().unwrap().to_vec())
}

async fn batch(
    authority: &Authority,
    after: u64,
    stopping: &watch::Receiver<bool>,
) -> (Vec<u8>, Batch) {
    let poll = Poll {
        asked: Store::moment(),
        epoch: authority.feed.epoch(),
        after,
        chain: None,
        evidence: None,
        generation: None,
        nonce: 1,
        wait: Duration::ZERO,
    };
    let heard = authority.feed.catch_up(poll).await.unwrap();
    let answer = authority.feed.poll(heard, stopping.clone()).await;
    let Ok(PollAnswer::Batch { message, .. }) = answer else {
        panic!("no batch after {after}");
    };
    let keys = authority.signer.public_keys(clock::now());
    let batch = Batch::decode(&message, &keys).unwrap();
    let body = keys.verified(Signable::Batch, &message).unwrap();
    (body.to_vec(), batch)
}
