//! Numbers that many threads add to and few read.
//!
//! Each thread has a shard of its own that only it writes: to count is to load, to add and to store in cache lines
//! which no other thread writes, so that threads that serve clients do not take them from each other. Who
//! reads adds the shards up. Threads beyond the number of shards share one, and add to it atomically.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::available_parallelism;

/// Shards where there are few cores: the runtime and the embedder have threads too.
const LEAST_SHARDS: usize = 16;

/// `N` numbers.
pub(super) struct Sharded<const N: usize> {
    own: Box<[Shard<N>]>,
    shared: Shard<N>,
}

/// Two cache lines, as processors fetch them in pairs.
#[repr(align(128))]
struct Shard<const N: usize>([AtomicU64; N]);

impl<const N: usize> Sharded<N> {
    pub(super) fn new() -> Sharded<N> {
        // The threads that serve clients are as many as there are cores, about.
        let count = available_parallelism().map_or(1, usize::from).saturating_mul(2).max(LEAST_SHARDS);
        Sharded { own: (0..count).map(|_| Shard::new()).collect(), shared: Shard::new() }
    }

    /// Adds to some numbers, wrapping around: what one thread adds another may subtract.
    pub(super) fn add<const M: usize>(&self, amounts: [(usize, u64); M]) {
        match self.own.get(place()) {
            Some(Shard(own)) => {
                for (index, amount) in amounts {
                    let sum = own[index].load(Ordering::Relaxed).wrapping_add(amount);
                    own[index].store(sum, Ordering::Relaxed);
                }
            }
            None => {
                for (index, amount) in amounts {
                    self.shared.0[index].fetch_add(amount, Ordering::Relaxed);
                }
            }
        }
    }

    /// Adds, and moves what this thread has gathered to `total` where it is `batch` or more to either side. Then
    /// `total` is known without looking at every shard, up to a batch per shard.
    pub(super) fn add_in_batches(&self, index: usize, amount: i64, batch: u64, total: &AtomicU64) {
        let Some(Shard(own)) = self.own.get(place()) else {
            total.fetch_add(amount.cast_unsigned(), Ordering::Relaxed);
            return;
        };
        let gathered = own[index].load(Ordering::Relaxed).cast_signed().wrapping_add(amount);
        let moves = gathered.unsigned_abs() >= batch;
        if moves {
            total.fetch_add(gathered.cast_unsigned(), Ordering::Relaxed);
        }
        own[index].store(if moves { 0 } else { gathered.cast_unsigned() }, Ordering::Relaxed);
    }

    /// The sum of a number. Where one thread has subtracted what another is seen to have added only in the
    /// next moment, it is 0.
    pub(super) fn sum(&self, index: usize) -> u64 {
        let shards = self.own.iter().chain([&self.shared]);
        let sum = shards.fold(0_u64, |sum, Shard(it)| sum.wrapping_add(it[index].load(Ordering::Relaxed)));
        sum.cast_signed().max(0).cast_unsigned()
    }
}

impl<const N: usize> Shard<N> {
    fn new() -> Shard<N> {
        Shard([const { AtomicU64::new(0) }; N])
    }
}

/// Which shard is this thread's; no two threads that live have the same.
struct Place(usize);

/// Places of threads that have ended, and the first that nobody ever had.
struct Places {
    free: BTreeSet<usize>,
    next: usize,
}

static PLACES: Mutex<Places> = Mutex::new(Places { free: BTreeSet::new(), next: 0 });

thread_local! {
    static PLACE: Place = Place::take();
}

fn place() -> usize {
    // A thread that is ending may have given its place back already.
    PLACE.try_with(|place| place.0).unwrap_or(usize::MAX)
}

impl Place {
    fn take() -> Place {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        Place(places.free.pop_first().unwrap_or_else(|| {
            places.next += 1;
            places.next - 1
        }))
    }
}

impl Drop for Place {
    /// Who takes the place next finds what this thread has counted: both lock the places.
    fn drop(&mut self) {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).free.insert(self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn nothing_is_lost_where_threads_are_more_than_shards() {
        let sharded = Sharded::<2>::new();
        let threads = sharded.own.len() + 8;
        let all_there = Barrier::new(threads);
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    all_there.wait();
                    (0..1000).for_each(|_| sharded.add([(1, 3)]));
                    all_there.wait();
                });
            }
        });
        assert_eq!((sharded.sum(0), sharded.sum(1)), (0, threads as u64 * 3000));
        assert!(sharded.shared.0[1].load(Ordering::Relaxed) > 0, "no thread had to share");
    }

    #[test]
    fn threads_that_come_and_go_hand_their_shards_on() {
        let sharded = Sharded::<1>::new();
        for _ in 0..10 * sharded.own.len() {
            thread::scope(|scope| {
                scope.spawn(|| sharded.add([(0, 1)]));
            });
        }
        assert_eq!(sharded.sum(0), 10 * sharded.own.len() as u64);
    }

    #[test]
    fn what_one_thread_adds_another_may_subtract() {
        let sharded = Sharded::<1>::new();
        sharded.add([(0, 10)]);
        thread::scope(|scope| {
            scope.spawn(|| sharded.add([(0, 7_u64.wrapping_neg())]));
        });
        assert_eq!(sharded.sum(0), 3);
        sharded.add([(0, 5_u64.wrapping_neg())]);
        assert_eq!(sharded.sum(0), 0);
    }

    #[test]
    fn a_total_is_off_by_less_than_a_batch_per_thread() {
        let (sharded, total) = (Sharded::<1>::new(), AtomicU64::new(0));
        let add = |amount| sharded.add_in_batches(0, amount, 100, &total);
        add(99);
        assert_eq!(total.load(Ordering::Relaxed), 0);
        add(1);
        assert_eq!(total.load(Ordering::Relaxed), 100);
        add(-99);
        assert_eq!(total.load(Ordering::Relaxed), 100);
        add(-1);
        assert_eq!(total.load(Ordering::Relaxed), 0);
    }
}
