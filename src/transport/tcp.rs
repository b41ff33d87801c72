//! TCP.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::time::Duration;

#[cfg(unix)]
use tokio::io::Interest;
#[cfg(unix)]
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::socket::{Accepted, Plain};

/// Connections that the kernel keeps for us before we accept them.
const BACKLOG: i32 = 1024;
/// Connections that are accepted together at most.
#[cfg(unix)]
const TOGETHER: usize = 64;
/// Idle time after which the kernel asks whether the peer is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(120);

/// Connects to an address.
///
/// # Errors
/// The operating system's.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // As for accepted sockets. Where that cannot be had, small packets wait for each other.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE));
    Ok(stream)
}

/// A socket that listens. Accepted sockets are not tied to the thread that accepts them.
pub struct TcpListener {
    #[cfg(unix)]
    socket: AsyncFd<StdListener>,
    #[cfg(not(unix))]
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
        // Accepted sockets inherit these. Packets are gathered before they are written, so the kernel need
        // not wait for more; and a peer that vanished is found even where its keep-alive is 0.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = StdListener::from(socket);
        let address = listener.local_addr()?;
        #[cfg(unix)]
        let socket = register(listener)?;
        #[cfg(not(unix))]
        let socket = tokio::net::TcpListener::from_std(listener)?;
        Ok(TcpListener { socket, address })
    }

    /// The address it listens on, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection, and others that are there already.
    ///
    /// They are accepted as plain sockets: one of tokio's would be registered with the runtime that accepts, and taken
    /// out again for the one that serves it, which is two system calls.
    ///
    /// # Errors
    /// The operating system's, for example where there are no more file descriptors. The next call may
    /// succeed.
    #[cfg(unix)]
    pub async fn accept(&self) -> io::Result<Vec<Accepted>> {
        let mut accepted = Vec::new();
        while accepted.is_empty() {
            let mut ready = self.socket.readable().await?;
            while accepted.len() < TOGETHER {
                match ready.try_io(|socket| socket.get_ref().accept()) {
                    Ok(Ok((stream, peer))) => {
                        stream.set_nonblocking(true)?;
                        accepted.push(Accepted { socket: Plain::Tcp(stream), address: Some(peer) });
                    }
                    Ok(Err(error)) if accepted.is_empty() => return Err(error),
                    // It is met again by the next call; or there are no more.
                    Ok(Err(_)) | Err(_) => break,
                }
            }
        }
        Ok(accepted)
    }

    /// The next connection.
    ///
    /// # Errors
    /// The operating system's. The next call may succeed.
    #[cfg(not(unix))]
    pub async fn accept(&self) -> io::Result<Vec<Accepted>> {
        let (stream, peer) = self.socket.accept().await?;
        Ok(vec![Accepted { socket: Plain::Tcp(stream.into_std()?), address: Some(peer) }])
    }
}

#[cfg(unix)]
#[expect(
    deprecated,
    reason = "its successor is unsafe for the sake of types that do not own their descriptor"
)]
fn register(listener: StdListener) -> io::Result<AsyncFd<StdListener>> {
    AsyncFd::with_interest(listener, Interest::READABLE)
}
