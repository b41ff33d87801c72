//! The listening socket, and a connection from its first byte to its last.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::http::{self, Head, Response};
use super::{AdminAddress, Figures};
#[cfg(unix)]
use crate::transport::unix;

/// Connections at a time; others wait until the operating system accepts no more.
const MOST_CONNECTIONS: usize = 16;
/// From accept to the end of the request's head.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(5);
/// For the whole answer.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(10);
/// How long, and for how many bytes, what a client still sends is read: to close before would take the answer from it.
const LAST_WORDS_TIME: Duration = Duration::from_secs(1);
const LAST_WORDS: u64 = 64 * 1024;
/// After an accept that failed.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) enum Listener {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener),
}

impl Listener {
    /// Also says where that is.
    pub(super) fn bind(address: &AdminAddress) -> io::Result<(Listener, AdminAddress)> {
        match address {
            AdminAddress::Tcp(address) => {
                let socket = std::net::TcpListener::bind(address)?;
                socket.set_nonblocking(true)?;
                let address = AdminAddress::Tcp(socket.local_addr()?);
                Ok((Listener::Tcp(socket), address))
            }
            #[cfg(unix)]
            AdminAddress::Unix(path) => {
                let socket = unix::bind(path, unix::UnixOptions::default())?;
                Ok((Listener::Unix(socket), address.clone()))
            }
            #[cfg(not(unix))]
            AdminAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

/// What every connection needs.
pub(super) struct Port {
    pub(super) figures: Figures,
    pub(super) token: Option<String>,
    pub(super) reach: Reach,
}

/// Who can get at the port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Also the pages that a browser of this machine shows.
    Network,
    File,
}

/// For as long as it is polled.
pub(super) async fn serve(listener: Listener, figures: Figures, token: Option<String>) {
    let served = match listener {
        Listener::Tcp(socket) => serve_tcp(socket, Port { figures, token, reach: Reach::Network }).await,
        #[cfg(unix)]
        Listener::Unix(socket) => serve_unix(socket, Port { figures, token, reach: Reach::File }).await,
    };
    if let Err(error) = served {
        tracing::error!(%error, "the admin port is closed");
    }
}

async fn serve_tcp(socket: std::net::TcpListener, port: Port) -> io::Result<()> {
    let socket = tokio::net::TcpListener::from_std(socket)?;
    accept(port, async || Ok(socket.accept().await?.0)).await;
    Ok(())
}

#[cfg(unix)]
async fn serve_unix(socket: std::os::unix::net::UnixListener, port: Port) -> io::Result<()> {
    let socket = tokio::net::UnixListener::from_std(socket)?;
    accept(port, async || Ok(socket.accept().await?.0)).await;
    Ok(())
}

async fn accept<S>(port: Port, next: impl AsyncFn() -> io::Result<S>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (port, places) = (Arc::new(port), Arc::new(Semaphore::new(MOST_CONNECTIONS)));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match next().await {
            Ok(stream) => {
                let port = Arc::clone(&port);
                tokio::spawn(async move {
                    serve_one(stream, &port).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the admin port cannot accept a connection");
                sleep(PAUSE).await;
            }
        }
    }
}

/// One request and its answer.
pub(super) async fn serve_one(mut stream: impl AsyncRead + AsyncWrite + Unpin, port: &Port) {
    let response = match timeout(HEAD_TIME, read_head(&mut stream)).await {
        Ok(Ok(Head::Whole(request))) => http::answer(&request, port),
        Ok(Ok(Head::Illegal(status))) => Response::of(status),
        // It went away.
        Ok(Ok(Head::Partial) | Err(_)) => return,
        Err(_) => Response::of(408),
    };
    let answered = timeout(ANSWER_TIME, async {
        stream.write_all(&response.into_bytes()).await?;
        stream.shutdown().await
    });
    if matches!(answered.await, Ok(Ok(()))) {
        let mut rest = stream.take(LAST_WORDS);
        let _ = timeout(LAST_WORDS_TIME, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Head> {
    let mut head = Vec::with_capacity(1024);
    loop {
        let before = head.len();
        let room = (http::LONGEST_HEAD - before) as u64;
        if room == 0 {
            return Ok(Head::Illegal(431));
        }
        if (&mut *stream).take(room).read_buf(&mut head).await? == 0 {
            return Ok(Head::Partial);
        }
        // A head ends with a line; without a new one there is nothing to look at.
        if head[before..].contains(&b'\n') {
            match http::parse(&head) {
                Head::Partial => {}
                known => return Ok(known),
            }
        }
    }
}
