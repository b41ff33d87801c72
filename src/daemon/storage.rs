//! Opens what `[storage]`, `--data` or the arguments of `store` name.

use std::sync::Arc;

use tracing::info;

use super::exit::{Exit, Failure};
use crate::config::{StorageOptions, StoragePlace};
use crate::storage::{OpenedStorage, Storage, StorageError, StorageFault};

/// What is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Nothing is changed, and nothing made.
    Read,
    /// A message takes at most so many bytes.
    Write { largest_message: u32 },
}

/// Reads all that is kept there. A message takes at most `largest_message` bytes.
pub(super) fn open(options: &StorageOptions, largest_message: u32) -> Result<OpenedStorage, Failure> {
    let storage = place(options, Access::Write { largest_message })?;
    let opened = OpenedStorage::new(storage, options.durability).map_err(|error| failure(&error))?;
    info!(place = ?options.place, durability = ?options.durability, "state is kept");
    Ok(opened)
}

/// Opens it, and reads nothing yet.
pub(super) fn place(options: &StorageOptions, access: Access) -> Result<Arc<dyn Storage>, Failure> {
    match &options.place {
        StoragePlace::Folder(folder) => in_folder(folder, options, access),
        StoragePlace::Mysql(url) => mysql(url, options, access),
    }
}

pub(super) fn failure(error: &StorageError) -> Failure {
    let exit = match error.fault {
        StorageFault::Unusable => Exit::Storage,
        StorageFault::Full | StorageFault::Unavailable => Exit::Unavailable,
    };
    Failure::new(exit, format!("failed to {error}"))
}

#[cfg(feature = "sqlite")]
fn in_folder(
    folder: &std::path::Path,
    options: &StorageOptions,
    access: Access,
) -> Result<Arc<dyn Storage>, Failure> {
    use crate::storage::Durability;
    use crate::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};

    let synchronous = match options.durability {
        Durability::Always | Durability::Interval(_) => Synchronous::Full,
        Durability::None => Synchronous::Normal,
    };
    let options = SqliteOptions { synchronous, maximum_bytes: options.maximum_bytes };
    let storage = match access {
        Access::Read => SqliteStorage::open_to_read(folder),
        Access::Write { .. } => SqliteStorage::open(folder, options),
    };
    Ok(Arc::new(storage.map_err(|error| failure(&error))?))
}

#[cfg(not(feature = "sqlite"))]
fn in_folder(_: &std::path::Path, _: &StorageOptions, _: Access) -> Result<Arc<dyn Storage>, Failure> {
    Err(Failure::usage("this build keeps nothing in a folder: it was built without the feature `sqlite`"))
}

#[cfg(feature = "mysql")]
fn mysql(url: &str, options: &StorageOptions, access: Access) -> Result<Arc<dyn Storage>, Failure> {
    use crate::storage::mysql::{MysqlOptions, MysqlStorage};

    let table_prefix = options.table_prefix.clone();
    let storage = match access {
        Access::Read => MysqlStorage::open_to_read(url, table_prefix),
        Access::Write { largest_message } => {
            MysqlStorage::open(url, MysqlOptions { table_prefix, largest_message: largest_message.into() })
        }
    };
    Ok(Arc::new(storage.map_err(|error| failure(&error))?))
}

#[cfg(not(feature = "mysql"))]
fn mysql(_: &str, _: &StorageOptions, _: Access) -> Result<Arc<dyn Storage>, Failure> {
    Err(Failure::usage("this build keeps nothing in MySQL: it was built without the feature `mysql`"))
}
