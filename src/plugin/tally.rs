//! What calls of hooks came to: how many there were, what was answered, and how long they took.
//!
//! Each slot of a version has a [`Tally`] that only who holds the slot writes, so that to count costs a load, an add
//! and a store. Who reads adds them up to [`Totals`].
//!
//! To read the clock twice costs 50 to 110 ns where a call costs 270: of the hooks that are asked about every message,
//! one call in [`SAMPLED`] is timed, of the others each. All of it costs a call 2 to 4 ns more than one counter does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::options::Hook;

/// Of so many calls of a slot one is timed, the first included.
pub const SAMPLED: u64 = 64;

/// The most verdicts that a hook has.
const MOST_VERDICTS: usize = 4;

/// Upper bounds of the times that are told apart, in nanoseconds; beyond the last there is one more place.
const BOUNDS: [u64; 24] = [
    250,
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];
const BUCKETS: usize = BOUNDS.len() + 1;

/// What a hook answers, as one of a few words.
pub(super) trait Verdict {
    /// Counts it. A packet with several filters has a verdict for each.
    fn count(&self, verdicts: &Verdicts);
}

/// The words that a hook's verdicts are counted under.
pub(super) const fn verdict_names(hook: Hook) -> &'static [&'static str] {
    match hook {
        Hook::ValidatingConnection => &["next", "allow", "deny", "challenge"],
        Hook::Authorizer => &["next", "allow", "deny"],
        Hook::InterceptingPublish => &["continue", "modify", "swallow", "reject"],
        Hook::InterceptingClientEnqueue => &["deliver", "skip", "choose"],
        Hook::InterceptingSubscription => &["next", "grant", "grant-without-routing", "deny"],
        Hook::InterceptingUnsubscription => &["next", "keep", "deny"],
        Hook::ApplicationMessageNotConsumed => &["observe", "redirect", "answer"],
        Hook::Events => &[],
    }
}

/// Whether the hook is asked about every message.
const fn is_sampled(hook: Hook) -> bool {
    matches!(
        hook,
        Hook::Authorizer
            | Hook::InterceptingPublish
            | Hook::InterceptingClientEnqueue
            | Hook::ApplicationMessageNotConsumed
    )
}

/// What one thread counts at a time.
#[derive(Default)]
pub(super) struct Tally([HookTally; Hook::COUNT]);

#[derive(Default)]
pub(super) struct HookTally {
    calls: AtomicU64,
    verdicts: Verdicts,
    times: [AtomicU64; BUCKETS],
    nanoseconds: AtomicU64,
    fuel: AtomicU64,
}

#[derive(Default)]
pub(super) struct Verdicts([AtomicU64; MOST_VERDICTS]);

impl Verdicts {
    /// `verdict` is its place in [`verdict_names`].
    #[inline]
    pub(super) fn add(&self, verdict: usize) {
        add(&self.0[verdict], 1);
    }
}

impl Tally {
    #[inline]
    pub(super) fn of(&self, hook: Hook) -> &HookTally {
        &self.0[hook.index()]
    }

    /// Counts a call that begins; says when, where it is to be timed.
    #[inline]
    pub(super) fn begin(&self, hook: Hook) -> Option<Instant> {
        let calls = &self.of(hook).calls;
        let before = calls.load(Ordering::Relaxed);
        calls.store(before + 1, Ordering::Relaxed);
        (!is_sampled(hook) || before.is_multiple_of(SAMPLED)).then(Instant::now)
    }

    /// Counts what a call came to; nothing is answered where it failed.
    #[inline]
    pub(super) fn end(&self, hook: Hook, begun: Option<Instant>, answer: Option<&impl Verdict>) {
        if let Some(answer) = answer {
            answer.count(&self.of(hook).verdicts);
        }
        if let Some(begun) = begun {
            self.of(hook).note_time(begun.elapsed());
        }
    }

    /// Counts what a call spent, where that is known.
    #[inline]
    pub(super) fn note_fuel(&self, hook: Hook, spent: Option<u64>) {
        if let Some(spent) = spent {
            add(&self.of(hook).fuel, spent);
        }
    }

    pub(super) fn add_to(&self, totals: &mut Totals) {
        for (tally, totals) in self.0.iter().zip(&mut totals.0) {
            tally.move_to(totals, |number| number.load(Ordering::Relaxed));
        }
    }

    /// The same, and begins again with nothing.
    pub(super) fn hand_over_to(&self, totals: &mut Totals) {
        for (tally, totals) in self.0.iter().zip(&mut totals.0) {
            tally.move_to(totals, |number| number.swap(0, Ordering::Relaxed));
        }
    }
}

impl HookTally {
    #[cold]
    fn note_time(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        add(&self.times[BOUNDS.partition_point(|bound| *bound < nanoseconds)], 1);
        add(&self.nanoseconds, nanoseconds);
    }

    fn move_to(&self, totals: &mut HookTotals, take: impl Fn(&AtomicU64) -> u64) {
        totals.calls += take(&self.calls);
        totals.fuel = totals.fuel.wrapping_add(take(&self.fuel));
        totals.times.nanoseconds = totals.times.nanoseconds.wrapping_add(take(&self.nanoseconds));
        for (sum, number) in totals.verdicts.iter_mut().zip(&self.verdicts.0) {
            *sum += take(number);
        }
        for (sum, number) in totals.times.buckets.iter_mut().zip(&self.times) {
            *sum += take(number);
        }
    }
}

/// Nobody else writes meanwhile.
#[inline]
fn add(number: &AtomicU64, amount: u64) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
}

/// What all tallies of a plugin come to.
#[derive(Clone, Default)]
pub(super) struct Totals([HookTotals; Hook::COUNT]);

#[derive(Clone, Default)]
pub(super) struct HookTotals {
    pub(super) calls: u64,
    /// Of all calls, where it is counted.
    pub(super) fuel: u64,
    verdicts: [u64; MOST_VERDICTS],
    pub(super) times: CallTimes,
}

impl Totals {
    pub(super) fn of(&self, hook: Hook) -> &HookTotals {
        &self.0[hook.index()]
    }

    pub(super) fn calls(&self) -> u64 {
        self.0.iter().map(|hook| hook.calls).sum()
    }

    /// Each verdict of the hook by its name, also those that were never given.
    pub(super) fn verdicts(&self, hook: Hook) -> Vec<(&'static str, u64)> {
        verdict_names(hook).iter().copied().zip(self.of(hook).verdicts).collect()
    }
}

/// How long calls took, as far as they were timed: of hooks that are asked about every message, one call in
/// [`SAMPLED`] of each thread is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTimes {
    buckets: [u64; BUCKETS],
    nanoseconds: u64,
}

impl CallTimes {
    /// Calls that were timed.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Of the calls that were timed.
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds)
    }

    /// Upper bounds, and how many calls took no longer. Beyond the last there may be more.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        BOUNDS.iter().map(|bound| Duration::from_nanos(*bound)).zip(self.buckets.iter().scan(
            0,
            |sum, bucket| {
                *sum += bucket;
                Some(*sum)
            },
        ))
    }

    /// The time that this part of the calls (0.5: half of them) did not exceed, as far as the bounds tell; none
    /// where no call was timed.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let wanted = part * self.count() as f64;
        let (mut lower, mut below) = (0, 0);
        for (&bound, &within) in BOUNDS.iter().zip(&self.buckets) {
            if within > 0 && (below + within) as f64 >= wanted {
                let share = ((wanted - below as f64) / within as f64).clamp(0.0, 1.0);
                return Some(Duration::from_nanos(lower + ((bound - lower) as f64 * share) as u64));
            }
            (lower, below) = (bound, below + within);
        }
        (self.count() > 0).then(|| Duration::from_nanos(lower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Answer(usize);

    impl Verdict for Answer {
        fn count(&self, verdicts: &Verdicts) {
            verdicts.add(self.0);
        }
    }

    fn totals(tally: &Tally) -> Totals {
        let mut totals = Totals::default();
        tally.add_to(&mut totals);
        totals
    }

    #[test]
    fn calls_and_verdicts_are_counted_for_their_hook_and_handed_over_once() {
        let tally = Tally::default();
        for number in 0..100 {
            let begun = tally.begin(Hook::InterceptingPublish);
            let answer = Answer(number % 3);
            tally.end(Hook::InterceptingPublish, begun, (number > 9).then_some(&answer));
            tally.note_fuel(Hook::InterceptingPublish, Some(7));
            tally.note_fuel(Hook::Authorizer, None);
        }
        let counted = totals(&tally);
        assert_eq!((counted.calls(), counted.of(Hook::InterceptingPublish).calls), (100, 100));
        assert_eq!(Hook::ALL.map(|hook| counted.of(hook).fuel).iter().sum::<u64>(), 700);
        let expected = [("continue", 30), ("modify", 30), ("swallow", 30), ("reject", 0)];
        assert_eq!(counted.verdicts(Hook::InterceptingPublish), expected);
        let mut former = Totals::default();
        tally.hand_over_to(&mut former);
        assert_eq!((former.calls(), totals(&tally).calls()), (100, 0));
        let fuel = |totals: &Totals| totals.of(Hook::InterceptingPublish).fuel;
        assert_eq!((fuel(&former), fuel(&totals(&tally))), (700, 0));
    }

    #[test]
    fn what_is_asked_about_every_message_is_timed_now_and_then_and_all_else_always() {
        let tally = Tally::default();
        for _ in 0..2 * SAMPLED {
            for hook in [Hook::Authorizer, Hook::ValidatingConnection] {
                let begun = tally.begin(hook);
                tally.end(hook, begun, None::<&Answer>);
            }
        }
        let counted = totals(&tally);
        assert_eq!(counted.of(Hook::Authorizer).times.count(), 2);
        assert_eq!(counted.of(Hook::ValidatingConnection).times.count(), 2 * SAMPLED);
    }

    #[test]
    fn quantiles_lie_within_the_bounds_of_what_was_noted() {
        let tally = HookTally::default();
        let quantiles = |tally: &HookTally| {
            let mut totals = HookTotals::default();
            tally.move_to(&mut totals, |number| number.load(Ordering::Relaxed));
            [0.5, 0.99].map(|part| totals.times.quantile(part).map(|time| time.as_nanos()))
        };
        assert_eq!(quantiles(&tally), [None, None]);
        for _ in 0..98 {
            tally.note_time(Duration::from_nanos(250));
        }
        tally.note_time(Duration::from_nanos(251));
        tally.note_time(Duration::from_secs(99));
        assert_eq!(quantiles(&tally), [Some(127), Some(500)]);
        tally.note_time(Duration::from_secs(99));
        assert_eq!(quantiles(&tally)[1], Some(10_000_000_000), "at least the last bound");
    }

    #[test]
    fn bounds_rise_and_a_time_at_a_bound_is_not_above_it() {
        assert!(BOUNDS.is_sorted());
        let tally = HookTally::default();
        tally.note_time(Duration::from_micros(1));
        assert_eq!(tally.times[2].load(Ordering::Relaxed), 1);
    }
}
