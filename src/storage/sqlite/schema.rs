//! The tables, and the steps that lead from an older version to today's.
//!
//! A step is never changed once it is released, except that what it makes stays the same; `tests/storage-versions` has a
//! database of each version.

use rusqlite::{Connection, Transaction};

use super::super::StorageError;
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
    made.map_err(failed("make a database"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A database of the first version, with a session in it.
    fn old() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        migrate(&connection, &STEPS[..1]).unwrap();
        let session = "INSERT INTO session VALUES (1, 'c', NULL, 'tcp', 0, 5, 60, NULL, 1)";
        connection.execute_batch(session).unwrap();
        connection
    }

    fn column(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
        connection.query_row(&format!("SELECT {name} FROM session"), [], |row| row.get(0))
    }

    #[test]
    fn an_older_database_takes_the_steps_that_it_has_not_taken() {
        let added = "ALTER TABLE session ADD COLUMN added INTEGER NOT NULL DEFAULT 7";
        let (steps, connection) = ([STEPS[0], added, "UPDATE session SET added = added + 1"], old());
        migrate(&connection, &steps).unwrap();
        assert_eq!(version(&connection).unwrap(), 3);
        assert_eq!(column(&connection, "added").unwrap(), 8);
        migrate(&connection, &steps).unwrap();
        assert_eq!(column(&connection, "added").unwrap(), 8, "a step is taken once");
    }

    #[test]
    fn a_step_that_fails_leaves_the_database_as_it_was() {
        let (added, wrong) =
            ("ALTER TABLE session ADD COLUMN added INTEGER", "UPDATE session SET nothing = 1");
        let (connection, both) = (old(), format!("{added}; {wrong}"));
        migrate(&connection, &[STEPS[0], &both]).unwrap_err();
        assert_eq!(version(&connection).unwrap(), 1);
        column(&connection, "added").unwrap_err();
        assert_eq!(column(&connection, "expiry_interval").unwrap(), 60);
        // The steps before it are taken.
        migrate(&connection, &[STEPS[0], added, wrong]).unwrap_err();
        assert_eq!(version(&connection).unwrap(), 2);
    }
}
