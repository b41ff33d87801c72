//! Waking connections when a time comes, with one timer of the runtime for all that a thread serves.
//!
//! A timer of its own takes 112 bytes of each connection, a place here 24 and what names it 16 (scenario E). What it
//! costs is precision: an alarm rings up to [`SLOT`] late, and never early.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Alarms that fall into the same of these ring together, at its end.
const SLOT: Duration = Duration::from_millis(100);

/// In a list: there is no other place on this side.
const END: u32 = u32::MAX;
/// Instead of the place before: it is in no list.
const NOT_SET: u32 = u32::MAX - 1;

thread_local! {
    static HERE: RefCell<Option<Arc<Clock>>> = const { RefCell::new(None) };
}

/// Wakes one task.
pub(super) struct Alarm {
    clock: Arc<Clock>,
    place: u32,
    /// To which it was set last.
    slot: u32,
}

/// The alarms of a thread.
struct Clock {
    begun: Instant,
    set: Mutex<Set>,
    /// One was set to a time before all others.
    earlier: Notify,
    /// Until the task ends that makes them ring, which is when its runtime does.
    runs: AtomicBool,
}

#[derive(Default)]
struct Set {
    places: Slab<Place>,
    /// The first place of each slot that has some. Times are few where alarms are many.
    slots: BTreeMap<u32, u32>,
}

/// An alarm in the list of its slot.
struct Place {
    waker: Waker,
    before: u32,
    after: u32,
}

impl Alarm {
    /// One that is not set yet. To be called within a runtime.
    pub fn new() -> Alarm {
        let clock = Clock::here();
        let place = Place { waker: Waker::noop().clone(), before: NOT_SET, after: END };
        let place = clock.lock().places.insert(place) as u32;
        Alarm { clock, place, slot: 0 }
    }

    /// Ready once for each time that it rings: at `at`, or where it was set to an earlier time, then.
    pub fn poll_until(&mut self, at: Instant, waker: &Waker) -> Poll<()> {
        let slot = self.clock.slot(at);
        // Dropped after the lock is given back: a waker may own a task.
        let _other_waker;
        let mut set = self.clock.lock();
        let is_set = set.is_set(self.place);
        if self.slot > 0 && !is_set {
            self.slot = 0;
            return Poll::Ready(());
        }
        _other_waker = set.note_waker(self.place, waker);
        if is_set && self.slot <= slot {
            return Poll::Pending;
        }
        if set.first().is_none_or(|first| slot < first) {
            self.clock.earlier.notify_one();
        }
        if is_set {
            set.unlink(self.place, self.slot);
        }
        set.link(self.place, slot);
        self.slot = slot;
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let _removed = {
            let mut set = self.clock.lock();
            if set.is_set(self.place) {
                set.unlink(self.place, self.slot);
            }
            set.places.remove(self.place as usize)
        };
    }
}

impl Clock {
    /// That of this thread, as long as its runtime is there.
    fn here() -> Arc<Clock> {
        HERE.with_borrow_mut(|here| {
            here.take_if(|clock| !clock.runs.load(Ordering::Relaxed));
            here.get_or_insert_with(Clock::start).clone()
        })
    }

    fn start() -> Arc<Clock> {
        let clock = Arc::new(Clock {
            begun: Instant::now(),
            set: Mutex::default(),
            earlier: Notify::new(),
            runs: AtomicBool::new(true),
        });
        tokio::spawn(ring(Runs(clock.clone())));
        clock
    }

    fn lock(&self) -> MutexGuard<'_, Set> {
        self.set.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first slot that ends no earlier. They are counted from 1.
    fn slot(&self, at: Instant) -> u32 {
        let slot = at.saturating_duration_since(self.begun).as_millis().div_ceil(SLOT.as_millis());
        u32::try_from(slot).unwrap_or(u32::MAX).max(1)
    }

    /// Wakes those whose time has come. Returns the next time.
    fn wake_due(&self) -> Option<Instant> {
        let past = (self.begun.elapsed().as_millis() / SLOT.as_millis()) as u32;
        let (due, next) = {
            let mut set = self.lock();
            (set.take_due(past), set.first())
        };
        due.into_iter().for_each(Waker::wake);
        next.and_then(|slot| self.begun.checked_add(SLOT * slot))
    }
}

impl Set {
    fn place(&mut self, place: u32) -> &mut Place {
        &mut self.places[place as usize]
    }

    fn is_set(&mut self, place: u32) -> bool {
        self.place(place).before != NOT_SET
    }

    /// The first slot in which some ring.
    fn first(&self) -> Option<u32> {
        self.slots.first_key_value().map(|(slot, _)| *slot)
    }

    /// Makes it the waker of an alarm. Returns the other one that it had.
    fn note_waker(&mut self, place: u32, waker: &Waker) -> Option<Waker> {
        let noted = &mut self.place(place).waker;
        (!noted.will_wake(waker)).then(|| std::mem::replace(noted, waker.clone()))
    }

    /// Whom to wake up to this slot. Their alarms are not set any more.
    fn take_due(&mut self, past: u32) -> Vec<Waker> {
        let mut due = Vec::new();
        while let Some(entry) = self.slots.first_entry().filter(|entry| *entry.key() <= past) {
            let mut next = entry.remove();
            while next != END {
                let place = self.place(next);
                due.push(place.waker.clone());
                place.before = NOT_SET;
                next = place.after;
            }
        }
        due
    }

    fn link(&mut self, place: u32, slot: u32) {
        let after = self.slots.insert(slot, place).unwrap_or(END);
        if after != END {
            self.place(after).before = place;
        }
        (self.place(place).before, self.place(place).after) = (END, after);
    }

    fn unlink(&mut self, place: u32, slot: u32) {
        let Place { before, after, .. } = *self.place(place);
        if after != END {
            self.place(after).before = before;
        }
        if before != END {
            self.place(before).after = after;
        } else if after != END {
            self.slots.insert(slot, after);
        } else {
            self.slots.remove(&slot);
        }
        self.place(place).before = NOT_SET;
    }
}

/// Held by the task that makes alarms ring.
struct Runs(Arc<Clock>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.runs.store(false, Ordering::Relaxed);
    }
}

/// Makes alarms ring for as long as it is polled.
async fn ring(runs: Runs) {
    let clock = &runs.0;
    loop {
        match clock.wake_due() {
            None => clock.earlier.notified().await,
            Some(next) => tokio::select! {
                () = sleep_until(next) => {}
                () = clock.earlier.notified() => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until the alarm rings, and says after how many milliseconds.
    async fn rings(alarm: &mut Alarm, after: u64) -> u128 {
        let begun = Instant::now();
        let at = begun + Duration::from_millis(after);
        std::future::poll_fn(|cx| alarm.poll_until(at, cx.waker())).await;
        begun.elapsed().as_millis()
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_rings_at_its_time_or_a_little_later_again_and_again() {
        let mut alarm = Alarm::new();
        for after in [0, 1, 250, 99, 100, 3_600_000] {
            let rang = rings(&mut alarm, after).await;
            assert!((after.into()..=u128::from(after) + 101).contains(&rang), "{rang} instead of {after}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_is_set_to_an_earlier_time_rings_then() {
        let (mut first, mut second) = (Alarm::new(), Alarm::new());
        let later = Instant::now() + Duration::from_secs(60);
        for alarm in [&mut first, &mut second] {
            assert!(alarm.poll_until(later, Waker::noop()).is_pending());
        }
        assert!(rings(&mut second, 1_000).await < 1_200);
        assert!(first.poll_until(later, Waker::noop()).is_pending());
        assert!(rings(&mut first, 60_000).await < 60_000);
    }

    #[tokio::test(start_paused = true)]
    async fn alarms_come_and_go_and_leave_nothing_behind() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut alarms: Vec<(Alarm, Instant)> = Vec::new();
        for _ in 0..3_000 {
            let at = Instant::now() + Duration::from_millis(random.u64(1..5_000));
            match random.u8(..3) {
                0 => alarms.push((Alarm::new(), at)),
                1 if !alarms.is_empty() => drop(alarms.swap_remove(random.usize(..alarms.len()))),
                _ => tokio::time::sleep(Duration::from_millis(random.u64(..40))).await,
            }
            for (alarm, at) in &mut alarms {
                let late = Instant::now().saturating_duration_since(*at);
                match alarm.poll_until(*at, Waker::noop()) {
                    Poll::Ready(()) => *at = Instant::now() + Duration::from_millis(random.u64(1..5_000)),
                    Poll::Pending => assert!(late <= SLOT + Duration::from_millis(1), "late by {late:?}"),
                }
            }
        }
        drop(alarms);
        let clock = Clock::here();
        let set = clock.lock();
        assert!(set.places.is_empty() && set.slots.is_empty());
    }

    #[test]
    fn the_next_runtime_of_a_thread_has_a_clock_of_its_own() {
        for _ in 0..2 {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async { rings(&mut Alarm::new(), 1).await });
        }
    }
}
