//! Disk space that imports leave for single revocations.
//!
//! An import writes everything twice, staged and as entries, and could fill any disk. Then a single
//! revocation, for which there may be no second chance, would not find the few pages that it needs.

use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::StoreError;

/// Hundreds of thousands of single revocations.
const MOST_KEPT: u64 = 64 << 20;

/// Checks that the store's disk has room for more of an import.
///
/// # Errors
///
/// [`StoreError::Full`].
pub(in crate::authority) fn check(store: &Path) -> Result<(), StoreError> {
    let directory = store.parent().unwrap_or(store);
    // If the system does not say, the write will tell.
    let Ok(disk) = statvfs(directory) else {
        return Ok(());
    };
    let left = disk.blocks_available().saturating_mul(disk.fragment_size());
    if left < kept(disk.blocks().saturating_mul(disk.fragment_size())) {
        return Err(StoreError::Full { left });
    }
    Ok(())
}

/// How much of a disk of so many bytes is reserved.
fn kept(size: u64) -> u64 {
    (size / 8).min(MOST_KEPT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_small_disk_a_part_is_kept_and_of_a_large_one_enough() {
        assert_eq!(kept(32 << 20), 4 << 20);
        assert_eq!(kept(1 << 40), MOST_KEPT);
        let directory = tempfile::tempdir().unwrap();
        check(&directory.path().join("authority.redb")).unwrap();
    }
}
