//! What waits to be written: packets in one buffer, and large payloads from where they lie.
//!
//! A connection with nothing to write has none of it. What one has done with goes to whoever of its thread writes
//! next.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Empty ones that a thread keeps, and the largest buffer that is worth keeping.
const MOST_SPARES: usize = 16;
const LARGEST_SPARE: usize = 128 * 1024;
/// Pieces of one write.
const SLICES: usize = 16;

thread_local! {
    #[expect(clippy::vec_box, reason = "connections hold boxes")]
    static SPARES: RefCell<Vec<Box<Unwritten>>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
pub(super) struct Unwritten {
    /// What stands before the buffer: payloads that are not copied, and what was encoded before them.
    pieces: VecDeque<Bytes>,
    /// Bytes of all pieces.
    pieces_len: usize,
    buffer: BytesMut,
    /// Messages added since the last write, before which they are counted.
    messages: u32,
    /// Of these messages.
    payload_bytes: u64,
}

impl Unwritten {
    /// An empty one.
    pub fn take() -> Box<Unwritten> {
        SPARES.with_borrow_mut(Vec::pop).unwrap_or_default()
    }

    /// To be used by another connection. Only where it is empty.
    pub fn give_back(mut self: Box<Unwritten>) {
        self.buffer.clear();
        // Its capacity does not say how large it is: that is without what was written of it.
        let is_too_large = self.buffer.try_reclaim(LARGEST_SPARE + 1);
        SPARES.with_borrow_mut(|spares| {
            if spares.len() < MOST_SPARES && !is_too_large {
                spares.push(self);
            }
        });
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.pieces_len + self.buffer.len()
    }

    /// The same with what of the buffer is empty. Payloads lie where others may hold them too.
    pub fn held(&self) -> usize {
        self.pieces_len + self.buffer.capacity()
    }

    /// Where packets are encoded.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Adds what is not copied, behind all that is there.
    pub fn push(&mut self, piece: Bytes) {
        let before = self.buffer.split().freeze();
        self.pieces_len += before.len() + piece.len();
        self.pieces.extend([before, piece]);
    }

    /// A message was added.
    pub fn note_message(&mut self, payload_len: usize) {
        self.messages += 1;
        self.payload_bytes += payload_len as u64;
    }

    /// Messages added since it was asked last, and the bytes of their payloads.
    pub fn take_messages(&mut self) -> (usize, usize) {
        (std::mem::take(&mut self.messages) as usize, std::mem::take(&mut self.payload_bytes) as usize)
    }

    /// Writes once, so many bytes at most. What was written is to be taken off by [`advance`](Unwritten::advance).
    pub fn poll_write(
        &self,
        cx: &mut Context<'_>,
        stream: Pin<&mut impl AsyncWrite>,
        most: usize,
    ) -> Poll<io::Result<usize>> {
        if self.pieces_len == 0 {
            return stream.poll_write(cx, &self.buffer[..most.min(self.buffer.len())]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let pieces = self.pieces.iter().map(Bytes::as_ref).chain([self.buffer.as_ref()]);
        let mut left = most;
        for (slice, piece) in slices.iter_mut().zip(pieces) {
            let part = &piece[..left.min(piece.len())];
            left -= part.len();
            *slice = IoSlice::new(part);
        }
        stream.poll_write_vectored(cx, &slices)
    }

    /// Forgets what comes behind so many bytes.
    pub fn truncate(&mut self, len: usize) {
        while self.pieces_len > len {
            let Some(last) = self.pieces.back_mut() else { break };
            let beyond = last.len().min(self.pieces_len - len);
            last.truncate(last.len() - beyond);
            self.pieces_len -= beyond;
            if last.is_empty() {
                self.pieces.pop_back();
            }
        }
        self.buffer.truncate(len - self.pieces_len);
    }

    /// Forgets what was written.
    pub fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.pieces.front_mut() {
            let part = written.min(first.len());
            first.advance(part);
            written -= part;
            self.pieces_len -= part;
            if !first.is_empty() {
                return;
            }
            self.pieces.pop_front();
        }
        self.buffer.advance(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_that_was_written_is_not_kept() {
        // Without what was written of it, it passed for an empty one.
        let kept = || SPARES.with_borrow(Vec::len);
        let before = kept();
        for (size, more) in [(LARGEST_SPARE + 1, 0), (1024, 1)] {
            let mut unwritten =
                Box::new(Unwritten { buffer: BytesMut::zeroed(size), ..Unwritten::default() });
            unwritten.advance(size);
            unwritten.give_back();
            assert_eq!(kept(), before + more);
        }
    }

    #[test]
    fn what_is_not_copied_stands_behind_what_was_encoded_before_it() {
        let mut unwritten = Unwritten::default();
        for (encoded, piece) in [("a", "large"), ("b", "larger")] {
            unwritten.buffer().extend_from_slice(encoded.as_bytes());
            unwritten.push(piece.into());
        }
        unwritten.buffer().extend_from_slice(b"c");
        let mut rest = b"alargeblargerc".as_slice();
        for step in [2, 3, 4, 5] {
            let left: Vec<u8> =
                unwritten.pieces.iter().flatten().copied().chain(unwritten.buffer.clone()).collect();
            assert_eq!((left.as_slice(), unwritten.len()), (rest, rest.len()));
            unwritten.advance(step);
            rest = &rest[step..];
        }
        assert_eq!(unwritten.len(), 0);
    }
}
