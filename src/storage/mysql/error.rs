//! What the server and the way there say, in words that tell what to do.

use mysql::{DriverError, Error, Opts};

use super::super::{StorageError, StorageFault};

/// Error numbers of the server.
const ACCESS_DENIED: [u16; 3] = [1044, 1045, 1698];
const NO_RIGHT: [u16; 2] = [1142, 1227];
const UNKNOWN_DATABASE: u16 = 1049;
/// The disk is full, the table is full.
const FULL: [u16; 2] = [1021, 1114];
/// An error of the table's files; the system's own number stands in the text.
const FILE: [u16; 2] = [3, 1030];
const NO_SPACE_LEFT: &str = "28";
/// The server shuts down, the connection was killed, was idle for too long.
const LOST: [u16; 5] = [1053, 1317, 1927, 3169, 4031];

/// For what fails while the storage is used.
pub(super) fn failed(doing: &'static str) -> impl Fn(Error) -> StorageError {
    move |error| {
        let fault = match &error {
            Error::MySqlError(said) if is_full(said.code, &said.message) => StorageFault::Full,
            _ => StorageFault::Unavailable,
        };
        StorageError::new(doing, told(&error)).with_fault(fault)
    }
}

/// For what fails while it is opened.
pub(super) fn unusable(opts: &Opts) -> impl Fn(Error) -> StorageError {
    let server = match opts.get_socket() {
        Some(socket) => socket.to_string(),
        None => format!("{}:{}", opts.get_ip_or_hostname(), opts.get_tcp_port()),
    };
    let user = opts.get_user().unwrap_or_default().to_string();
    let database = opts.get_db_name().unwrap_or_default().to_string();
    move |error| {
        let (why, fault) = match &error {
            Error::MySqlError(said) if ACCESS_DENIED.contains(&said.code) => {
                let why = format!(
                    "{server} does not let user {user:?} use database {database:?} ({}): look at user, password and \
                     the rights of the user",
                    said.message
                );
                (why, StorageFault::Unusable)
            }
            Error::MySqlError(said) if said.code == UNKNOWN_DATABASE => (
                format!("{server} has no database {database:?}: make it, or name another"),
                StorageFault::Unusable,
            ),
            Error::MySqlError(said) if NO_RIGHT.contains(&said.code) => (
                format!("{}: give user {user:?} all rights in {database:?}", said.message),
                StorageFault::Unusable,
            ),
            _ if is_about_encryption(&error) => {
                let why = format!(
                    "no encrypted connection to {server} ({}): have the server offer one, and name the file of its \
                     certificate with root_cert_path in the URL",
                    told(&error)
                );
                (why, StorageFault::Unusable)
            }
            _ if is_lost(&error) => {
                let why = format!("{server} cannot be reached ({}): start it, or name another", told(&error));
                (why, StorageFault::Unavailable)
            }
            _ => (format!("{server} refuses: {}", told(&error)), StorageFault::Unusable),
        };
        StorageError::new("open the database", why).with_fault(fault)
    }
}

/// What is wrong with a certificate comes as an error of reading or writing.
fn is_about_encryption(error: &Error) -> bool {
    match error {
        Error::TlsError(_) | Error::DriverError(DriverError::TlsNotSupported) => true,
        Error::IoError(_) | Error::CodecError(_) => told(error).contains("certificate"),
        _ => false,
    }
}

/// Whether the connection is of no more use.
pub(super) fn is_lost(error: &Error) -> bool {
    match error {
        Error::MySqlError(said) => LOST.contains(&said.code),
        _ => true,
    }
}

fn is_full(code: u16, message: &str) -> bool {
    FULL.contains(&code) || FILE.contains(&code) && message.contains(NO_SPACE_LEFT)
}

/// Of a value or a row only that it is none of what was expected.
fn told(error: &Error) -> String {
    match error {
        Error::MySqlError(said) => format!("{} (error {})", said.message, said.code),
        Error::DriverError(DriverError::CouldNotConnect(Some((_, what, _)))) => what.clone(),
        Error::FromValueError(_) | Error::FromRowError(_) => "an answer has another form".into(),
        other => other.to_string(),
    }
}
