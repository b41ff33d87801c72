//! What a thread that serves connections tells of them, and what it is told: see `server/balance`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicU64, Ordering};

thread_local! {
    static HERE: RefCell<Option<Arc<Thread>>> = const { RefCell::new(None) };
}

/// A thread that serves connections.
#[derive(Debug, Default)]
pub struct Thread {
    /// The period, which counts on, in the upper half: a connection notes in which one it was busy last. In the lower
    /// half the connections that were busy in it: apart from each other, one that becomes busy while a period ends
    /// could be counted in neither.
    period_and_active: AtomicU64,
    /// How many of those that have something to do are to go.
    leaving: AtomicU32,
    /// And to which thread.
    to: AtomicU32,
    /// Those that go are marked with this, where it is not 0, as they may be sent back.
    guests: AtomicU16,
    /// Only those go that are marked with this, where it is not 0.
    back: AtomicU16,
    /// Bytes that it has read and written; only the thread itself counts.
    moved: AtomicU64,
}

impl Thread {
    /// Makes it the one that calls.
    pub fn settle(self: &Arc<Self>) {
        HERE.set(Some(self.clone()));
    }

    /// Ends a period. Says how many connections were busy in it; none has to go any more.
    pub fn next_period(&self) -> u32 {
        self.leaving.store(0, Ordering::Relaxed);
        let next = |now: u64| Some(((now >> 32).wrapping_add(1)) << 32);
        let ended = self.period_and_active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        // The lower half; the update does not fail.
        ended.unwrap_or_else(|now| now) as u32
    }

    /// In this period, so many busy connections are to go to another thread, which has this number. `guests` is 0, or a
    /// mark by which they can be sent back.
    pub fn send_away(&self, connections: u32, to: u32, guests: u16) {
        self.send(connections, to, guests, 0);
    }

    /// In this period, those of the busy connections that have this mark are to go to another thread.
    pub fn send_back(&self, guests: u16, to: u32) {
        self.send(u32::MAX, to, 0, guests);
    }

    fn send(&self, connections: u32, to: u32, guests: u16, back: u16) {
        self.to.store(to, Ordering::Relaxed);
        self.guests.store(guests, Ordering::Relaxed);
        self.back.store(back, Ordering::Relaxed);
        self.leaving.store(connections, Ordering::Release);
    }

    /// How many bytes it has read and written since it began.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Where the next busy connection is to go, if it is.
    fn leave(&self, guest: &mut u16) -> Option<u32> {
        if self.leaving.load(Ordering::Acquire) == 0 {
            return None;
        }
        let back = self.back.load(Ordering::Relaxed);
        if back != 0 && back != *guest {
            return None;
        }
        let one_less = |leaving: u32| leaving.checked_sub(1);
        self.leaving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok()?;
        *guest = self.guests.load(Ordering::Relaxed);
        Some(self.to.load(Ordering::Relaxed))
    }
}

/// This thread has read and written so many bytes.
pub(super) fn has_moved(bytes: usize) {
    HERE.with_borrow(|here| {
        if let Some(here) = here {
            // Nobody else counts here: no other thread waits for this.
            here.moved.store(here.moved().wrapping_add(bytes as u64), Ordering::Relaxed);
        }
    });
}

fn period_of(period_and_active: u64) -> u16 {
    (period_and_active >> 32) as u16
}

/// What a connection remembers of the thread.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The period in which the connection was busy last, but for its upper bits.
    period: u16,
    /// The mark with which it came, or 0.
    guest: u16,
}

impl Seen {
    /// The connection has something to do. Says to which thread it is to go, if it is.
    pub fn is_busy(&mut self) -> Option<u32> {
        HERE.with_borrow(|here| {
            let here = here.as_ref()?;
            if self.period != period_of(here.period_and_active.load(Ordering::Relaxed)) {
                self.period = period_of(here.period_and_active.fetch_add(1, Ordering::Relaxed));
            }
            here.leave(&mut self.guest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_counts_once_in_a_period() {
        let thread = Arc::new(Thread::default());
        thread.settle();
        thread.next_period();
        let mut connections = [(); 3].map(|()| Seen::default());
        for _ in 0..5 {
            connections.iter_mut().for_each(|seen| assert_eq!(seen.is_busy(), None));
        }
        assert_eq!(thread.next_period(), 3);
        assert_eq!(connections[0].is_busy(), None);
        assert_eq!(thread.next_period(), 1);
    }

    #[test]
    fn as_many_go_as_are_sent_away_and_only_in_the_same_period() {
        let thread = Arc::new(Thread::default());
        thread.settle();
        let mut connections = [(); 4].map(|()| Seen::default());
        thread.send_away(2, 7, 0);
        let gone: Vec<_> = connections.iter_mut().filter_map(Seen::is_busy).collect();
        assert_eq!(gone, [7, 7]);
        thread.send_away(2, 7, 0);
        thread.next_period();
        assert_eq!(connections[0].is_busy(), None);
    }

    #[test]
    fn of_those_that_are_busy_only_the_guests_go_back() {
        let thread = Arc::new(Thread::default());
        thread.settle();
        let mut connections = [(); 4].map(|()| Seen::default());
        for (guests, connection) in connections.iter_mut().enumerate() {
            thread.send_away(1, 7, guests as u16);
            assert_eq!(connection.is_busy(), Some(7));
        }
        thread.send_back(2, 3);
        let went = |connections: &mut [Seen; 4]| connections.each_mut().map(Seen::is_busy);
        assert_eq!(went(&mut connections), [None, None, Some(3), None]);
        // Back where it was, it is no guest any more.
        assert_eq!(went(&mut connections), [None; 4]);
    }

    #[test]
    fn without_such_a_thread_nothing_goes() {
        std::thread::spawn(|| assert_eq!(Seen::default().is_busy(), None)).join().unwrap();
    }
}
