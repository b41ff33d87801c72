//! One connection to the server, with the lock that says that this broker uses the database.

use std::time::Duration;

use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, SslOpts};

use super::super::{StorageError, StorageFault};
use super::error::{failed, unusable};
use super::script;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that says nothing for so long is taken for gone.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds after which a server takes a broker for gone that says nothing; a broker says every ten seconds that it lives.
const IDLE_TIMEOUT: u32 = 60;
/// Seconds for which the lock is waited for: a broker that was killed may be about to lose it.
const LOCK_TIMEOUT: u32 = 3;

/// Where the database is.
#[derive(Debug)]
pub(super) struct Address {
    opts: Opts,
    pub(super) prefix: String,
}

pub(super) struct Connection {
    pub(super) conn: Conn,
    /// Bytes that one packet may have.
    pub(super) max_packet: usize,
}

impl Address {
    pub(super) fn new(url: &str, prefix: String) -> Result<Address, StorageError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if prefix.len() > 32 || !prefix.bytes().all(is_word) {
            return Err(refused("the table prefix may have ASCII letters, digits and _ only, at most 32"));
        }
        let (url, is_encrypted) = match url.strip_prefix("mysqls://") {
            Some(rest) => (format!("mysql://{rest}"), true),
            None => (url.to_string(), false),
        };
        // The error could repeat the password.
        let opts = Opts::from_url(&url)
            .map_err(|error| refused(format!("the URL is not valid: {}", told(&error))))?;
        if opts.get_db_name().is_none() {
            return Err(refused("the URL names no database: mysql://user:password@host:3306/database"));
        }
        Ok(Address { opts: with_timeouts(opts, is_encrypted), prefix })
    }
}

impl Connection {
    pub(super) fn open(address: &Address) -> Result<Connection, StorageError> {
        let conn = Conn::new(address.opts.clone()).map_err(unusable(&address.opts))?;
        let mut connection = Connection { conn, max_packet: 0 };
        connection.prepare(address).map_err(unusable(&address.opts))?;
        connection.lock(address)?;
        Ok(connection)
    }

    fn prepare(&mut self, address: &Address) -> Result<(), mysql::Error> {
        self.run(&format!("SET SESSION wait_timeout = {IDLE_TIMEOUT}, sql_mode = 'STRICT_ALL_TABLES'"))?;
        let row: Option<(u64, u64)> =
            self.conn.query_first("SELECT @@max_allowed_packet, @@innodb_flush_log_at_trx_commit")?;
        let (max_packet, flush) = row.unwrap_or((1024 * 1024, 1));
        self.max_packet = usize::try_from(max_packet).unwrap_or(usize::MAX);
        if flush != 1 {
            tracing::warn!(
                database = address.opts.get_db_name(),
                innodb_flush_log_at_trx_commit = flush,
                "the database does not sync each transaction: a power cut there can lose what was acknowledged"
            );
        }
        Ok(())
    }

    /// Held for as long as the connection is; the server gives it back when that is gone.
    fn lock(&mut self, address: &Address) -> Result<(), StorageError> {
        let name = script::lock_name(address.opts.get_db_name().unwrap_or_default(), &address.prefix);
        let got: Option<Option<u8>> = self
            .conn
            .exec_first("SELECT GET_LOCK(?, ?)", (&name, LOCK_TIMEOUT))
            .map_err(failed("lock the database"))?;
        if got == Some(Some(1)) {
            return Ok(());
        }
        let holder: Option<Option<u64>> =
            self.conn.exec_first("SELECT IS_USED_LOCK(?)", (&name,)).map_err(failed("lock the database"))?;
        let by = match holder.flatten() {
            Some(id) => format!("another broker (connection {id} of the server)"),
            None => "another broker".into(),
        };
        let why = format!("it is in use by {by}: stop that, or name another database or table prefix");
        Err(refused(why))
    }

    /// Runs statements, and reads what each of them answers: one that fails ends them.
    pub(super) fn run(&mut self, statements: &str) -> Result<(), mysql::Error> {
        let mut result = self.conn.query_iter(statements)?;
        while let Some(set) = result.iter() {
            for row in set {
                row?;
            }
        }
        Ok(())
    }

    /// Takes the database over from the brokers before. Its number is larger than theirs.
    pub(super) fn begin_epoch(&mut self, prefix: &str) -> Result<u64, StorageError> {
        self.run(&format!("UPDATE {prefix}schema_version SET epoch = epoch + 1"))
            .map_err(failed("open the database"))?;
        self.epoch(prefix)
    }

    /// Whether no other broker has used it while the connection was broken: it would have changed what this one has in
    /// memory.
    pub(super) fn require_epoch(&mut self, prefix: &str, epoch: u64) -> Result<(), StorageError> {
        if self.epoch(prefix)? == epoch {
            return Ok(());
        }
        Err(refused("another broker has used it meanwhile: start this one again"))
    }

    fn epoch(&mut self, prefix: &str) -> Result<u64, StorageError> {
        let epoch = self.conn.query_first(format!("SELECT epoch FROM {prefix}schema_version"));
        epoch.map_err(failed("open the database"))?.ok_or_else(|| refused("its tables are not complete"))
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("id", &self.conn.connection_id()).finish()
    }
}

/// How a connection ends of which nothing is known.
pub(super) fn lost() -> mysql::Error {
    std::io::Error::from(std::io::ErrorKind::NotConnected).into()
}

pub(super) fn refused(why: impl ToString) -> StorageError {
    StorageError::new("open the database", why).with_fault(StorageFault::Unusable)
}

fn with_timeouts(opts: Opts, is_encrypted: bool) -> Opts {
    let mut ssl = opts.get_ssl_opts().cloned();
    if is_encrypted {
        ssl = Some(ssl.unwrap_or_else(SslOpts::default));
    }
    let connect = opts.get_tcp_connect_timeout().unwrap_or(CONNECT_TIMEOUT);
    // Where it is to be encrypted, a socket that the server names is no way around it.
    let builder = OptsBuilder::from_opts(opts).prefer_socket(false).ssl_opts(ssl);
    let builder = builder.tcp_connect_timeout(Some(connect));
    builder.read_timeout(Some(ANSWER_TIMEOUT)).write_timeout(Some(ANSWER_TIMEOUT)).into()
}

/// What is wrong with a URL, without its values.
fn told(error: &mysql::UrlError) -> String {
    match error {
        mysql::UrlError::InvalidValue(name, _) => format!("the value of {name} is not valid"),
        mysql::UrlError::UnknownParameter(name) => format!("there is no parameter {name}"),
        mysql::UrlError::UnsupportedScheme(_) => "it begins with mysql:// or mysqls://".into(),
        _ => "it looks like mysql://user:password@host:3306/database".into(),
    }
}
