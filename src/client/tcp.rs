//! TCP to a host and a port.

use std::io;

use tokio::net::TcpStream;

use super::connector::{BoxFuture, BoxedStream, Connector, DialError};

/// Tries each address that the host has, in the order in which they were found.
#[derive(Clone, Debug)]
pub struct Tcp {
    host: String,
    port: u16,
}

impl Tcp {
    /// `host` is a name or an IP address, without brackets.
    ///
    /// ```
    /// use tidegate::client::{Options, Tcp};
    ///
    /// let options = Options::with_connector(Tcp::new("broker.example", 1883), "thermometer-7");
    /// ```
    pub fn new(host: impl Into<String>, port: u16) -> Tcp {
        Tcp { host: host.into(), port }
    }

    /// Opens the socket.
    ///
    /// # Errors
    /// Where the host has no address, or none that answers.
    pub async fn open(&self) -> Result<TcpStream, DialError> {
        let (host, port) = (self.host.as_str(), self.port);
        let addresses =
            tokio::net::lookup_host((host, port)).await.map_err(|error| DialError::resolve(host, error))?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Small packets should not wait for each other; where that cannot be had, they do.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(DialError::unreachable(format!("{host} port {port}"), last))
    }
}

impl Connector for Tcp {
    fn connect(&self) -> BoxFuture<'_, Result<BoxedStream, DialError>> {
        Box::pin(async { Ok(Box::new(self.open().await?) as BoxedStream) })
    }

    fn describe(&self) -> String {
        if self.host.contains(':') {
            format!("mqtt://[{}]:{}", self.host, self.port)
        } else {
            format!("mqtt://{}:{}", self.host, self.port)
        }
    }
}
