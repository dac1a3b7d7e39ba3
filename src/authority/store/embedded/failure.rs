//! Errors of redb as errors of the store.

use std::io::ErrorKind;

use super::StoreError;

/// Converts any error of redb; those that mean that something else has changed the file become
/// [`StoreError::Broken`].
pub(in crate::authority) fn failed(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    if is_damage(&error) {
        StoreError::Broken(Some(Box::new(error)))
    } else {
        StoreError::Failed(Box::new(error))
    }
}

fn is_damage(error: &redb::Error) -> bool {
    match error {
        redb::Error::Corrupted(_)
        | redb::Error::UpgradeRequired(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)
        | redb::Error::TypeDefinitionChanged { .. } => true,
        redb::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::InvalidData | ErrorKind::UnexpectedEof
        ),
        _ => false,
    }
}
