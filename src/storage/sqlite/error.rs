//! What SQLite says, in words that tell what to do.

use std::path::Path;

use rusqlite::{Error, ErrorCode};

use super::super::{StorageError, StorageFault};

/// For what fails while the storage is used.
pub(super) fn failed(doing: &'static str) -> impl Fn(Error) -> StorageError {
    move |error| {
        let fault = match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StorageFault::Full,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => StorageFault::Unusable,
            _ => StorageFault::Unavailable,
        };
        StorageError::new(doing, error).with_fault(fault)
    }
}

/// For what fails before it is used.
pub(super) fn unusable(path: &Path, error: Error) -> StorageError {
    let path = path.display();
    let why = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            format!("{path} is in use by another process: stop that, or name another data folder")
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            format!("{path} is corrupt ({error}): restore it from a backup")
        }
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            format!("{path} cannot be written ({error}): give the user that runs tidegate the right to")
        }
        _ => format!("{path} cannot be read: {error}"),
    };
    StorageError::new("open the data folder", why).with_fault(StorageFault::Unusable)
}
