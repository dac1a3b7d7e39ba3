//! Nonces for proofs (RFC 9449 section 9), which this edge gives out and knows again without keeping them: each
//! is an HMAC over the time, under a secret that the workers of one process share.
//!
//! Another edge has another secret. So a proof with a nonce of this edge is of no use there, where it is not
//! known that it was used: a client that comes to another edge is told so once, and given the nonce of that one.

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::HMAC;

use crate::host::{Expected, Host};
use crate::namespace::Namespace;
use crate::time::UnixTime;

/// How long the same nonce is given out, in seconds. It is good for as long again.
const PERIOD: u64 = 300;

/// The record of the secret.
const RECORD: &str = "secret";

/// What the workers of one process share, and nothing else has.
#[derive(Clone, Copy)]
pub(super) struct ProcessSecret {
    naming: [u8; 16],
    nonces: [u8; 16],
}

impl std::fmt::Debug for ProcessSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ProcessSecret(…)")
    }
}

impl ProcessSecret {
    pub(super) const fn naming_key(&self) -> &[u8; 16] {
        &self.naming
    }

    fn random(host: &impl Host) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.as_chunks_mut::<8>().0 {
            *chunk = host.random().to_le_bytes();
        }
        bytes
    }

    fn of(bytes: &[u8]) -> Option<Self> {
        let (naming, nonces) = bytes.split_first_chunk()?;
        Some(Self {
            naming: *naming,
            nonces: nonces.try_into().ok()?,
        })
    }
}

/// That secret, as far as this worker knows it.
#[derive(Debug, Default)]
pub(super) struct Secret(Cell<Option<ProcessSecret>>);

impl Secret {
    /// The secret of the process, made by the first worker that asks. `None` when another plugin has written
    /// over it: with a new one, proofs that were used would count as new.
    pub(super) fn of_process(&self, host: &impl Host, space: &Namespace) -> Option<ProcessSecret> {
        if let known @ Some(_) = self.0.get() {
            return known;
        }
        let key = space.key_of(RECORD);
        // Of several workers that find none, one writes its own, and the others read that.
        let found = host.shared(&key).or_else(|| {
            let record = space.seal(RECORD, &ProcessSecret::random(host));
            host.set_shared(&key, &record, Expected::Absent);
            host.shared(&key)
        });
        let known = ProcessSecret::of(space.open(RECORD, &found?.bytes)?);
        self.0.set(known);
        known
    }
}

/// The nonce that is given out at this time.
pub(super) fn at(secret: &ProcessSecret, now: UnixTime) -> String {
    let period = (now.seconds() / PERIOD).to_le_bytes();
    URL_SAFE_NO_PAD.encode(HMAC::mac(period, secret.nonces))
}

/// Whether a nonce was given out in this period or the one before.
pub(super) fn is_fresh(secret: &ProcessSecret, nonce: &str, now: UnixTime) -> bool {
    let Some(found) = URL_SAFE_NO_PAD
        .decode(nonce)
        .ok()
        .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
    else {
        return false;
    };
    let period = now.seconds() / PERIOD;
    let was_given = |period: u64| HMAC::verify(period.to_le_bytes(), secret.nonces, &found);
    was_given(period) || period.checked_sub(1).is_some_and(was_given)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::SharedData as _;
    use crate::host::mock::{MockHost, MockProcess};

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_nonce_is_good_in_its_period_and_the_next() {
        let secret = ProcessSecret::of(&[7; 32]).unwrap();
        let other = ProcessSecret::of(&[8; 32]).unwrap();
        for begin in [0, 300, 1_767_225_600] {
            let nonce = super::at(&secret, at(begin));
            assert_eq!(super::at(&secret, at(begin + 299)), nonce);
            assert_ne!(super::at(&secret, at(begin + 300)), nonce);
            for (later, expected) in [(0, true), (599, true), (600, false)] {
                assert_eq!(
                    is_fresh(&secret, &nonce, at(begin + later)),
                    expected,
                    "{begin}"
                );
            }
            assert!(!is_fresh(&other, &nonce, at(begin)));
        }
        let ahead = super::at(&secret, at(600));
        assert!(!is_fresh(&secret, &ahead, at(299)));
        for odd in ["", "x", "é", &"A".repeat(43), &"A".repeat(9_999)] {
            assert!(!is_fresh(&secret, odd, at(0)), "{odd}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn workers_share_a_secret_and_none_replaces_one_that_is_disturbed() {
        let process = Rc::new(MockProcess::default());
        let host = || MockHost::get("/", UnixTime::EPOCH).in_process(&process);
        let space = Namespace::example();
        let secret = Secret::default();
        let one = secret.of_process(&host(), &space).unwrap();
        let two = Secret::default().of_process(&host(), &space).unwrap();
        assert_eq!((one.naming, one.nonces), (two.naming, two.nonces));
        assert_ne!(one.naming, one.nonces);
        let key = space.key_of(RECORD);
        assert!(host().set_shared(&key, b"rubbish", Expected::Anything));
        assert!(Secret::default().of_process(&host(), &space).is_none());
        assert!(secret.of_process(&host(), &space).is_some());
    }
}
