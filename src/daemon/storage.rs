//! Opens what `[storage]` or `--data` names.

use std::sync::Arc;

use tracing::info;

use super::exit::{Exit, Failure};
use crate::config::{StorageOptions, StoragePlace};
use crate::storage::{OpenedStorage, Storage, StorageError, StorageFault};

/// Reads all that is kept there. A message takes at most `largest_message` bytes.
pub(super) fn open(options: &StorageOptions, largest_message: u32) -> Result<OpenedStorage, Failure> {
    let storage = match &options.place {
        StoragePlace::Folder(folder) => in_folder(folder, options)?,
        StoragePlace::Mysql(url) => mysql(url, options, largest_message)?,
    };
    let opened = OpenedStorage::new(storage, options.durability).map_err(|error| failure(&error))?;
    info!(place = ?options.place, durability = ?options.durability, "state is kept");
    Ok(opened)
}

fn failure(error: &StorageError) -> Failure {
    let exit = match error.fault {
        StorageFault::Unusable => Exit::Storage,
        StorageFault::Full | StorageFault::Unavailable => Exit::Unavailable,
    };
    Failure::new(exit, format!("failed to {error}"))
}

#[cfg(feature = "sqlite")]
fn in_folder(folder: &std::path::Path, options: &StorageOptions) -> Result<Arc<dyn Storage>, Failure> {
    use crate::storage::Durability;
    use crate::storage::sqlite::{SqliteOptions, SqliteStorage, Synchronous};

    let synchronous = match options.durability {
        Durability::Always | Durability::Interval(_) => Synchronous::Full,
        Durability::None => Synchronous::Normal,
    };
    let options = SqliteOptions { synchronous, maximum_bytes: options.maximum_bytes };
    let storage = SqliteStorage::open(folder, options).map_err(|error| failure(&error))?;
    Ok(Arc::new(storage))
}

#[cfg(not(feature = "sqlite"))]
fn in_folder(_: &std::path::Path, _: &StorageOptions) -> Result<Arc<dyn Storage>, Failure> {
    Err(Failure::usage("this build keeps nothing in a folder: it was built without the feature `sqlite`"))
}

#[cfg(feature = "mysql")]
fn mysql(url: &str, options: &StorageOptions, largest_message: u32) -> Result<Arc<dyn Storage>, Failure> {
    use crate::storage::mysql::{MysqlOptions, MysqlStorage};

    let table_prefix = options.table_prefix.clone();
    let options = MysqlOptions { table_prefix, largest_message: largest_message.into() };
    let storage = MysqlStorage::open(url, options).map_err(|error| failure(&error))?;
    Ok(Arc::new(storage))
}

#[cfg(not(feature = "mysql"))]
fn mysql(_: &str, _: &StorageOptions, _: u32) -> Result<Arc<dyn Storage>, Failure> {
    Err(Failure::usage("this build keeps nothing in MySQL: it was built without the feature `mysql`"))
}
