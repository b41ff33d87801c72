//! Keeps state in a MySQL or MariaDB database, which one broker at a time uses.
//!
//! A batch is one transaction, sent in as few packets as the server takes, mostly one: what it costs is a way there and
//! back and the server's sync, however many changes there are. Where the connection breaks, the next attempt
//! opens another. `connection` opens and locks, `schema` has the tables, `script` writes the statements.

mod connection;
mod error;
mod schema;
mod script;

use std::sync::{Mutex, MutexGuard, PoisonError};

use mysql::prelude::Queryable;

use self::connection::{Address, Connection};
use self::error::{failed, is_lost};
use self::script::Script;
use super::record::corrupt;
use super::table::{READINGS, Reading, Row, Table, Value};
use super::{Change, Extent, Storage, StorageError, StorageFault};

/// What a row has beside the body of a message, in bytes: User Name, Client Identifier and Topic Name, each of
/// the greatest length, and what else is in it.
const BESIDE_BODY: u64 = 4 * 65_536;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlOptions {
    /// What the names of all tables begin with: ASCII letters, digits and `_`, at most 32.
    pub table_prefix: String,
    /// Bytes of the largest message that is to be kept, properties included: the server has to take as many in
    /// one packet (`max_allowed_packet`).
    pub largest_message: u64,
}

#[derive(Debug)]
pub struct MysqlStorage {
    opened: Mutex<Opened>,
}

#[derive(Debug)]
struct Opened {
    address: Address,
    /// None while it is broken.
    connection: Option<Connection>,
    /// Which broker the database belongs to, counted by those who opened it; None: it is only to be read.
    epoch: Option<u64>,
}

impl Default for MysqlOptions {
    fn default() -> MysqlOptions {
        MysqlOptions { table_prefix: "tidegate_".into(), largest_message: 1024 * 1024 }
    }
}

impl MysqlStorage {
    /// Opens the database of `mysql://user:password@host:port/database`, and makes the tables where there are none.
    /// With `mysqls:` the connection is encrypted, and the server has to prove who it is; `root_cert_path=` in the
    /// URL's query names a file of certificates to trust beside the public ones.
    ///
    /// # Errors
    /// Where it is out of reach, refuses, holds something newer or something else, or another broker uses it.
    pub fn open(url: &str, options: MysqlOptions) -> Result<MysqlStorage, StorageError> {
        let address = Address::new(url, options.table_prefix)?;
        let mut connection = Connection::open(&address)?;
        require_large_packets(&connection, options.largest_message)?;
        schema::bring_up_to_date(&mut connection, &address.prefix, schema::STEPS)?;
        let epoch = connection.begin_epoch(&address.prefix)?;
        let opened = Opened { address, connection: Some(connection), epoch: Some(epoch) };
        Ok(MysqlStorage { opened: Mutex::new(opened) })
    }

    /// Opens it to read it: nothing is changed, and no table made.
    ///
    /// # Errors
    /// As for [`MysqlStorage::open`], and where it has no tables, or those of another version.
    pub fn open_to_read(url: &str, table_prefix: String) -> Result<MysqlStorage, StorageError> {
        let address = Address::new(url, table_prefix)?;
        let mut connection = Connection::open(&address)?;
        schema::require_version(&mut connection, &address.prefix, schema::STEPS.len())?;
        let opened = Opened { address, connection: Some(connection), epoch: None };
        Ok(MysqlStorage { opened: Mutex::new(opened) })
    }

    fn opened(&self) -> MutexGuard<'_, Opened> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage for MysqlStorage {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        self.opened().commit(changes)
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        let mut opened = self.opened();
        READINGS.iter().try_for_each(|reading| opened.read(reading, each))
    }

    /// Has the server read its tables.
    fn check(&self) -> Result<(), StorageError> {
        let mut opened = self.opened();
        let prefix = opened.address.prefix.clone();
        schema::check(opened.connected()?, &prefix)
    }

    fn extent(&self) -> Result<Extent, StorageError> {
        let mut opened = self.opened();
        let prefix = opened.address.prefix.clone();
        let connection = opened.connected()?;
        let version = schema::recorded_version(connection, &prefix)?;
        Ok(Extent { bytes: schema::bytes(connection, &prefix)?, version: u32::try_from(version).ok() })
    }
}

impl Opened {
    fn commit(&mut self, changes: &[Change]) -> Result<(), StorageError> {
        if self.epoch.is_none() {
            return Err(StorageError::new("write", "it was opened to be read"));
        }
        if changes.is_empty() {
            return Ok(());
        }
        let limit = self.connected()?.max_packet;
        let packets = Script::write(&self.address.prefix, limit, changes)?;
        match self.send(&packets) {
            // One that was idle shows only now that it is broken.
            Err(error) if is_lost(&error) => {
                tracing::info!(%error, "the connection to the database is opened again");
                self.connected()?;
                self.send(&packets)
            }
            other => other,
        }
        .map_err(failed("write"))
    }

    /// Sends a transaction. Where that fails it is taken back, or the connection given up.
    fn send(&mut self, packets: &[String]) -> Result<(), mysql::Error> {
        let Some(connection) = &mut self.connection else { return Err(connection::lost()) };
        let sent = packets.iter().try_for_each(|packet| connection.run(packet));
        let is_usable = match &sent {
            Ok(()) => true,
            Err(error) => !is_lost(error) && connection.run("ROLLBACK").is_ok(),
        };
        if !is_usable {
            self.connection = None;
        }
        sent
    }

    fn connected(&mut self) -> Result<&mut Connection, StorageError> {
        if self.connection.is_none() {
            let mut connection = Connection::open(&self.address)?;
            if let Some(epoch) = self.epoch {
                connection.require_epoch(&self.address.prefix, epoch)?;
            }
            self.connection = Some(connection);
        }
        self.connection.as_mut().ok_or_else(|| failed("connect")(connection::lost()))
    }

    fn read(&mut self, reading: &Reading, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        let select = select(&self.address.prefix, reading);
        let connection = self.connected()?;
        let failed = failed("read what is kept");
        for row in connection.conn.exec_iter(select, ()).map_err(&failed)? {
            each((reading.change)(&row.map_err(&failed)?)?);
        }
        Ok(())
    }
}

impl Row for mysql::Row {
    fn value(&self, column: usize) -> Result<Value<'_>, StorageError> {
        match self.as_ref(column) {
            Some(mysql::Value::NULL) => Ok(Value::Null),
            Some(mysql::Value::UInt(number)) => Ok(Value::Number(*number)),
            Some(mysql::Value::Int(number)) => Ok(Value::Number(number.cast_unsigned())),
            Some(mysql::Value::Bytes(bytes)) => Ok(Value::Bytes(bytes)),
            _ => Err(corrupt("a column has another type")),
        }
    }
}

fn select(prefix: &str, reading: &Reading) -> String {
    // What was put for a session that is not there.
    let known = match reading.table {
        Table::Subscription | Table::Received | Table::Item => {
            format!(" WHERE session IN (SELECT number FROM {prefix}session)")
        }
        _ => String::new(),
    };
    format!("SELECT {} FROM {prefix}{}{known}{}", reading.columns, reading.table.name(), reading.order)
}

/// A message goes to the server in hexadecimal digits, and comes back in one packet too.
fn require_large_packets(connection: &Connection, largest_message: u64) -> Result<(), StorageError> {
    let needed = 2 * (largest_message + BESIDE_BODY);
    if connection.max_packet as u64 >= needed {
        return Ok(());
    }
    let why = format!(
        "the database takes packets of at most {} bytes, and messages need {needed}: raise its max_allowed_packet, \
         or lower maximum-packet-size",
        connection.max_packet
    );
    Err(StorageError::new("open the database", why).with_fault(StorageFault::Unusable))
}
