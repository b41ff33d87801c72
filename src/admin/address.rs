//! Where an admin port is.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address of this machine's network, or a socket in its file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl AdminAddress {
    /// Whether only this machine reaches it.
    pub fn is_local(&self) -> bool {
        match self {
            AdminAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
            AdminAddress::Unix(_) => true,
        }
    }
}

/// How addresses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write an IP address and a port, such as \"127.0.0.1:9883\", or \"unix:/run/tidegate/admin.sock\"")]
pub struct InvalidAddress;

impl FromStr for AdminAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<AdminAddress, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(InvalidAddress) } else { Ok(AdminAddress::Unix(path.into())) };
        }
        let address = text.strip_prefix("http://").map_or(text, |rest| rest.trim_end_matches('/'));
        address.parse().map(AdminAddress::Tcp).map_err(|_| InvalidAddress)
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdminAddress::Tcp(address) => write!(f, "http://{address}"),
            AdminAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
