//! What the workers of one process share for proofs, in shared data: a key for the names of those that were used,
//! and one for nonces.

use std::cell::Cell;
use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::host::{Expected, Host};
use crate::namespace::Namespace;

/// The record of the secret.
const RECORD: &str = "secret";

/// What the workers of one process share, and nothing else has.
#[derive(Clone, Copy)]
pub(super) struct ProcessSecret {
    naming: [u8; 16],
    pub(super) nonces: [u8; 16],
}

impl std::fmt::Debug for ProcessSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ProcessSecret(…)")
    }
}

impl ProcessSecret {
    /// The name under which it is kept that a proof by this key with this `jti` was used.
    pub(super) fn name_of(&self, thumbprint: &str, id: &str) -> u128 {
        let mut hasher = SipHasher24::new_with_key(&self.naming);
        // Thumbprints all have one length.
        hasher.write(thumbprint.as_bytes());
        hasher.write(id.as_bytes());
        hasher.finish128().as_u128()
    }

    fn random(host: &impl Host) -> [u8; 32] {
        let mut bytes = [0; 32];
        for chunk in bytes.as_chunks_mut::<8>().0 {
            *chunk = host.random().to_le_bytes();
        }
        bytes
    }

    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::SharedData as _;
    use crate::host::mock::{MockHost, MockProcess};
    use crate::time::UnixTime;

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
