use std::pin::pin;
use std::task::{Context, Waker};

use axum::body::Body;
use axum::extract::Request;
use tower_service::Service as _;

use super::*;
use crate::authority::signing::FeedSigner;
use crate::authority::tests::start;

fn rotation() -> Request {
    Request::post("/v1/feed/keys")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from("{}"))
        .unwrap()
}

/// A leaked key can be replaced while an import runs.
#[tokio::test]
async fn a_key_is_rotated_while_an_import_is_carried_out() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _stop) = start(directory.path());
    let _import = authority.importing.lock().await;
    let mut router = super::super::router(Arc::clone(&authority));
    let answer = router.call(rotation()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(authority.signer.published(clock::now()).len(), 2);
}

/// The second rotation starts from the keys that the first has left.
#[tokio::test]
async fn no_key_is_lost_of_two_that_are_made_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _stop) = start(directory.path());
    let overlap = Duration::from_secs(5);
    let (one, other) = tokio::join!(
        replace_keys(Arc::clone(&authority), overlap),
        replace_keys(Arc::clone(&authority), overlap)
    );
    assert!(one.is_ok() && other.is_ok());
    assert_eq!(authority.signer.published(clock::now()).len(), 3);
    let kept = FeedSigner::load_or_make(&authority.store, 0).unwrap();
    assert_eq!(kept.published(clock::now()).len(), 3);
}

#[tokio::test]
async fn a_rotation_goes_on_when_its_caller_has_hung_up() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, _stop) = start(directory.path());
    let mut router = super::super::router(Arc::clone(&authority));
    let request = rotation();
    {
        let mut answer = pin!(router.call(request));
        let began = answer
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(began.is_pending());
    }
    let mut left = 1_000;
    while authority.signer.published(clock::now()).len() < 2 && left > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
        left -= 1;
    }
    let in_force = describe(&authority.signer.published(clock::now()));
    let kept = FeedSigner::load_or_make(&authority.store, 0).unwrap();
    assert_eq!(in_force, describe(&kept.published(clock::now())));
    assert_eq!(in_force.len(), 2);
}
