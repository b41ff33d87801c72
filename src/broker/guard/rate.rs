//! Rates, and meters that say whether they are kept.
//!
//! A meter is one number: the moment up to which what came is paid for. What comes moves it on by its price; how far
//! it is ahead of the clock is what came too fast. That takes 8 bytes for each who is watched, and no timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So much per second, of which what the rate allows in `burst` may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    per_second: u64,
    burst: Duration,
}

/// Nanoseconds since the guard began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

/// What came so far, for one rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter(u64);

/// The same for several threads.
#[derive(Debug, Default)]
pub(super) struct SharedMeter(AtomicU64);

const SECOND: u128 = 1_000_000_000;

impl Rate {
    /// None where nothing is limited, which 0 per second says.
    pub fn new(per_second: u64, burst: Duration) -> Option<Rate> {
        (per_second > 0).then_some(Rate { per_second, burst })
    }

    fn price(self, amount: u64) -> u64 {
        let nanoseconds = u128::from(amount) * SECOND / u128::from(self.per_second);
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    fn burst(self) -> u64 {
        u64::try_from(self.burst.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Moment {
    /// Whole seconds of it.
    pub(super) fn seconds(self) -> u32 {
        u32::try_from(u128::from(self.0) / SECOND).unwrap_or(u32::MAX)
    }
}

impl Meter {
    /// Takes one, where the rate allows that.
    pub(super) fn take(&mut self, rate: Rate, now: Moment) -> bool {
        let taken = self.is_within(rate, now);
        if taken {
            self.add(rate, 1, now);
        }
        taken
    }

    /// Takes as much as there is, and says how long nothing more may come.
    pub fn charge(&mut self, rate: Rate, amount: u64, now: Moment) -> Duration {
        self.add(rate, amount, now);
        Duration::from_nanos(self.0.saturating_sub(now.0).saturating_sub(rate.burst()))
    }

    /// How much may come now, and 1 at least: more than that has come when it is known to be too much.
    pub fn left(self, rate: Rate, now: Moment) -> u64 {
        let free = rate.burst().saturating_sub(self.0.saturating_sub(now.0));
        let amount = u128::from(free) * u128::from(rate.per_second) / SECOND;
        u64::try_from(amount).unwrap_or(u64::MAX).max(1)
    }

    /// Whether nothing that came counts any more.
    pub(super) fn is_idle(self, now: Moment) -> bool {
        self.0 <= now.0
    }

    fn is_within(self, rate: Rate, now: Moment) -> bool {
        self.0.saturating_sub(now.0) <= rate.burst()
    }

    fn add(&mut self, rate: Rate, amount: u64, now: Moment) {
        self.0 = self.0.max(now.0).saturating_add(rate.price(amount));
    }
}

impl SharedMeter {
    pub(super) fn take(&self, rate: Rate, now: Moment) -> bool {
        self.change(|meter| meter.take(rate, now))
    }

    pub(super) fn charge(&self, rate: Rate, amount: u64, now: Moment) -> Duration {
        self.change(|meter| meter.charge(rate, amount, now))
    }

    pub(super) fn left(&self, rate: Rate, now: Moment) -> u64 {
        Meter(self.0.load(Ordering::Relaxed)).left(rate, now)
    }

    fn change<T>(&self, change: impl Fn(&mut Meter) -> T) -> T {
        let mut before = self.0.load(Ordering::Relaxed);
        loop {
            let mut meter = Meter(before);
            let answer = change(&mut meter);
            match self.0.compare_exchange_weak(before, meter.0, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return answer,
                Err(other) => before = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Moment {
        Moment(milliseconds * 1_000_000)
    }

    fn rate(per_second: u64, burst_ms: u64) -> Rate {
        Rate::new(per_second, Duration::from_millis(burst_ms)).unwrap()
    }

    #[test]
    fn what_a_burst_holds_comes_at_once_and_then_as_fast_as_the_rate_says() {
        let (mut meter, rate) = (Meter::default(), rate(10, 1000));
        let at_once = (0..100).filter(|_| meter.take(rate, at(0))).count();
        assert_eq!(at_once, 11);
        let later = (1..=1000).filter(|ms| meter.take(rate, at(*ms))).count();
        assert_eq!(later, 10);
    }

    #[test]
    fn who_was_silent_for_long_has_no_more_than_one_burst() {
        let (mut meter, rate) = (Meter::default(), rate(10, 1000));
        meter.take(rate, at(0));
        assert_eq!((0..100).filter(|_| meter.take(rate, at(1_000_000))).count(), 11);
    }

    #[test]
    fn what_is_charged_has_to_be_waited_for() {
        let (mut meter, rate) = (Meter::default(), rate(1000, 100));
        assert_eq!(meter.charge(rate, 100, at(0)), Duration::ZERO);
        assert_eq!(meter.charge(rate, 50, at(0)), Duration::from_millis(50));
        assert_eq!(meter.charge(rate, 0, at(50)), Duration::ZERO);
        assert!(!meter.is_idle(at(149)) && meter.is_idle(at(150)));
    }

    #[test]
    fn a_rate_of_nothing_is_none_and_the_largest_overflows_nothing() {
        assert_eq!(Rate::new(0, Duration::ZERO), None);
        let (mut meter, slow) = (Meter::default(), rate(1, 0));
        assert!(meter.charge(slow, u64::MAX, Moment(u64::MAX)) <= Duration::from_nanos(u64::MAX));
        assert!(!meter.take(slow, at(0)));
    }

    #[test]
    fn threads_share_one_rate() {
        let (meter, rate) = (SharedMeter::default(), rate(100, 1000));
        let taken: usize = std::thread::scope(|scope| {
            let thread = || (0..1000).filter(|_| meter.take(rate, at(0))).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(thread)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(taken, 101);
    }
}
