//! The claim on loading a generation, so that a load outlives the leader that has begun it.
//!
//! Loading a large generation can take longer than a leader lives: a control plane that pushes
//! configuration every other second replaces leaders all the time. So the leader that begins a load
//! records its number and how far it has come, and the next leader that loads the same generation
//! continues from there: the existing records count as its own.
//!
//! ```text
//! struct Claim {             // little-endian; sealed, see `crate::namespace`; empty once given up
//!     manifest: [u8; 32],    // the digest of the generation's manifest
//!     slot: u8,
//!     load: u64,             // random, as in the state
//!     segment: u32,          // the first one that is to be fetched
//!     bucket: u32,           // the first one that is not written
//!     holder: u64,           // random, of the leader that has written this
//! }
//! ```
//!
//! # Why may a load be continued only until changes are applied to it?
//!
//! What the manifest names is the same for every leader. Changes are not: an authority that was
//! restored from a backup may have others under the same numbers, and a leader that was paused with
//! the old ones might still apply them. So the claim is given up before the first change, which
//! only its holder can do: if another leader has continued the load meanwhile, it holds the claim,
//! and the former one cannot give it up.
//!
//! # Why is the claim read for every record that is written?
//!
//! A leader may be paused between any two host calls, and resume when others have long since
//! applied changes to this load, and another plugin has overwritten the record that it is about to
//! write. So it first reads what is there, then checks that the load is still open, and overwrites
//! only what it has read: that contained no change, and any later write has changed the version.

use crate::host::{BackgroundHost, Expected, SharedData};
use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;
use crate::revocation::FeedState;

/// The name of its record.
const NAME: &str = "load";

/// How far a load has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// The first segment to be fetched.
    pub(super) segment: u32,
    /// The first bucket that is not written; cut-offs before it are skipped in that segment.
    pub(super) bucket: u32,
}

/// Another leader has the claim, or its record was overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contended;

/// A load that was begun or taken over.
#[derive(Debug)]
pub(super) struct Claim {
    /// The number of the load.
    pub(super) load: u64,
    pub(super) progress: Progress,
    /// Tells its record from that of every other holder.
    holder: [u8; 8],
    /// The version of the record.
    version: u32,
}

impl Claim {
    /// Claims the generation with this manifest for a slot.
    ///
    /// # Errors
    ///
    /// [`Contended`] when another leader does so at the same time.
    pub(super) fn take(
        host: &impl BackgroundHost,
        space: &Namespace,
        manifest: &[u8; 32],
        slot: u8,
    ) -> Result<Self, Contended> {
        let found = host.shared(&space.key_of(NAME));
        let begun = found.as_ref().and_then(|found| {
            let payload = space.open(NAME, &found.bytes)?;
            let mut fields = LittleEndian(payload.strip_prefix(manifest)?.strip_prefix(&[slot])?);
            let load = fields.u64()?;
            let (segment, bucket) = (fields.u32()?, fields.u32()?);
            Some((load, Progress { segment, bucket }))
        });
        let (load, progress) = begun.unwrap_or_else(|| (host.random(), Progress::default()));
        let mut claim = Self {
            load,
            progress,
            holder: host.random().to_le_bytes(),
            version: 0,
        };
        let head = head(manifest, slot, load);
        let expected = found.map_or(Expected::Absent, |found| Expected::Version(found.version));
        claim.write(host, space, &head, expected)?;
        Ok(claim)
    }

    /// Records how far the load with this state has come.
    ///
    /// # Errors
    ///
    /// [`Contended`].
    pub(super) fn note(
        &mut self,
        host: &impl SharedData,
        space: &Namespace,
        state: &FeedState,
        progress: Progress,
    ) -> Result<(), Contended> {
        self.progress = progress;
        let expected = Expected::Version(self.version);
        self.write(host, space, &head_of(state), expected)
    }

    fn write(
        &mut self,
        host: &impl SharedData,
        space: &Namespace,
        head: &[u8],
        expected: Expected,
    ) -> Result<(), Contended> {
        let Progress { segment, bucket } = self.progress;
        let payload = [
            head,
            &segment.to_le_bytes(),
            &bucket.to_le_bytes(),
            &self.holder,
        ];
        let record = space.seal(NAME, &payload.concat());
        let key = space.key_of(NAME);
        if !host.set_shared(&key, &record, expected) {
            return Err(Contended);
        }
        let own = host.shared(&key).filter(|own| own.bytes == record);
        self.version = own.ok_or(Contended)?.version;
        Ok(())
    }

    /// Gives it up, so that no leader continues the load from here on.
    ///
    /// # Errors
    ///
    /// [`Contended`].
    pub(super) fn end(self, host: &impl SharedData, space: &Namespace) -> Result<(), Contended> {
        let record = space.seal(NAME, &[]);
        let expected = Expected::Version(self.version);
        let is_written = host.set_shared(&space.key_of(NAME), &record, expected);
        is_written.then_some(()).ok_or(Contended)
    }
}

/// Whether the load with this state is open, under any holder: no change has been applied to it.
pub(super) fn is_open(host: &impl SharedData, space: &Namespace, state: &FeedState) -> bool {
    let found = host.shared(&space.key_of(NAME));
    let payload = found
        .as_ref()
        .and_then(|found| space.open(NAME, &found.bytes));
    payload.is_some_and(|payload| payload.starts_with(&head_of(state)))
}

fn head_of(state: &FeedState) -> Vec<u8> {
    head(&state.manifest, state.slot, state.load)
}

fn head(manifest: &[u8; 32], slot: u8, load: u64) -> Vec<u8> {
    [&manifest[..], &[slot], &load.to_le_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::mock::MockProcess;
    use crate::revocation::example_state;

    const MANIFEST: [u8; 32] = [1; 32];

    fn take(process: &MockProcess, manifest: [u8; 32], slot: u8) -> Claim {
        Claim::take(process, &Namespace::example(), &manifest, slot).unwrap()
    }

    fn state_of(claim: &Claim) -> FeedState {
        FeedState {
            manifest: MANIFEST,
            slot: 0,
            load: claim.load,
            ..example_state()
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_load_goes_on_from_where_it_is_under_its_number_and_any_other_one_begins() {
        let (process, space) = (MockProcess::default(), Namespace::example());
        let mut first = take(&process, MANIFEST, 0);
        assert_eq!(first.progress, Progress::default());
        let progress = Progress {
            segment: 7,
            bucket: 3,
        };
        let state = state_of(&first);
        assert_eq!(first.note(&process, &space, &state, progress), Ok(()));
        let second = take(&process, MANIFEST, 0);
        assert_eq!((second.load, second.progress), (first.load, progress));
        let noted = first.note(&process, &space, &state, Progress::default());
        assert_eq!(noted, Err(Contended));
        assert!(is_open(&process, &space, &state));
        for (manifest, slot) in [(MANIFEST, 1), ([2; 32], 1)] {
            let other = take(&process, manifest, slot);
            assert_eq!(other.progress, Progress::default());
            assert_ne!(other.load, first.load);
            assert!(!is_open(&process, &space, &state));
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_its_holder_gives_it_up_and_then_no_leader_goes_on_with_it() {
        let (process, space) = (MockProcess::default(), Namespace::example());
        let first = take(&process, MANIFEST, 0);
        let state = state_of(&first);
        let second = take(&process, MANIFEST, 0);
        assert_eq!(first.end(&process, &space), Err(Contended));
        assert!(is_open(&process, &space, &state));
        assert_eq!(second.end(&process, &space), Ok(()));
        assert!(!is_open(&process, &space, &state));
        assert_ne!(take(&process, MANIFEST, 0).load, state.load);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn bytes_that_are_no_claim_of_ours_are_none() {
        let (process, space) = (MockProcess::default(), Namespace::example());
        let own = take(&process, MANIFEST, 0);
        let state = state_of(&own);
        let payload = [&head_of(&state)[..], &[0; 16]].concat();
        for foreign in [
            b"x".to_vec(),
            space.seal(NAME, &[&MANIFEST[..], &[0]].concat()),
            space.seal("lease", &payload),
        ] {
            process.set_shared(&space.key_of(NAME), &foreign, Expected::Anything);
            assert!(!is_open(&process, &space, &state), "{foreign:?}");
            assert_ne!(take(&process, MANIFEST, 0).load, own.load, "{foreign:?}");
        }
    }
}
