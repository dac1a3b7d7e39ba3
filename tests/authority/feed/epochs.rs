//! Edges that know another history than the authority, or more of it.

use std::fs;
use std::path::Path;

use portcullis::revocation::{Batch, Chain, Evidence};
use serde_json::json;

use super::super::loss::file;
use super::super::process::{Answer, Authority, ISSUER, directory, until};
use super::{batch, deltas};

/// Polls as an edge that has reached the end of a batch, or claims to be `further`.
fn claim(authority: &Authority, batch: &Batch, further: u64) -> Answer {
    let epoch = batch.epoch;
    let after = batch.through() + further;
    let (chain, evidence) = (batch.chain_through().to_text(), batch.evidence.to_text());
    authority.get(&format!(
        "/v1/feed/deltas?epoch={epoch}&after={after}&chain={chain}&evidence={evidence}\
         &nonce=77&wait=0"
    ))
}

#[test]
fn an_edge_of_another_epoch_or_from_the_future_has_to_start_again() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    authority.revoke("session", "a");
    assert_eq!(deltas(&authority, epoch - 1, 0, 1).status, 410);
    assert_eq!(authority.get("/v1/feed/deltas?epoch=1").status, 400);
    authority.kill();
    save(directory.path());
    let authority = Authority::start(directory.path());
    authority.revoke("session", "b");
    authority.revoke("session", "c");
    assert_eq!(authority.manifest().epoch, epoch);
    let known = batch(&authority, &deltas(&authority, epoch, 0, 0));
    assert_eq!((known.through(), known.head), (3, 3));
    authority.kill();
    restore(directory.path());

    let authority = Authority::start(directory.path());
    assert_eq!(authority.manifest().epoch, epoch);
    assert_eq!(deltas(&authority, epoch, 3, 1).status, 410, "not shown");
    assert_eq!(authority.manifest().epoch, epoch);
    assert_eq!(claim(&authority, &known, 0).status, 410);
    until(|| authority.get("/v1/feed/manifest").status == 200);
    let manifest = authority.manifest();
    assert!(manifest.epoch > epoch);
    assert_eq!(manifest.sequence, 1);
    assert!(authority.log().contains("restored from an older backup"));
    assert!(
        batch(&authority, &deltas(&authority, manifest.epoch, 1, 0))
            .changes
            .is_empty()
    );
    authority.kill();
    let authority = Authority::start(directory.path());
    assert_eq!(
        authority.manifest().epoch,
        manifest.epoch,
        "the new epoch is kept"
    );
}

/// Copies the store of an authority that does not run.
fn save(directory: &Path) {
    fs::copy(file(directory), directory.join("backup")).unwrap();
}

/// Restores that copy into a directory without a mark, which would say how far the store had come.
fn restore(directory: &Path) {
    let store = file(directory);
    fs::remove_file(store.with_file_name("authority.mark")).unwrap();
    fs::copy(directory.join("backup"), store).unwrap();
}

/// When the edge polls, the numbers that it knows have been given out again.
#[test]
fn an_edge_with_another_history_has_to_start_again() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    authority.revoke("session", "saved");
    authority.kill();
    save(directory.path());
    let authority = Authority::start(directory.path());
    authority.revoke("session", "lost");
    let known = batch(&authority, &deltas(&authority, epoch, 0, 0));
    authority.kill();
    restore(directory.path());

    let authority = Authority::start(directory.path());
    for value in ["b", "c", "d"] {
        authority.revoke("session", value);
    }
    let ask = |after: usize, evidence: &str| {
        let changes = known.changes[..after].iter();
        let chain = changes.fold(Chain::EMPTY, Chain::followed_by).to_text();
        authority.get(&format!(
            "/v1/feed/deltas?epoch={epoch}&after={after}&chain={chain}{evidence}&nonce=77&wait=0"
        ))
    };
    // What both know is the same history.
    let common = batch(&authority, &ask(1, ""));
    assert_eq!((common.epoch, common.changes.len()), (epoch, 3));
    assert_eq!(ask(2, "").status, 410, "not shown");
    assert_eq!(authority.manifest().epoch, epoch);
    assert_eq!(claim(&authority, &known, 0).status, 410);
    until(|| authority.get("/v1/feed/manifest").status == 200);
    let manifest = authority.manifest();
    assert!(manifest.epoch > epoch);
    assert_eq!(manifest.sequence, 4);
    assert!(authority.log().contains("restored from an older backup"));
    assert_eq!(ask(1, "").status, 410, "of the old epoch");
    for malformed in ["chain", "evidence"] {
        let path = format!("/v1/feed/deltas?epoch=1&after=0&{malformed}=AAAA");
        assert_eq!(authority.get(&path).status, 400, "{malformed}");
    }
}

/// A replica may lag behind the one that the edge has heard from, and one that was restored from a
/// backup has lost something.
#[test]
fn an_authority_that_knows_less_than_the_edge_does_not_say_that_a_token_is_not_revoked() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.revoke("session", "a");
    authority.revoke("session", "b");
    let check = |sid: &str, at_least: u64| {
        let request = json!({"issuer": ISSUER, "sid": sid, "at_least": at_least, "nonce": 1});
        authority.post("/v1/check", &request)
    };
    for known in [0, 2] {
        assert_eq!(check("other", known).json()["revoked"], false, "{known}");
    }
    let behind = check("other", 3);
    assert_eq!(
        (behind.status, behind.json()["code"].as_str()),
        (503, Some("feed_behind"))
    );
    assert_eq!(check("a", 3).json()["revoked"], true, "that is known");
    authority.revoke("session", "c");
    assert_eq!(check("other", 3).json()["revoked"], false);
}

/// The numbers of one epoch say nothing of another, whichever is later.
#[test]
fn an_authority_of_another_epoch_than_the_edge_does_not_say_that_a_token_is_not_revoked() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.revoke("session", "saved");
    authority.kill();
    save(directory.path());
    let authority = Authority::start(directory.path());
    let old = authority.manifest().epoch;
    authority.revoke("session", "lost");
    let known = batch(&authority, &deltas(&authority, old, 0, 0));
    authority.kill();
    restore(directory.path());

    let authority = Authority::start(directory.path());
    let check = |sid: &str, epoch: u64, at_least: u64| {
        let request = json!({
            "issuer": ISSUER, "sid": sid, "epoch": epoch, "at_least": at_least, "nonce": 1,
        });
        let answer = authority.post("/v1/check", &request);
        let json = answer.json();
        (
            answer.status,
            json["revoked"].as_bool(),
            json["code"].as_str().map(str::to_owned),
        )
    };
    let unknown = |code: &str| (503, None, Some(code.to_owned()));
    let (revoked, not_revoked) = ((200, Some(true), None), (200, Some(false), None));
    assert_eq!(
        check("lost", old, 1),
        not_revoked,
        "the edge does not know of it"
    );
    assert_eq!(check("lost", old, 2), unknown("feed_behind"));
    assert_eq!(check("lost", old + 1, 0), unknown("feed_other_epoch"));
    assert_eq!(claim(&authority, &known, 0).status, 410);
    let new = authority.stats()["epoch"].as_u64().unwrap();
    assert!(new > old);
    for value in ["b", "c", "d"] {
        authority.revoke("session", value);
    }
    for at_least in [0, 2, u64::MAX / 2] {
        for epoch in [0, old, new - 1, new + 1, u64::MAX / 2] {
            let told = format!("{epoch} and {at_least}");
            let answer = check("lost", epoch, at_least);
            assert_eq!(answer, unknown("feed_other_epoch"), "{told}");
            assert_eq!(check("saved", epoch, at_least), revoked, "{told}");
        }
    }
    assert_eq!(check("lost", new, 4), not_revoked, "once the edge follows");
    assert_eq!(check("lost", new, 5), unknown("feed_behind"));
    // An edge that has no feed, or is of an older version, names no epoch.
    let request = json!({"issuer": ISSUER, "sid": "lost", "at_least": 4, "nonce": 1});
    assert_eq!(
        authority.post("/v1/check", &request).json()["revoked"],
        false
    );
}

/// With an edge's credential a caller can claim anything.
#[test]
fn nothing_but_what_the_authority_has_signed_begins_an_epoch() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    for value in ["a", "b"] {
        authority.revoke("session", value);
    }
    let known = batch(&authority, &deltas(&authority, epoch, 0, 0));
    assert!(
        batch(&authority, &claim(&authority, &known, 0))
            .changes
            .is_empty()
    );
    let other_chain = Batch {
        chain: Chain([1; 32]),
        ..known.clone()
    };
    let later_epoch = Batch {
        epoch: epoch + 1_000,
        ..known.clone()
    };
    let unsigned = Batch {
        evidence: Evidence([0; 72]),
        ..later_epoch.clone()
    };
    for (claimed, further) in [
        (&known, 1),
        (&known, 1_000_000),
        (&other_chain, 0),
        (&later_epoch, 0),
        (&unsigned, 0),
    ] {
        let answer = claim(&authority, claimed, further);
        assert_eq!(answer.status, 410, "{claimed:?} and {further}");
    }
    for unshown in [(epoch, 100), (epoch + 1, 0), (epoch + 86_000_000, 2)] {
        assert_eq!(deltas(&authority, unshown.0, unshown.1, 0).status, 410);
    }
    assert_eq!(authority.manifest().epoch, epoch);
    assert!(
        batch(&authority, &claim(&authority, &known, 0))
            .changes
            .is_empty()
    );
    let log = authority.log();
    assert!(!log.contains("restored from an older backup"), "{log}");
    assert_eq!(log.matches("no epoch begins").count(), 1, "{log}");
}
