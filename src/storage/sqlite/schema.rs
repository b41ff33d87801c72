//! The tables, and the steps that lead from an older version to today's.
//!
//! A step is never changed once it is released, except that what it makes stays the same; `tests/storage-versions` has a
//! database of each version.

use rusqlite::{Connection, Transaction};

use super::super::{StorageError, StorageFault};
use super::error::failed;
use super::folder::Folder;

pub(super) const FILE: &str = "tidegate.db";
/// "tide": what says in the file's header whose it is.
pub(super) const APPLICATION: i32 = 0x7469_6465;

/// The version of a database is the number of steps it has taken.
pub(super) const STEPS: &[&str] = &[include_str!("schema/1.sql")];

/// Makes an empty database under another name and then gives it its own: whoever is killed meanwhile leaves nothing that
/// looks like one.
pub(super) fn create(folder: &Folder) -> Result<(), StorageError> {
    let new = folder.begin_new()?;
    let made = Connection::open(&new).and_then(|connection| {
        connection.pragma_update(None, "application_id", APPLICATION)?;
        migrate(&connection, STEPS)?;
        connection.pragma_update(None, "journal_mode", "WAL")
    });
    made.map_err(|error| failed("make a database")(error).with_fault(StorageFault::Unusable))?;
    folder.finish_new(&new)
}

pub(super) fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// What an older version has becomes what `steps` lead to, each step whole or not at all.
pub(super) fn migrate(connection: &Connection, steps: &[&str]) -> rusqlite::Result<()> {
    for (at, step) in (1u32..).zip(steps).skip(version(connection)? as usize) {
        let transaction = Transaction::new_unchecked(connection, rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", at)?;
        transaction.commit()?;
    }
    Ok(())
}
