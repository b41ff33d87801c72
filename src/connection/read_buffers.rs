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
const LEAST_ROOM: usize = 8 * 1024;
/// Full buffers that a thread remembers. Where messages keep so many, messages that wait are copied.
const MOST: usize = 16;

thread_local! {
    static BUFFERS: RefCell<ReadBuffers> = RefCell::default();
}

#[derive(Default)]
struct ReadBuffers {
    /// None until something is read.
    current: Option<BytesMut>,
    /// An empty piece of each.
    full: Vec<Bytes>,
}

/// Reads into this thread's buffer, where there is room for at least a few packets.
pub(super) fn with<T>(read: impl FnOnce(&mut BytesMut) -> T) -> T {
    BUFFERS.with_borrow_mut(|buffers| read(buffers.with_room()))
}

impl ReadBuffers {
    fn with_room(&mut self) -> &mut BytesMut {
        let has_room =
            |buffer: &mut BytesMut| buffer.capacity() >= LEAST_ROOM || buffer.try_reclaim(READ_SIZE);
        let current = self.current.take_if(has_room).unwrap_or_else(|| {
            let full = self.current.take();
            self.take_next(full)
        });
        self.current.insert(current)
    }

    /// Instead of one that is full, to the last byte perhaps.
    fn take_next(&mut self, full: Option<BytesMut>) -> BytesMut {
        let next = self.take_free().unwrap_or_else(|| BytesMut::with_capacity(READ_SIZE));
        let kept = self.full.iter().filter(|piece| !piece.is_unique()).count();
        note_many_buffers(kept >= MOST);
        if self.full.len() < MOST {
            self.full.extend(full.map(BytesMut::freeze));
        }
        next
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
        fill_up_to(buffers, LEAST_ROOM / 2)
    }

    fn fill_up_to(buffers: &mut ReadBuffers, left: usize) -> Bytes {
        let current = buffers.with_room();
        current.resize(current.capacity() - left, 0);
        current.split().freeze()
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
    fn a_buffer_that_a_read_fills_to_its_last_byte_is_remembered_too() {
        // It was neither used again nor counted among those that messages keep.
        let mut buffers = ReadBuffers::default();
        let first = fill_up_to(&mut buffers, 0);
        let place = first.as_ptr();
        let _second = fill_up_to(&mut buffers, 0);
        assert_eq!(buffers.full.len(), 1);
        drop(first);
        assert_eq!(fill_up_to(&mut buffers, 0).as_ptr(), place);
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
