//! The buffers that the connections of a thread read into.
//!
//! All of them read into one, so that an idle connection holds none. Messages are slices of it; when it is full
//! they may still keep it, and another takes its place: one that no message keeps any more, or a new one. To take
//! 64 KB anew each time made the allocator put its free pieces together each time (a twentieth of the CPU of
//! `benches/compare --only A1`).

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};

use crate::broker::note_many_buffers;

/// Bytes that one read takes at most.
pub(super) const READ_SIZE: usize = 64 * 1024;
/// Room below which a buffer is full.
pub(super) const LEAST_ROOM: usize = 8 * 1024;
/// Full buffers that a thread remembers. Where messages keep so many, messages that wait are copied.
const MOST: usize = 16;

thread_local! {
    static BUFFERS: RefCell<ReadBuffers> = RefCell::default();
}

#[derive(Default)]
struct ReadBuffers {
    current: BytesMut,
    /// An empty piece of each.
    full: Vec<Bytes>,
}

/// Reads into this thread's buffer, where there is room for at least a few packets.
pub(super) fn with<T>(read: impl FnOnce(&mut BytesMut) -> T) -> T {
    BUFFERS.with_borrow_mut(|buffers| {
        buffers.make_room();
        read(&mut buffers.current)
    })
}

impl ReadBuffers {
    fn make_room(&mut self) {
        if self.current.capacity() >= LEAST_ROOM || self.current.try_reclaim(READ_SIZE) {
            return;
        }
        let next = self.take_free().unwrap_or_else(|| BytesMut::with_capacity(READ_SIZE));
        let full = std::mem::replace(&mut self.current, next);
        let kept = self.full.iter().filter(|piece| !piece.is_unique()).count();
        note_many_buffers(kept >= MOST);
        if self.full.len() < MOST && full.capacity() > 0 {
            self.full.push(full.freeze());
        }
    }

    /// One that no message keeps any more.
    fn take_free(&mut self) -> Option<BytesMut> {
        let free = self.full.iter().position(Bytes::is_unique)?;
        let mut buffer = self.full.swap_remove(free).try_into_mut().ok()?;
        buffer.try_reclaim(READ_SIZE).then_some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads until the buffer is full, and returns what a message keeps of it.
    fn fill(buffers: &mut ReadBuffers) -> Bytes {
        buffers.make_room();
        let room = buffers.current.capacity() - LEAST_ROOM / 2;
        buffers.current.resize(room, 0);
        buffers.current.split().freeze()
    }

    #[test]
    fn a_buffer_that_no_message_keeps_is_used_again() {
        let mut buffers = ReadBuffers::default();
        let first = fill(&mut buffers);
        let place = first.as_ptr();
        let second = fill(&mut buffers);
        assert_ne!(second.as_ptr(), place);
        drop(first);
        let third = fill(&mut buffers);
        assert_eq!(third.as_ptr(), place);
        assert_eq!(buffers.full.len(), 1);
    }

    #[test]
    fn a_buffer_that_is_free_when_it_is_full_needs_no_other() {
        let mut buffers = ReadBuffers::default();
        let place = fill(&mut buffers).as_ptr();
        assert_eq!(fill(&mut buffers).as_ptr(), place);
        assert!(buffers.full.is_empty());
    }

    #[test]
    fn a_thread_remembers_no_more_than_a_few() {
        let mut buffers = ReadBuffers::default();
        let messages: Vec<_> = (0..100).map(|_| fill(&mut buffers)).collect();
        assert_eq!(buffers.full.len(), MOST);
        drop(messages);
    }
}
