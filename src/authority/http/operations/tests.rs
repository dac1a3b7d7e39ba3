use std::pin::pin;
use std::task::{Context, Waker};

use axum::body::Body;
use axum::extract::Request;
use tokio::sync::watch;
use tower_service::Service as _;

use super::*;
use crate::authority::credentials::Access;
use crate::authority::request::Limits;
use crate::authority::{SegmentCaching, Settings};
use crate::revocation::EXPIRY_MARGIN;

#[tokio::test]
async fn a_rotation_goes_on_when_its_caller_has_hung_up() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings {
        directory: directory.path().to_owned(),
        cache_bytes: 1 << 20,
        loss: crate::authority::store::Loss::Refused,
        limits: Limits {
            max_token_lifetime: Duration::from_hours(24),
            clock_skew: Duration::from_mins(1),
            disagreement: None,
            expiry_margin: EXPIRY_MARGIN,
        },
        false_positive_rate: 2.9e-5,
        generation_interval: Duration::from_mins(1),
        segment_caching: SegmentCaching::Private,
    };
    let (_stop, stopping) = watch::channel(false);
    let authority = Authority::start(&settings, Access::Machine, stopping);
    let authority = authority.unwrap();
    let mut router = super::super::router(Arc::clone(&authority));
    let request = Request::post("/v1/feed/keys")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Body::from("{}"))
        .unwrap();
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
