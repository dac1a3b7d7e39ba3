//! Hash tables whose keys are hashes already.

use std::hash::{BuildHasherDefault, Hasher};

/// Makes the hasher of such a table. A key has to be hashed as one [`u128`].
pub(crate) type IdentityHash = BuildHasherDefault<Identity>;

/// Uses half of a key as its hash.
#[derive(Debug, Default)]
pub(crate) struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    // Not called for such keys.
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    fn write_u128(&mut self, value: u128) {
        #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
        let half = value as u64;
        self.0 = half;
    }
}
