//! Servers that take nothing, and a store that keeps nothing: what a connection does at its end.

use std::io;
use std::pin::Pin;
use std::sync::{Condvar, MutexGuard};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::*;
use crate::storage::memory::MemoryStorage;
use crate::storage::{Change, Durability, OpenedStorage, Storage, StorageError};

/// A server's stream that always has a message of QoS 0, and takes nothing but CONNECT.
struct Chatter {
    /// What it still says first.
    first: &'static [u8],
    takes: usize,
}

impl AsyncRead for Chatter {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.first {
            b"" => buf.put_slice(b"\x30\x05\x00\x01a\x00x"),
            first => {
                buf.put_slice(first);
                self.first = b"";
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Chatter {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        self.takes -= 1;
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_without_end_and_cannot_be_written_to_is_left() {
    // Deadlines were looked at only where there was nothing to read.
    let chatter = || async { Ok(Chatter { first: b"\x20\x03\x00\x00\x00", takes: 1 }) };
    let mut options = Options::with_connector(connector_fn(chatter), "tester");
    options.reconnect = None;
    let client = connect(options).await.unwrap();
    client.try_publish(message(QoS::AtMostOnce)).unwrap();
    // The clock stands still while anybody has something to do.
    for _ in 0..1000 {
        if client.end().is_some() {
            break;
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(matches!(client.end(), Some(End::Network(_))), "{:?}", client.end());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_speaks_and_takes_nothing_is_left_though_it_says_something() {
    let (stage, mut options) = Stage::new(V5);
    options.reconnect = None;
    let (client, _stage, mut server) = connected_with(stage, options, Connack::default()).await;
    // More than the pipe holds, and less than stops it from reading.
    client.try_publish(Publish::new("a/b".into(), vec![0; 100_000].into())).unwrap();
    let begun = Instant::now();
    while client.end().is_none() && begun.elapsed() < Duration::from_secs(600) {
        let mut out = BytesMut::new();
        encode(&received(QoS::AtMostOnce, 0, 1), V5, &mut out).unwrap();
        let _ = server.stream.write_all(&out).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    assert!(matches!(client.end(), Some(End::KeepAlive)), "{:?}", client.end());
    // Two keep-alives, and what it takes to look.
    assert!(begun.elapsed() <= Duration::from_secs(180), "{:?}", begun.elapsed());
}

/// A disk that keeps nothing while it is told to wait.
#[derive(Default)]
struct Waiting {
    inner: MemoryStorage,
    waits: Mutex<bool>,
    changed: Condvar,
}

impl Waiting {
    fn wait(&self, waits: bool) {
        *self.waits() = waits;
        self.changed.notify_all();
    }

    fn waits(&self) -> MutexGuard<'_, bool> {
        self.waits.lock().unwrap()
    }
}

impl Storage for Waiting {
    fn commit(&self, changes: &[Change]) -> Result<(), StorageError> {
        drop(self.changed.wait_while(self.waits(), |waits| *waits).unwrap());
        self.inner.commit(changes)
    }

    fn load(&self, each: &mut dyn FnMut(Change)) -> Result<(), StorageError> {
        self.inner.load(each)
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_kept_is_not_said_at_the_end_of_a_connection_either() {
    // A connection that ended in an error wrote what was left, a PUBREC that was not kept among it.
    let disk = Arc::new(Waiting::default());
    let (stage, mut options) = Stage::new(V5);
    kept(&mut options);
    options.store = Some(Store::new(OpenedStorage::new(disk.clone(), Durability::Always).unwrap()));
    let (client, _stage, mut server) = connected_with(stage, options, Connack::default()).await;
    let mut messages = client.messages();
    disk.wait(true);
    server.send(received(QoS::ExactlyOnce, 1, 1)).await;
    messages.next().await.unwrap();
    server.send_bytes(b"\x00\x00 no packet").await;
    let said = server.try_receive().await;
    disk.wait(false);
    assert_eq!(said, None);
}
