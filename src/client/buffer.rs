//! Where values wait for who takes them: bounded, one that puts in and one that takes out.
//!
//! A channel would do but for two things: the oldest value can give way, and who puts in looks whether there is room
//! without waiting for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

/// What becomes of a value for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// Nothing more is read from the server until there is room: neither messages, also of other subscriptions, nor
    /// acknowledgements. Nothing is lost, and who waits for an acknowledgement while not taking messages waits for ever.
    #[default]
    Wait,
    /// The message that has waited longest is dropped. It is acknowledged.
    DropOldest,
    /// The message that comes is dropped. It is acknowledged.
    DropNewest,
}

#[derive(Debug)]
pub(super) struct Buffer<T> {
    inner: Mutex<Inner<T>>,
    capacity: usize,
    when_full: WhenFull,
}

/// Room beyond its capacity that a buffer has while nobody can take anything out, until it holds so many bytes.
pub(super) const UNTAKEN: usize = 65_535;
const UNTAKEN_BYTES: usize = 64 << 20;

#[derive(Debug)]
struct Inner<T> {
    values: VecDeque<T>,
    /// Who is to take values out does not have the buffer yet.
    untaken: bool,
    /// Bytes that came meanwhile.
    untaken_bytes: usize,
    taker: Option<Waker>,
    closed: bool,
    /// Who puts in wants to know when there is room.
    awaited: bool,
    dropped: u64,
}

/// What a value taken out leaves behind.
#[derive(Debug)]
pub(super) struct Taken<T> {
    pub(super) value: T,
    /// Somebody waits for the room.
    pub(super) awaited: bool,
}

impl<T> Buffer<T> {
    pub(super) fn new(capacity: usize, when_full: WhenFull) -> Buffer<T> {
        let values = VecDeque::new();
        let inner = Inner {
            values,
            untaken: false,
            untaken_bytes: 0,
            taker: None,
            closed: false,
            awaited: false,
            dropped: 0,
        };
        Buffer { inner: Mutex::new(inner), capacity: capacity.max(1), when_full }
    }

    /// Until `false` is said, nobody can take anything out, and who waits for room would wait for ever: there is more.
    pub(super) fn set_untaken(&self, untaken: bool) {
        let mut inner = self.lock();
        (inner.untaken, inner.untaken_bytes) = (untaken, 0);
    }

    /// Whether it is full and nobody can take anything out.
    pub(super) fn is_stuck(&self) -> bool {
        let can_take_one = self.can_take_one();
        !can_take_one && self.lock().untaken
    }

    /// Whether a value can be [put](Buffer::put). Where it cannot, who takes one out learns that it is waited for.
    pub(super) fn can_take_one(&self) -> bool {
        let mut inner = self.lock();
        let has_more = inner.untaken && inner.untaken_bytes < UNTAKEN_BYTES;
        let room = self.capacity.saturating_add(if has_more { UNTAKEN } else { 0 });
        let can = self.when_full != WhenFull::Wait || inner.closed || inner.values.len() < room;
        inner.awaited |= !can;
        can
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().values.len()
    }

    /// Puts a value of so many bytes in, or drops one. Gives who is to be woken.
    pub(super) fn put(&self, value: T, bytes: usize) -> Option<Waker> {
        let mut inner = self.lock();
        if inner.closed {
            return None;
        }
        if inner.untaken {
            inner.untaken_bytes = inner.untaken_bytes.saturating_add(bytes);
        }
        if inner.values.len() >= self.capacity {
            match self.when_full {
                WhenFull::Wait => {}
                WhenFull::DropOldest => {
                    inner.values.pop_front();
                    inner.dropped += 1;
                }
                WhenFull::DropNewest => {
                    inner.dropped += 1;
                    return None;
                }
            }
        }
        inner.values.push_back(value);
        inner.taker.take()
    }

    /// The next; `None` once it is closed and empty.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Option<Taken<T>>> {
        let mut inner = self.lock();
        if let Some(value) = inner.values.pop_front() {
            let awaited = std::mem::take(&mut inner.awaited);
            return Poll::Ready(Some(Taken { value, awaited }));
        }
        if inner.closed {
            return Poll::Ready(None);
        }
        if !inner.taker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            inner.taker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Nothing is put in any more; what waits can still be taken.
    pub(super) fn close(&self) {
        let waker = {
            let mut inner = self.lock();
            inner.closed = true;
            inner.taker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Nobody takes any more. Says whether somebody waits for room.
    pub(super) fn abandon(&self) -> bool {
        let mut inner = self.lock();
        inner.closed = true;
        inner.values.clear();
        inner.taker = None;
        std::mem::take(&mut inner.awaited)
    }

    /// Values that were dropped because it was full.
    pub(super) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        // Nothing panics while it is held.
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_can_take_out_yet_is_limited_by_bytes_too() {
        let buffer = Buffer::new(1, WhenFull::Wait);
        buffer.set_untaken(true);
        for _ in 0..2 {
            assert!(buffer.can_take_one() && !buffer.is_stuck());
            buffer.put((), UNTAKEN_BYTES / 2);
        }
        assert!(buffer.is_stuck());
        buffer.set_untaken(false);
        assert!(!buffer.can_take_one() && !buffer.is_stuck());
    }
}
