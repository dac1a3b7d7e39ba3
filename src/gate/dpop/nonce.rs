//! Nonces for proofs (RFC 9449 section 9), which this edge gives out and knows again without keeping them: each
//! is an HMAC over the time, under a secret that the workers of one process share.
//!
//! Another edge has another secret. So a proof with a nonce of this edge is of no use there, where it is not
//! known that it was used: a client that comes to another edge is told so once, and given the nonce of that one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::HMAC;

use super::secret::ProcessSecret;
use crate::time::UnixTime;

/// How long the same nonce is given out, in seconds. It is good for as long again.
const PERIOD: u64 = 300;

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
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

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
}
