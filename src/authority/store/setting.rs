//! Settings: values that are kept under a name, each with its type.

use super::StoreError;

/// A value that is kept under a name of its own.
pub(crate) trait Setting: Sized + Send + 'static {
    /// The name. Part of the store's format.
    const NAME: &'static str;

    /// The bytes that are kept.
    fn encode(&self) -> Vec<u8>;

    /// The value; `None` when these bytes are not one.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// The value of bytes that a store has kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Row`].
    fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        Self::decode(bytes).ok_or(StoreError::Row)
    }
}

/// The feed's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch(pub u64);

impl Epoch {
    /// The epoch that follows this one.
    #[must_use]
    pub(crate) fn after(self, now_milliseconds: u64) -> Self {
        Self(now_milliseconds.max(self.0.saturating_add(1)))
    }
}

impl Setting for Epoch {
    const NAME: &'static str = "epoch";

    fn encode(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_le_bytes).map(Self)
    }
}

/// Number of the newest generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GenerationNumber(pub u64);

impl Setting for GenerationNumber {
    const NAME: &'static str = "generation";

    fn encode(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_le_bytes).map(Self)
    }
}

/// The number of parts of an import that is complete and not carried out, if there is one. It is
/// removed together with the last part, so that it never counts for another import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompleteImport(pub Option<u64>);

impl Setting for CompleteImport {
    const NAME: &'static str = "import_complete";

    fn encode(&self) -> Vec<u8> {
        let parts = self.0.map(u64::to_le_bytes);
        parts.map_or(Vec::new(), |parts| parts.to_vec())
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(None));
        }
        let parts = bytes.try_into().ok().map(u64::from_le_bytes)?;
        Some(Self(Some(parts)))
    }
}

/// Which process has the area for an import to itself, where several write to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AreaHolder(pub Option<Claim>);

/// The claim of a process to the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// A random number.
    pub number: u64,
    /// Counted up now and then, to show that the process is alive.
    pub beat: u64,
}

impl Setting for AreaHolder {
    const NAME: &'static str = "import_area";

    fn encode(&self) -> Vec<u8> {
        let claim = self.0.map(|claim| [claim.number, claim.beat]);
        let numbers = claim.into_iter().flatten();
        numbers.flat_map(u64::to_le_bytes).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self(None));
        }
        let (number, beat) = bytes.split_first_chunk()?;
        Some(Self(Some(Claim {
            number: u64::from_le_bytes(*number),
            beat: u64::from_le_bytes(beat.try_into().ok()?),
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As earlier versions have written them.
    #[test]
    fn settings_are_kept_as_they_always_were() {
        let seven = [7, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!((Epoch::NAME, Epoch(7).encode()), ("epoch", seven.to_vec()));
        assert_eq!(Epoch::decode(&seven), Some(Epoch(7)));
        assert_eq!(GenerationNumber::NAME, "generation");
        assert_eq!(GenerationNumber(7).encode(), seven);
        assert_eq!(GenerationNumber::decode(&seven), Some(GenerationNumber(7)));
        assert_eq!(CompleteImport::NAME, "import_complete");
        for (import, bytes) in [(None, &[][..]), (Some(7), &seven)] {
            assert_eq!(CompleteImport(import).encode(), bytes);
            assert_eq!(CompleteImport::decode(bytes), Some(CompleteImport(import)));
        }
        let claim = AreaHolder(Some(Claim { number: 7, beat: 7 }));
        assert_eq!(AreaHolder::NAME, "import_area");
        assert_eq!(claim.encode(), [seven, seven].concat());
        assert_eq!(AreaHolder::decode(&claim.encode()), Some(claim));
        assert_eq!(AreaHolder::decode(&[]), Some(AreaHolder(None)));
        for length in 1..16 {
            assert_eq!(AreaHolder::decode(&claim.encode()[..length]), None);
        }
        for length in 1..8 {
            assert_eq!(Epoch::decode(&seven[..length]), None);
            assert_eq!(GenerationNumber::decode(&seven[..length]), None);
            assert_eq!(CompleteImport::decode(&seven[..length]), None);
        }
    }
}
