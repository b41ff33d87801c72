//! Keeps state in a folder: one SQLite database, written by one process.
//!
//! Messages lie in the order in which they came, each body once, with a small row for each of its receivers. A batch is a
//! transaction in the write-ahead log; the log is carried over into the database whenever it has grown by
//! [`CHECKPOINT_PAGES`]. `folder` looks before anything is opened, `schema` has the tables, `batch` writes.

mod batch;
mod error;
mod folder;
mod schema;

use std::cmp::Ordering;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};

use self::batch::Batch;
use self::error::{failed, unusable};
use self::folder::Folder;
use super::record::corrupt;
use super::table::{READINGS, Reading, Row, Table, Value};
use super::{Change, Extent, Storage, StorageError};

/// After how many pages of 4,096 bytes the log is carried over. A page that changes often is carried over once, and
/// the log is no longer than this and the largest batch.
const CHECKPOINT_PAGES: u32 = 4_096;
/// Pages that are held in memory, in KiB.
const CACHE: i64 = 8 * 1024;
/// What there is of statements: [`batch`] has fewer.
const STATEMENTS: usize = 48;

/// How hard the database tries to have what was committed on the disk; SQLite's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// Each commit outlives a power cut.
    #[default]
    Full,
    /// Each commit outlives the process; after a power cut the last ones may be missing.
    Normal,
    /// The same, and after a power cut the database may be corrupt.
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SqliteOptions {
    pub synchronous: Synchronous,
    /// Bytes that the database may take, without its log; None: as many as there are on the disk.
    pub maximum_bytes: Option<u64>,
}

#[derive(Debug)]
pub struct SqliteStorage {
    opened: Mutex<Opened>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    Read,
    Write,
}

#[derive(Debug)]
struct Opened {
    /// None before it is opened and once it is closed.
    connection: Option<Connection>,
    /// Whether it may be written to.
    access: Access,
    has_written: bool,
    folder: Folder,
}

impl SqliteStorage {
    /// Opens the database of a data folder, and makes both where there are none. What cannot be used is left as
    /// it is, byte for byte.
    ///
    /// # Errors
    /// Where there is something else, something newer or something corrupt, or another process uses it.
    pub fn open(folder: &Path, options: SqliteOptions) -> Result<SqliteStorage, StorageError> {
        let folder = Folder::lock(folder)?;
        if folder.is_new()? {
            schema::create(&folder)?;
        }
        let database = folder.database();
        let mut opened = Opened { connection: None, access: Access::Write, has_written: false, folder };
        opened.connection = Some(connect(&database, options).map_err(|error| unusable(&database, error))?);
        opened.bring_up_to_date(&database, schema::STEPS)?;
        // What is found counts as kept from the start.
        opened.folder.sync_log()?;
        Ok(SqliteStorage { opened: Mutex::new(opened) })
    }

    /// Opens the database of a data folder to read it. Not a byte of what is there is changed, whatever it is.
    ///
    /// # Errors
    /// As for [`SqliteStorage::open`], and where there is none, or one of an older version.
    pub fn open_to_read(folder: &Path) -> Result<SqliteStorage, StorageError> {
        let folder = Folder::find(folder)?;
        let database = folder.database();
        if folder.is_new()? {
            return Err(folder::missing(&database));
        }
        folder.require_rolled_back()?;
        let mut opened = Opened { connection: None, access: Access::Read, has_written: false, folder };
        opened.connection = Some(connect_to_read(&database).map_err(|error| unusable(&database, error))?);
        opened.require_version(&database, schema::STEPS.len())?;
        Ok(SqliteStorage { opened: Mutex::new(opened) })
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for SqliteStorage {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        let mut opened = self.opened();
        if opened.access == Access::Read {
            return Err(StorageError::new("write", "it was opened to be read"));
        }
        opened.begin_to_write().map_err(failed("prepare to write"))?;
        opened.write(changes).map_err(failed("write"))
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        let opened = self.opened();
        let path = opened.folder.database();
        READINGS.iter().try_for_each(|reading| opened.read(&path, reading, each))
    }

    /// Reads all of the database.
    fn check(&self) -> Result<(), StorageError> {
        let opened = self.opened();
        opened.check(&opened.folder.database())
    }

    fn extent(&self) -> Result<Extent, StorageError> {
        let opened = self.opened();
        let version = schema::version(opened.connection()).map_err(failed("read the version"))?;
        Ok(Extent { bytes: Some(opened.folder.bytes()), version: Some(version) })
    }
}

impl Opened {
    fn connection(&self) -> &Connection {
        self.connection.as_ref().expect("it is open for as long as there is a storage")
    }

    fn bring_up_to_date(&self, path: &Path, steps: &[&str]) -> Result<(), StorageError> {
        let failed = |error| unusable(path, error);
        let version = schema::version(self.connection()).map_err(failed)? as usize;
        if version > steps.len() {
            // The header that was looked at may be older than the log.
            return Err(folder::newer(path, version, steps.len()));
        }
        if version < steps.len() {
            self.check(path)?;
        }
        schema::migrate(self.connection(), steps).map_err(failed)
    }

    fn require_version(&self, path: &Path, known: usize) -> Result<(), StorageError> {
        let version = schema::version(self.connection()).map_err(|error| unusable(path, error))? as usize;
        match version.cmp(&known) {
            Ordering::Greater => Err(folder::newer(path, version, known)),
            Ordering::Less => Err(folder::older(path, version, known)),
            Ordering::Equal => Ok(()),
        }
    }

    fn check(&self, path: &Path) -> Result<(), StorageError> {
        let found = |row: &rusqlite::Row| row.get::<_, String>(0);
        let found = self.connection().query_row("PRAGMA integrity_check(1)", [], found);
        match found.map_err(|error| unusable(path, error))?.as_str() {
            "ok" => Ok(()),
            wrong => Err(corrupt(wrong)),
        }
    }

    /// From now on the log may be carried over when the database is closed. Before, closing changes nothing: what was
    /// only looked at may be corrupt.
    fn begin_to_write(&mut self) -> rusqlite::Result<()> {
        if !self.has_written {
            self.connection().set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
            self.has_written = true;
        }
        // A failed rollback can leave the transaction before open.
        if self.connection().is_autocommit() { Ok(()) } else { self.connection().execute_batch("ROLLBACK") }
    }

    fn write(&self, changes: &[Change]) -> rusqlite::Result<()> {
        let transaction = self.connection().unchecked_transaction()?;
        let mut batch = Batch::new(&transaction);
        // What is deleted makes room for what is put, where the database is full. They are about different things.
        let (deleted, others): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| batch::makes_room(change));
        deleted.into_iter().chain(others).try_for_each(|change| batch.carry_out(change))?;
        drop(batch);
        transaction.commit()
    }

    fn read(&self, path: &Path, reading: &Reading, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        let failed = |error| unusable(path, error);
        let mut statement = self.connection().prepare(&select(reading)).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            each((reading.change)(row)?);
        }
        Ok(())
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.connection = None;
        if !self.has_written {
            self.folder.remove_what_reading_left();
        }
    }
}

impl Row for rusqlite::Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, StorageError> {
        match self.get_ref(column).map_err(corrupt)? {
            ValueRef::Null => Ok(Value::Null),
            ValueRef::Integer(number) => Ok(Value::Number(number.cast_unsigned())),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Value::Bytes(bytes)),
            ValueRef::Real(_) => Err(corrupt("a number has a fraction")),
        }
    }
}

fn connect_to_read(database: &Path) -> rusqlite::Result<Connection> {
    let connection = connect_alone(database)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    Ok(connection)
}

/// Nobody else is let in from now on, and nothing is changed yet.
fn connect_alone(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    // No other connection is let in, so the log's index lies in memory and no file -shm is made.
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

fn connect(database: &Path, options: SqliteOptions) -> rusqlite::Result<Connection> {
    let connection = connect_alone(database)?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        // A copy that was made with `VACUUM INTO` or `.backup` has no log.
        connection.pragma_update(None, "journal_mode", "WAL")?;
    }
    connection.pragma_update(None, "synchronous", options.synchronous.name())?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", i64::from(CHECKPOINT_PAGES) * 4_096)?;
    connection.pragma_update(None, "cache_size", -CACHE)?;
    if let Some(bytes) = options.maximum_bytes {
        limit(&connection, bytes)?;
    }
    Ok(connection)
}

fn limit(connection: &Connection, bytes: u64) -> rusqlite::Result<()> {
    let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let pages = (bytes / page.max(1).cast_unsigned()).clamp(1, u64::from(u32::MAX - 1)).cast_signed();
    connection.pragma_update(None, "max_page_count", pages)
}

impl Synchronous {
    fn name(self) -> &'static str {
        match self {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
            Synchronous::Off => "OFF",
        }
    }
}

fn select(reading: &Reading) -> String {
    // What was put for a session that is not there.
    let known = match reading.table {
        Table::Subscription | Table::Received | Table::Item => {
            " WHERE session IN (SELECT number FROM session)"
        }
        _ => "",
    };
    format!("SELECT {} FROM {}{known}{}", reading.columns, reading.table.name(), reading.order)
}

/// Where a database lies in a data folder.
fn path_in(folder: &Path, suffix: &str) -> PathBuf {
    folder.join(format!("{}{suffix}", schema::FILE))
}
