//! What waits to be written to the other broker, and what of it waits for the storage.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWrite;

use crate::storage::{Committer, Promise, StorageError};

/// Packets in their order. Each stands for something that is promised, and is not written before that is kept.
#[derive(Default)]
pub struct Unwritten {
    parts: VecDeque<(Promise, BytesMut)>,
    len: usize,
    /// The stream may hold some of what was written.
    unflushed: bool,
    /// Who is woken when the first part's promise is kept.
    asked: Option<(Promise, Waker)>,
}

/// Why nothing can be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("the storage fails: {0}")]
    Storage(#[from] StorageError),
}

impl Unwritten {
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is something for [`write`](Unwritten::write) to do.
    pub fn is_done(&self) -> bool {
        self.parts.is_empty() && !self.unflushed
    }

    /// Adds packets behind all others.
    pub fn put(&mut self, promise: Promise, packets: BytesMut) {
        if packets.is_empty() {
            return;
        }
        self.len += packets.len();
        match self.parts.back_mut() {
            Some((last, bytes)) if *last >= promise => bytes.unsplit(packets),
            _ => self.parts.push_back((promise, packets)),
        }
    }

    /// Writes once, or flushes where nothing is left. Whoever drops it has lost nothing.
    ///
    /// # Errors
    /// Where the stream or the storage fails.
    pub async fn write(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        committer: Option<&Committer>,
    ) -> Result<(), WriteError> {
        poll_fn(|cx| self.poll_write(cx, stream, committer)).await
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
        committer: Option<&Committer>,
    ) -> Poll<Result<(), WriteError>> {
        let Some((promise, bytes)) = self.parts.front_mut() else {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
            return Poll::Ready(Ok(()));
        };
        if let Some(committer) = committer
            && !committer.is_kept(*promise)
        {
            let is_asked = |asked: &(Promise, Waker)| asked.0 == *promise && asked.1.will_wake(cx.waker());
            if self.asked.as_ref().is_some_and(is_asked) && !committer.fails() {
                return Poll::Pending;
            }
            self.asked = Some((*promise, cx.waker().clone()));
            ready!(committer.poll_kept(*promise, cx))?;
        }
        let written = ready!(Pin::new(stream).poll_write(cx, bytes))?;
        if written == 0 {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::WriteZero).into()));
        }
        bytes.advance(written);
        self.len -= written;
        self.unflushed = true;
        if bytes.is_empty() {
            self.parts.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}
