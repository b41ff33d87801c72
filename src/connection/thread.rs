//! What a thread that serves connections tells of them, and what it is told: see `server/balance`.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

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
}

impl Thread {
    /// Makes it the one that calls.
    pub fn settle(self: &Arc<Self>) {
        HERE.set(Some(self.clone()));
    }

    /// Ends a period. Says how many connections were busy in it; none has to go any more.
    pub fn next_period(&self) -> u32 {
        self.leaving.store(0, Ordering::Relaxed);
        let next = |now: u64| Some(u64::from(period_of(now).wrapping_add(1)) << 32);
        let ended = self.period_and_active.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        // The lower half; the update does not fail.
        ended.unwrap_or_else(|now| now) as u32
    }

    /// In this period, so many busy connections are to go to another thread, which has this number.
    pub fn send_away(&self, connections: u32, to: u32) {
        self.to.store(to, Ordering::Relaxed);
        self.leaving.store(connections, Ordering::Release);
    }

    /// Where the next busy connection is to go, if it is.
    fn leave(&self) -> Option<u32> {
        if self.leaving.load(Ordering::Acquire) == 0 {
            return None;
        }
        let one_less = |leaving: u32| leaving.checked_sub(1);
        self.leaving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).ok()?;
        Some(self.to.load(Ordering::Relaxed))
    }
}

fn period_of(period_and_active: u64) -> u32 {
    (period_and_active >> 32) as u32
}

/// What a connection remembers of the thread.
#[derive(Debug, Default)]
pub(super) struct Seen(u32);

impl Seen {
    /// The connection has something to do. Says to which thread it is to go, if it is.
    pub fn is_busy(&mut self) -> Option<u32> {
        HERE.with_borrow(|here| {
            let here = here.as_ref()?;
            if self.0 != period_of(here.period_and_active.load(Ordering::Relaxed)) {
                self.0 = period_of(here.period_and_active.fetch_add(1, Ordering::Relaxed));
            }
            here.leave()
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
        let mut connections = [const { Seen(0) }; 3];
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
        let mut connections = [const { Seen(0) }; 4];
        thread.send_away(2, 7);
        let gone: Vec<_> = connections.iter_mut().filter_map(Seen::is_busy).collect();
        assert_eq!(gone, [7, 7]);
        thread.send_away(2, 7);
        thread.next_period();
        assert_eq!(connections[0].is_busy(), None);
    }

    #[test]
    fn without_such_a_thread_nothing_goes() {
        std::thread::spawn(|| assert_eq!(Seen(0).is_busy(), None)).join().unwrap();
    }
}
