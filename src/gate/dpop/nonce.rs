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
    /// The secret of the process, made by the first worker that asks; `None` when shared memory is disturbed.
    pub(super) fn of_process(&self, host: &impl Host, space: &Namespace) -> Option<ProcessSecret> {
        const ATTEMPTS: usize = 4;
        if let known @ Some(_) = self.0.get() {
            return known;
        }
        let key = space.key_of(RECORD);
        for _ in 0..ATTEMPTS {
            let found = host.shared(&key);
            let payload = found.as_ref();
            let payload = payload.and_then(|value| space.open(RECORD, &value.bytes));
            if let known @ Some(_) = payload.and_then(ProcessSecret::of) {
                self.0.set(known);
                return known;
            }
            // Also in place of what another plugin has written there.
            let expected = found.map_or(Expected::Absent, |value| Expected::Version(value.version));
            let record = space.seal(RECORD, &ProcessSecret::random(host));
            host.set_shared(&key, &record, expected);
        }
        None
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
