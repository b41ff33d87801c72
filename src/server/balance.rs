//! As many threads as there is work for.
//!
//! A thread that has little to do wakes up for each message, and waking up costs more than the message: 20,000 messages
//! a second on two threads cost a fifth more CPU than on one (`benches/compare --only D`). So connections go over to
//! another thread: from two that have little to do to one of them, and from one that has too much to one that has
//! less. Only connections that are busy go; those that are idle cost nothing where they are.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::connection::Thread;

/// How often threads are looked at, and how often where none has anything to do.
const PERIOD: Duration = Duration::from_millis(100);
const IDLE_PERIOD: Duration = Duration::from_millis(500);
/// Share of time above which a thread has too much to do.
const TOO_BUSY: f64 = 0.9;
/// How much less another must have to do to take something over.
const WORTHWHILE: f64 = 0.25;
/// What two threads have to do together at most to become one.
const LITTLE: f64 = 0.85;
/// For how many periods.
const PATIENCE: u32 = 5;
/// After connections had to be spread, for how many periods they stay so, at first and at most.
const SHORT_REST: u32 = 50;
const LONG_REST: u32 = 600;

/// What a thread had to do in the last period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Work {
    /// The share of time for which it ran.
    pub ran: f64,
    /// The same with the time for which it waited for a core: others may keep it from running.
    pub busy: f64,
    /// Connections that had something to do.
    pub active: u32,
}

/// So many busy connections of one thread are to go over to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    pub from: usize,
    pub to: usize,
    pub connections: u32,
}

/// A thread that is looked at.
pub(super) struct Watched {
    connections: Arc<Thread>,
    /// The kernel's count of its time.
    times: File,
    /// For how long it ran, and waited for a core.
    used: [Duration; 2],
}

impl Watched {
    /// `times` is the thread's `schedstat` (proc(5)).
    pub fn new(connections: Arc<Thread>, times: File) -> Watched {
        Watched { connections, times, used: [Duration::ZERO; 2] }
    }

    #[cfg(all(test, feature = "client"))]
    pub fn connections(&self) -> &Arc<Thread> {
        &self.connections
    }

    /// What it had to do since it was asked last.
    fn work(&mut self, period: Duration) -> io::Result<Work> {
        let used = self.time_used()?;
        let before = std::mem::replace(&mut self.used, used);
        let share = |now: Duration, before| now.saturating_sub(before).as_secs_f64() / period.as_secs_f64();
        let ran = share(used[0], before[0]);
        let waited = share(used[1], before[1]);
        Ok(Work { ran, busy: ran + waited, active: self.connections.next_period() })
    }

    fn time_used(&mut self) -> io::Result<[Duration; 2]> {
        let mut text = String::new();
        self.times.rewind()?;
        self.times.read_to_string(&mut text)?;
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        Ok([(); 2].map(|()| Duration::from_nanos(numbers.next().unwrap_or(0))))
    }
}

/// Keeps the threads in balance for as long as it is polled.
pub(super) async fn keep(mut threads: Vec<Watched>) {
    let mut balance = Balance::default();
    let mut before = Instant::now();
    let mut period = IDLE_PERIOD;
    loop {
        sleep(period).await;
        let now = Instant::now();
        let work: io::Result<Vec<Work>> =
            threads.iter_mut().map(|thread| thread.work(now - before)).collect();
        // A thread that has ended has no times any more: the server is being stopped.
        let Ok(work) = work else { return };
        before = now;
        if let Some(Move { from, to, connections }) = balance.next(&work) {
            tracing::debug!(from, to, connections, ?work, "busy connections go over to another thread");
            threads[from].connections.send_away(connections, to as u32);
        }
        period = if work.iter().all(|work| work.active == 0) { IDLE_PERIOD } else { PERIOD };
    }
}

/// What has been seen so far.
#[derive(Debug, Default)]
struct Balance {
    /// Periods in a row in which two threads had little to do.
    little: u32,
    /// Periods for which connections stay where they are, unless a thread has too much to do.
    rest: u32,
    /// How long the last rest was.
    last_rest: u32,
    /// Periods since connections were spread last.
    calm: u32,
}

impl Balance {
    /// What is to move after a period.
    fn next(&mut self, threads: &[Work]) -> Option<Move> {
        self.rest = self.rest.saturating_sub(1);
        self.calm = self.calm.saturating_add(1);
        if let Some(spread) = spread(threads) {
            self.little = 0;
            if std::mem::take(&mut self.calm) > 2 * LONG_REST {
                self.last_rest = 0;
            }
            // Where it comes again and again, the load is one that changes: threads do not follow each change.
            self.last_rest = (self.last_rest * 2).clamp(SHORT_REST, LONG_REST);
            self.rest = self.last_rest;
            return Some(spread);
        }
        let gather = gather(threads).filter(|_| self.rest == 0);
        self.little = if gather.is_some() { self.little + 1 } else { 0 };
        gather.filter(|_| self.little >= PATIENCE)
    }
}

/// From the thread with too much to do to the one with the least, so that both have the same.
fn spread(threads: &[Work]) -> Option<Move> {
    let (from, most) = threads.iter().enumerate().max_by(|a, b| a.1.busy.total_cmp(&b.1.busy))?;
    let (to, least) = threads.iter().enumerate().min_by(|a, b| a.1.busy.total_cmp(&b.1.busy))?;
    let difference = most.busy - least.busy;
    // One connection alone has no other place that is better.
    if most.busy < TOO_BUSY || difference < WORTHWHILE || most.active < 2 {
        return None;
    }
    let share = difference / 2.0 / most.busy;
    let connections = (f64::from(most.active) * share).round().max(1.0) as u32;
    Some(Move { from, to, connections })
}

/// All of the thread with the least to do, of those that have some, to the one with the next least, where that is
/// little even together.
fn gather(threads: &[Work]) -> Option<Move> {
    // One that was busy and did not run is one whose times the kernel does not count: `schedstat` is then 0 0 0.
    if threads.iter().any(|work| work.active > 0 && work.ran == 0.0) {
        return None;
    }
    let mut busy: Vec<(usize, &Work)> =
        threads.iter().enumerate().filter(|(_, work)| work.active > 0).collect();
    busy.sort_by(|a, b| a.1.ran.total_cmp(&b.1.ran));
    let [(from, least), (to, next), ..] = busy[..] else { return None };
    (least.ran + next.ran <= LITTLE).then_some(Move { from, to, connections: least.active })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(busy: f64, active: u32) -> Work {
        Work { ran: busy, busy, active }
    }

    /// What moves in the period in which something does, at the latest after so many.
    fn first_move(balance: &mut Balance, threads: &[Work], periods: u32) -> Option<(u32, Move)> {
        (1..=periods).find_map(|period| Some((period, balance.next(threads)?)))
    }

    #[test]
    fn a_thread_with_too_much_to_do_gives_half_the_difference_at_once() {
        let moved = Balance::default().next(&[work(1.0, 100), work(0.0, 0)]);
        assert_eq!(moved, Some(Move { from: 0, to: 1, connections: 50 }));
        let moved = Balance::default().next(&[work(0.2, 10), work(1.0, 100), work(0.6, 10)]);
        assert_eq!(moved, Some(Move { from: 1, to: 0, connections: 40 }));
    }

    #[test]
    fn threads_that_all_have_much_to_do_stay_as_they_are() {
        let mut balance = Balance::default();
        assert_eq!(first_move(&mut balance, &[work(1.0, 100), work(0.9, 100)], 100), None);
        assert_eq!(first_move(&mut balance, &[work(0.5, 100), work(0.5, 100)], 100), None);
    }

    #[test]
    fn a_single_busy_connection_is_not_sent_around() {
        assert_eq!(first_move(&mut Balance::default(), &[work(1.0, 1), work(0.0, 0)], 100), None);
    }

    #[test]
    fn two_threads_with_little_to_do_become_one_after_a_while() {
        let threads = [work(0.3, 50), work(0.4, 60)];
        let moved = first_move(&mut Balance::default(), &threads, 100);
        assert_eq!(moved, Some((PATIENCE, Move { from: 0, to: 1, connections: 50 })));
    }

    #[test]
    fn a_thread_that_waits_for_a_core_has_too_much_to_do_and_yet_little() {
        let waits = Work { ran: 0.3, busy: 0.95, active: 10 };
        assert_eq!(gather(&[waits, waits]), Some(Move { from: 0, to: 1, connections: 10 }));
        assert_eq!(spread(&[waits, work(0.1, 1)]), Some(Move { from: 0, to: 1, connections: 4 }));
    }

    #[test]
    fn a_thread_without_busy_connections_has_nothing_to_gather() {
        assert_eq!(first_move(&mut Balance::default(), &[work(0.3, 50), work(0.0, 0)], 100), None);
    }

    #[test]
    fn threads_whose_times_the_kernel_does_not_count_stay_as_they_are() {
        // They seemed to have nothing to do, and one of them got all the connections of the others.
        assert_eq!(first_move(&mut Balance::default(), &[work(0.0, 50), work(0.0, 60)], 100), None);
    }

    #[test]
    fn what_was_spread_stays_so_for_a_time_that_grows() {
        let (much, little) = ([work(1.0, 100), work(0.0, 0)], [work(0.2, 50), work(0.2, 50)]);
        let mut balance = Balance::default();
        let mut waits = Vec::new();
        for _ in 0..6 {
            assert!(balance.next(&much).is_some());
            waits.push(first_move(&mut balance, &little, 2 * LONG_REST).unwrap().0);
        }
        assert!(waits.is_sorted(), "{waits:?}");
        assert!(waits[0] >= SHORT_REST && waits[5] > 4 * waits[0], "{waits:?}");
        assert!(waits[5] <= LONG_REST + PATIENCE, "{waits:?}");
        assert_eq!(first_move(&mut balance, &[work(0.5, 50), work(0.5, 50)], 2 * LONG_REST), None);
        balance.next(&much);
        assert_eq!(first_move(&mut balance, &little, LONG_REST).unwrap().0, waits[0]);
    }
}
