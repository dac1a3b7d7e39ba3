//! Who loads a generation, so that a load outlives whoever has begun it.
//!
//! A large generation takes longer than some leaders last: a control plane that pushes every other
//! second replaces them all the time. So the leader that begins a load notes under which number it
//! does so, and the next one that loads the same generation goes on under that number: the records
//! that are there already are records of its own.
//!
//! ```text
//! struct Claim {             // little-endian; sealed, see `crate::namespace`; empty once given up
//!     manifest: [u8; 32],    // the digest of the generation's manifest
//!     slot: u8,
//!     load: u64,             // random, as in the state
//!     holder: u64,           // random, who has written this
//! }
//! ```
//!
//! # Why may a load be continued only until changes are applied to it?
//!
//! What comes from the manifest is the same whoever writes it, and is written only where it is not
//! yet. Changes are not: an authority that was put back to a backup may have others under the same
//! numbers, and a leader that was stopped with the old ones in its hands might still apply them.
//! Before the first change the claim is therefore given up, which only its holder can do: whoever
//! went on with the load meanwhile holds it now, and the former leader has nothing to say any more.

use crate::host::{BackgroundHost, Expected, SharedData};
use crate::namespace::{Fields, Namespace};

/// The name of its record.
const NAME: &str = "load";

/// A load that was begun or taken over.
#[derive(Debug)]
pub(super) struct Claim {
    /// The number under which it goes.
    pub(super) load: u64,
    /// Whether somebody else has begun it.
    pub(super) is_continued: bool,
    /// The version of the record; `None` when it is given up.
    version: Option<u32>,
}

impl Claim {
    /// Claims the generation with this manifest for a slot. `None` when somebody else does so at
    /// the same time.
    pub(super) fn take(
        host: &impl BackgroundHost,
        space: &Namespace,
        manifest: [u8; 32],
        slot: u8,
    ) -> Option<Self> {
        let key = space.key_of(NAME);
        let found = host.shared(&key);
        let begun = found.as_ref().and_then(|found| {
            let payload = space.open(NAME, &found.bytes)?;
            let load = payload.strip_prefix(&manifest)?.strip_prefix(&[slot])?;
            Fields(load).u64()
        });
        let load = begun.unwrap_or_else(|| host.random());
        let holder = host.random().to_le_bytes();
        let claim = [&manifest[..], &[slot], &load.to_le_bytes(), &holder].concat();
        let record = space.seal(NAME, &claim);
        let expected = found.map_or(Expected::Absent, |found| Expected::Version(found.version));
        host.set_shared(&key, &record, expected).then_some(())?;
        let own = host.shared(&key).filter(|own| own.bytes == record)?;
        Some(Self {
            load,
            is_continued: begun.is_some(),
            version: Some(own.version),
        })
    }

    /// One for a load that nobody shares.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn unshared(load: u64) -> Self {
        Self {
            load,
            is_continued: false,
            version: None,
        }
    }

    /// Gives it up, so that nobody goes on with it from here on. `false` when somebody has done so
    /// before.
    #[must_use]
    pub(super) fn end(&mut self, host: &impl SharedData, space: &Namespace) -> bool {
        let Some(version) = self.version.take() else {
            return true;
        };
        let record = space.seal(NAME, &[]);
        host.set_shared(&space.key_of(NAME), &record, Expected::Version(version))
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::mock::MockProcess;

    const MANIFEST: [u8; 32] = [1; 32];

    fn take(process: &MockProcess, manifest: [u8; 32], slot: u8) -> Claim {
        Claim::take(process, &Namespace::example(), manifest, slot).unwrap()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_load_goes_on_under_its_number_and_any_other_one_begins() {
        let process = MockProcess::default();
        let first = take(&process, MANIFEST, 0);
        assert!(!first.is_continued);
        let second = take(&process, MANIFEST, 0);
        assert!(second.is_continued);
        assert_eq!(second.load, first.load);
        for (manifest, slot) in [(MANIFEST, 1), ([2; 32], 1)] {
            let other = take(&process, manifest, slot);
            assert!(!other.is_continued);
            assert_ne!(other.load, first.load);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_who_holds_it_gives_it_up_and_then_nobody_goes_on_with_it() {
        let (process, space) = (MockProcess::default(), Namespace::example());
        let mut first = take(&process, MANIFEST, 0);
        let mut second = take(&process, MANIFEST, 0);
        assert!(!first.end(&process, &space));
        assert!(second.end(&process, &space) && second.end(&process, &space));
        assert!(!take(&process, MANIFEST, 0).is_continued);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn bytes_that_are_nobodys_claim_are_none() {
        let (process, space) = (MockProcess::default(), Namespace::example());
        let claim = [&MANIFEST[..], &[0]].concat();
        for foreign in [
            b"x".to_vec(),
            space.seal(NAME, &claim),
            space.seal("lease", &[&claim[..], &[1; 16]].concat()),
        ] {
            process.set_shared(&space.key_of(NAME), &foreign, Expected::Anything);
            assert!(!take(&process, MANIFEST, 0).is_continued, "{foreign:?}");
        }
    }
}
