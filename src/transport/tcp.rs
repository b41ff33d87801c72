//! TCP.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel keeps for us before we accept them.
const BACKLOG: i32 = 1024;

/// A socket that listens. Accepted sockets are not tied to the thread that accepts them.
pub struct TcpListener {
    socket: tokio::net::TcpListener,
    address: SocketAddr,
}

impl TcpListener {
    /// Binds and listens; port 0 takes a free one.
    ///
    /// # Errors
    /// The operating system's: address in use, no permission for the port, no such address.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart must not wait for the connections of the process before.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = StdListener::from(socket);
        let address = listener.local_addr()?;
        Ok(TcpListener { socket: tokio::net::TcpListener::from_std(listener)?, address })
    }

    /// The address it listens on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection.
    ///
    /// # Errors
    /// The operating system's, for example where there are no more file descriptors. The next call may
    /// succeed.
    pub async fn accept(&self) -> io::Result<(StdStream, SocketAddr)> {
        let (stream, peer) = self.socket.accept().await?;
        // Packets are gathered before they are written; the kernel need not wait for more.
        stream.set_nodelay(true)?;
        Ok((stream.into_std()?, peer))
    }
}
