//! What a storage could not do, and whether trying again can help.

/// The environment's fault: the storage could not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{doing}: {why}")]
pub struct StorageError {
    /// What it was asked for: `read retained messages`.
    pub doing: &'static str,
    pub why: String,
    pub fault: StorageFault,
}

/// What kind of fault it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StorageFault {
    /// No room is left: on the disk, or within the limit that was set.
    Full,
    /// It can be gone by itself: a broken connection, a disk that fails.
    #[default]
    Unavailable,
    /// What is there cannot be used as it is: corrupt, of another program, of a newer version, in use by another process.
    Unusable,
}

impl StorageError {
    pub fn new(doing: &'static str, why: impl ToString) -> StorageError {
        StorageError { doing, why: why.to_string(), fault: StorageFault::default() }
    }

    pub fn with_fault(self, fault: StorageFault) -> StorageError {
        StorageError { fault, ..self }
    }
}
